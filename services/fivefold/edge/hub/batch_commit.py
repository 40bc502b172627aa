"""Batches of many devices in one transaction: what waits while one transaction ends goes into the next.

A synchronisation to the disk takes as long for one batch as for fifty, so this is what a thousand devices at once need.
Who waits holds memory, so no more than `most` batches wait; one more is `overloaded`. A transaction that fails is
nobody's: all of its batches are answered the error, and devices send them again.
"""

from __future__ import annotations

import logging
import queue
import threading
import time
from concurrent.futures import Future
from typing import Final

from fivefold.core.errors import FivefoldError, InternalError, Unavailable
from fivefold.edge.hub.database import HubDatabase
from fivefold.edge.hub.event_ledger import Applied, DeviceBatch, apply_batches

WAITING: Final = 256
TOGETHER: Final = 64
"""Batches in one transaction."""

RETRY_SECONDS: Final = 1.0

_log = logging.getLogger(__name__)


class BatchCommit:
    """The one writer of events of this process, from its construction to `close`."""

    def __init__(self, database: HubDatabase, *, most: int = WAITING) -> None:
        self._database = database
        self._waiting: queue.Queue[tuple[DeviceBatch, Future[Applied]] | None] = queue.Queue(most)
        self.transactions = self.failures = self.stored = self.known = self.rejected = 0
        self.stored_event = threading.Event()
        """Set whenever events were stored; whoever forwards them clears it."""
        self._closing = False
        self._thread = threading.Thread(target=self._run, name="fivefold-hub-commit", daemon=True)
        self._thread.start()

    def submit(self, batch: DeviceBatch) -> Future[Applied]:
        """What will have become of a batch; raises `Unavailable` `overloaded` where too many wait already."""
        done: Future[Applied] = Future()
        try:
            if self._closing:
                raise Unavailable("not_ready", "the hub is closing", retry_after=RETRY_SECONDS)
            self._waiting.put_nowait((batch, done))
        except queue.Full:
            raise Unavailable(
                "overloaded",
                f"{self._waiting.maxsize} batches wait for the hub's store already",
                help="the same batch may be sent again at any time",
                retry_after=RETRY_SECONDS,
            ) from None
        return done

    @property
    def waiting(self) -> int:
        """Batches that wait."""
        return self._waiting.qsize()

    def close(self) -> None:
        """Take no more, and end when what waits is done."""
        self._closing = True
        self._waiting.put(None)
        self._thread.join()

    def _run(self) -> None:
        while True:
            first = self._waiting.get()
            if first is None:
                return
            together = [first]
            ended = False
            while len(together) < TOGETHER:
                try:
                    another = self._waiting.get_nowait()
                except queue.Empty:
                    break
                if another is None:
                    ended = True
                    break
                together.append(another)
            # Who has given up waiting is not answered, and sends its batch again; from here on nobody can give up.
            if wanted := [each for each in together if each[1].set_running_or_notify_cancel()]:
                self._commit(wanted)
            if ended:
                return

    def _commit(self, together: list[tuple[DeviceBatch, Future[Applied]]]) -> None:
        try:
            with self._database.transaction() as connection:
                out = apply_batches(connection, [batch for batch, _ in together], time.time_ns() // 1_000_000)
        except FivefoldError as err:
            self.failures += 1
            _log.error("batches of %d devices were not stored: %s", len(together), err)
            for _, done in together:
                done.set_exception(err)
        except Exception as err:
            if len(together) > 1:
                # Whatever one of them holds is not to be the others' trouble.
                for each in together:
                    self._commit([each])
                return
            self.failures += 1
            _log.exception("a batch of %s was not stored", together[0][0].device)
            defect = InternalError("internal", "the hub could not store this batch; its log says why")
            defect.__cause__ = err
            together[0][1].set_exception(defect)
        else:
            self.transactions += 1
            for applied in out:
                self.stored += applied.stored
                self.known += applied.known
                self.rejected += len(applied.rejected)
            if any(applied.stored for applied in out):
                self.stored_event.set()
            for (_, done), applied in zip(together, out, strict=True):
                done.set_result(applied)
