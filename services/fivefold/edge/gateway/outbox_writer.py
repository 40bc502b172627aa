"""The way from the event loop into the outbox: what waits at the same time is on the disk with one synchronisation.

A thread takes what has come, lane by lane, and appends it; no request waits for company. What an event says is left to
`answer_events`, what the disk refuses to the outbox.
"""

from __future__ import annotations

import asyncio
import queue
import threading
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from fivefold.core.errors import FivefoldError, Unavailable

if TYPE_CHECKING:
    from fivefold.edge.outbox import Outbox

IdentifiedEvent = tuple[str, bytes]
"""An event's id and its body."""

MOST_EVENTS: Final = 512
"""Events that are written at once, but for one request that has more."""


@dataclass(slots=True, eq=False)
class _Job:
    lane: str
    events: Sequence[IdentifiedEvent]
    key: bytes
    loop: asyncio.AbstractEventLoop
    future: asyncio.Future[list[int]]
    numbers: list[int] | None = None
    error: Exception | None = None


class OutboxWriter:
    """Appends for the requests of event loops. The outbox belongs to who gives it."""

    def __init__(self, outbox: Outbox) -> None:
        self.outbox = outbox
        self._jobs: queue.SimpleQueue[_Job | None] = queue.SimpleQueue()
        self._closed = False
        self._thread = threading.Thread(target=self._run, name="fivefold-outbox", daemon=True)
        self._thread.start()

    async def append(self, lane: str, events: Sequence[IdentifiedEvent], key: bytes = b"") -> list[int]:
        """Store events, all or none; their numbers, once they are on the disk. A `key` that was stored before gives the
        numbers of then (`fivefold.edge.outbox.append_keys`). Raises as `Outbox.append` does, and `Unavailable` after
        `close`."""
        if not events:
            return []
        if self._closed:
            raise Unavailable("not_ready", "the gateway is stopping", retry_after=1)
        loop = asyncio.get_running_loop()
        job = _Job(lane, events, key, loop, loop.create_future())
        self._jobs.put(job)
        return await job.future

    def close(self) -> None:
        """Store what waits, and end."""
        self._closed = True
        self._jobs.put(None)
        self._thread.join()

    def _run(self) -> None:
        while (job := self._jobs.get()) is not None:
            group, events, last = [job], len(job.events), False
            while events < MOST_EVENTS and not last:
                try:
                    more = self._jobs.get_nowait()
                except queue.Empty:
                    break
                if more is None:
                    last = True
                else:
                    group.append(more)
                    events += len(more.events)
            self._store(group)
            if last:
                return

    def _store(self, group: list[_Job]) -> None:
        for lane in dict.fromkeys(job.lane for job in group):
            left = [job for job in group if job.lane == lane]
            while left:
                # The second of a key comes after the first one, and gets its numbers.
                together, later, keys = list[_Job](), list[_Job](), set[bytes]()
                for job in left:
                    (later if job.key and job.key in keys else together).append(job)
                    keys.add(job.key)
                self._store_lane(lane, together)
                left = later
        for loop in dict.fromkeys(job.loop for job in group):
            done = [job for job in group if job.loop is loop]
            # A loop that has ended has nobody left who waits.
            if not loop.is_closed():
                loop.call_soon_threadsafe(_tell, done)

    def _store_lane(self, lane: str, jobs: list[_Job]) -> None:
        try:
            parts = [(job.key, len(job.events)) for job in jobs] if any(job.key for job in jobs) else []
            numbers = self.outbox.append(lane, [event for job in jobs for event in job.events], parts)
        except FivefoldError as error:
            if len(jobs) == 1:
                jobs[0].error = error
                return
            # What of them has room is stored; one that is too large is its own caller's matter.
            for job in jobs:
                self._store_lane(lane, [job])
        except Exception as error:
            for job in jobs:
                job.error = error
        else:
            at = 0
            for job in jobs:
                job.numbers = numbers[at : at + len(job.events)]
                at += len(job.events)


def _tell(jobs: list[_Job]) -> None:
    for job in jobs:
        if job.future.done():
            continue
        if job.error is not None:
            job.future.set_exception(job.error)
        else:
            assert job.numbers is not None
            job.future.set_result(job.numbers)
