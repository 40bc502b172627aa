"""One process at once, and Ray's workers beside it as soon as the work that is left is worth their start.

What that work takes is estimated by `cost`, with what a row costs the model once it is open, and set right by how long
the fragments before have taken. While Ray starts, the process works on.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Sequence

from fivefold.batch.engine.actors import Actors
from fivefold.batch.engine.cost import Cost, ray_pays
from fivefold.batch.engine.local_process import LocalProcess
from fivefold.batch.engine.workers import Finished, Workers
from fivefold.batch.plan.planning import Fragment
from fivefold.batch.work.task import RunTask
from fivefold.core.errors import Unavailable

TURN_SECONDS = 0.02
"""How long one of the two is waited for before the other one is looked at."""


class LocalFirst:
    """At most `most` workers of both kinds, for the length of a `with`."""

    size = 1

    def __init__(self, task: RunTask, most: int, cost: Cost, fragments: Sequence[Fragment]) -> None:
        self._task, self._most, self._cost = task, most, cost
        self._local = LocalProcess(task)
        self._ray: Workers | None = None
        self._left = {fragment.id: fragment for fragment in fragments}
        self._planned = self._spent = 0.0
        """Seconds of the fragments that are finished, as estimated and as they were."""
        self._died: Workers = self._local
        self._given_back = contextlib.ExitStack()

    def __enter__(self) -> LocalFirst:
        return self

    def __exit__(self, *_: object) -> None:
        """None of them works any more when this returns."""
        with self._given_back:
            self._local.__exit__()

    @property
    def busy(self) -> list[Fragment]:
        """The fragments in work."""
        return [fragment for workers in self._all for fragment in workers.busy]

    @property
    def idle(self) -> bool:
        """Whether somebody waits for a fragment."""
        return any(workers.idle for workers in self._all)

    def start(self, count: int) -> None:
        """Start the process; later, one more of the kind that has died."""
        self._died.start(count)

    def give(self, fragment: Fragment, attempt: int, most_bad: int | None) -> None:
        """Give a fragment to one who is idle."""
        next(workers for workers in self._all if workers.idle).give(fragment, attempt, most_bad)

    def wait(self, seconds: float) -> Iterator[Finished]:
        """What was finished within some seconds."""
        if self._ray is None and self._is_worth_ray:
            self._add_ray()
        for workers in self._all:
            for fragment, outcome in workers.wait(seconds if self._ray is None else min(seconds, TURN_SECONDS)):
                if outcome is None:
                    self._died = workers
                elif fragment is None:
                    self._cost.row_seconds = outcome.row_seconds
                elif outcome.record is not None:
                    self._left.pop(fragment.id, None)
                    self._planned += self._cost.of([fragment])
                    self._spent += outcome.record.seconds
                yield fragment, outcome

    @property
    def _all(self) -> list[Workers]:
        return [self._local] if self._ray is None else [self._local, self._ray]

    @property
    def _workers(self) -> int:
        return min(self._most, len(self._left))

    @property
    def _is_worth_ray(self) -> bool:
        if not self._local.busy:
            return False
        before = self._spent / self._planned if self._planned else 1.0
        # What is in work is known to take as long as it has taken already.
        planned, spent = self._planned + self._cost.of(self._local.busy), self._spent + self._local.seconds
        factor = max(before, spent / planned) if planned else before
        return ray_pays(self._cost.of(self._left.values()) * factor - self._local.seconds, self._workers)

    def _add_ray(self) -> None:
        more = self._workers - 1
        ray = Actors(self._task, more, more)
        try:
            self._given_back.enter_context(ray)
        except Unavailable:
            # The process goes on alone, which is no worse than it was.
            self._most = 1
            return
        self._ray = ray
        ray.start(ray.size)
