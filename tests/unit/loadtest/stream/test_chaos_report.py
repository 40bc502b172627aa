"""A run's outcome as a table."""

from __future__ import annotations

from collections import Counter

from loadtest.stream import chaos_report, selftest
from loadtest.stream.chaos import ChaosResult, ChaosSettings
from loadtest.stream.fault_plan import JOIN, KILL

SETTINGS = ChaosSettings(
    events=selftest.EVENTS, seconds=60, workers=3, between=(2, 5), seed=7, max_batch=200, kinds=(KILL, JOIN)
)


def result(outcome: selftest.TopicRecords) -> ChaosResult:
    """A run with that outcome."""
    return ChaosResult(
        SETTINGS,
        selftest.judged(outcome),
        faults=Counter({KILL: 4, JOIN: 2}),
        starts=9,
        seconds=70,
        endings=Counter({"exit 5: error: no broker answers": 1}),
    )


def test_what_was_done_and_what_came_out() -> None:
    """Each thing that can be wrong has a row, also where it is not."""
    found = result(selftest.right())

    assert found.holds
    table = chaos_report.markdown("local", found)
    assert "| results, dead letters | 1,980, 20 |" in table
    assert "| results or dead letters beyond the one | 0 |" in table
    assert "| faults | 2 join, 4 kill |" in table
    assert "| rebalances | not told |" in table
    assert "| … exit 5: error: no broker answers | 1 |" in table


def test_a_worker_that_finds_something_afterwards_is_wrong_too() -> None:
    """The results may be right and the progress not."""
    found = result(selftest.right())
    found.wrong.append("a worker afterwards still found: 3 events")

    assert not found.holds


def test_a_loss_is_counted() -> None:
    """In its own row."""
    outcome = selftest.right()
    outcome["results"].pop()

    found = result(outcome)

    assert not found.holds
    assert "| events without a result or a dead letter | 1 |" in chaos_report.markdown("local", found)
