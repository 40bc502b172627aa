"""The workers of a run: Ray actors of one core each, one fragment at a time in each.

On a machine alone the crew starts a Ray of its own and takes it along when it goes; in a Ray job it joins the cluster.
A worker that dies is replaced, and its fragment comes back as lost. Which fragment comes next, and how often one may be
lost, is left to `run`.
"""

from __future__ import annotations

import contextlib
import logging
import os
import secrets
import shutil
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from fivefold.batch.plan import Fragment
from fivefold.batch.task import Outcome, Task, TiedWorker
from fivefold.core.errors import RunFailed
from fivefold.local import processes

ADDRESS = "RAY_ADDRESS"
"""The variable by which Ray tells a job of its cluster."""


class Crew:
    """Workers for one run, for the length of a `with`."""

    def __init__(self, task: Task, workers: int, fragments: int) -> None:
        """At most `workers` of them (0: as many as there are cores), and never more than fragments."""
        self._task, self._wanted, self._fragments = task, workers, fragments
        self._local = not os.environ.get(ADDRESS)
        self._directory: Path | None = None
        self._idle: list[Any] = []
        self._working: dict[Any, tuple[Any, Fragment | None]] = {}
        self._ray: Any = None
        self._others: list[int] = []

    def __enter__(self) -> Crew:
        if self._local:
            self._directory = _directory()
            _environment()
            processes.adopt_orphans()
            self._others = processes.descendants()
        import ray

        self._ray = ray
        if self._local:
            from fivefold.local import ray as local_ray

            cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
            self.size = min(self._wanted or cores, self._fragments)
            local_ray.start(self.size, str(self._directory))
        else:
            ray.init(logging_level=logging.ERROR, log_to_driver=False)
            cores = int(ray.cluster_resources().get("CPU", 1))
            self.size = max(1, min(self._wanted or cores, self._fragments))
        return self

    def __exit__(self, *_: object) -> None:
        """Nothing of the crew works any more when this returns."""
        for actor, _ in [*self._working.values(), *((actor, None) for actor in self._idle)]:
            with contextlib.suppress(Exception):
                self._ray.kill(actor)
        if self._local:
            # Ray's own farewell takes seconds, and nothing that it would keep is wanted.
            processes.sweep(keep=self._others)
            if self._directory is not None:
                shutil.rmtree(self._directory, ignore_errors=True)
        elif self._ray is not None:
            self._ray.shutdown()

    @property
    def busy(self) -> list[Fragment]:
        """The fragments in work."""
        return [fragment for _, fragment in self._working.values() if fragment is not None]

    def hire(self, count: int) -> None:
        """Add workers; each opens the model before it is idle."""
        actor_class = self._ray.remote(num_cpus=1, max_restarts=0)(TiedWorker)
        for _ in range(count):
            actor = actor_class.remote(self._task, self._local)
            self._working[actor.open.remote()] = (actor, None)

    @property
    def hired(self) -> int:
        """Workers that are idle, at work or on their way."""
        return len(self._idle) + len(self._working)

    @property
    def idle(self) -> bool:
        """Whether somebody waits for a fragment."""
        return bool(self._idle)

    def give(self, fragment: Fragment, attempt: int, most_bad: int | None) -> None:
        """Give a fragment to one who is idle."""
        actor = self._idle.pop()
        self._working[actor.score.remote(fragment, attempt, most_bad)] = (actor, fragment)

    def wait(self, seconds: float) -> Iterator[tuple[Fragment | None, Outcome | None]]:
        """What was finished within some seconds: a fragment and what became of it, None where its worker has died.

        A worker that has opened its model, or failed to, comes without a fragment.
        """
        if not self._working:
            return
        ready, _ = self._ray.wait(list(self._working), num_returns=1, timeout=seconds)
        for reference in ready:
            actor, fragment = self._working.pop(reference)
            try:
                outcome: Outcome | None = self._ray.get(reference)
            except self._ray.exceptions.RayTaskError as err:
                raise RunFailed("worker_lost", f"a worker cannot work: {str(err).strip()[-300:]}") from err
            except self._ray.exceptions.RayError:
                outcome = None
            else:
                self._idle.append(actor)
            yield fragment, outcome

    def processes(self) -> list[int]:
        """The ids of the processes that are idle, for tests that kill them."""
        ids: list[int] = self._ray.get([actor.process.remote() for actor in self._idle])
        return ids


def _directory() -> Path:
    # A socket's name may have 107 bytes, and Ray's take about 70.
    preferred = tempfile.gettempdir()
    parent = preferred if len(preferred) <= 8 else "/tmp"  # noqa: S108  # what is made in it is private
    return Path(tempfile.mkdtemp(prefix="fivefold-", dir=parent))


def _environment() -> None:
    """What Ray and its workers find in their environment. Ray variables of the user's own do not apply to them."""
    for name in [name for name in os.environ if name.startswith("RAY_")]:
        del os.environ[name]
    package = str(Path(__file__).parents[2])
    os.environ.update(
        {
            "PYTHONPATH": os.pathsep.join(filter(None, (package, os.environ.get("PYTHONPATH")))),
            # Ray's ports ask for this; other users of the machine do not have it.
            "RAY_AUTH_MODE": "token",
            "RAY_AUTH_TOKEN": secrets.token_hex(32),
            "RAY_USAGE_STATS_ENABLED": "0",
            "RAY_worker_niceness": "0",
            "RAY_DISABLE_IMPORT_WARNING": "1",
        }
    )
    if "ray" in sys.modules:
        # Ray reads some of them when it is imported.
        logging.getLogger("fivefold").debug("ray was imported before its environment was set")
