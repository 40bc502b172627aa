"""Which requests were in work when a replica died, so that none of them takes one replica after another.

HAProxy asks again what a dead replica did not answer, and clients do too; a request that makes a model's code crash its
process would end them all. So the replicas of one machine share a file in which each notes what its bundles' code is
given, and who finds a request in the notes of the dead is careful: after one death it is scored alone, after two it is
refused. The notes of the living are theirs; a lock that the system takes from a dead process tells the two apart.
"""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import mmap
import os
from collections import deque
from pathlib import Path
from typing import TYPE_CHECKING, Final

import numpy as np

from fivefold.core.errors import ModelFailed

if TYPE_CHECKING:
    from fivefold.core.columns import Columns

DEATHS: Final = 2
"""A request that was in work in so many replicas when they died is refused."""

PAGES: Final = 64
"""One for each replica; after so many the oldest dead one's is used again."""

NOTES: Final = 256
"""Requests that one replica has in work at a time and notes; more are not noted."""

_HEAD: Final = 4096


class Suspects:
    """The notes of one replica among those of all. `enter` and `leave` may be called from any thread."""

    def __init__(self, path: Path) -> None:
        """Share the file at `path`, which is made; raises `OSError`."""
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            size = _HEAD + PAGES * NOTES * 8
            if os.fstat(descriptor).st_size < size:
                os.ftruncate(descriptor, size)
            self._memory = mmap.mmap(descriptor, size)
        except BaseException:
            os.close(descriptor)
            raise
        self._descriptor = descriptor
        self._heads = np.frombuffer(self._memory, np.uint64, PAGES)
        """When each page was taken, in the order of the numbers; 0: never."""
        self._notes = np.frombuffer(self._memory, np.uint64, PAGES * NOTES, _HEAD).reshape(PAGES, NOTES)
        self._page = self._take()
        self._free = deque(range(NOTES))

    def _take(self) -> int:
        fcntl.lockf(self._descriptor, fcntl.LOCK_EX, 1, PAGES)
        try:
            for page in np.argsort(self._heads, kind="stable").tolist():
                if self._lock(page):
                    self._notes[page] = 0
                    self._heads[page] = self._heads.max() + 1
                    return int(page)
        finally:
            fcntl.lockf(self._descriptor, fcntl.LOCK_UN, 1, PAGES)
        raise OSError(f"more than {PAGES} replicas on one machine")

    def _lock(self, page: int) -> bool:
        """Hold a page's lock, where nobody else does. The system lets go of it when this process ends."""
        try:
            fcntl.lockf(self._descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB, 1, page)
        except (BlockingIOError, PermissionError):
            return False
        return True

    def deaths(self, mark: int) -> int:
        """How many replicas have died with this request in work."""
        pages = set(np.flatnonzero((self._notes == mark).any(axis=1)).tolist()) - {self._page}
        return sum(self._dead(page) for page in pages)

    def _dead(self, page: int) -> bool:
        if not self._lock(page):
            return False
        fcntl.lockf(self._descriptor, fcntl.LOCK_UN, 1, page)
        return True

    def enter(self, mark: int) -> int:
        """Note a request that the model is about to be given; the note's number, -1 where there is no room."""
        try:
            note = self._free.popleft()
        except IndexError:
            return -1
        self._notes[self._page, note] = mark
        return note

    def leave(self, note: int) -> None:
        """Forget a note: the model has come back."""
        if note >= 0:
            self._notes[self._page, note] = 0
            self._free.append(note)

    def acquit(self, mark: int) -> None:
        """Forget that others died with this request: it has been answered."""
        pages = np.flatnonzero((self._notes == mark).any(axis=1)).tolist()
        for page in pages:
            if page != self._page and self._dead(page):
                self._notes[page][self._notes[page] == mark] = 0

    def close(self) -> None:
        """Let go of the file."""
        # Arrays hold on to the memory that they look at.
        self._heads = np.empty(0, np.uint64)
        self._notes = np.empty((0, 0), np.uint64)
        with contextlib.suppress(BufferError):
            self._memory.close()
        os.close(self._descriptor)


def mark_of(bundle: str, columns: Columns) -> int:
    """What a request is known by: its model and its rows, whatever transport they came by. Never 0."""
    digest = hashlib.blake2b(bundle.encode(), digest_size=8)
    for name in columns:
        array = columns[name]
        if array.dtype == object:
            digest.update(repr(array.tolist()).encode("utf-8", "surrogatepass"))
        else:
            digest.update(np.ascontiguousarray(array).data)
        digest.update(b"\0")
    return int.from_bytes(digest.digest(), "little") or 1


def refusal(deaths: int) -> ModelFailed:
    """The error of a request that is not tried any more."""
    return ModelFailed(
        "model_failed",
        f"the model is not asked this again: {deaths} replicas ended while it worked on it",
        help="other requests are answered; the server's log and the kernel's say how the replicas ended",
    )
