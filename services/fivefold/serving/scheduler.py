"""Runs one model's requests: on the event loop where that is quick, in the model's own threads otherwise.

Every model has threads and limits of its own, so that one which is slow, or stuck, takes nothing from the others; large
bodies are read in threads that no model needs. What would wait too long is refused at once (`admission`); what waits at
the same time is scored together (`batching`). The steps themselves are `steps`'s; counting and logging is left to
`Dataplane`.
"""

from __future__ import annotations

import asyncio
import math
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any, TypeVar

from fivefold.core.errors import Interrupted, Unavailable
from fivefold.serving.admission import Admission
from fivefold.serving.batching import Batcher, Gatherer, pays
from fivefold.serving.messages import Lengthy, expired
from fivefold.serving.steps import InferenceSteps

if TYPE_CHECKING:
    from fivefold.serving.limits import ServingLimits
    from fivefold.serving.repository import Model
    from fivefold.serving.suspects import Suspects

T = TypeVar("T")
U = TypeVar("U")

Begun = tuple["asyncio.Future[U]", Callable[[], object]]
"""A step in a thread: the future of its result, and what gives it up before it has begun."""


class Scheduler:
    """What runs one model. One event loop drives it."""

    def __init__(
        self,
        model: Model,
        settings: ServingLimits,
        readers: ThreadPoolExecutor,
        suspects: Suspects | None = None,
    ) -> None:
        """`readers` are for bodies that are too large for the event loop; they and `suspects`, where requests to a
        bundle's own code are noted, belong to who gives them."""
        self._scorer = model.scorer
        self._readers = readers
        self._suspects = suspects if model.scorer.serial else None
        self._settings = settings
        # Where the model takes one call at a time, what waits for it waits in the queue: there it can be given up, and
        # a call that nobody waits for any more is never made.
        threads = 1 if model.scorer.serial else settings.threads
        self._pool = ThreadPoolExecutor(threads, "fivefold-score")
        self._batcher: Batcher | None = None
        self._gatherer: Gatherer | None = None
        if settings.batching and pays(model.scorer):
            self._batcher = Batcher(model.scorer, self._pool, at_once=threads, longest=settings.batch_seconds)
            self._gatherer = Gatherer(model.scorer, longest=settings.inline_seconds)
        self._admission = Admission(settings.max_wait, settings.burst_seconds, at_once=threads)
        self.inflight = 0
        """Requests in work."""

    def close(self) -> None:
        """Let the threads finish what they have begun, drop the rest, and close the scorer."""
        self._pool.shutdown(wait=True, cancel_futures=True)
        self._scorer.close()

    async def run(self, inference: InferenceSteps[Any, T]) -> T:
        """Take a request through all its steps; raises `Unavailable` where too many are in work already."""
        if self.inflight >= self._settings.max_inflight:
            raise self._overloaded(f"{self.inflight} requests are in work already")
        self.inflight += 1
        try:
            return await self._run(inference)
        finally:
            self.inflight -= 1

    async def _run(self, inference: InferenceSteps[Any, T]) -> T:
        settings = self._settings
        if inference.call.size > settings.inline_bytes:
            await self._check_elsewhere(inference)
        else:
            try:
                inference.check()
            except Lengthy:
                await self._check_elsewhere(inference)
        seconds = self._scorer.seconds(inference.rows)
        if seconds > settings.inline_seconds or not self._scorer.foreseeable:
            return await self._away(inference, seconds)
        if self._gatherer is not None and self._gatherer.crowded():
            answer: T = await self._gatherer.add(inference)
            return answer
        return inference.score()

    async def _check_elsewhere(self, inference: InferenceSteps[Any, T]) -> None:
        inference.call.patience = math.inf
        await self._elsewhere(inference, lambda: self._thread(self._readers, inference.check))

    async def _away(self, inference: InferenceSteps[Any, T], seconds: float) -> T:
        """Score in a thread of the model's; raises `Unavailable` where that would take too long to begin."""
        if not self._admission.admits(seconds):
            raise self._overloaded(f"a request waits {self._admission.wait:.2g} s for the model at present")
        inference.queued = time.perf_counter()
        inference.suspects = self._suspects

        def begin() -> Begun[T]:
            if self._batcher is not None:
                job, give_up = self._batcher.add(inference)
            else:
                job, give_up = self._thread(self._pool, inference.score)
            self._admission.begin(seconds)

            def ended(ended: asyncio.Future[T]) -> None:
                self._admission.end(seconds, counts=not ended.cancelled())
                inference.leave()

            job.add_done_callback(ended)
            return job, give_up

        return await self._elsewhere(inference, begin)

    async def _elsewhere(self, inference: InferenceSteps[Any, Any], begin: Callable[[], Begun[U]]) -> U:
        """Begin a step that runs in a thread, and wait for it until the time is up or the caller has gone."""
        call = inference.call
        gone = asyncio.ensure_future(call.gone()) if call.gone else None
        try:
            job, give_up = begin()
            try:
                return await self._wait(inference, job, gone)
            finally:
                if not job.done():
                    # A thread that has begun cannot be stopped: until it ends, its work still counts against the limit.
                    self.inflight += 1
                    job.add_done_callback(self._abandoned)
                    inference.abandoned = True
                    give_up()
        finally:
            if gone is not None:
                gone.cancel()

    async def _wait(
        self, inference: InferenceSteps[Any, Any], job: asyncio.Future[U], gone: asyncio.Future[None] | None
    ) -> U:
        deadline = inference.call.deadline
        left = None if deadline is None else deadline - time.monotonic()
        waiting: set[asyncio.Future[Any]] = {job} if gone is None else {job, gone}
        await asyncio.wait(waiting, timeout=left, return_when=asyncio.FIRST_COMPLETED)
        if job.cancelled():
            raise self._stopping()
        if job.done():
            return job.result()
        if gone is not None and gone.done():
            raise Interrupted("cancelled", "the caller has hung up")
        raise expired()

    def _thread(self, pool: ThreadPoolExecutor, step: Callable[[], U]) -> Begun[U]:
        try:
            thread = pool.submit(step)
        except RuntimeError:
            raise self._stopping() from None
        return asyncio.wrap_future(thread), thread.cancel

    def _abandoned(self, job: asyncio.Future[Any]) -> None:
        self.inflight -= 1
        if not job.cancelled():
            job.exception()

    def _stopping(self) -> Unavailable:
        return Unavailable("not_ready", "the server is stopping", retry_after=self._settings.retry_after)

    def _overloaded(self, why: str) -> Unavailable:
        return Unavailable("overloaded", why, retry_after=self._settings.retry_after)
