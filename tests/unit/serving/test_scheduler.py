"""Every model has threads and limits of its own: one that is stuck, or has too much to do, is nobody else's trouble."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Coroutine, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import Any, TypeVar

import pytest
from tests.support import grpc_gate
from tests.support.grpc_calls import gate_bundle
from tests.support.rows_codec import Rows

from fivefold.core.bundle.bundle import Bundle
from fivefold.core.errors import ContractError, Interrupted, Unavailable
from fivefold.core.runtime.scorer import Scorer
from fivefold.core.telemetry import Telemetry
from fivefold.core.view import View
from fivefold.serving.dataplane import Dataplane
from fivefold.serving.limits import ServingLimits
from fivefold.serving.messages import Call, InferRequest
from fivefold.serving.repository import Model, Repository

T = TypeVar("T")

SECONDS = 20.0
"""The longest that a test waits for anything."""

Cost = list[tuple[int, float]]

INLINE: Cost = [(1, 0.0)]
THREAD: Cost = [(1, 1.0)]
BATCH: Cost = [(1, 1.0), (8, 1.0)]
UNKNOWN: Cost = [(1, 0.0)]
"""What a model seems to cost decides where it runs: on the event loop, in a thread, or there with others."""


class Loop(asyncio.SelectorEventLoop):
    """An event loop whose timers go off when a test says so."""

    ahead = 0.0

    def time(self) -> float:
        return super().time() + self.ahead


def run(converse: Callable[[Loop], Coroutine[Any, Any, T]]) -> T:
    with asyncio.Runner(loop_factory=Loop) as runner:
        loop = runner.get_loop()
        assert isinstance(loop, Loop)
        return runner.run(converse(loop))


@pytest.fixture(scope="module")
def bundles(tmp_path_factory: pytest.TempPathFactory) -> list[Bundle]:
    """Two versions of `gate`, which are two models."""
    directory = tmp_path_factory.mktemp("gate")
    return [gate_bundle(directory / version, version) for version in ("1", "2")]


@contextmanager
def serving(bundles: list[Bundle], *costs: Cost, **settings: Any) -> Iterator[Dataplane]:
    """A model at each cost, versions from 1; one thread each, and any wait is a burst unless `settings` says else."""
    models = []
    for bundle, cost in zip(bundles, costs, strict=False):
        scorer = Scorer.open(bundle)
        scorer._cost, scorer.foreseeable = cost, cost is not UNKNOWN
        models.append(Model(bundle, scorer))
    chosen = ServingLimits(**{"threads": 1, "burst_seconds": 3600.0, "retry_after": 2.5, **settings})
    out = Dataplane(Repository(models), chosen, Telemetry("online", log_sample=0.0))
    try:
        yield out
    finally:
        grpc_gate.opened.set()
        out.close()


async def ask(serving: Dataplane, x: float, version: str = "1") -> list[float]:
    """The double of `x`; below 0 once the gate is open."""
    call = Call("test", serving.request_id())
    answer = await serving.answer("gate", version, call, Rows(), [{"x": x}])
    return answer.columns["y"].tolist()


async def stuck(serving: Dataplane) -> asyncio.Task[list[float]]:
    """A request that version 1 will not answer before the gate is open."""
    grpc_gate.shut()
    out = asyncio.create_task(ask(serving, -1.0))
    await asyncio.to_thread(grpc_gate.wait_for_one)
    return out


async def joined(serving: Dataplane, x: float) -> asyncio.Task[list[float]]:
    """A request that waits behind those of version 1."""
    before = serving.inflight
    out = asyncio.create_task(ask(serving, x))
    await asyncio.sleep(0)
    assert serving.inflight == before + 1
    return out


def count(serving: Dataplane, code: str, version: str = "1") -> float:
    labels = {"pattern": "online", "model": "gate", "version": version, "transport": "test", "code": code}
    return serving.telemetry.registry.get_sample_value("fivefold_requests_total", labels) or 0.0


def test_counters_stand_at_zero_before_the_first_request(bundles: list[Bundle]) -> None:
    """Of every model on every transport, and of requests that reach no model."""
    with serving(bundles, INLINE, INLINE) as served:
        found = {
            (model, version, transport): served.telemetry.registry.get_sample_value(
                "fivefold_requests_total",
                {"pattern": "online", "model": model, "version": version, "transport": transport, "code": "internal"},
            )
            for model, version in (("gate", "1"), ("gate", "2"), ("", ""))
            for transport in ("http", "grpc")
        }

    assert set(found.values()) == {0.0}


@pytest.mark.parametrize("cost", [INLINE, THREAD, BATCH], ids=["inline", "thread", "batch"])
@pytest.mark.parametrize("of_the_stuck", [THREAD, BATCH], ids=["stuck thread", "stuck batch"])
def test_a_stuck_model_takes_nothing_from_another(bundles: list[Bundle], of_the_stuck: Cost, cost: Cost) -> None:
    """With every place and every thread of the one in use, the other answers wherever it runs."""
    with serving(bundles, of_the_stuck, cost, max_inflight=1) as served:

        async def converse(loop: Loop) -> None:
            held = await stuck(served)
            async with asyncio.timeout(SECONDS):
                assert [await ask(served, float(x), "2") for x in range(5)] == [[0.0], [2.0], [4.0], [6.0], [8.0]]
            assert not held.done()
            grpc_gate.opened.set()

            assert await held == [-2.0]

        run(converse)

        assert (count(served, "ok", "1"), count(served, "ok", "2")) == (1, 5)


@pytest.mark.parametrize("of_the_stuck", [THREAD, BATCH], ids=["thread", "batch"])
def test_a_large_body_is_read_beside_the_models(bundles: list[Bundle], of_the_stuck: Cost) -> None:
    """In a thread that no model needs: what is wrong with it is told although the model's only thread is stuck."""
    with serving(bundles, of_the_stuck, inline_bytes=100) as served:

        async def converse(loop: Loop) -> str:
            held = await stuck(served)
            readers = []

            class Noting(Rows):
                def decode(self, given: list[Any], view: View, call: Call) -> InferRequest:
                    readers.append(threading.current_thread().name)
                    return super().decode(given, view, call)

            call = Call("test", served.request_id(), size=101)
            with pytest.raises(ContractError) as refused:
                async with asyncio.timeout(SECONDS):
                    await served.answer("gate", "1", call, Noting(), [{"x": "much"}])
            assert not held.done()
            assert [name.startswith("fivefold-read") for name in readers] == [True]
            grpc_gate.opened.set()
            await held
            return refused.value.code

        assert run(converse) == "wrong_type"


