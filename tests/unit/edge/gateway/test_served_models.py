"""A model is swapped while it is asked: no request fails, and every answer is of one bundle or of the other."""

from __future__ import annotations

import threading
from collections.abc import Callable
from pathlib import Path

import pytest
from tests.support.bundles import SUM_GOLDEN, write_sum
from tests.support.gateways import events, running

from fivefold.core.bundle.bundle import Bundle
from fivefold.core.errors import BundleInvalid, FivefoldError, NotFound
from fivefold.edge.gateway.served_models import ServedModels

Swap = Callable[[Bundle], None]


class Seam:
    """An updater that does nothing but hand on what it is given."""

    def __init__(self) -> None:
        self._there = threading.Event()
        self._models: ServedModels

    def __call__(self, models: ServedModels, stop: threading.Event) -> None:
        self._models = models
        self._there.set()
        stop.wait()

    @property
    def models(self) -> ServedModels:
        assert self._there.wait(60)
        return self._models


def test_a_swap_loses_no_request(tmp_path: Path, bundle: Path) -> None:
    """Four callers ask all the time: version 1 answers before the swap, version 2 what is asked after it."""
    seam = Seam()
    second = write_sum(tmp_path / "second", version="2")
    seen: list[tuple[int, str]] = []
    done = threading.Event()

    with running(tmp_path, [bundle], updater=seam) as gateway:

        def ask() -> None:
            while not done.is_set():
                answer = gateway.ask({"a": 1, "b": 2})
                seen.append((answer.status_code, answer.json()["metadata"]["version"]))

        callers = [threading.Thread(target=ask) for _ in range(4)]
        for caller in callers:
            caller.start()
        before = seam.models.bundles()
        seam.models.swap(second)
        after = gateway.ask({"a": 1, "b": 2}).json()
        done.set()
        for caller in callers:
            caller.join()
        names = gateway.client.get("/v1/models/demo").json()
        old = gateway.client.post("/v1/models/demo/versions/1:predict", json={"instances": [{"a": 1, "b": 2}]})
        new = gateway.client.post("/v2/models/demo/versions/2/infer", json={"inputs": []})
        info = [line for line in gateway.client.get("/metrics").text.splitlines() if "fivefold_bundle_info{" in line]
        paths = gateway.client.get("/openapi.json").json()["paths"]
        kept = events(tmp_path)

    assert [each.version for each in before] == ["1"]
    assert {status for status, _ in seen} == {200}
    assert after["metadata"]["version"] == "2"
    assert (names["version"], names["versions"], names["bundle"]) == ("2", ["2"], second.digest)
    assert (old.status_code, new.status_code) == (404, 422)
    assert [second.digest in line for line in info] == [True]
    assert any("/versions/2" in path for path in paths)
    assert not any("/versions/1" in path for path in paths)
    assert {each["version"] for each in kept if each["kind"] == "prediction"} <= {"1", "2"}


def test_what_may_not_be_served_changes_nothing(tmp_path: Path, bundle: Path) -> None:
    """A bundle that fails its own rows, one for other places, one of another name."""
    seam = Seam()
    given, answers = SUM_GOLDEN
    wrong = write_sum(tmp_path / "wrong", version="2", golden=(given, [each | {"total": 9.0} for each in answers]))
    elsewhere = write_sum(tmp_path / "elsewhere", version="3", targets=("server",))
    other = write_sum(tmp_path / "other", name="other")
    found: list[FivefoldError] = []
    with running(tmp_path, [bundle], updater=seam) as gateway:
        for each in (wrong, elsewhere, other):
            with pytest.raises(FivefoldError) as error:
                seam.models.swap(each)
            found.append(error.value)
        answer = gateway.ask({"a": 1, "b": 2}).json()

    assert [type(error) for error in found] == [BundleInvalid, BundleInvalid, NotFound]
    assert answer["metadata"]["version"] == "1"


def test_a_bundle_for_other_places_is_not_served(tmp_path: Path) -> None:
    """At the start as at a swap."""
    write_sum(tmp_path / "elsewhere", targets=("server",))

    with pytest.raises(BundleInvalid, match="not on a gateway"), running(tmp_path, [tmp_path / "elsewhere"]):
        pass
