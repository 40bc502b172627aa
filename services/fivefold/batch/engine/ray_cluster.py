"""The Ray that a run works on: one of its own on a machine alone, or the cluster whose job it is.

A Ray of its own is started small, on loopback, and everything of it is gone when the run is. What works on it is left
to `actors` and `ray_data`.
"""

from __future__ import annotations

import contextlib
import logging
import os
import signal
from typing import Any

from fivefold.core.errors import Unavailable, first_line
from fivefold.local import processes, ray_start
from fivefold.local.scratch import Scratch, short

ADDRESS = "RAY_ADDRESS"
"""The variable by which Ray gives a job the address of its cluster."""


class RayCluster:
    """A Ray, for the length of a `with`."""

    def __init__(self, workers: int, most: int) -> None:
        """For so many workers (0: as many as there are cores), and never more than `most`."""
        self.local = not os.environ.get(ADDRESS)
        self.ray: Any = None
        self.size = 0
        self._workers, self._most = workers, most
        self._scratch: Scratch | None = None
        self._others: list[int] = []
        self._given_back = contextlib.ExitStack()

    def __enter__(self) -> RayCluster:
        handlers = {signum: signal.getsignal(signum) for signum in (signal.SIGINT, signal.SIGTERM)}
        try:
            self._start()
        except BaseException:
            self.__exit__()
            raise
        finally:
            # Ray takes SIGTERM for itself, and would end without a word.
            for signum, handler in handlers.items():
                signal.signal(signum, handler)
        return self

    def _start(self) -> None:
        if not self.local:
            import ray

            self.ray = ray
            ray.init(logging_level=logging.ERROR, log_to_driver=False)
            resources: dict[str, float] = ray.cluster_resources()  # type: ignore[no-untyped-call]  # Ray has no types
            self.size = self._capped(int(resources.get("CPU", 1)))
            return
        processes.adopt_orphans()
        self._others = processes.descendants()
        self._scratch = short()
        self._given_back.enter_context(ray_start.environment())
        import ray

        self.ray = ray
        self.size = self._capped(processes.cores())
        try:
            ray_start.start(self.size, str(self._scratch.path))
        except Exception as err:  # Ray raises bare ones
            help = "where the machine is too busy to start it, run the same command again later"
            raise Unavailable("not_ready", f"Ray does not start: {first_line(err)}", help=help) from err

    def _capped(self, cores: int) -> int:
        return max(1, min(self._workers or cores, self._most))

    def __exit__(self, *_: object) -> None:
        """Nothing of it is left when this returns."""
        with self._given_back:
            if self.ray is not None:
                # While its servers live: at the end of the process Ray would look for them for seconds.
                self.ray.shutdown()
            if self.local:
                processes.sweep(keep=self._others)
                if self._scratch is not None:
                    self._scratch.close()