@pytest.mark.parametrize("cost", [THREAD, BATCH], ids=["thread", "batch"])
def test_a_model_has_places_of_its_own(bundles: list[Bundle], cost: Cost) -> None:
    """The one that is full refuses until something has ended; the other takes as many as if it were alone."""
    with serving(bundles, cost, INLINE, max_inflight=2) as served:

        async def converse(loop: Loop) -> None:
            held = [await stuck(served), await joined(served, 2.0)]
            with pytest.raises(Unavailable) as refused:
                await ask(served, 3.0)
            assert (refused.value.code, refused.value.retry_after) == ("overloaded", 2.5)
            assert "2 requests" in str(refused.value)
            assert await asyncio.gather(ask(served, 4.0, "2"), ask(served, 5.0, "2")) == [[8.0], [10.0]]
            assert served.inflight == 2
            grpc_gate.opened.set()

            async with asyncio.timeout(SECONDS):
                assert await asyncio.gather(*held) == [[-2.0], [4.0]]
                assert await ask(served, 3.0) == [6.0]

        run(converse)

        assert served.inflight == 0
        assert count(served, "overloaded") == 1


@pytest.mark.parametrize("cost", [[(1, 1e-9)], [(1, 1e-9), (8, 1e-9)]], ids=["thread", "batch"])
def test_what_would_wait_too_long_is_overloaded(bundles: list[Bundle], cost: Cost) -> None:
    """Although there are places left: with the seconds after which to try again, and at once."""
    settings = {"inline_seconds": 0.0, "max_wait": 0.0, "burst_seconds": 0.0}
    with serving(bundles, cost, cost, **settings) as served:

        async def converse(loop: Loop) -> None:
            held = await stuck(served)
            with pytest.raises(Unavailable) as refused:
                await ask(served, 1.0)
            assert (refused.value.code, refused.value.retry_after) == ("overloaded", 2.5)
            assert "waits" in str(refused.value)
            assert served.inflight == 1
            async with asyncio.timeout(SECONDS):
                assert await ask(served, 1.0, "2") == [2.0]
                grpc_gate.opened.set()
                assert await held == [-2.0]
                assert await ask(served, 1.0) == [2.0]

        run(converse)

        assert served.inflight == 0
        assert count(served, "overloaded") == 1


