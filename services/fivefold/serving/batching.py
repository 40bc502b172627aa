"""Scores requests that wait at the same time together, where the model's own cost says that this is worth it.

Nothing ever waits for company: an idle model starts at once on what there is. While it works, requests gather, and the
next call takes as many of them as fit. So there is no window to choose and nothing is lost at low load. `Batcher` does
so for models that run in threads, `Gatherer` for those that run on the event loop. Whether a request may run at all,
and what its answer becomes, is left to `Dataplane`.
"""

from __future__ import annotations

import asyncio
import time
from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import TYPE_CHECKING, Any, Protocol

from fivefold.core.columns import Columns
from fivefold.core.errors import FivefoldError

if TYPE_CHECKING:
    from fivefold.core.runtime.scorer import Scorer

PAYS_ROWS = 8
"""The batch size by which a model is judged."""

PAYS_SHARE = 0.8
"""Scoring so many rows at once has to take at most this share of what it takes one after another."""

DEADLINE_SHARE = 0.5
"""How much of the time that a request has left a batch may be expected to take."""


class Waiting(Protocol):
    """One request's part of a batch."""

    columns: Columns

    @property
    def deadline(self) -> float | None:
        """When the request's time is up, on `time.monotonic` in seconds."""

    def begin(self) -> bool | None:
        """The model is about to start; whether it must be for this request alone. Raises the `FivefoldError` that keeps
        this request from it. Asked again where the model starts again."""

    def finish(self, columns: Columns) -> Any:
        """The answer from the model's columns; runs in the model's thread."""


def pays(scorer: Scorer) -> bool:
    """Whether the model's cost a row falls far enough with the number of rows, as measured when it was opened."""
    return scorer.seconds(PAYS_ROWS) <= PAYS_SHARE * PAYS_ROWS * scorer.seconds(1)


class Batcher:
    """The queue of one model. Everything but the model's own call happens on the event loop that calls `add`."""

    def __init__(self, scorer: Scorer, pool: ThreadPoolExecutor, *, at_once: int, longest: float) -> None:
        """`at_once` calls of the model run at a time, each expected to take at most `longest` seconds.

        A single request may take longer: it is never split.
        """
        self._scorer = scorer
        self._pool = pool
        self._at_once = at_once
        self._longest = longest
        self._running = 0
        self._queue: deque[tuple[Waiting, asyncio.Future[Any]]] = deque()

    def add(self, waiting: Waiting) -> tuple[asyncio.Future[Any], Callable[[], object]]:
        """Queue a request: the future of its answer, and what gives it up (without effect once the model runs).

        The future is cancelled where the pool has been shut down.
        """
        answer = asyncio.get_running_loop().create_future()
        entry = (waiting, answer)
        self._queue.append(entry)
        self._start()

        def give_up() -> None:
            if entry in self._queue:
                self._queue.remove(entry)
                answer.cancel()

        return answer, give_up

    def _start(self) -> None:
        while self._queue and self._running < self._at_once:
            batch = self._take()
            try:
                job = asyncio.wrap_future(
                    self._pool.submit(score_together, self._scorer, [waiting for waiting, _ in batch])
                )
            except RuntimeError:
                for _, answer in batch:
                    answer.cancel()
                continue
            self._running += 1
            job.add_done_callback(partial(self._done, batch))

    def _take(self) -> list[tuple[Waiting, asyncio.Future[Any]]]:
        """The oldest request and as many of the following as may share its call."""
        now = time.monotonic()
        batch: list[tuple[Waiting, asyncio.Future[Any]]] = []
        rows, most = 0, self._longest
        while self._queue:
            waiting = self._queue[0][0]
            together = rows + waiting.columns.rows
            if waiting.deadline is not None:
                most = min(most, DEADLINE_SHARE * (waiting.deadline - now))
            if batch and self._scorer.seconds(together) > most:
                break
            batch.append(self._queue.popleft())
            rows = together
        return batch

    def _done(self, batch: list[tuple[Waiting, asyncio.Future[Any]]], job: asyncio.Future[list[Any]]) -> None:
        self._running -= 1
        failed = None if job.cancelled() else job.exception()
        answers = [failed] * len(batch) if job.cancelled() or failed else job.result()
        for (_, answer), value in zip(batch, answers, strict=True):
            if answer.done():
                continue
            if job.cancelled():
                answer.cancel()
            elif isinstance(value, BaseException):
                answer.set_exception(value)
            else:
                answer.set_result(value)
        self._start()


