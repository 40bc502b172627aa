"""What is read from a backfill's table, and what is concluded."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from loadtest.batch import backfill
from loadtest.batch.backfill import BackfillFinding

GOOD = BackfillFinding(30, 20_000, 7, [5, 17], 30, [], [], 0, 90.0)
TABLE = """day         state               rows      scored  quarantined  seconds
2026-01-01  published         20,000      19,980           20      1.2
2026-01-02  running                0           0            0      0.0
2026-01-03  failed                 0           0            0      0.0  no space
2026-01-02  published         20,000      19,980           20      1.2
2026-01-04  published         20,000      20,000            0      1.2
"""


def test_what_is_said_of_a_day_last_counts() -> None:
    """Published, and with the numbers that its rows have."""
    names = [f"2026-01-0{day}" for day in range(1, 6)]

    assert backfill.reported(TABLE, names, 20_000) == 2
    assert backfill.reported(TABLE, names, 10_000) == 0


@pytest.mark.parametrize(
    "change", [{"reported": 29}, {"wrong": ["2026-01-01"]}, {"again": ["ds=2026-01-01/run.json"]}, {"status": 1}]
)
def test_every_goal_can_be_missed_alone(change: dict[str, Any]) -> None:
    assert GOOD.misses() == []
    assert len(replace(GOOD, **change).misses()) == 1


def test_the_table_tells_when_it_was_killed() -> None:
    assert "30 days of 20,000 rows, 2 at a time, killed when 5, 17 days were published (seed 7)" in GOOD.table()
