"""One worker in the process that calls it: for tests, and programs of one's own.

It cannot die apart from its caller, so nothing is ever lost.
"""

from __future__ import annotations

from collections.abc import Iterator

from fivefold.batch.engine.workers import Finished
from fivefold.batch.plan.planning import Fragment
from fivefold.batch.work.task import FragmentOutcome, FragmentWorker, RunTask


class Inline:
    """Scores when it is waited for."""

    size = 1

    def __init__(self, task: RunTask, workers: int = 1, fragments: int = 1) -> None:  # noqa: ARG002  # the seam's
        self._worker = FragmentWorker(task)
        self._opened: FragmentOutcome | None = None
        self._work: tuple[Fragment, int, int | None] | None = None

    def __enter__(self) -> Inline:
        return self

    def __exit__(self, *_: object) -> None:
        """The model goes with the worker."""
        self._worker.close()

    @property
    def busy(self) -> list[Fragment]:
        """The fragment that is going to be scored."""
        return [self._work[0]] if self._work else []

    @property
    def idle(self) -> bool:
        """Whether a fragment can be given."""
        return self._opened is not None and self._work is None

    def start(self, count: int) -> None:
        """It is there already."""

    def give(self, fragment: Fragment, attempt: int, most_bad: int | None) -> None:
        """The next fragment to score."""
        self._work = fragment, attempt, most_bad

    def wait(self, seconds: float) -> Iterator[Finished]:  # noqa: ARG002  # the seam's
        """Do what there is to do, however long it takes."""
        if self._opened is None:
            self._opened = self._worker.open()
            yield None, self._opened
        elif self._work is not None:
            (fragment, attempt, most_bad), self._work = self._work, None
            yield fragment, self._worker.score(fragment, attempt, most_bad)
