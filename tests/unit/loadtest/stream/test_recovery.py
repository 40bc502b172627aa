"""How long readers stood still, as a table."""

from __future__ import annotations

from loadtest.stream.recovery import Recoveries


def test_the_longest_stall_decides() -> None:
    """The median tells what is usual, the goal is for every kill."""
    found = Recoveries([0.1, 0.2, 2.9], [1.0, 1.5, 3.5], [0.05, 0.05, 0.1])

    assert found.met
    assert "| a reader of committed records stands still, seconds | 3 | 0.20 | 2.90 |" in found.markdown()
    found.stalls.append(3.1)
    assert not found.met
