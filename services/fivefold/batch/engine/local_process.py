"""One worker in a process of its own on this machine, without Ray: it is there within a second.

It is apart from the run, so that a model that ends its process, or takes all memory, is met as in a worker of Ray's,
and Ctrl-C need not wait for it. It is started anew where it has died. What it does is `local_worker`'s matter.
"""

from __future__ import annotations

import contextlib
import os
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from multiprocessing.connection import Connection
from pathlib import Path

from fivefold.batch.engine.workers import Finished
from fivefold.batch.plan.planning import Fragment
from fivefold.batch.work.task import FragmentOutcome, RunTask
from fivefold.core.errors import Unavailable, first_line

MODULE = "fivefold.batch.engine.local_worker"


class LocalProcess:
    """At most one worker, for the length of a `with`."""

    size = 1

    def __init__(self, task: RunTask, workers: int = 1, fragments: int = 1) -> None:  # noqa: ARG002  # as the others
        self._task = task
        self._process: subprocess.Popen[bytes] | None = None
        self._orders: Connection | None = None
        self._idle = False
        self._fragment: Fragment | None = None
        self._given = 0.0

    def __enter__(self) -> LocalProcess:
        return self

    def __exit__(self, *_: object) -> None:
        """It is dead when this returns."""
        self._end()

    @property
    def busy(self) -> list[Fragment]:
        """The fragment in work."""
        return [] if self._fragment is None else [self._fragment]

    @property
    def idle(self) -> bool:
        """Whether it waits for a fragment."""
        return self._idle

    @property
    def seconds(self) -> float:
        """How long it has been at the fragment in work."""
        return 0.0 if self._fragment is None else time.monotonic() - self._given

    def start(self, count: int) -> None:
        """Start it, whatever the count. Raises `Unavailable` where the system starts no process."""
        if not count or self._process is not None:
            return
        ours, theirs = socket.socketpair()
        try:
            with theirs:
                self._process = subprocess.Popen(  # noqa: S603  # our own interpreter and module
                    # Without -P, files of the working directory would be taken for modules.
                    [sys.executable, "-P", "-m", MODULE, str(theirs.fileno())],
                    stdin=subprocess.DEVNULL,
                    stdout=subprocess.DEVNULL,
                    stderr=subprocess.DEVNULL,
                    pass_fds=(theirs.fileno(),),
                    env=_environment(),
                )
        except OSError as err:
            ours.close()
            help = "where the machine is too busy to start it, run the same command again later"
            raise Unavailable("not_ready", f"a worker does not start: {first_line(err)}", help=help) from err
        self._orders = Connection(ours.detach())
        self._send(self._task)

    def give(self, fragment: Fragment, attempt: int, most_bad: int | None) -> None:
        """Give it a fragment."""
        self._idle, self._fragment, self._given = False, fragment, time.monotonic()
        self._send((fragment, attempt, most_bad))

    def wait(self, seconds: float) -> Iterator[Finished]:
        """What it has finished within some seconds, if anything."""
        if self._orders is None or self._idle or not self._orders.poll(seconds):
            return
        outcome: FragmentOutcome | None = None
        with contextlib.suppress(EOFError, OSError):
            outcome = self._orders.recv()
        fragment, self._fragment = self._fragment, None
        self._idle = outcome is not None
        if outcome is None:
            self._end()
        yield fragment, outcome

    def _send(self, order: object) -> None:
        assert self._orders is not None
        # One that has died is met by whoever waits for it.
        with contextlib.suppress(OSError):
            self._orders.send(order)

    def _end(self) -> None:
        if self._process is not None:
            self._process.kill()
            self._process.wait()
        if self._orders is not None:
            self._orders.close()
        self._process = self._orders = self._fragment = None
        self._idle = False


def _environment() -> dict[str, str]:
    """This process's, with its package, and one thread for whatever asks this variable, as Ray's workers have it."""
    paths = (str(Path(__file__).parents[3]), os.environ.get("PYTHONPATH"))
    return {"OMP_NUM_THREADS": "1"} | os.environ | {"PYTHONPATH": os.pathsep.join(filter(None, paths))}
