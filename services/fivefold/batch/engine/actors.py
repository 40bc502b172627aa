"""The workers of a run: Ray actors of one core each, one fragment at a time in each.

A worker that dies is replaced, and its fragment comes back as lost. Which fragment comes next, and how often one may be
lost, is left to `run`; the Ray below to `ray_cluster`.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import Any

from fivefold.batch.engine.ray_cluster import RayCluster
from fivefold.batch.engine.workers import Finished
from fivefold.batch.plan.planning import Fragment
from fivefold.batch.work.task import FragmentOutcome, RunTask, TiedWorker
from fivefold.core.errors import RunFailed
from fivefold.core.runtime.devices import DeviceSettings
from fivefold.core.settings import read


class Actors:
    """Workers for one run, for the length of a `with`."""

    def __init__(self, task: RunTask, workers: int, fragments: int, cluster: RayCluster | None = None) -> None:
        """At most `workers` of them (0: as many as there are cores), and never more than fragments; on a Ray of their
        own, or on one that is there and stays."""
        self._task = task
        self._cluster = RayCluster(workers, fragments) if cluster is None else cluster
        self._own = cluster is None
        self._idle: list[Any] = []
        self._working: dict[Any, tuple[Any, Fragment | None]] = {}

    def __enter__(self) -> Actors:
        if self._own:
            self._cluster.__enter__()
        return self

    def __exit__(self, *_: object) -> None:
        """None of the actors works any more when this returns."""
        for actor in [*self._idle, *(actor for actor, _ in self._working.values())]:
            with contextlib.suppress(Exception):
                self._cluster.ray.kill(actor)
        if self._own:
            self._cluster.__exit__()

    @property
    def size(self) -> int:
        """How many workers there may be."""
        return self._cluster.size

    @property
    def busy(self) -> list[Fragment]:
        """The fragments in work."""
        return [fragment for _, fragment in self._working.values() if fragment is not None]

    @property
    def idle(self) -> bool:
        """Whether somebody waits for a fragment."""
        return bool(self._idle)

    def start(self, count: int) -> None:
        """Add workers; each opens the model before it is idle."""
        gpus = read(DeviceSettings).gpus
        actor_class = self._cluster.ray.remote(num_cpus=1, num_gpus=gpus, max_restarts=0)(TiedWorker)
        for _ in range(count):
            actor = actor_class.remote(self._task, self._cluster.local)
            self._working[actor.open.remote()] = (actor, None)

    def give(self, fragment: Fragment, attempt: int, most_bad: int | None) -> None:
        """Give a fragment to one who is idle."""
        actor = self._idle.pop()
        self._working[actor.score.remote(fragment, attempt, most_bad)] = (actor, fragment)

    def wait(self, seconds: float) -> Iterator[Finished]:
        """What was finished within some seconds: a fragment and what became of it, None where its worker has died.

        A worker that has opened its model, or failed to, comes without a fragment.
        """
        if not self._working:
            return
        ray = self._cluster.ray
        ready, _ = ray.wait(list(self._working), num_returns=1, timeout=seconds)
        for reference in ready:
            actor, fragment = self._working.pop(reference)
            try:
                outcome: FragmentOutcome | None = ray.get(reference)
            except ray.exceptions.RayTaskError as err:
                raise RunFailed("worker_lost", f"a worker cannot work: {str(err).strip()[-300:]}") from err
            except ray.exceptions.RayError:
                outcome = None
            else:
                self._idle.append(actor)
            yield fragment, outcome
