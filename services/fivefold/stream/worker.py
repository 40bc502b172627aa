"""The loop of a stream: poll, score, commit, until it is told to stop.

Everything that can go wrong with a log is the log's (`fivefold.stream.log`), everything that can be wrong with an event
`scoring`'s: here is their order, and the waiting for a schema registry that does not answer. An event is done when its
result or its dead letter is committed, with the fact that it is done; a worker that dies in between leaves nothing.
"""

from __future__ import annotations

import itertools
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field

from fivefold.core.errors import AccessError, Unavailable
from fivefold.stream.batch_size import BatchSize
from fivefold.stream.dead_ratio import DeadRatio
from fivefold.stream.events import Event
from fivefold.stream.log import EventLog, Rewound
from fivefold.stream.scoring import EventScorer, Scored
from fivefold.stream.settings import StreamSettings

POLL_SECONDS = 0.25
"""How long a poll waits for the first event: as long as a stop may go unheard."""

PAUSE_SECONDS = (0.05, 2.0)
"""How long a worker waits after its first rewind in a row, and at most; the same where it waits for a registry."""

PATIENCE_SECONDS = 30.0
"""How long events are held whose schemas nobody tells, before the worker ends: less than a group waits for it."""


@dataclass(slots=True)
class Counts:
    """What a worker has done; the times in seconds."""

    events: int = 0
    results: int = 0
    codes: Counter[str] = field(default_factory=Counter)
    """Dead letters by code."""

    versions: Counter[str] = field(default_factory=Counter)
    """Events by contract version, where the bundle answers several."""

    batches: int = 0
    rewinds: int = 0
    waits: int = 0
    """Times that a batch had to wait for the schema registry."""

    score_seconds: float = 0.0
    commit_seconds: float = 0.0
    oldest: float = 0.0
    """The age of the oldest event of the last batch when it was committed; 0 where events carry no time."""

    @property
    def dead(self) -> int:
        """Dead letters, of all codes."""
        return self.codes.total()


class StreamWorker:
    """One member of a group, in one thread."""

    def __init__(
        self,
        log: EventLog,
        scorer: EventScorer,
        settings: StreamSettings,
        *,
        stopped: Callable[[float], bool],
        seen: Callable[[Counts], None] = lambda _: None,
        rewound: Callable[[str], None] = lambda _: None,
        waiting: Callable[[str], None] = lambda _: None,
        patience: float = PATIENCE_SECONDS,
    ) -> None:
        """`stopped(seconds)` waits at most so long and says whether to end; `seen` hears of every batch and of every
        poll that gave none, `rewound` why a batch is read again, `waiting` why one waits, at most for `patience`."""
        self._log, self._scorer, self._settings = log, scorer, settings
        self._stopped, self._seen, self._said = stopped, seen, rewound
        self._waiting, self._patience = waiting, patience
        self._size = BatchSize(settings.max_batch, scorer.seconds)
        self._ratio = DeadRatio(settings.max_bad_fraction, settings.bad_window)
        self._rewound = 0
        self.counts = Counts()
        self.steps = 0
        """Polls that are done with, whatever they gave."""
        self._stepped = time.monotonic()

    def run(self, *, once: bool = False) -> Counts:
        """Work until it is told to stop, or, with `once`, until everything is done that was there at the start.

        Raises `RunFailed` where too many events become dead letters or the log fails, and `Unavailable` or
        `AccessError` where the schema registry does not answer for long; those events are not done.
        """
        while not self._stopped(0):
            some = self._step()
            self.steps += 1
            self._stepped = time.monotonic()
            if not some:
                self._seen(self.counts)
                if once and self._log.finished():
                    break
        return self.counts

    def idle_seconds(self) -> float:
        """How long ago the last poll was done with; asked by other threads."""
        return time.monotonic() - self._stepped

    def _step(self) -> bool:
        """One batch; whether there was one."""
        try:
            events = self._poll()
            if not events:
                return False
            self._work(events)
            self._rewound = 0
            return True
        except Rewound as rewound:
            self.counts.rewinds += 1
            self._said(rewound.reason)
            first, most = PAUSE_SECONDS
            pause = min(first * 2**self._rewound, most)
            self._rewound = min(self._rewound + 1, 16)
            self._stopped(pause)
            return True

    def _poll(self) -> list[Event]:
        asked = self._size.now
        events = self._log.poll(asked, POLL_SECONDS)
        until = time.monotonic() + self._settings.linger
        while events and len(events) < asked and (left := until - time.monotonic()) > 0:
            more = self._log.poll(asked - len(events), left)
            if not more:
                break
            events += more
        self._size.polled(len(events))
        return events

    def _work(self, events: list[Event]) -> None:
        begun = time.perf_counter()
        scored = self._scored(events)
        if scored is None:
            return
        between = time.perf_counter()
        self._size.took(len(events), between - begun)
        self._log.commit(scored.outgoing)
        counts = self.counts
        counts.score_seconds += between - begun
        counts.commit_seconds += time.perf_counter() - between
        counts.batches += 1
        counts.events += len(events)
        counts.results += len(events) - scored.codes.total()
        counts.codes += scored.codes
        counts.versions += scored.versions
        stamps = [event.timestamp for event in events if event.timestamp > 0]
        counts.oldest = max(time.time() - min(stamps) / 1000, 0.0) if stamps else 0.0
        self._seen(counts)
        self._ratio.committed(len(events), scored.codes)

    def _scored(self, events: list[Event]) -> Scored | None:
        """What becomes of events; None where the worker is told to stop before it is known."""
        first, most = PAUSE_SECONDS
        until = time.monotonic() + self._patience
        for tries in itertools.count():
            try:
                return self._scorer.score(events)
            except (Unavailable, AccessError) as error:
                if time.monotonic() >= until:
                    raise
                if not tries:
                    self.counts.waits += 1
                    self._waiting(str(error))
            if self._stopped(min(first * 2 ** min(tries, 16), most)):
                return None
        raise AssertionError
