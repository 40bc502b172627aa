"""Nobody's call is not made: the model never sees a request whose caller has gone, or whose time is up, before its
turn."""

from __future__ import annotations

import asyncio
import time
from typing import Any

import pytest
from tests.support import grpc_gate
from tests.support.grpc_calls import gate_bundle
from tests.support.rows_codec import Rows
from tests.unit.serving.test_scheduler import BATCH, SECONDS, THREAD, UNKNOWN, Cost, Loop, run, serving, stuck

from fivefold.core.bundle.bundle import Bundle
from fivefold.core.errors import FivefoldError
from fivefold.serving.dataplane import Dataplane
from fivefold.serving.messages import Call


@pytest.fixture(scope="module")
def bundles(tmp_path_factory: pytest.TempPathFactory) -> list[Bundle]:
    return [gate_bundle(tmp_path_factory.mktemp("gate") / "1", "1")]


def seen_by_the_model(served: Dataplane, monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """Every row that the model is given from now on."""
    out: list[float] = []
    for model in served.models:
        runner = model.scorer._runner
        asked = runner.run

        def noting(columns: Any, asked: Any = asked) -> Any:
            out.extend(columns["x"].tolist())
            return asked(columns)

        monkeypatch.setattr(runner, "run", noting)
    return out


async def ask(served: Dataplane, x: float, call: Call) -> str:
    try:
        await served.answer("gate", None, call, Rows(), [{"x": x}])
    except FivefoldError as error:
        return error.code
    return "ok"


@pytest.mark.parametrize("cost", [THREAD, BATCH, UNKNOWN], ids=["thread", "batch", "unknown"])
@pytest.mark.parametrize("why", ["cancelled", "gone", "late"])
@pytest.mark.parametrize("threads", [1, 4])
def test_what_nobody_waits_for_is_not_scored(
    threads: int, why: str, cost: Cost, bundles: list[Bundle], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also with more threads than the model takes calls at a time, and beside requests that are wanted."""
    with serving(bundles, cost, threads=threads) as served:
        seen = seen_by_the_model(served, monkeypatch)

        async def converse(loop: Loop) -> list[Any]:
            held = await stuck(served)
            hung_up = asyncio.Event()
            calls = []
            for x in range(1, 13):
                call = Call("test", served.request_id())
                if x % 2 and why == "gone":
                    call.gone = hung_up.wait  # type: ignore[assignment]  # what it returns is not looked at
                if x % 2 and why == "late":
                    call.deadline = time.monotonic() + 0.05
                calls.append(asyncio.create_task(ask(served, float(x), call)))
            await asyncio.sleep(0)
            hung_up.set()
            if why == "cancelled":
                for task in calls[::2]:
                    task.cancel()
            async with asyncio.timeout(SECONDS):
                await asyncio.wait(calls[::2])
                grpc_gate.opened.set()
                await held
                return await asyncio.gather(*calls, return_exceptions=True)

        answers = run(converse)

    told = {"gone": "cancelled", "late": "deadline_exceeded"}.get(why)
    assert [answer if told else type(answer) for answer in answers[::2]] == [told or asyncio.CancelledError] * 6
    assert answers[1::2] == ["ok"] * 6
    assert sorted(seen) == [-1.0, 2.0, 4.0, 6.0, 8.0, 10.0, 12.0]


def test_a_request_of_a_failed_batch_is_not_scored_again_when_its_time_is_up(
    bundles: list[Bundle], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The others are asked one by one then, and the clock goes on."""
    with serving(bundles, BATCH, batch_seconds=10.0) as served:
        calls = [Call("test", served.request_id()) for _ in range(3)]
        (model,) = served.models
        runner = model.scorer._runner
        asked, seen = runner.run, []

        def slow(columns: Any) -> Any:
            seen.append(columns["x"].tolist())
            if 13.0 in seen[-1]:
                # It takes as long as the last one has.
                calls[2].deadline = time.monotonic() - 1
            return asked(columns)

        monkeypatch.setattr(runner, "run", slow)

        async def converse(loop: Loop) -> list[str]:
            held = await stuck(served)
            tasks = [asyncio.create_task(ask(served, x, call)) for x, call in zip((13.0, 2.0, 4.0), calls, strict=True)]
            await asyncio.sleep(0)
            grpc_gate.opened.set()
            async with asyncio.timeout(SECONDS):
                await held
                return await asyncio.gather(*tasks)

        answers = run(converse)

    assert answers == ["model_failed", "ok", "deadline_exceeded"]
    assert seen == [[-1.0], [13.0, 2.0, 4.0], [13.0], [2.0]]
