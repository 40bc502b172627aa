"""Bundles that a process begins with come several at a time, in the order given, or not at all."""

from __future__ import annotations

import threading
from pathlib import Path

import pytest
from tests.support.bundle_server import shelf
from tests.support.bundles import write_sum
from tests.support.http_calls import SECONDS

from fivefold.core.bundle.bundle import Bundle
from fivefold.core.errors import FivefoldError
from fivefold.delivery.settings import DeliverySettings
from fivefold.serving import model_opening


def test_bundles_come_together_and_in_order(tmp_path: Path) -> None:
    """The second is asked for while the first is still on its way, and is not the first for that."""
    made = [write_sum(tmp_path / name, name=name) for name in ("one", "two")]
    delivery = DeliverySettings(bundle_cache=str(tmp_path / "cache"))
    found: list[Bundle] = []
    with shelf() as server:
        server.troubles = ["stall"]
        references = [
            server.put(f"/{each.name}", each.archive(tmp_path / f"{each.name}.tar").read_bytes(), each.digest)
            for each in made
        ]
        fetching = threading.Thread(target=lambda: found.extend(model_opening.fetch_all(references, delivery)))
        fetching.start()
        assert server.stalled.wait(SECONDS)
        both = threading.Event()
        for _ in range(int(SECONDS / 0.01)):
            if len(server.asked) == 2 or both.wait(0.01):
                break
        asked = list(server.asked)
        server.go_on.set()
        fetching.join()

    assert sorted(asked) == ["/one", "/two"]
    assert [bundle.digest for bundle in found] == [bundle.digest for bundle in made]


def test_one_that_cannot_be_had_refuses_all(tmp_path: Path) -> None:
    """With its own sentence, whoever comes before and behind it."""
    made = write_sum(tmp_path / "sum")
    delivery = DeliverySettings(bundle_cache=str(tmp_path / "cache"))

    with pytest.raises(FivefoldError, match="nowhere"):
        model_opening.open_models([str(made.path), str(tmp_path / "nowhere"), str(made.path)], delivery)
