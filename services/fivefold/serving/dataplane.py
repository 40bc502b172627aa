"""The whole inference path, in one place: admit, decode and check, score, encode, count, time and log.

Every transport comes through `Dataplane.answer`; it hands over its codec, which turns its own bytes into an
`InferRequest` and an `Answer` into its own bytes. Wire forms, status codes and headers are left to the transports; the
rules on data and the model's own call are core's; opening bundles and starting servers is the host's.
"""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import os
import re
import socket
import time
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import TYPE_CHECKING, Any, TypeVar

from fivefold.core import telemetry as vocabulary
from fivefold.core.errors import ContractError, FivefoldError, InternalError
from fivefold.serving.admission import Room
from fivefold.serving.input_statistics import InputStatistics
from fivefold.serving.messages import Call, Codec
from fivefold.serving.recording import Recorder, RecordingScheduler
from fivefold.serving.repository import Model, Repository, Statistics
from fivefold.serving.scheduler import Scheduler
from fivefold.serving.steps import InferenceSteps

if TYPE_CHECKING:
    from opentelemetry.trace import Span

    from fivefold.core.telemetry import Counters, Telemetry
    from fivefold.guard import Guard
    from fivefold.serving.limits import ServingLimits
    from fivefold.serving.origins import Origins
    from fivefold.serving.suspects import Suspects

Given = TypeVar("Given")
T = TypeVar("T")

TRANSPORTS = ("http", "grpc")
"""Whose counters stand at zero before a request comes."""

READERS = 2
"""Threads that read large bodies, of all models; reading holds the interpreter's lock, so more would not be faster."""

_LOOK_SECONDS = 0.02
"""Between two looks at whether a model that was replaced is idle."""

_SECONDS = re.compile(r"[0-9]{1,9}(\.[0-9]{1,20})?", re.ASCII)
_REQUEST_ID = re.compile(r"[!-~]{1,128}", re.ASCII)
_TRACEPARENT = re.compile(r"(?!ff)[0-9a-f]{2}-(?!0{32})[0-9a-f]{32}-(?!0{16})[0-9a-f]{16}-[0-9a-f]{2}(-.*)?", re.ASCII)


