"""What `fivefold serve` says when it answers: addresses that can be asked, and what is logged."""

from __future__ import annotations

from pathlib import Path

import pytest
from tests.support.bundles import write_sum

from fivefold.core.runtime.scorer import Scorer
from fivefold.core.settings import dialable
from fivefold.online.local import banner
from fivefold.online.settings import OnlineSettings
from fivefold.serving.repository import Model


def test_nothing_to_copy_has_the_address_that_stands_for_all(tmp_path: Path) -> None:
    """Where it listens is said once, beside what can be asked."""
    settings = OnlineSettings(http="0.0.0.0:8000", grpc="[::]:9000", allow_public=True)
    with Scorer.open(write_sum(tmp_path / "b")) as scorer:
        printed = banner.text(banner.requests([Model(scorer.bundle, scorer)], settings), settings, 1.0)

    lines = [line for line in printed.splitlines() if "0.0.0.0" in line or "[::]" in line]
    assert lines == ["  from elsewhere by this machine's name or address: 0.0.0.0:8000, [::]:9000"]
    assert "curl -s http://127.0.0.1:8000/v1/models/demo:predict" in printed
    assert "[::1]:9000 inference.GRPCInferenceService/ModelInfer" in printed


@pytest.mark.parametrize(
    ("share", "told"),
    [(1.0, "a line for each request, on stderr"), (0.0, "none of those"), (0.01, "and 0.01 of those")],
)
def test_the_share_of_requests_that_is_logged_is_told(share: float, told: str) -> None:
    """So that nobody looks for lines that are not written."""
    settings = OnlineSettings(log_sample=share)

    assert told in banner.text("", settings, 1.0)
    assert "elsewhere" not in banner.text("", settings, 1.0)


@pytest.mark.parametrize(
    ("given", "asked"),
    [("0.0.0.0:1", "127.0.0.1:1"), ("[::]:1", "[::1]:1"), ("host:1", "host:1"), ("[fe80::1]:2", "[fe80::1]:2")],
)
def test_an_address_that_can_be_asked(given: str, asked: str) -> None:
    """Of all addresses, this machine's own."""
    assert dialable(given) == asked
