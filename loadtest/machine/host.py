"""A `fivefold serve` of the harness's own, and what it weighs: for runs that need certain models or settings."""

from __future__ import annotations

import contextlib
import os
import re
import subprocess
import sys
import tempfile
import time
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from fivefold.local import processes
from loadtest.machine import programs
from loadtest.machine.measurement import NotMeasured

START_SECONDS: Final = 180.0
END_SECONDS: Final = 60.0
_COMMAND: Final = "import sys; from fivefold.cli import main; sys.exit(main())"


class NotServed(NotMeasured):
    """The host did not start; the text is what it printed."""


@dataclass(frozen=True)
class ReplicaWeight:
    """What a replica holds: resident bytes, and open handles."""

    resident: int
    handles: int


@dataclass(frozen=True)
class Host:
    """A host that answers."""

    url: str
    grpc: str
    process: subprocess.Popen[bytes]

    def replica(self) -> int:
        """The process that holds the model."""
        for pid in processes.descendants(self.process.pid):
            with contextlib.suppress(OSError):
                if Path(f"/proc/{pid}/cmdline").read_bytes().startswith(b"ray::ServeReplica"):
                    return pid
        raise NotServed("the host has no replica any more")

    def weigh(self) -> ReplicaWeight:
        """The replica's weight now."""
        pid = self.replica()
        found = re.search(r"VmRSS:\s+(\d+) kB", Path(f"/proc/{pid}/status").read_text())
        assert found is not None
        return ReplicaWeight(int(found[1]) * 1024, sum(1 for _ in Path(f"/proc/{pid}/fd").iterdir()))


@contextlib.contextmanager
def pinned(cores: Collection[int]) -> Iterator[None]:
    """What is started within this `with` runs on these cores alone, and everything that it starts; all where empty."""
    before = os.sched_getaffinity(0)
    os.sched_setaffinity(0, cores or before)
    try:
        yield
    finally:
        os.sched_setaffinity(0, before)


def halves() -> tuple[list[int], list[int]]:
    """The cores of a server under load, and those of what loads it; both empty where there is only one.

    A generator that takes the server's cores at the very moment of an overload measures itself.
    """
    cores = sorted(os.sched_getaffinity(0))
    middle = len(cores) // 2
    return cores[:middle], cores[middle:] if middle else []


@contextlib.contextmanager
def served(
    bundles: Sequence[Path],
    settings: Mapping[str, str],
    cores: Collection[int] = (),
    *,
    words: Sequence[str] = (),
    patience: float = START_SECONDS,
) -> Iterator[Host]:
    """A host of these bundles on free ports, for the length of a `with`; `settings` by the names of their variables,
    `words` are further ones of its command line. It has `patience` seconds to start.

    It runs on `cores` alone where there are any.

    Raises `NotServed`.
    """
    program = [sys.executable, "-P", "-c", _COMMAND, "serve", "--http", "127.0.0.1:0", "--grpc", "127.0.0.1:0"]
    program += [*words, *(part for bundle in bundles for part in ("--model", str(bundle)))]
    with tempfile.TemporaryFile() as output:
        with pinned(cores):
            process = subprocess.Popen(
                program,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                env=programs.direct() | dict(settings) | {"PYTHONUNBUFFERED": "1"},
                start_new_session=True,
            )
        try:
            deadline = time.monotonic() + patience
            while True:
                output.seek(0)
                said = output.read().decode(errors="replace")
                if "Ctrl-C stops it" in said:
                    break
                if process.poll() is not None or time.monotonic() > deadline:
                    raise NotServed(said[-2000:])
                time.sleep(0.1)
            rest, grpc = re.search(r"REST\s+(http://[^/\s]+)", said), re.search(r"gRPC\s+(\S+)", said)
            assert rest is not None
            assert grpc is not None
            yield Host(rest[1], grpc[1], process)
        finally:
            process.terminate()
            try:
                process.wait(END_SECONDS)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