class Dataplane:
    """Answers requests with the models of this process. One event loop drives it; the counters are that loop's own."""

    def __init__(
        self,
        models: Repository,
        settings: ServingLimits,
        telemetry: Telemetry,
        guard: Guard | None = None,
        suspects: Suspects | None = None,
        origins: Origins | None = None,
        scheduler: Callable[..., Scheduler] | None = None,
    ) -> None:
        """The transports ask `guard` before they ask for anything here; None: nobody is asked who they are.

        `suspects` knows what other replicas died with; None: nobody asks. `origins` knows which browsers' pages may ask
        over HTTP; None: nobody looks. `scheduler` makes what runs a model, of what `Scheduler` takes; None: that, or
        what records where the settings say so.
        """
        self.models = models
        self.settings = settings
        self.telemetry = telemetry
        self.guard = guard
        self.origins = origins
        self.room = Room(settings.bytes_in_flight, settings.retry_after)
        self.replica = f"{socket.gethostname()}:{os.getpid()}"
        self._draining = False
        self._retired: list[Scheduler] = []
        self._readers = ThreadPoolExecutor(READERS, "fivefold-read")
        self._recorder = Recorder.of(settings, (model.views for model in models))
        kind = Scheduler if self._recorder is None else partial(RecordingScheduler, self._recorder)
        self._kind: Callable[..., Scheduler] = scheduler or kind
        self._suspects = suspects
        self._schedulers = {model: self._scheduler(model) for model in models}
        self._ids = itertools.count()
        self._prefix = os.urandom(8).hex()
        self.inputs = InputStatistics(telemetry.pattern, models) if settings.input_statistics else None
        if self.inputs is not None:
            telemetry.registry.register(self.inputs)
        telemetry.inflight(lambda: self.inflight)
        if guard is not None and guard.has_keys:
            telemetry.keys_age(guard.keys_age)
        for transport in TRANSPORTS:
            telemetry.counters(transport)
        for model in models:
            self._announce(model)

    @property
    def inflight(self) -> int:
        """Requests in work, of all models."""
        retired = sum(scheduler.inflight for scheduler in self._retired) if self._retired else 0
        return retired + sum(scheduler.inflight for scheduler in self._schedulers.values())

    @property
    def ready(self) -> bool:
        """Whether new requests should be sent here: models are loaded and tested, and no drain has begun."""
        return not self._draining

    def drain(self) -> None:
        """Say not ready from now on; what arrives all the same is still answered."""
        self._draining = True

    def replace(self, models: Repository) -> list[Scheduler]:
        """Answer with these models from the next request on; what is in work is finished by those that began it.

        Gives the schedulers of the models that are gone, for `retire`. Models that stay must be the same objects.
        Raises `SettingsError` for models that cannot be recorded as was asked for; then nothing has changed.
        """
        if self._recorder is not None:
            self._recorder.follow(model.views for model in models)
        wanted = set(models)
        gone = {model: scheduler for model, scheduler in self._schedulers.items() if model not in wanted}
        kept = {model: scheduler for model, scheduler in self._schedulers.items() if model not in gone}
        self._schedulers = {model: kept.get(model) or self._scheduler(model) for model in models}
        self.models = models
        if self.inputs is not None:
            self.inputs.follow(models)
        for model in gone:
            self.telemetry.bundle_gone(**_described(model))
        for model in models:
            if model not in kept:
                self._announce(model)
        self._retired += gone.values()
        return list(gone.values())

    async def retire(self, schedulers: Iterable[Scheduler]) -> None:
        """Close schedulers that `replace` gave, when what they have in work has ended; waits for that."""
        for scheduler in schedulers:
            while scheduler.inflight:
                await asyncio.sleep(_LOOK_SECONDS)
            await asyncio.to_thread(scheduler.close)
            with contextlib.suppress(ValueError):
                self._retired.remove(scheduler)

    def _announce(self, model: Model) -> None:
        for transport in TRANSPORTS:
            self.telemetry.counters(transport, model.name, model.version, model.bundle.digest)
        self.telemetry.bundle(**_described(model))

    def _scheduler(self, model: Model) -> Scheduler:
        return self._kind(model, self.settings, self._readers, self._suspects)

    def close(self) -> None:
        """Let the threads finish what they have begun, drop the rest, and close the scorers."""
        self._draining = True
        for scheduler in (*self._schedulers.values(), *self._retired):
            scheduler.close()
        self._readers.shutdown(wait=True, cancel_futures=True)
        if self.inputs is not None:
            with contextlib.suppress(KeyError):
                self.telemetry.registry.unregister(self.inputs)
        if self._recorder is not None:
            self._recorder.close()

    def request_id(self, given: str | None = None) -> str:
        """The caller's request id where it is printable ASCII of at most 128 characters, otherwise a new one."""
        if given and _REQUEST_ID.fullmatch(given):
            return given
        return f"{self._prefix}{next(self._ids):08x}"

    async def read(self, step: Callable[[], T]) -> T:
        """A step of reading that would hold up the event loop, in the threads for that."""
        return await asyncio.get_running_loop().run_in_executor(self._readers, step)

    async def answer(self, name: str, version: str | None, call: Call, codec: Codec[Given, T], given: Given) -> T:
        """Answer one request; `codec` reads what was `given` and writes the answer.

        Raises `FivefoldError` only, and `asyncio.CancelledError`. Every way out is counted, timed and logged here.
        """
        model: Model | None = None
        inference: InferenceSteps[Given, T] | None = None
        code, error = vocabulary.HEALTHY, None
        span = self.telemetry.span(call.traceparent, call.started, request_id=call.request_id)
        call.traceparent = vocabulary.traceparent(span) if span else clean_traceparent(call.traceparent)
        try:
            model = self.models.find(name, version)
            self._set_deadline(call)
            inference = InferenceSteps(model, call, codec, given)
            return await self._schedulers[model].run(inference)
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
            self._finish(model, inference, call, code, error, span)

    def refuse(self, call: Call, error: FivefoldError, model: Model | None = None) -> FivefoldError:
        """Count and log a request that ended before it could reach `answer`; gives the error back."""
        span = self.telemetry.span(call.traceparent, call.started, request_id=call.request_id)
        call.traceparent = vocabulary.traceparent(span) if span else clean_traceparent(call.traceparent)
        self._finish(model, None, call, error.code, error, span)
        return error

    def _set_deadline(self, call: Call) -> None:
        seconds = self.settings.default_timeout
        if call.timeout is not None:
            seconds = min(seconds, timeout_seconds(call.timeout))
        latest = time.monotonic() + seconds - (time.perf_counter() - call.started)
        call.deadline = latest if call.deadline is None else min(call.deadline, latest)

    def _finish(
        self,
        model: Model | None,
        inference: InferenceSteps[Any, Any] | None,
        call: Call,
        code: str,
        error: FivefoldError | None,
        span: Span | None,
    ) -> None:
        if model is None:
            counters: Counters = self.telemetry.counters(call.transport)
            rows = 0
        else:
            counters = self.telemetry.counters(call.transport, model.name, model.version, model.bundle.digest)
            rows = inference.rows if inference else 0
            if rows:
                counters.rows["scored" if error is None and code == vocabulary.HEALTHY else _outcome(error)] += rows
            _count(model.statistics, inference, code, call.started)
            if self.inputs is not None and inference is not None:
                self.inputs.note(model, inference.columns if code == vocabulary.HEALTHY else None, error)
            if inference is not None and model.marks:
                unsupported = code == "contract_unsupported"
                self.telemetry.under(
                    model.name, model.version, "unsupported" if unsupported else inference.view.version
                )
        if inference is not None and inference.scored:
            counters.score_seconds.observe(inference.scored - inference.scoring)
        trace_id = call.traceparent[3:35] if call.traceparent else ""
        self.telemetry.finished(
            counters, code, started=call.started, request_id=call.request_id, rows=rows, trace_id=trace_id, error=error
        )
        if span is not None:
            self.telemetry.end_span(span, inference.stages() if inference else (), code)


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


