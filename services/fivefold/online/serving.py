"""The whole inference path, in one place: admit, decode and check, score, encode, count, time and log.

Every transport comes through `Serving.answer`; it hands over what turns its own bytes into a `Reading` and an `Answer`
into its own bytes. Wire forms, status codes and headers are left to the transports; the rules on data and the model's
own call are core's; opening bundles and starting servers is the host's.
"""

from __future__ import annotations

import asyncio
import itertools
import os
import re
import socket
import time
from collections.abc import Awaitable, Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Generic, TypeVar

from fivefold.core import telemetry as vocabulary
from fivefold.core.errors import (
    ContractError,
    FivefoldError,
    InternalError,
    Interrupted,
    Unavailable,
)
from fivefold.online.batching import Batcher, Gatherer, pays
from fivefold.online.models import Model, Models, Statistics

if TYPE_CHECKING:
    from opentelemetry.trace import Span

    from fivefold.core.check import Reading
    from fivefold.core.columns import Columns
    from fivefold.core.telemetry import Lane, Telemetry
    from fivefold.online.settings import OnlineSettings

__all__ = [
    "Answer",
    "Call",
    "Model",
    "Models",
    "Serving",
    "Statistics",
    "clean_traceparent",
    "defect",
    "timeout_seconds",
]

T = TypeVar("T")

_SECONDS = re.compile(r"[0-9]{1,9}(\.[0-9]{1,20})?", re.ASCII)
_REQUEST_ID = re.compile(r"[!-~]{1,128}", re.ASCII)
_TRACEPARENT = re.compile(r"(?!ff)[0-9a-f]{2}-(?!0{32})[0-9a-f]{32}-(?!0{16})[0-9a-f]{16}-[0-9a-f]{2}(-.*)?", re.ASCII)


@dataclass(slots=True)
class Call:
    """One request, as far as it does not depend on the wire.

    `deadline` is on `time.monotonic`, `started` on `time.perf_counter`, both in seconds. `timeout` is the text of
    `x-request-timeout`; `answer` parses it. `size` is the body's, in bytes. `gone` returns when the caller has hung up;
    a transport that cancels the task instead leaves it out. `traceparent` is the caller's, and afterwards ours.
    """

    transport: str
    request_id: str
    deadline: float | None = None
    traceparent: str | None = None
    timeout: str | None = None
    size: int = 0
    gone: Callable[[], Awaitable[None]] | None = None
    started: float = field(default_factory=time.perf_counter)


@dataclass(slots=True)
class Answer:
    """A model's answer: output columns, and the metadata that every transport carries in its own place."""

    columns: Columns
    metadata: dict[str, str]
    model: Model


