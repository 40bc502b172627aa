"""The seam between a run and who does its work: workers that take a fragment each and say what became of it.

    actors         Ray actors, a core each, here or in a cluster
    local_process  one process of this machine, without Ray
    local_first    that one at once, and Ray's beside it where the work turns out to be worth their start
    inline         the calling process itself: for tests, and programs of one's own

What is done to a fragment is the same in all of them: `work.task.FragmentWorker`. Which of them a run takes is left to
`choice`, which fragment comes next to `run`.
"""

from __future__ import annotations

from collections.abc import Iterator
from types import TracebackType
from typing import Protocol, Self

from fivefold.batch.plan.planning import Fragment
from fivefold.batch.work.task import FragmentOutcome

Finished = tuple[Fragment | None, FragmentOutcome | None]
"""A fragment and what became of it. No fragment: the worker has opened the model, or failed to. No outcome: the worker
has died, over that fragment or over the model."""


class Workers(Protocol):
    """Workers for one run, for the length of a `with`; none of them works any more when that is left."""

    def __enter__(self) -> Self: ...

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None, /
    ) -> None: ...

    @property
    def size(self) -> int:
        """How many workers there may be at the start."""

    @property
    def busy(self) -> list[Fragment]:
        """The fragments in work."""

    @property
    def idle(self) -> bool:
        """Whether somebody waits for a fragment."""

    def start(self, count: int) -> None:
        """Add workers, at the start or for those that have died; each opens the model before it is idle."""

    def give(self, fragment: Fragment, attempt: int, most_bad: int | None) -> None:
        """Give a fragment to one who is idle: its attempt from 1, and how many of its rows may be bad."""

    def wait(self, seconds: float) -> Iterator[Finished]:
        """What was finished within some seconds."""
