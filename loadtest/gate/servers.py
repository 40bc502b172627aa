"""Base and head as servers, each with its CPU time: under uvicorn in one process, or as a whole `fivefold serve`.

A server is pinned to one core and the generator to the others where there are several. Both servers live at the same
time and only one is asked at a time. Each ends with its standard input, so none outlives the gate.
"""

from __future__ import annotations

import contextlib
import json
import os
import re
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from fivefold.local import processes
from loadtest.gate.trees import Tree
from loadtest.hotpath import ONE_FIELD, THIRTY_FIELDS

START_SECONDS = 180.0

_COMMAND = "import sys; from fivefold.cli import main; sys.exit(main())"


@dataclass(frozen=True)
class Server:
    """A server that answers: its address and its first process."""

    address: tuple[str, int]
    process: subprocess.Popen[bytes]

    def cpu(self) -> float:
        """The CPU seconds of its processes so far, kernel's share included, to the nanosecond."""
        total = 0.0
        for pid in (self.process.pid, *processes.descendants(self.process.pid)):
            # A process that ends between two readings takes its seconds along; none does while it is asked.
            with contextlib.suppress(OSError):
                total += time.clock_gettime(_cpu_clock(pid))
        return total


def _cpu_clock(pid: int) -> int:
    """Linux's number for the CPU clock of a whole process (clock_getcpuclockid(3))."""
    return (~pid << 3) | 2


Start = Callable[[Tree, Path, float], "contextlib.AbstractContextManager[Server]"]


@contextlib.contextmanager
def pinned(cores: set[int]) -> Iterator[None]:
    """This process, and what it starts meanwhile, on these cores."""
    before = os.sched_getaffinity(0)
    os.sched_setaffinity(0, cores)
    try:
        yield
    finally:
        os.sched_setaffinity(0, before)


def share_out() -> tuple[set[int], set[int]]:
    """The cores of the servers and of the generator: one and the others, or the same where there is but one."""
    cores = sorted(os.sched_getaffinity(0))
    return ({cores[-1]}, set(cores[:-1])) if len(cores) > 1 else (set(cores), set(cores))


@contextlib.contextmanager
def under_uvicorn(tree: Tree, bundles: Path, slowdown: float) -> Iterator[Server]:
    """The application in one process, as `hotpath serve` runs it."""
    program = [sys.executable, "-P", str(tree.script), "serve", str(bundles), *tree.injected(slowdown)]
    with _started([*program, "--package", str(tree.services)], tree) as (process, printed):
        line = _until(process, printed, re.compile(r"^(\{.*\})$", re.MULTILINE))
        yield Server(("127.0.0.1", json.loads(line)["port"]), process)


@contextlib.contextmanager
def as_a_host(tree: Tree, bundles: Path, slowdown: float) -> Iterator[Server]:
    """`fivefold serve` with Ray Serve and its proxy. Raises `ValueError` for a slowdown."""
    if slowdown:
        raise ValueError("a slowdown can be injected under uvicorn alone")
    models = [part for name in (ONE_FIELD, THIRTY_FIELDS) for part in ("--model", str(bundles / name))]
    program = [sys.executable, "-P", "-c", _COMMAND, "serve", *models, "--http", "127.0.0.1:0", "--grpc", "127.0.0.1:0"]
    with _started(program, tree) as (process, printed):
        _until(process, printed, re.compile(r"(Ctrl-C stops it)"))
        host, _, port = _until(process, printed, re.compile(r"REST\s+http://([^/\s]+)")).rpartition(":")
        yield Server((host, int(port)), process)


@contextlib.contextmanager
def _started(program: list[str], tree: Tree) -> Iterator[tuple[subprocess.Popen[bytes], list[str]]]:
    """A program whose output is read in a thread, so that it never waits for us."""
    process = subprocess.Popen(
        program,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        env=tree.environment() | {"PYTHONUNBUFFERED": "1"},
    )
    printed: list[str] = []
    assert process.stdout is not None
    assert process.stdin is not None
    reading = threading.Thread(target=_read, args=(process, printed), daemon=True)
    reading.start()
    try:
        yield process, printed
    finally:
        process.stdin.close()
        process.send_signal(signal.SIGTERM)
        try:
            process.wait(60)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
        reading.join(10)
        process.stdout.close()


def _read(process: subprocess.Popen[bytes], printed: list[str]) -> None:
    assert process.stdout is not None
    printed.extend(line.decode(errors="replace") for line in process.stdout)


def _until(process: subprocess.Popen[bytes], printed: list[str], wanted: re.Pattern[str]) -> str:
    deadline = time.monotonic() + START_SECONDS
    while True:
        text = "".join(list(printed))
        found = wanted.search(text)
        if found:
            return found[1]
        if process.poll() is not None or time.monotonic() > deadline:
            raise RuntimeError(f"a server did not start (exit {process.poll()}):\n{text[-2000:]}")
        time.sleep(0.02)