class Serving:
    """Answers requests with the models of this process. One event loop drives it; the counters are that loop's own."""

    def __init__(self, models: Models, settings: OnlineSettings, telemetry: Telemetry) -> None:
        self.models = models
        self.settings = settings
        self.telemetry = telemetry
        self.replica = f"{socket.gethostname()}:{os.getpid()}"
        self.inflight = 0
        self._draining = False
        self._pool = ThreadPoolExecutor(settings.threads, "fivefold-score")
        self._batchers = {
            model: Batcher(model.scorer, self._pool, at_once=settings.threads, longest=settings.batch_seconds)
            for model in (models if settings.batching else ())
            if pays(model.scorer)
        }
        self._gatherers = {model: Gatherer(model.scorer, longest=settings.inline_seconds) for model in self._batchers}
        self._ids = itertools.count()
        self._prefix = os.urandom(8).hex()
        telemetry.inflight(lambda: self.inflight)
        for model in models:
            telemetry.bundle(
                model=model.name,
                version=model.version,
                bundle=model.bundle.digest,
                contract=model.metadata["contract"],
                runtime=model.bundle.manifest.runtime,
            )

    @property
    def ready(self) -> bool:
        """Whether new requests should be sent here: models are loaded and tested, and no drain has begun."""
        return not self._draining

    def drain(self) -> None:
        """Say not ready from now on; what arrives all the same is still answered."""
        self._draining = True

    def close(self) -> None:
        """Let the threads finish what they have begun, drop the rest, and close the scorers."""
        self._draining = True
        self._pool.shutdown(wait=True, cancel_futures=True)
        for model in self.models:
            model.scorer.close()

    def request_id(self, given: str | None = None) -> str:
        """The caller's request id where it is printable ASCII of at most 128 characters, otherwise a new one."""
        if given and _REQUEST_ID.fullmatch(given):
            return given
        return f"{self._prefix}{next(self._ids):08x}"

    async def infer(self, name: str, version: str | None, call: Call, decode: Callable[[Model], Reading]) -> Answer:
        """`answer` for a caller that encodes afterwards."""
        return await self.answer(name, version, call, decode, _same)

    async def answer(
        self,
        name: str,
        version: str | None,
        call: Call,
        decode: Callable[[Model], Reading],
        encode: Callable[[Answer], T],
    ) -> T:
        """Answer one request; `decode` and `encode` may run in a thread.

        Raises `FivefoldError` only, and `asyncio.CancelledError`. Every way out is counted, timed and logged here.
        """
        model: Model | None = None
        work: _Work[T] | None = None
        code, error = vocabulary.HEALTHY, None
        span = self.telemetry.span(call.traceparent, call.started, request_id=call.request_id)
        call.traceparent = vocabulary.traceparent(span) if span else clean_traceparent(call.traceparent)
        try:
            model = self.models.find(name, version)
            self._set_deadline(call)
            if self.inflight >= self.settings.max_inflight:
                raise Unavailable(
                    "overloaded",
                    f"{self.inflight} requests are in work already",
                    retry_after=self.settings.retry_after,
                )
            work = _Work(model, call, decode, encode)
            self.inflight += 1
            try:
                return await self._run(work)
            finally:
                self.inflight -= 1
        except asyncio.CancelledError:
            code = "cancelled"
            raise
        except FivefoldError as err:
            code, error = err.code, err
            raise
        except Exception as err:
            error = defect(err)
            code = error.code
            raise error from err
        finally:
            self._finish(model, work, call, code, error, span)

    def refuse(self, call: Call, error: FivefoldError, model: Model | None = None) -> FivefoldError:
        """Count and log a request that ended before it could reach `answer`; gives the error back."""
        span = self.telemetry.span(call.traceparent, call.started, request_id=call.request_id)
        call.traceparent = vocabulary.traceparent(span) if span else clean_traceparent(call.traceparent)
        self._finish(model, None, call, error.code, error, span)
        return error

    async def _run(self, work: _Work[T]) -> T:
        settings = self.settings
        if work.call.size > settings.inline_bytes:
            work.queued = time.perf_counter()
            return await self._away(work, *self._thread(work.everything))
        work.check()
        if work.model.scorer.seconds(work.rows) <= settings.inline_seconds:
            gatherer = self._gatherers.get(work.model)
            if gatherer is not None and gatherer.crowded():
                return await gatherer.add(work)
            return work.score()
        work.queued = time.perf_counter()
        batcher = self._batchers.get(work.model)
        return await self._away(work, *(batcher.add(work) if batcher else self._thread(work.score)))

    def _thread(self, step: Callable[[], T]) -> tuple[asyncio.Future[T], Callable[[], object]]:
        """Begin a step in a thread: the future of its result, and what gives it up before it has begun."""
        try:
            thread = self._pool.submit(step)
        except RuntimeError:
            raise self._stopping() from None
        return asyncio.wrap_future(thread), thread.cancel

    async def _away(self, work: _Work[T], job: asyncio.Future[T], give_up: Callable[[], object]) -> T:
        """Wait for a step that runs elsewhere, until the time is up or the caller has gone."""
        call = work.call
        gone = asyncio.ensure_future(call.gone()) if call.gone else None
        try:
            left = None if call.deadline is None else call.deadline - time.monotonic()
            waiting: set[asyncio.Future[Any]] = {job} if gone is None else {job, gone}
            await asyncio.wait(waiting, timeout=left, return_when=asyncio.FIRST_COMPLETED)
            if job.cancelled():
                raise self._stopping()
            if job.done():
                return job.result()
            if gone is not None and gone.done():
                raise Interrupted("cancelled", "the caller has hung up")
            raise _expired()
        finally:
            if gone is not None:
                gone.cancel()
            if not job.done():
                # A thread that has begun cannot be stopped: until it ends, its work still counts against the limit.
                self.inflight += 1
                job.add_done_callback(self._abandoned)
                give_up()

    def _stopping(self) -> Unavailable:
        return Unavailable("not_ready", "the server is stopping", retry_after=self.settings.retry_after)

    def _abandoned(self, job: asyncio.Future[Any]) -> None:
        self.inflight -= 1
        if not job.cancelled():
            job.exception()

    def _set_deadline(self, call: Call) -> None:
        seconds = self.settings.default_timeout
        if call.timeout is not None:
            seconds = min(seconds, timeout_seconds(call.timeout))
        latest = time.monotonic() + seconds - (time.perf_counter() - call.started)
        call.deadline = latest if call.deadline is None else min(call.deadline, latest)

    def _finish(
        self,
        model: Model | None,
        work: _Work[Any] | None,
        call: Call,
        code: str,
        error: FivefoldError | None,
        span: Span | None,
    ) -> None:
        if model is None:
            lane: Lane = self.telemetry.lane(call.transport)
            rows = 0
        else:
            lane = self.telemetry.lane(call.transport, model.name, model.version, model.bundle.digest)
            rows = work.rows if work else 0
            if rows:
                lane.rows["scored" if error is None and code == vocabulary.HEALTHY else _outcome(error)] += rows
            _count(model.statistics, work, code, call.started)
        if work is not None and work.scored:
            lane.score_seconds.observe(work.scored - work.scoring)
        trace_id = call.traceparent[3:35] if call.traceparent else ""
        self.telemetry.finished(
            lane, code, started=call.started, request_id=call.request_id, rows=rows, trace_id=trace_id, error=error
        )
        if span is not None:
            self.telemetry.end_span(span, work.stages() if work else (), code)


