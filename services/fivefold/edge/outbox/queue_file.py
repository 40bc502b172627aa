"""The SQLite file of an outbox: made, locked, opened, checked, and its errors in our words.

SQLite comes with apsw: the system's may be one whose write-ahead log can corrupt (https://www.sqlite.org/wal.html,
"WAL-reset bug"). The file must lie on a disk of this machine. Its tables
are `outbox_schema`'s, what their rows mean `queue`'s and `lane_rows`'s.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
from collections.abc import Iterator
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Final

import apsw

from fivefold.core.atomic import sync_directory
from fivefold.core.errors import NotFound, RunFailed
from fivefold.edge.outbox import outbox_schema
from fivefold.edge.outbox.outbox_schema import broken_file
from fivefold.stores.sqlite_transaction import write_transaction

BUSY_MS: Final = 10_000
RESERVE_BYTES: Final = 1024 * 1024
"""Kept on the disk beside the file, so that what a hub has acknowledged can be forgotten on a disk that is full."""

CHECKED_BYTES: Final = 64 * 1024 * 1024
"""A file of at most so many is checked as a whole when it is opened (under a second); a larger one as it is read."""

_PAGE: Final = 4096


class QueueLock:
    """That one process at a time uses a file: a lock that ends with the process, however it ends."""

    def __init__(self, path: Path) -> None:
        """Take it. Raises `RunFailed(run_conflict)` where somebody has it, `OSError`."""
        self._descriptor = os.open(f"{path}.lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
        try:
            fcntl.flock(self._descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as err:
            holder = os.pread(self._descriptor, 32, 0).decode("ascii", "replace").strip()
            os.close(self._descriptor)
            if not isinstance(err, BlockingIOError):
                raise
            raise RunFailed(
                "run_conflict",
                f"the outbox is open already, in process {holder or 'unknown'}",
                path=str(path),
                help="one process at a time uses an outbox: stop that one first",
            ) from None
        os.ftruncate(self._descriptor, 0)
        os.pwrite(self._descriptor, b"%d\n" % os.getpid(), 0)

    def release(self) -> None:
        """Let go of it."""
        os.close(self._descriptor)


class QueueFile:
    """An open file, for one thread at a time. `writer`: with the lock, made where there is none."""

    def __init__(self, path: Path, *, writer: bool, max_bytes: int | None = None) -> None:
        """Raises `NotFound`, and `RunFailed`: `run_conflict`, `storage_failed`, `input_broken` for a file that is no
        outbox, a newer one's or a corrupt one. The file takes at most `max_bytes`."""
        self.path = path
        self._lock: QueueLock | None = None
        self._reserve = Path(f"{path}-reserve")
        self._reserved = False
        try:
            if writer:
                path.parent.mkdir(parents=True, exist_ok=True)
                self._lock = QueueLock(path)
            elif not path.is_file():
                raise NotFound("not_found", f"no outbox at {path}", help="the gateway makes one when it starts")
            flags = apsw.SQLITE_OPEN_READWRITE | (apsw.SQLITE_OPEN_CREATE if writer else 0)
            with self.failing():
                try:
                    self._connect(flags, writer, max_bytes)
                except (apsw.FullError, apsw.IOError, apsw.CantOpenError):
                    # On a full disk even the files beside it, which SQLite makes when it opens one, find no room.
                    if not writer or not self._give_up_reserve():
                        raise
                    self._connect(flags, writer, max_bytes)
            if writer:
                sync_directory(path.parent)
                self.keep_reserve()
        except OSError as err:
            self.close()
            raise RunFailed(
                "storage_failed", f"the outbox cannot be opened: {err.strerror or err}", path=str(path)
            ) from err
        except BaseException:
            self.close()
            raise

    def _connect(self, flags: int, writer: bool, max_bytes: int | None) -> None:
        self.db: apsw.Connection = apsw.Connection(str(self.path), flags=flags)
        try:
            self._prepare(writer, max_bytes)
        except BaseException:
            self.db.close(True)
            raise

    def _prepare(self, writer: bool, max_bytes: int | None) -> None:
        self.db.set_busy_timeout(BUSY_MS)
        if writer:
            self.db.execute("PRAGMA journal_mode=WAL").fetchall()
        self.db.execute("PRAGMA synchronous=FULL").fetchall()
        # A damaged file must not make SQLite run what a damaged schema says.
        self.db.execute("PRAGMA trusted_schema=OFF").fetchall()
        self.db.execute("PRAGMA cell_size_check=ON").fetchall()
        if writer:
            outbox_schema.make(self.db, self.path)
        outbox_schema.check(self.db, self.path)
        if writer:
            outbox_schema.add_tables(self.db)
            if self.path.stat().st_size <= CHECKED_BYTES:
                found = self.db.execute("PRAGMA quick_check(1)").fetchall()[0][0]
                if found != "ok":
                    raise broken_file(f"the outbox is corrupt: {' '.join(str(found).split())[:200]}", self.path)
            if max_bytes is not None:
                self.db.execute(f"PRAGMA max_page_count={max(max_bytes // _PAGE, 64)}").fetchall()
        self.id = self.read_id()

    def renew(self) -> None:
        """Give the outbox another id, within a transaction; `id` is to be read anew behind it."""
        outbox_schema.renew_id(self.db)

    def read_id(self) -> str:
        """The id that the file has."""
        rows = self.db.execute("SELECT id FROM identity").fetchall()
        if len(rows) != 1 or len(str(rows[0][0])) != 32:
            raise broken_file("the outbox is corrupt: it has no id", self.path)
        return str(rows[0][0])

    def transaction(self) -> AbstractContextManager[None]:
        """See `write_transaction`."""
        return write_transaction(self.db)

    @contextlib.contextmanager
    def unsynchronised(self) -> Iterator[None]:
        """Transactions in here are whole or not there after a power cut, and on the disk when a later one is."""
        self.db.execute("PRAGMA synchronous=NORMAL")
        try:
            yield
        finally:
            self.db.execute("PRAGMA synchronous=FULL")

    @contextlib.contextmanager
    def failing(self) -> Iterator[None]:
        """SQLite's errors as ours."""
        try:
            yield
        except apsw.Error as err:
            raise as_run_failed(err, self.path) from err

    def make_room(self) -> None:
        """On a disk that is full: give up the reserve, and what the log takes that is in the file too."""
        self._give_up_reserve()
        with contextlib.suppress(apsw.Error):
            # Afterwards the log begins anew, in the room that it has.
            self.db.wal_checkpoint(mode=apsw.SQLITE_CHECKPOINT_PASSIVE)

    def _give_up_reserve(self) -> bool:
        self._reserved = False
        try:
            size = self._reserve.stat().st_size
            self._reserve.unlink()
        except OSError:
            return False
        return size > 0

    def keep_reserve(self) -> None:
        """Have the reserve, where it is missing and there is room for it."""
        if self._reserved:
            return
        with contextlib.suppress(OSError):
            if not self._reserve.is_file() or self._reserve.stat().st_size != RESERVE_BYTES:
                disk = os.statvfs(self.path.parent)
                if disk.f_bavail * disk.f_frsize < 4 * RESERVE_BYTES:
                    return
                # Written out: a file with holes reserves nothing.
                self._reserve.write_bytes(bytes(RESERVE_BYTES))
            self._reserved = True

    def close(self) -> None:
        """Close it, and let others have it."""
        if hasattr(self, "db"):
            with contextlib.suppress(apsw.Error):
                self.db.close()
        if self._lock is not None:
            self._lock.release()
            self._lock = None


def is_full(err: BaseException | None) -> bool:
    """Whether an error says that there is no room."""
    return isinstance(err, apsw.FullError)


def as_run_failed(err: apsw.Error, path: Path) -> RunFailed:
    """SQLite's error in our words."""
    if isinstance(err, apsw.NotADBError):
        return broken_file("no outbox: not a SQLite file", path)
    if isinstance(err, apsw.CorruptError):
        return broken_file(f"the outbox is corrupt: {err}", path)
    if isinstance(err, apsw.FullError):
        return RunFailed(
            "storage_failed",
            "the outbox cannot store this: no space left on the disk",
            path=str(path),
            help="what it has accepted stays; make room on the disk",
        )
    return RunFailed("storage_failed", f"the outbox cannot be used: {err}", path=str(path))
