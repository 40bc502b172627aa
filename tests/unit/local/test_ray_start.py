"""What a Ray of one's own finds in its environment, and what is left of that afterwards."""

from __future__ import annotations

import contextlib
import os
from pathlib import Path

import pytest

import fivefold
from fivefold.local import ray_start


@pytest.mark.parametrize("path", [None, "/elsewhere"])
def test_the_environment_is_as_before_the_run(monkeypatch: pytest.MonkeyPatch, path: str | None) -> None:
    """The user's own variables do not reach Ray, and what Ray or the run has set is gone."""
    monkeypatch.setenv("RAY_ADDRESS", "auto")
    monkeypatch.setenv("RAY_USAGE_STATS_ENABLED", "1")
    if path is None:
        monkeypatch.delenv("PYTHONPATH", raising=False)
    else:
        monkeypatch.setenv("PYTHONPATH", path)
    before = dict(os.environ)

    with ray_start.environment():
        within = dict(os.environ)
        os.environ["RAY_JOB_ID"] = "7"

    assert dict(os.environ) == before
    assert "RAY_ADDRESS" not in within
    assert within["RAY_USAGE_STATS_ENABLED"] == "0"
    assert within["RAY_AUTH_MODE"] == "token"
    assert within["PYTHONPATH"].split(os.pathsep) == [
        str(Path(fivefold.__file__).parents[1]),
        *([path] if path else []),
    ]


def test_a_run_that_fails_gives_it_back_too() -> None:
    """And each run has a token of its own."""
    before = dict(os.environ)
    tokens = set()
    for _ in range(2):
        with contextlib.suppress(KeyError), ray_start.environment():
            tokens.add(os.environ["RAY_AUTH_TOKEN"])
            raise KeyError

    assert dict(os.environ) == before
    assert len(tokens) == 2