class Gatherer:
    """Scores a quick model's requests on the event loop, those of one pass of the loop together.

    Every connection that is readable is read in one pass, one after another: under load that is many requests, and
    one call of the model for all of them costs little more than one for each. A request that is alone in its pass is
    scored at once, without `add`: `crowded` tells the two apart.
    """

    def __init__(self, scorer: Scorer, *, longest: float) -> None:
        """One call is expected to take at most `longest` seconds; a single request's own call may take longer."""
        self._scorer = scorer
        self._longest = longest
        self._queue: deque[tuple[Waiting, asyncio.Future[Any]]] = deque()
        self._seen = self._before = 0

    def crowded(self) -> bool:
        """Whether one more request has company: one came before it in this pass, or the last pass had several."""
        if not self._seen:
            asyncio.get_running_loop().call_soon(self._flush)
        self._seen += 1
        return self._seen > 1 or self._before > 1

    def add(self, waiting: Waiting) -> asyncio.Future[Any]:
        """Queue a request that is in a crowd for the end of this pass: the future of its answer."""
        answer = asyncio.get_running_loop().create_future()
        self._queue.append((waiting, answer))
        return answer

    def _flush(self) -> None:
        self._before, self._seen = self._seen, 0
        batch: list[tuple[Waiting, asyncio.Future[Any]]] = []
        rows = 0
        while self._queue:
            waiting, answer = self._queue[0]
            together = rows + waiting.columns.rows
            if batch and self._scorer.seconds(together) > self._longest:
                # What has arrived meanwhile, probes among it, comes before the rest.
                self._seen = 1
                asyncio.get_running_loop().call_soon(self._flush)
                break
            self._queue.popleft()
            if not answer.done():
                batch.append((waiting, answer))
                rows = together
        try:
            values = score_together(self._scorer, [waiting for waiting, _ in batch])
        except Exception as error:  # told to those who wait for it
            values = [error] * len(batch)
        for (_, answer), value in zip(batch, values, strict=True):
            if isinstance(value, BaseException):
                answer.set_exception(value)
            else:
                answer.set_result(value)


def score_together(scorer: Scorer, batch: Sequence[Waiting]) -> list[Any]:
    """An answer, or the error instead of one, for each of some requests, from one call of the model."""
    out: list[Any] = [None] * len(batch)
    ready = []
    for index, waiting in enumerate(batch):
        try:
            if waiting.begin() and len(batch) > 1:
                out[index] = _alone(scorer, waiting)
            else:
                ready.append(index)
        except FivefoldError as error:
            out[index] = error
    if not ready:
        return out
    parts = [batch[index].columns for index in ready]
    try:
        answers = scorer.score(Columns.concat(parts))
    except FivefoldError as error:
        if len(ready) == 1:
            out[ready[0]] = error
            return out
        # One of them is to blame; the others must not pay for it.
        for index in ready:
            out[index] = _alone(scorer, batch[index])
        return out
    if len(ready) == 1:
        out[ready[0]] = _finished(batch[ready[0]], answers)
        return out
    start = 0
    for index, part in zip(ready, parts, strict=True):
        out[index] = _finished(batch[index], answers.slice(start, start + part.rows))
        start += part.rows
    return out


def _alone(scorer: Scorer, waiting: Waiting) -> Any:
    try:
        # The others took their time.
        waiting.begin()
        columns = scorer.score(waiting.columns)
    except FivefoldError as error:
        return error
    return _finished(waiting, columns)


def _finished(waiting: Waiting, columns: Columns) -> Any:
    try:
        return waiting.finish(columns)
    except Exception as error:  # told to the one request that it belongs to
        return error
