"""The log of one machine: a group's member on a topic in a `SqliteStore`.

Members share the partitions: each is owned by one of them, under an epoch that rises whenever the owner changes. A
commit counts only where this member still owns the partitions under the epochs that it polled with, which is looked at
in the very transaction that writes the results. So a member that was taken for dead, because it was paused or its disk
hung, cannot write when it wakes up; clocks decide only when somebody is taken for dead, never what counts.
"""

from __future__ import annotations

import contextlib
import os
import socket
import sqlite3
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from fivefold.core.errors import FivefoldError, NotFound, RunFailed
from fivefold.stream.events import Event, Outgoing, Place
from fivefold.stream.log import Rewound
from fivefold.stream.sqlite_store import SELECT_BYTES, SqliteStore, storage_failed

SESSION_SECONDS = 10.0
"""A member that was not heard of for so long is taken for dead. Kafka's default is 45 s, for machines apart."""

LOOK_SECONDS = 1.0
"""How often a member looks who else is there."""

WAIT_SECONDS = 0.005
"""Between two looks for events that have come: a look is a read of one number from memory that SQLite shares."""


class SqliteLog:
    """See `fivefold.stream.log.EventLog`."""

    def __init__(
        self,
        directory: str | Path,
        topic: str,
        group: str,
        *,
        to: Sequence[str] = (),
        start: str = "earliest",
        same_partition: bool = True,
        session: float = SESSION_SECONDS,
    ) -> None:
        """Join `group` on `topic`. `to` are the topics that are written, made where there are none; `start` says where
        a new group begins: `earliest` or `latest`.

        Raises `NotFound` for a topic that is not there, `RunFailed(run_conflict)` for one of `to` that has too few
        partitions, and what `SqliteStore` raises.
        """
        self._store = SqliteStore(directory, create=False)
        try:
            found = self._store.find(topic)
            if found is None:
                raise NotFound(
                    "not_found", f"no topic {topic!r} in {directory}", help=f"fivefold log append {topic} --data DIR"
                )
            with self._ours():
                self._goal = self._store.ends(found)
            self._targets = {name: self._target(name, topic, same_partition) for name in to}
        except BaseException:
            self._store.close()
            raise
        self._topic, self._name, self._group, self._session = found, topic, group, session
        self._start = start
        self._member = f"{socket.gethostname()}:{os.getpid()}:{os.urandom(4).hex()}"
        self._owned: dict[int, int] = {}
        """The epoch of each partition that is ours."""
        self._next: dict[int, int] = {}
        """Where poll goes on, in each of them."""
        self._polled: dict[int, int] = {}
        """Where it began, in each that has events polled and not committed."""
        self._looked = 0.0
        self._turn = 0
        self._ending = threading.Event()
        self._beat = threading.Thread(target=self._live, name="fivefold-heartbeat", daemon=True)
        self._beat.start()

    def poll(self, most: int, seconds: float) -> list[Event]:
        """See `EventLog.poll`."""
        until = time.monotonic() + seconds
        with self._ours():
            while True:
                now = time.monotonic()
                if not self._polled and (now - self._looked >= LOOK_SECONDS or not self._owned):
                    try:
                        self._share()
                    except sqlite3.Error as err:
                        if not _is_busy(err):
                            raise
                        # Somebody stands still in the middle of a write: that is no fault of the log.
                        self._forget()
                        raise Rewound(f"the log is busy: {err}") from err
                    self._looked = now
                events = self._some(most)
                if events or time.monotonic() >= until:
                    return events
                self._ending.wait(min(WAIT_SECONDS if self._owned else 0.1, max(until - time.monotonic(), 0)))

    def _some(self, most: int) -> list[Event]:
        """Events of the owned partitions, a fair part of each; which one is the first changes."""
        events: list[Event] = []
        owned = sorted(self._owned)
        if not owned:
            return events
        room = SELECT_BYTES
        self._turn = (self._turn + 1) % len(owned)
        owned = owned[self._turn :] + owned[: self._turn]
        for left, partition in zip(range(len(owned), 0, -1), owned, strict=True):
            share = -(-(most - len(events)) // left)
            found = self._store.select(self._topic, self._name, partition, self._next[partition], share, room)
            if found:
                room -= sum(len(each.value or b"") for each in found)
                self._polled.setdefault(partition, self._next[partition])
                self._next[partition] = found[-1].offset + 1
                events += found
            if room <= 0:
                break
        return events

    def _share(self) -> None:
        """Take what is ours, give back what is somebody else's, and forget who is dead. Nothing is polled then."""
        db, where = self._store.db, (self._group, self._topic)
        with self._store.transaction():
            now = time.time()
            db.execute("INSERT OR REPLACE INTO members VALUES (?, ?, ?, ?)", (*where, self._member, now))
            db.execute(
                "DELETE FROM members WHERE reader = ? AND topic = ? AND seen NOT BETWEEN ? AND ?",
                (*where, now - self._session, now + self._session),
            )
            members = [
                member
                for (member,) in db.execute(
                    "SELECT member FROM members WHERE reader = ? AND topic = ? ORDER BY member", where
                )
            ]
            ends = self._store.ends(self._topic)
            begins = [0] * len(ends) if self._start == "earliest" else ends
            db.executemany(
                "INSERT OR IGNORE INTO positions VALUES (?, ?, ?, ?, NULL, 0)",
                [(*where, partition, begin) for partition, begin in enumerate(begins)],
            )
            rows = db.execute(
                "SELECT partition, next, owner, epoch FROM positions WHERE reader = ? AND topic = ?", where
            ).fetchall()
            owned: dict[int, tuple[int, int]] = {}
            for partition, position, owner, epoch in rows:
                wanted = members[partition % len(members)] == self._member
                if owner == self._member and wanted:
                    owned[partition] = epoch, position
                elif owner == self._member or (wanted and owner not in members):
                    # Given back, or taken: either way nobody's old epoch counts any more.
                    db.execute(
                        "UPDATE positions SET owner = ?, epoch = ? WHERE reader = ? AND topic = ? AND partition = ?",
                        (self._member if wanted else None, epoch + 1, *where, partition),
                    )
                    if wanted:
                        owned[partition] = epoch + 1, position
        self._owned = {partition: epoch for partition, (epoch, _) in owned.items()}
        self._next = {partition: position for partition, (_, position) in owned.items()}

    def commit(self, outgoing: Sequence[Outgoing]) -> None:
        """See `EventLog.commit`."""
        try:
            with self._store.transaction():
                for partition, begun in self._polled.items():
                    changed = self._store.db.execute(
                        "UPDATE positions SET next = ? WHERE reader = ? AND topic = ? AND partition = ? "
                        "AND owner = ? AND epoch = ? AND next = ?",
                        (
                            self._next[partition],
                            self._group,
                            self._topic,
                            partition,
                            self._member,
                            self._owned[partition],
                            begun,
                        ),
                    ).rowcount
                    if changed != 1:
                        raise Rewound(f"partition {partition} is another member's now")
                for name, topic in self._targets.items():
                    self._store.insert(topic, [each for each in outgoing if each.topic == name])
        except Rewound:
            self._forget()
            raise
        except sqlite3.Error as err:
            self._forget()
            if _is_busy(err):
                raise Rewound(f"the log is busy: {err}") from err
            raise storage_failed(err, self._store.path) from err
        self._polled.clear()

    def _target(self, name: str, source: str, same_partition: bool) -> int:
        """The id of a topic that is written, with at least as many partitions as the one that is read."""
        found = self._store.make(name, len(self._goal))
        with self._ours():
            size = len(self._store.ends(found))
        if same_partition and size < len(self._goal):
            raise RunFailed(
                "run_conflict",
                f"the topic {name!r} has {size} partitions, and {source!r} has {len(self._goal)}",
                help="give it as many, or let the key choose (FIVEFOLD_SAME_PARTITION=false)",
            )
        return found

    def _forget(self) -> None:
        """Nothing is polled, and what is owned is to be looked up before anything else."""
        self._polled.clear()
        self._owned.clear()
        self._next.clear()

    def lag(self) -> Mapping[Place, int]:
        """See `EventLog.lag`."""
        with self._ours():
            ends = self._store.ends(self._topic)
            return {
                Place(self._name, partition): ends[partition] - self._polled.get(partition, position)
                for partition, position in self._next.items()
            }

    def finished(self) -> bool:
        """See `EventLog.finished`."""
        with self._ours():
            positions = dict(
                self._store.db.execute(
                    "SELECT partition, next FROM positions WHERE reader = ? AND topic = ?", (self._group, self._topic)
                )
            )
        return all(positions.get(partition, 0) >= end for partition, end in enumerate(self._goal))

    def close(self) -> None:
        """See `EventLog.close`."""
        self._ending.set()
        self._beat.join()
        with contextlib.suppress(sqlite3.Error), self._store.transaction():
            where = (self._group, self._topic, self._member)
            self._store.db.execute(
                "UPDATE positions SET owner = NULL, epoch = epoch + 1 WHERE reader = ? AND topic = ? AND owner = ?",
                where,
            )
            self._store.db.execute("DELETE FROM members WHERE reader = ? AND topic = ? AND member = ?", where)
        self._store.close()

    def _live(self) -> None:
        """Say that this member lives, as long as its process does; scoring may take longer than a session."""
        store: SqliteStore | None = None
        while not self._ending.wait(self._session / 4):
            with contextlib.suppress(sqlite3.Error, FivefoldError):
                store = store or SqliteStore(self._store.path.parent, create=False)
                # Not where it is gone: who was taken for dead joins again when it polls.
                store.db.execute(
                    "UPDATE members SET seen = ? WHERE reader = ? AND topic = ? AND member = ?",
                    (time.time(), self._group, self._topic, self._member),
                )
        if store is not None:
            store.close()

    @contextlib.contextmanager
    def _ours(self) -> Iterator[None]:
        """SQLite's errors as ours."""
        try:
            yield
        except sqlite3.Error as err:
            raise storage_failed(err, self._store.path) from err


def _is_busy(err: sqlite3.Error) -> bool:
    """Whether somebody else has held the file for longer than one waits for it."""
    return getattr(err, "sqlite_errorcode", None) in (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED)
