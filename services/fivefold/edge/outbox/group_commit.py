"""Group commit: while one thread writes to the disk, the others queue up, and the next of them writes for all.

No thread waits for company: alone, it writes at once; among many, one synchronisation of the disk serves everybody who
came during the last one. What is written is left to whoever makes the group.
"""

from __future__ import annotations

import copy
import threading
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Final

MOST_EVENTS: Final = 1024
"""Events of one transaction, but for one thread's own that are more: what is slow is the disk's synchronisation."""


@dataclass(slots=True, eq=False)
class Append:
    """What one thread wants stored, and what became of it."""

    lane: str
    events: Sequence[tuple[str, bytes]]
    parts: Sequence[tuple[bytes, int]] = ()
    """A key, or none, and how many of the events are its: all of them, in order. Empty: no keys."""
    seqs: list[int] = field(default_factory=list)
    error: BaseException | None = None
    done: bool = False
    turn: threading.Event = field(default_factory=threading.Event)
    """It is done, or this thread is the one to write."""


class GroupCommit:
    """The queue of threads."""

    def __init__(self, write: Callable[[list[Append]], None]) -> None:
        """`write` stores a group in one transaction and gives each of them its `seqs` or `error`; what it raises is
        everybody's."""
        self._write = write
        self._mutex = threading.Lock()
        self._waiting: deque[Append] = deque()
        self._writing = False

    def submit(self, append: Append) -> list[int]:
        """Have it stored; its numbers, once they are on the disk. Raises its error."""
        with self._mutex:
            self._waiting.append(append)
            mine, self._writing = not self._writing, True
        try:
            if not mine:
                append.turn.wait()
        except BaseException:
            self._abandon(append)
            raise
        if not append.done:
            self._lead()
        if append.error is not None:
            # An exception that several threads raise would mix up their tracebacks.
            raise copy.copy(append.error)
        return append.seqs

    def _abandon(self, append: Append) -> None:
        """A thread was interrupted while it waited: nobody may wait for it."""
        with self._mutex:
            if append in self._waiting and not append.turn.is_set():
                self._waiting.remove(append)
                return
        if append.turn.is_set() and not append.done:
            self._lead()

    def _lead(self) -> None:
        group: list[Append] = []
        try:
            with self._mutex:
                events = 0
                while self._waiting and (not group or events + len(self._waiting[0].events) <= MOST_EVENTS):
                    group.append(self._waiting.popleft())
                    events += len(group[-1].events)
            self._write(group)
        except BaseException as err:
            for each in group:
                each.error = each.error or err
                each.seqs = []
            if not isinstance(err, Exception):
                raise
        finally:
            with self._mutex:
                following = self._waiting[0] if self._waiting else None
                self._writing = following is not None
            for each in group:
                each.done = True
                each.turn.set()
            if following is not None:
                following.turn.set()
