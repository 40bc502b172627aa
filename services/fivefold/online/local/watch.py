"""Watches the processes of a local run, and says when it cannot go on.

Ray restores what it runs as actors, in seconds: a replica, Serve's controller, HAProxy with its manager. Its own two
servers it does not: without them everything answers for a while, and nothing that fails is noticed or replaced any
more. So their end is the run's end, and so is the end of any other part that has not come back in time. A process that
was stopped (SIGSTOP) would be waited for without end; it is killed, which everybody notices. Ending the run, and saying
why, is left to `lifecycle`.
"""

from __future__ import annotations

import contextlib
import os
import signal
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from fivefold.local import processes

LOOK_SECONDS: Final = 1.0
"""Between two looks."""

STOPPED_LOOKS: Final = 5
"""A process that is found stopped so often is killed."""

RESTORE_SECONDS: Final = 30.0
"""How long a part that Ray restores may be away; what loads models has their time, too."""


_GONE: Final = ("", "Z", "X")


class Died(Exception):
    """A part of the run has ended for good; the message names it."""


@dataclass
class ProcessKind:
    """One kind of process: what people call it, how its command begins or is named, and how many seconds it may be
    away (0: never)."""

    name: str
    command: str
    seconds: float
    pids: set[int] = field(default_factory=set)
    away: float = 0.0
    seen: bool = False


def parts(models_seconds: float) -> list[ProcessKind]:
    """The parts of a run; loading and testing its models may take so many seconds."""
    return [
        ProcessKind("Ray's control server (gcs_server)", "gcs_server", 0),
        ProcessKind("Ray's node server (raylet)", "raylet", 0),
        ProcessKind("Ray Serve's controller", "ray::ServeController", RESTORE_SECONDS),
        ProcessKind("HAProxy's manager", "ray::HAProxyManager", RESTORE_SECONDS),
        ProcessKind("HAProxy", "haproxy", RESTORE_SECONDS),
        ProcessKind("the last replica", "ray::ServeReplica", RESTORE_SECONDS + models_seconds),
    ]


class ProcessWatch:
    """Looks at the processes below one; call `look` every `LOOK_SECONDS`."""

    def __init__(
        self,
        parts: Iterable[ProcessKind],
        *,
        below: Callable[[], list[int]] = processes.descendants,
        state: Callable[[int], str] | None = None,
        name: Callable[[int], str] | None = None,
        kill: Callable[[int], None] | None = None,
    ) -> None:
        """The functions tell of processes, and kill one; by default the system's own below this process."""
        self._parts = list(parts)
        self._below = below
        self._state, self._name, self._kill = state or state_of, name or name_of, kill or _kill
        self._stopped: dict[int, int] = {}

    def look(self, *, starting: bool = False) -> None:
        """Raise `Died` where a part has ended that nobody restores, or has been away for too long.

        While a run is `starting`, what has not been there yet is not missed.
        """
        alive = {pid for part in self._parts for pid in part.pids if self._lives(pid)}
        if any(not part.pids or not part.pids <= alive for part in self._parts):
            self._find()
        for part in self._parts:
            if part.pids:
                part.away, part.seen = 0.0, True
                continue
            if starting and not part.seen:
                continue
            # By looks, not by the clock: this process may have been stopped itself.
            part.away += LOOK_SECONDS
            if part.away > part.seconds:
                again = f" and did not come back within {part.seconds:.0f} s" if part.seconds else ""
                raise Died(f"{part.name} has ended{again}")

    def _find(self) -> None:
        """Look for all parts anew: what was restored has another process id."""
        for part in self._parts:
            part.pids.clear()
        for pid in self._below():
            if self._state(pid) in _GONE:
                continue
            name = self._name(pid)
            for part in self._parts:
                if name.startswith(part.command):
                    part.pids.add(pid)

    def _lives(self, pid: int) -> bool:
        state = self._state(pid)
        if state == "T":
            self._stopped[pid] = self._stopped.get(pid, 0) + 1
            if self._stopped[pid] < STOPPED_LOOKS:
                return True
            self._kill(pid)
            return False
        self._stopped.pop(pid, None)
        return state not in _GONE


def state_of(pid: int) -> str:
    """The letter of /proc/PID/stat: R, S, D, Z, T …; empty for a process that is not there."""
    try:
        return Path(f"/proc/{pid}/stat").read_bytes().rpartition(b")")[2].split()[0].decode()
    except (OSError, IndexError):
        return ""


def name_of(pid: int) -> str:
    """What runs in a process: the title that it has given itself, or its program's name without the directory."""
    try:
        first = Path(f"/proc/{pid}/cmdline").read_bytes().partition(b"\0")[0].decode(errors="replace")
    except OSError:
        return ""
    return first if first.startswith("ray::") else first.rpartition("/")[2]


def _kill(pid: int) -> None:
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.kill(pid, signal.SIGKILL)
