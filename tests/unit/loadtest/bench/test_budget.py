"""That the budget's parts add up to its wholes, and that each of them is measured on a request that is answered."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from typing import Any

import pytest
from loadtest.bench import budget, stages
from loadtest.bench.budget import LiveTimes
from loadtest.bench.stages import StageTimes

INSIDE = StageTimes(
    parser=2e-6, connection=40e-6, infer=30e-6, answer=25e-6, read=5e-6, model=10e-6, encode=3e-6, count=4e-6
)


def test_what_the_stages_take_themselves_adds_up() -> None:
    own = dict(INSIDE.own())

    assert sum(own.values()) == pytest.approx(INSIDE.connection)
    assert min(own.values()) == pytest.approx(2e-6)


def test_the_table_has_microseconds_and_shares_of_the_live_process() -> None:
    inside = {("V1", 1): INSIDE, ("V1", 32): INSIDE}
    live = {("V1", 1): LiveTimes(60e-6, 20e-6), ("V1", 32): LiveTimes(45e-6, 5e-6)}

    lines = budget.table(inside, live).splitlines()

    assert lines[0] == "| µs of CPU a request | V1, 1 connection | V1, 32 connections |"
    assert "| model, and the check of its answer | 10.0 (12%) | 10.0 (20%) |" in lines
    assert "| event loop, and what a live process has besides | 20.0 (25%) | 5.0 (10%) |" in lines
    assert lines[-1].endswith("| 80.0 (100%) | 50.0 (100%) |")


def test_a_pass_waits_for_what_the_loop_does_later() -> None:
    """Calls that wait for a future are let go on when it is there, all of a pass together."""
    seen: list[int] = []

    async def run() -> None:
        loop = asyncio.get_running_loop()
        waiting: list[asyncio.Future[None]] = []

        def flush() -> None:
            seen.append(len(waiting))
            for each in waiting:
                each.set_result(None)
            waiting.clear()

        async def call() -> None:
            if not waiting:
                loop.call_soon(flush)
            waiting.append(loop.create_future())
            await waiting[-1]

        stage: Any = call
        await stages._seconds([stage] * 32)

    asyncio.run(run())
    assert seen == [32] * (stages.CALLS // 32)


def test_a_refused_request_is_no_figure() -> None:
    async def refused() -> bool:
        return False

    work: Coroutine[Any, Any, object] = stages._answered(refused, "V1")()
    with pytest.raises(stages.Differs, match="V1 is refused"):
        work.send(None)
