"""What each stage of a small request over REST takes in this process: the product's own functions, one by one.

A stage that holds others is measured with them; what it takes itself is the difference. Requests come alone, or many in
one pass of the event loop, as from many connections: then the model is called once for all of them. A live server's
figure, which has the event loop and the kernel too, is left to `budget`.
"""

from __future__ import annotations

import asyncio
import statistics
import time
from collections.abc import Awaitable, Callable, Coroutine, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import httptools
import numpy as np

from fivefold.core import telemetry
from fivefold.serving.http.app import app
from fivefold.serving.http.inference import begin, infer
from fivefold.serving.http.request_body import Body
from fivefold.serving.messages import Answer
from fivefold.serving.steps import InferenceSteps
from loadtest import hotpath
from loadtest.hotpath import HotpathRequest
from loadtest.machine.measurement import Differs

CALLS: Final = 640
"""Of a stage in a round; in passes of so many as come together."""

Stage = Callable[[], Coroutine[Any, Any, object]]
Times = Mapping[tuple[str, int], "StageTimes"]
"""By request, and how many come together."""


@dataclass(frozen=True)
class StageTimes:
    """CPU seconds of one request's stages, each with all that it holds.

    `connection` is bytes in, bytes out; it holds `parser` and `infer`, which holds `answer`, which holds the rest.
    """

    parser: float
    connection: float
    infer: float
    answer: float
    read: float
    model: float
    encode: float
    count: float

    def own(self) -> list[tuple[str, float]]:
        """What each stage takes without those that it holds; they add up to `connection`."""
        inner = self.read + self.model + self.encode + self.count
        return [
            ("HTTP's parser (httptools), calling back to nothing", self.parser),
            ("connection: the head becomes a scope, framing, one write", self.connection - self.parser - self.infer),
            ("inference: headers, body, request id, the answer's headers", self.infer - self.answer),
            ("dataplane: model, deadline, scheduling", self.answer - inner),
            ("contract: JSON to a checked array", self.read),
            ("model, and the check of its answer", self.model),
            ("the answer as JSON", self.encode),
            ("metrics, statistics, log", self.count),
        ]


def measure(bundles: Path, names: Sequence[str], together: Sequence[int], rounds: int) -> Times:
    """Of requests by their names in `hotpath.asks`: medians of rounds in which every stage of each has its turn.

    Raises `Differs` where one is not answered.
    """
    serving = hotpath.open_serving(bundles)
    asks = [ask for ask in hotpath.asks(bundles) if ask.name in names]
    try:
        with asyncio.Runner() as runner:
            return runner.run(_measured(serving, asks, together, rounds))
    finally:
        serving.close()


async def _measured(serving: Any, asks: Sequence[HotpathRequest], together: Sequence[int], rounds: int) -> Times:
    application = app(serving, serving.settings)
    connect = hotpath.connector(serving, 0.0)
    passes: dict[tuple[str, int, str], list[Stage]] = {}
    for ask in asks:
        for count in together:
            connections = [_answered(connect(ask), ask.name) for _ in range(count)]
            passes[ask.name, count, "connection"] = connections
            for stage, call in _stages(serving, application, ask).items():
                passes[ask.name, count, stage] = [call] * count
            passes[ask.name, count, "model"] = [_model(serving, application, ask, count)]
    found: dict[tuple[str, int, str], list[float]] = {key: [] for key in passes}
    for index in range(rounds + 1):
        for key, calls in passes.items():
            seconds = await _seconds(calls) - await _seconds([_nothing] * len(calls))
            # The first round warms up.
            if index:
                found[key].append(seconds / key[1])
    medians: dict[tuple[str, int], dict[str, float]] = {}
    for (name, count, stage), seconds_each in found.items():
        medians.setdefault((name, count), {})[stage] = statistics.median(seconds_each)
    return {key: StageTimes(**stages) for key, stages in medians.items()}


async def _seconds(stages: Sequence[Stage]) -> float:
    """CPU seconds of one pass, in which each of these is called; every pass is one of the event loop."""
    times = max(1, CALLS // len(stages))
    before = time.thread_time()
    for _ in range(times):
        waiting = [(call, None) for call in (stage() for stage in stages)]
        while waiting := [each for each in map(_step, waiting) if each]:
            await asyncio.sleep(0)
        await asyncio.sleep(0)
    return (time.thread_time() - before) / times


def _step(waiting: tuple[Coroutine[Any, Any, object], Any]) -> tuple[Coroutine[Any, Any, object], Any] | None:
    """Let a call go on, unless what it waits for is not there; None where it has ended. No task, which costs more."""
    call, pending = waiting
    if asyncio.isfuture(pending) and not pending.done():
        return waiting
    try:
        return call, call.send(None)
    except StopIteration:
        return None


def _answered(once: Callable[[], Awaitable[bool]], name: str) -> Stage:
    async def ask() -> None:
        if not await once():
            raise Differs(f"{name} is refused")

    return ask


def _model(serving: Any, application: Any, ask: HotpathRequest, count: int) -> Stage:
    """One call of the model for so many."""
    _, name, version = application.targets[ask.target]
    model = serving.models.find(name, version)
    given, _ = model.bundle.golden()
    columns = given.take(np.arange(count) % given.rows)

    async def score() -> None:
        model.scorer.score(columns)

    return score


async def _nothing() -> None:
    return


def _stages(serving: Any, application: Any, ask: HotpathRequest) -> dict[str, Stage]:
    """All but the connection and the model, of one request."""
    codec, name, version = application.targets[ask.target]
    model = serving.models.find(name, version)
    lines = [(key.encode(), value.encode()) for key, value in ask.headers]
    lines += [(b"host", b"localhost"), (b"content-length", b"%d" % len(ask.body))]
    headers = dict(lines)
    scope = {"type": "http", "method": "POST", "path": ask.target, "root_path": "", "headers": lines, "client": None}
    message = {"type": "http.request", "body": ask.body, "more_body": False}
    body, call = Body(headers, ask.body, None, serving.room), begin(serving, headers)
    steps = InferenceSteps(model, call, codec, body)
    steps.check()
    steps.score()
    answered = Answer(steps.answered, model.metadata | {"transport": "http", "request_id": call.request_id}, model)
    parser = httptools.HttpRequestParser(_Deaf())
    data = hotpath.on_wire(ask)

    async def receive() -> Any:
        return message

    async def answer() -> None:
        call.deadline, call.started = None, time.perf_counter()
        await serving.answer(name, version, call, codec, body)

    async def parse() -> None:
        parser.feed_data(data)

    async def read() -> None:
        codec.decode(body, model.view, call).reading.accept()

    async def encode() -> None:
        codec.encode(answered, steps.request)

    async def count() -> None:
        serving._finish(model, steps, call, telemetry.HEALTHY, None, None)

    return {
        "parser": parse,
        "infer": lambda: infer(serving, codec, name, version, scope, receive),
        "answer": answer,
        "read": read,
        "encode": encode,
        "count": count,
    }


class _Deaf:
    """What the parser calls, and does nothing."""

    def on_url(self, url: bytes) -> None: ...

    def on_header(self, name: bytes, value: bytes) -> None: ...

    def on_headers_complete(self) -> None: ...

    def on_body(self, body: bytes) -> None: ...

    def on_message_complete(self) -> None: ...
