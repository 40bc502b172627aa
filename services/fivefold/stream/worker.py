"""The loop of a stream: poll, score, commit, until it is told to stop.

Everything that can go wrong with a log is the log's (`fivefold.stream.log`), everything that can be wrong with an event
`scoring`'s: here is only their order. An event is done when its result or its dead letter is committed, with the fact
that it is done; a worker that dies in between leaves nothing.
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field

from fivefold.stream.batch_size import BatchSize
from fivefold.stream.dead_ratio import DeadRatio
from fivefold.stream.events import Event
from fivefold.stream.log import EventLog, Rewound
from fivefold.stream.scoring import EventScorer
from fivefold.stream.settings import StreamSettings

POLL_SECONDS = 0.25
"""How long a poll waits for the first event: as long as a stop may go unheard."""

PAUSE_SECONDS = (0.05, 2.0)
"""How long a worker waits after its first rewind in a row, and at most."""


@dataclass(slots=True)
class Counts:
    """What a worker has done; the times in seconds."""

    events: int = 0
    results: int = 0
    codes: Counter[str] = field(default_factory=Counter)
    """Dead letters by code."""

    batches: int = 0
    rewinds: int = 0
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
    ) -> None:
        """`stopped(seconds)` waits at most so long and says whether to end; `seen` hears of every batch and of every
        poll that gave none, `rewound` why a batch is read again."""
        self._log, self._scorer, self._settings = log, scorer, settings
        self._stopped, self._seen, self._said = stopped, seen, rewound
        self._size = BatchSize(settings.max_batch)
        self._ratio = DeadRatio(settings.max_bad_fraction, settings.bad_window)
        self._rewound = 0
        self.counts = Counts()
        self.steps = 0
        """Polls that are done with, whatever they gave."""
        self._stepped = time.monotonic()

    def run(self, *, once: bool = False) -> Counts:
        """Work until it is told to stop, or, with `once`, until everything is done that was there at the start.

        Raises `RunFailed` where too many events become dead letters or the log fails.
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
        scored = self._scorer.score(events)
        between = time.perf_counter()
        self._log.commit(scored.outgoing)
        counts = self.counts
        counts.score_seconds += between - begun
        counts.commit_seconds += time.perf_counter() - between
        counts.batches += 1
        counts.events += len(events)
        counts.results += len(events) - scored.codes.total()
        counts.codes += scored.codes
        stamps = [event.timestamp for event in events if event.timestamp > 0]
        counts.oldest = max(time.time() - min(stamps) / 1000, 0.0) if stamps else 0.0
        self._seen(counts)
        self._ratio.committed(len(events), scored.codes)
