"""What the hub has stored goes on to a log, each event exactly once and in the hub's order.

The log is asked how far it has come, because it has that in the same transactions as the events: whatever happened to
this process or to an answer, the next question tells. One process of all that share a store forwards; the others wait
for it to end. Which log it is, and how its transactions work, is left to whoever gives the `EventForwarder`.
"""

from __future__ import annotations

import contextlib
import logging
import random
import threading
import time
from collections.abc import Sequence
from typing import Final, Protocol

from fivefold.core.errors import FivefoldError, InternalError, RunFailed
from fivefold.edge.hub.database import HubDatabase
from fivefold.edge.hub.event_ledger import StoredEvent, events_after, head_position
from fivefold.edge.hub.pruning import forwarded_position, note_forwarded, pruned_position

TOGETHER: Final = 500
"""Events in one transaction of the log."""

LOOK_SECONDS: Final = 1.0
"""How often the store is looked at where nothing is heard of this process's own writing: another hub may have."""

NOTE_SECONDS: Final = 10.0
"""How often the store is told what the log has, for pruning."""

LONGEST_WAIT: Final = 30.0

_log = logging.getLogger(__name__)


class EventForwarder(Protocol):
    """A log, for one thread."""

    def position(self) -> int:
        """The hub's position of the last event that is in the log; 0 where none is. Raises `FivefoldError`."""
        ...

    def append(self, events: Sequence[StoredEvent], position: int) -> None:
        """Write events, and that `position` is reached, in one transaction; after an error nobody knows whether it
        counts, until `position` is asked. Raises `FivefoldError`.
        """
        ...

    def close(self) -> None:
        """Let go of the log."""
        ...


class ForwardLoop:
    """Forwards from its construction to `close`, in a thread of its own."""

    def __init__(self, database: HubDatabase, forwarder: EventForwarder, stored: threading.Event) -> None:
        """`stored` is set whenever this process has stored events."""
        self._database, self._forwarder, self._stored = database, forwarder, stored
        self._ending = threading.Event()
        self.position: int | None = None
        """How far the log is known to have come; None while it has not said so, or another process forwards."""
        self.forwarded = 0
        self.leading = False
        self.trouble: FivefoldError | None = None
        """What is wrong now."""
        self._note_at = 0.0
        self._thread = threading.Thread(target=self._run, name="fivefold-hub-forward", daemon=True)
        self._thread.start()

    def close(self) -> None:
        """End after the transaction that is under way, and let go of the log."""
        self._ending.set()
        self._stored.set()
        self._thread.join()

    def _run(self) -> None:
        try:
            self._forward()
            if self.position is not None:
                with contextlib.suppress(FivefoldError):
                    self._note(self.position)
        finally:
            # Here and not where it is asked for: a log is one thread's.
            self._forwarder.close()

    def _forward(self) -> None:
        failures = 0
        while not self._ending.is_set():
            try:
                waiting = self._step()
                failures, self.trouble = 0, None
            except Exception as err:
                if isinstance(err, FivefoldError):
                    error = err
                else:
                    _log.exception("events were not forwarded")
                    error = InternalError("internal", "events were not forwarded; the hub's log says why")
                if self.trouble is None or str(self.trouble) != str(error):
                    _log.error("events wait for the log: %s", error)
                self.trouble, self.position = error, None
                failures += 1
                self._ending.wait(random.uniform(0, min(LONGEST_WAIT, 0.5 * 2.0 ** min(failures, 10))))  # noqa: S311
                continue
            if waiting:
                self._stored.wait(LOOK_SECONDS)
                self._stored.clear()

    def _step(self) -> bool:
        """Forward some; whether there is nothing more for now."""
        self.leading = self._database.lead()
        if not self.leading:
            self.position = None
            return True
        if self.position is None:
            self.position = self._begin()
        with self._database.reading() as connection:
            events = events_after(connection, self.position, TOGETHER)
        if time.monotonic() >= self._note_at:
            self._note(self.position)
        if not events:
            return True
        last = events[-1].position
        self._forwarder.append(events, last)
        self.position = last
        self.forwarded += len(events)
        return len(events) < TOGETHER

    def _note(self, position: int) -> None:
        self._note_at = time.monotonic() + NOTE_SECONDS
        with self._database.reading() as connection:
            known = forwarded_position(connection)
        # Another log than the one before may have less.
        if position != known:
            with self._database.transaction() as connection:
                note_forwarded(connection, position)

    def _begin(self) -> int:
        """Where the log says that it is; raises `RunFailed` where that is further than this store has come, and where
        what comes next was pruned."""
        reached = self._forwarder.position()
        with self._database.reading() as connection:
            head, pruned = head_position(connection), pruned_position(connection)
        if reached < pruned:
            raise RunFailed(
                "run_conflict",
                f"the log has this hub's events up to {reached}, and those up to {pruned} were pruned here: it has "
                f"lost some, or it is another log",
                help="forward to the log that had them; nothing is forwarded past a hole",
            )
        self._note_at = 0.0
        if reached > head:
            raise RunFailed(
                "run_conflict",
                f"the log has this hub's events up to {reached}, and the hub's store ends at {head}: it is an older "
                f"copy of itself",
                help="start the hub with its latest store, or forward to another topic",
            )
        return reached
