"""Process ties of a local run: who dies with whom, and ending everything that was started.

Ray, Serve and HAProxy start a dozen processes between them, some of which outlive their parents. On Linux a process can
adopt such orphans, so the children it has at the end are exactly what its run has left; elsewhere only the direct
children are known. When to end a run, and how gently, is left to who started it.
"""

from __future__ import annotations

import contextlib
import ctypes
import os
import signal
import sys
import time
from collections.abc import Collection
from pathlib import Path

_PR_SET_PDEATHSIG = 1
_PR_SET_CHILD_SUBREAPER = 36

SWEEP_SECONDS = 15.0
"""How long `sweep` waits for the kernel to take killed processes away; a process in uninterruptible I/O needs time."""


def cores() -> int:
    """How many cores this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def adopt_orphans() -> bool:
    """Become the parent of every descendant whose own parent dies. False where the system cannot do that."""
    return _prctl(_PR_SET_CHILD_SUBREAPER, 1)


def release_orphans() -> None:
    """Adopt no more orphans: a process that goes on after its run is no longer the place for them."""
    _prctl(_PR_SET_CHILD_SUBREAPER, 0)


def die_with_parent() -> bool:
    """Be killed when the process dies that started this one. False where the system cannot do that."""
    parent = os.getppid()
    tied = _prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    if tied and os.getppid() != parent:
        # It died before the system knew.
        os._exit(1)
    return tied


def descendants(root: int | None = None) -> list[int]:
    """The process ids below `root` (default: this process), children first. Empty where there is no /proc."""
    children: dict[int, list[int]] = {}
    for stat in Path("/proc").glob("[0-9]*/stat"):
        with contextlib.suppress(OSError, ValueError, IndexError):
            # The command's name stands in brackets and may hold anything, spaces and brackets too.
            parent = int(stat.read_bytes().rpartition(b")")[2].split()[1])
            children.setdefault(parent, []).append(int(stat.parent.name))
    found: list[int] = []
    level = children.get(os.getpid() if root is None else root, [])
    while level:
        found += level
        level = [child for pid in level for child in children.get(pid, [])]
    return found


def sweep(seconds: float = SWEEP_SECONDS, *, keep: Collection[int] = ()) -> list[int]:
    """Kill every descendant but `keep` and collect it, until none is left; the ids that were left after `seconds`.

    A process forks while it is being killed, so one pass is not enough: after `adopt_orphans` whatever a killed process
    leaves becomes a child of this one and is met in the next pass.
    """
    deadline = time.monotonic() + seconds
    while True:
        left = [pid for pid in descendants() if pid not in keep]
        for pid in left:
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.kill(pid, signal.SIGKILL)
        collected = True
        while collected:
            try:
                collected = os.waitpid(-1, os.WNOHANG)[0] != 0
            except ChildProcessError:
                collected = False
        if not left or time.monotonic() > deadline:
            return left
        time.sleep(0.01)


def _prctl(option: int, value: int) -> bool:
    if sys.platform != "linux":
        return False
    return int(ctypes.CDLL(None).prctl(option, value, 0, 0, 0)) == 0
