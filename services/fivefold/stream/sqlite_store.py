"""Topics in a directory: one SQLite file, to which any number of processes of this machine append and from which they
read.

Every change is one transaction that is on the disk before it is answered (write-ahead log, full synchronisation), so
what a power cut leaves is a whole number of transactions. Who reads for whom, and how far, is `sqlite_log`'s. The file
must lie on a disk of this machine: SQLite's write-ahead log does not work over a network file system
(https://www.sqlite.org/wal.html).
"""

from __future__ import annotations

import contextlib
import sqlite3
import time
import zlib
from collections.abc import Iterable, Iterator, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path

import msgspec

from fivefold.core.errors import BundleInvalid, NotFound, RunFailed
from fivefold.stores.sqlite_transaction import write_transaction
from fivefold.stream.addresses import is_topic
from fivefold.stream.events import Event, Headers, Outgoing

FILE = "log.sqlite"
PARTITIONS = 8
"""How many partitions a topic gets that is made on its way: as many workers can share it."""

BUSY_SECONDS = 60.0
APPEND_ROWS = 10_000
"""Events that are appended in one transaction."""

SELECT_BYTES = 32 << 20
"""Of events that are read at once, however many were asked for: keys, values and headers."""

_APPLICATION = 0x46464C47  # "FFLG": SQLite's header says whose file this is
_VERSION = 1

_SCHEMA = """
CREATE TABLE topics (id INTEGER PRIMARY KEY, name TEXT NOT NULL UNIQUE, partitions INTEGER NOT NULL) STRICT;
CREATE TABLE ends (
    topic INTEGER NOT NULL REFERENCES topics, partition INTEGER NOT NULL, next INTEGER NOT NULL,
    PRIMARY KEY (topic, partition)
) STRICT, WITHOUT ROWID;
CREATE TABLE events (
    topic INTEGER NOT NULL, partition INTEGER NOT NULL, offset INTEGER NOT NULL, timestamp INTEGER NOT NULL,
    key BLOB, value BLOB, headers BLOB,
    PRIMARY KEY (topic, partition, offset)
) STRICT, WITHOUT ROWID;
CREATE TABLE positions (
    reader TEXT NOT NULL, topic INTEGER NOT NULL, partition INTEGER NOT NULL, next INTEGER NOT NULL,
    owner TEXT, epoch INTEGER NOT NULL,
    PRIMARY KEY (reader, topic, partition)
) STRICT, WITHOUT ROWID;
CREATE TABLE members (
    reader TEXT NOT NULL, topic INTEGER NOT NULL, member TEXT NOT NULL, seen REAL NOT NULL,
    PRIMARY KEY (reader, topic, member)
) STRICT, WITHOUT ROWID;
"""

_headers = msgspec.msgpack.Decoder(list[tuple[str, bytes | None]])


@dataclass(frozen=True, slots=True)
class TopicInfo:
    """A topic: its partitions, and the offset that the next event of each gets."""

    name: str
    ends: tuple[int, ...]
    groups: dict[str, tuple[int, ...]]
    """How far each group has come, in each partition."""

    @property
    def events(self) -> int:
        """Events in all partitions."""
        return sum(self.ends)


