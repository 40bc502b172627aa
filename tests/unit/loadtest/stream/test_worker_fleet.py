"""How workers have ended is counted by what they said, not by where and when they said it."""

from __future__ import annotations

import pytest
from loadtest.stream.worker_fleet import without_figures


@pytest.mark.parametrize(
    ("line", "said"),
    [
        (
            "error: no broker answers at 127.0.0.1:38359: 127.0.0.1:38359/bootstrap: refused (after 0ms in CONNECT)",
            "error: no broker answers at",
        ),
        (
            "error: 54 of the last 1,001 events are dead letters (malformed 30), and at most 5.0% may be",
            "error: … of the last … events are dead letters (malformed …), and at most …% may be",
        ),
        (
            "error: another worker has the slot 'w2' of the group 'chaos'",
            "error: another worker has the slot 'w…' of the group 'chaos'",
        ),
    ],
)
def test_a_line_without_its_figures(line: str, said: str) -> None:
    """Two workers that end for one reason are two of a kind."""
    assert without_figures(line) == said