def _described(model: Model) -> dict[str, str]:
    """What the metrics say of a model that is loaded."""
    return {
        "model": model.name,
        "version": model.version,
        "bundle": model.bundle.digest,
        "contract": model.metadata["contract"],
        "runtime": model.bundle.manifest.runtime,
        "device": model.scorer.device,
    }


def _outcome(error: FivefoldError | None) -> str:
    return "refused" if isinstance(error, ContractError) else "failed"


def _count(statistics: Statistics, inference: InferenceSteps[Any, Any] | None, code: str, started: float) -> None:
    now = time.perf_counter()
    spent = round((now - started) * 1e9)
    if code != vocabulary.HEALTHY or inference is None:
        statistics.failed += 1
        statistics.fail_ns += spent
        return
    statistics.succeeded += 1
    statistics.rows += inference.rows
    statistics.success_ns += spent
    statistics.check_ns += round((inference.checked - inference.checking) * 1e9)
    statistics.score_ns += round((inference.scored - inference.scoring) * 1e9)
    statistics.encode_ns += round((inference.encoded - inference.scored) * 1e9)
    if inference.queued:
        begun = inference.checking if inference.checking > inference.queued else inference.scoring
        statistics.queue_ns += round((begun - inference.queued) * 1e9)
    statistics.last = time.time_ns() // 1_000_000