@pytest.mark.parametrize("cost", [THREAD, BATCH], ids=["thread", "batch"])
def test_work_that_nobody_waits_for_keeps_its_place_until_it_ends(bundles: list[Bundle], cost: Cost) -> None:
    """Its caller was told that the time is up, but the thread still runs."""
    with serving(bundles, cost, max_inflight=2) as served:

        async def converse(loop: Loop) -> None:
            held = await stuck(served)
            loop.ahead += 3600.0
            with pytest.raises(Interrupted) as late:
                await held
            assert late.value.code == "deadline_exceeded"
            assert served.inflight == 1
            waiting = await joined(served, 2.0)
            with pytest.raises(Unavailable) as refused:
                await ask(served, 3.0)
            assert refused.value.code == "overloaded"
            grpc_gate.opened.set()

            async with asyncio.timeout(SECONDS):
                assert await waiting == [4.0]

        run(converse)

        assert served.inflight == 0


@pytest.mark.parametrize("cost", [THREAD, BATCH], ids=["thread", "batch"])
def test_work_that_has_not_begun_in_time_gives_its_place_back(bundles: list[Bundle], cost: Cost) -> None:
    """No thread has it, so none will ever run it."""
    with serving(bundles, cost, max_inflight=2) as served:

        async def converse(loop: Loop) -> None:
            held = [await stuck(served), await joined(served, -1.0)]
            loop.ahead += 3600.0
            errors = await asyncio.gather(*held, return_exceptions=True)
            assert [type(error) for error in errors] == [Interrupted, Interrupted]
            async with asyncio.timeout(SECONDS):
                while served.inflight > 1:
                    await asyncio.sleep(0)
                last = await joined(served, 3.0)
                grpc_gate.opened.set()
                assert await last == [6.0]

        run(converse)

        assert served.inflight == 0
        assert not grpc_gate.waiting.acquire(blocking=False), "it reached the model"


@pytest.mark.parametrize("cost", [THREAD, BATCH], ids=["thread", "batch"])
def test_closing_ends_what_runs_and_drops_what_waits(
    bundles: list[Bundle], cost: Cost, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What has begun is answered; what has not, and what comes afterwards, is told that the server is not ready."""
    shutdown = ThreadPoolExecutor.shutdown

    def open_once_shut_down(pool: ThreadPoolExecutor, wait: bool = True, *, cancel_futures: bool = False) -> None:
        shutdown(pool, wait=False, cancel_futures=cancel_futures)
        grpc_gate.opened.set()
        shutdown(pool, wait=wait)

    with serving(bundles, cost) as served:

        async def converse(loop: Loop) -> list[Any]:
            held = [await stuck(served), await joined(served, 1.0), await joined(served, 2.0)]
            with monkeypatch.context() as patch:
                patch.setattr(ThreadPoolExecutor, "shutdown", open_once_shut_down)
                served.close()
            async with asyncio.timeout(SECONDS):
                return await asyncio.gather(*held, ask(served, 3.0), return_exceptions=True)

        begun, *dropped = run(converse)

        assert begun == [-2.0]
        assert all(isinstance(error, Unavailable) for error in dropped)
        assert [(error.code, error.retry_after) for error in dropped] == [("not_ready", 2.5)] * 3
        assert served.inflight == 0
        assert not served.ready
        assert (count(served, "ok"), count(served, "not_ready")) == (1, 3)


def test_code_of_a_bundle_is_never_waited_for_on_the_event_loop(bundles: list[Bundle]) -> None:
    """However quick it was when it was measured: what it does with the next row, nobody knows."""
    with serving(bundles, UNKNOWN, INLINE) as served:

        async def converse(loop: Loop) -> None:
            held = await stuck(served)
            behind = await joined(served, 1.0)
            async with asyncio.timeout(SECONDS):
                assert await ask(served, 1.0, "2") == [2.0]
                grpc_gate.opened.set()
                assert (await held, await behind) == ([-2.0], [2.0])

        run(converse)