class _Work(Generic[T]):
    """One request's steps, and when each ended (`time.perf_counter`, 0.0 = not reached). A step may run in a thread."""

    __slots__ = (
        "call",
        "checked",
        "checking",
        "columns",
        "decode",
        "encode",
        "encoded",
        "model",
        "queued",
        "rows",
        "scored",
        "scoring",
    )

    def __init__(
        self, model: Model, call: Call, decode: Callable[[Model], Reading], encode: Callable[[Answer], T]
    ) -> None:
        self.model, self.call, self.decode, self.encode = model, call, decode, encode
        self.rows = 0
        self.columns: Columns
        self.queued = self.checking = self.checked = self.scoring = self.scored = self.encoded = 0.0

    def everything(self) -> T:
        """Decode, check, score and encode."""
        self.check()
        return self.score()

    def check(self) -> None:
        """Decode and check; raises `ContractError`."""
        self._in_time()
        self.checking = time.perf_counter()
        try:
            reading = self.decode(self.model)
            self.rows = reading.rows
            self.columns = reading.accept()
        finally:
            self.checked = time.perf_counter()

    @property
    def deadline(self) -> float | None:
        """When the request's time is up, on `time.monotonic`."""
        return self.call.deadline

    def score(self) -> T:
        """Score and encode; raises `ModelFailed`, or what `encode` raises."""
        self.begin()
        try:
            columns = self.model.scorer.score(self.columns)
        except BaseException:
            self.scored = time.perf_counter()
            raise
        return self.finish(columns)

    def begin(self) -> None:
        """The model is about to start; raises `Interrupted` where the time is up."""
        self._in_time()
        self.scoring = time.perf_counter()

    def finish(self, columns: Columns) -> T:
        """Encode what the model has answered."""
        self.scored = time.perf_counter()
        model, call = self.model, self.call
        metadata = model.metadata | {"transport": call.transport, "request_id": call.request_id}
        out = self.encode(Answer(columns, metadata, model))
        self.encoded = time.perf_counter()
        return out

    def stages(self) -> list[vocabulary.Stage]:
        """The spans of the steps that were reached; `queue` is the wait for a thread."""
        out = []
        if self.queued:
            begun = self.checking if self.checking > self.queued else self.scoring
            out.append(vocabulary.Stage("queue", self.queued, begun or time.perf_counter()))
        for name, start, end in (
            ("check", self.checking, self.checked),
            ("score", self.scoring, self.scored),
            ("encode", self.scored, self.encoded),
        ):
            if start and end:
                out.append(vocabulary.Stage(name, start, end))
        return out

    def _in_time(self) -> None:
        deadline = self.call.deadline
        if deadline is not None and time.monotonic() >= deadline:
            raise _expired()


def timeout_seconds(text: str) -> float:
    """The seconds of an `x-request-timeout`; raises `ContractError(malformed)` for anything but a plain number."""
    if not _SECONDS.fullmatch(text):
        raise ContractError("malformed", f"x-request-timeout: expected seconds such as 2.5, got {text[:64]!r}")
    return float(text)


def clean_traceparent(text: str | None) -> str | None:
    """A W3C `traceparent` that is one, or None."""
    return text if text and _TRACEPARENT.fullmatch(text) else None


def defect(cause: BaseException) -> InternalError:
    """What a caller hears of an unexpected exception: nothing but that it happened. The cause goes to the log."""
    error = InternalError(
        "internal", "something went wrong on the server", help="its log has more under this request_id"
    )
    error.__cause__ = cause
    return error


def _expired() -> Interrupted:
    return Interrupted("deadline_exceeded", "the time for this request is up")


def _outcome(error: FivefoldError | None) -> str:
    return "refused" if isinstance(error, ContractError) else "failed"


def _count(statistics: Statistics, work: _Work[Any] | None, code: str, started: float) -> None:
    now = time.perf_counter()
    spent = round((now - started) * 1e9)
    if code != vocabulary.HEALTHY or work is None:
        statistics.failed += 1
        statistics.fail_ns += spent
        return
    statistics.succeeded += 1
    statistics.rows += work.rows
    statistics.success_ns += spent
    statistics.check_ns += round((work.checked - work.checking) * 1e9)
    statistics.score_ns += round((work.scored - work.scoring) * 1e9)
    statistics.encode_ns += round((work.encoded - work.scored) * 1e9)
    if work.queued:
        begun = work.checking if work.checking > work.queued else work.scoring
        statistics.queue_ns += round((begun - work.queued) * 1e9)
    statistics.last = time.time_ns() // 1_000_000


def _same(answer: Answer) -> Answer:
    return answer