class SqliteStore:
    """The topics below a directory, for one thread."""

    def __init__(self, directory: str | Path, *, create: bool = True) -> None:
        """Open the file, and make it where there is none and `create` says so.

        Raises `NotFound`, `RunFailed(storage_failed)`, and `BundleInvalid` for a file that is no log or a newer one's.
        """
        self.path = Path(directory) / FILE
        if not create and not self.path.exists():
            raise NotFound("not_found", f"no log in {directory}", help="fivefold log append TOPIC --data DIR makes one")
        with self._failing():
            Path(directory).mkdir(parents=True, exist_ok=True)
            self.db = sqlite3.connect(self.path, isolation_level=None, timeout=BUSY_SECONDS)
            try:
                self._prepare()
            except BaseException:
                self.db.close()
                raise

    def _prepare(self) -> None:
        try:
            self.db.execute("PRAGMA synchronous=FULL")
            self.db.execute("PRAGMA journal_mode=WAL")
            if not self._number("application_id"):
                with self.transaction():
                    # Somebody else may have made it since.
                    if not self._number("application_id"):
                        if self.db.execute("SELECT count(*) FROM sqlite_schema").fetchone()[0]:
                            raise BundleInvalid("a SQLite file, and no log of events", path=str(self.path))
                        for statement in filter(str.strip, _SCHEMA.split(";")):
                            self.db.execute(statement)
                        self.db.execute(f"PRAGMA user_version={_VERSION}")
                        self.db.execute(f"PRAGMA application_id={_APPLICATION}")
            if self._number("application_id") != _APPLICATION:
                raise BundleInvalid("a SQLite file, and no log of events", path=str(self.path))
            if self._number("user_version") != _VERSION:
                raise BundleInvalid(
                    f"a log of version {self._number('user_version')}, and this is version {_VERSION}",
                    path=str(self.path),
                )
        except sqlite3.DatabaseError as err:
            if err.sqlite_errorcode == sqlite3.SQLITE_NOTADB:
                raise BundleInvalid("no log of events: not a SQLite file", path=str(self.path)) from err
            raise

    def _number(self, pragma: str) -> int:
        found: int = self.db.execute(f"PRAGMA {pragma}").fetchone()[0]
        return found

    @contextlib.contextmanager
    def _failing(self) -> Iterator[None]:
        """SQLite's errors, and the disk's, as ours."""
        try:
            yield
        except sqlite3.Error as err:
            raise storage_failed(err, self.path) from err
        except OSError as err:
            raise RunFailed("storage_failed", f"{err.strerror or err}", path=str(self.path)) from err

    def transaction(self) -> AbstractContextManager[None]:
        """See `write_transaction`."""
        return write_transaction(self.db)

    def make(self, topic: str, partitions: int = PARTITIONS) -> int:
        """The topic's id, after making it where there is none. Raises `ValueError` for a name that is none."""
        found = self.find(topic)
        if found is not None:
            return found
        if not is_topic(topic):
            raise ValueError(f"{topic!r} is not a topic's name")
        with self._failing(), self.transaction():
            self.db.execute("INSERT OR IGNORE INTO topics (name, partitions) VALUES (?, ?)", (topic, partitions))
            (made, size) = self.db.execute("SELECT id, partitions FROM topics WHERE name = ?", (topic,)).fetchone()
            self.db.executemany("INSERT OR IGNORE INTO ends VALUES (?, ?, 0)", ((made, each) for each in range(size)))
        return int(made)

    def find(self, topic: str) -> int | None:
        """The topic's id, None where there is none."""
        with self._failing():
            row = self.db.execute("SELECT id FROM topics WHERE name = ?", (topic,)).fetchone()
        return None if row is None else int(row[0])

    def ends(self, topic: int) -> tuple[int, ...]:
        """The offset that the next event gets, in each partition."""
        rows = self.db.execute("SELECT next FROM ends WHERE topic = ? ORDER BY partition", (topic,))
        return tuple(end for (end,) in rows)

    def insert(self, topic: int, outgoing: Sequence[Outgoing]) -> None:
        """Append to a topic, inside of a transaction."""
        ends = list(self.ends(topic))
        now = time.time_ns() // 1_000_000
        # Events without a key go where the next one of them has not been yet, all of a transaction together.
        keyless = sum(ends) % len(ends)
        rows = []
        touched = set()
        for each in outgoing:
            at = each.partition
            if at is None:
                at = keyless if each.key is None else partition_of(each.key, len(ends))
            stamp = now if each.timestamp is None else each.timestamp
            packed = msgspec.msgpack.encode(each.headers) if each.headers else None
            rows.append((topic, at, ends[at], stamp, each.key, each.value, packed))
            ends[at] += 1
            touched.add(at)
        self.db.executemany("INSERT INTO events VALUES (?, ?, ?, ?, ?, ?, ?)", rows)
        self.db.executemany(
            "UPDATE ends SET next = ? WHERE topic = ? AND partition = ?", [(ends[at], topic, at) for at in touched]
        )

    def append(self, topic: str, outgoing: Iterable[Outgoing], partitions: int = PARTITIONS) -> int:
        """Append events, some at a time; gives how many, all of which are on the disk.

        Where `outgoing` raises, what it gave before is on the disk as well.
        """
        made = self.make(topic, partitions)
        count = 0
        for some in _groups(outgoing, APPEND_ROWS):
            with self._failing(), self.transaction():
                self.insert(made, some)
            count += len(some)
        return count

    def select(
        self, topic: int, name: str, partition: int, start: int, most: int, most_bytes: int = SELECT_BYTES
    ) -> list[Event]:
        """At most so many events of a partition, from an offset on, and none behind the one with which they are
        `most_bytes` long. Gives SQLite's errors as they are."""
        rows = self.db.execute(
            "SELECT offset, timestamp, key, value, headers FROM events "
            "WHERE topic = ? AND partition = ? AND offset >= ? ORDER BY offset LIMIT ?",
            (topic, partition, start, most),
        )
        events: list[Event] = []
        for offset, timestamp, key, value, headers in rows:
            events.append(Event(name, partition, offset, timestamp, key, value, unpacked(headers)))
            most_bytes -= len(value or b"") + len(key or b"") + len(headers or b"")
            if most_bytes <= 0:
                break
        return events

    def read(self, topic: str, *, start: int | Sequence[int] = 0, ends: Sequence[int] | None = None) -> Iterator[Event]:
        """Every event of a topic, partition by partition, from an offset on, of all or of each; only before `ends`,
        where given.

        Raises `NotFound`.
        """
        found = self.find(topic)
        if found is None:
            raise NotFound("not_found", f"no topic {topic!r} in {self.path.parent}")
        with self._failing():
            ends = self.ends(found) if ends is None else ends
        for partition, end in enumerate(ends):
            at = start if isinstance(start, int) else start[partition]
            while at < end:
                with self._failing():
                    some = self.select(found, topic, partition, at, min(1000, end - at))
                yield from some
                at += len(some) or end

    def topics(self) -> list[TopicInfo]:
        """Every topic, by name."""
        with self._failing():
            found = self.db.execute("SELECT id, name FROM topics ORDER BY name").fetchall()
            out = []
            for topic, name in found:
                ends = self.ends(topic)
                groups: dict[str, list[int]] = {}
                for reader, partition, position in self.db.execute(
                    "SELECT reader, partition, next FROM positions WHERE topic = ? ORDER BY reader", (topic,)
                ):
                    groups.setdefault(reader, [0] * len(ends))[partition] = position
                out.append(TopicInfo(name, ends, {reader: tuple(at) for reader, at in groups.items()}))
        return out

    def close(self) -> None:
        """Close the file."""
        self.db.close()


def partition_of(key: bytes, partitions: int) -> int:
    """The partition of a key: the same for the same key, in every process (CRC-32)."""
    return zlib.crc32(key) % partitions


def unpacked(headers: bytes | None) -> Headers:
    """Headers as they are stored."""
    return () if headers is None else tuple(_headers.decode(headers))


def storage_failed(err: sqlite3.Error, path: Path) -> RunFailed:
    """SQLite's error in our words."""
    full = getattr(err, "sqlite_errorcode", None) == sqlite3.SQLITE_FULL
    return RunFailed(
        "storage_failed",
        f"the log cannot be used: {'no space left on the disk' if full else err}",
        path=str(path),
        help="what is committed stays; make room and start again" if full else None,
    )


def _groups(outgoing: Iterable[Outgoing], most: int) -> Iterator[list[Outgoing]]:
    """Events in groups of at most so many; an error comes behind the group that it ends."""
    some: list[Outgoing] = []
    try:
        for each in outgoing:
            some.append(each)
            if len(some) == most:
                yield some
                some = []
    except (Exception, KeyboardInterrupt):
        yield some
        raise
    if some:
        yield some
