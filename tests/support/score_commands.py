"""`fivefold score` as a process of its own, with workers behind it, and a model that takes its time."""

from __future__ import annotations

import contextlib
import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

from fivefold.local import processes
from tests.support.bundles import write_python

SERVICES = Path(__file__).parents[2] / "services"

SLOW = b'''
import time

class Sum:
    """Adds two columns, slowly."""

    def predict(self, columns):
        time.sleep(0.05)
        total = columns["a"] + columns["b"]
        return {"total": total, "label": (total > 0).astype("int64")}
'''

FRAGMENTS = 60


def write_work(home: Path) -> tuple[Path, Path]:
    """A slow model, and a file of about `FRAGMENTS` fragments for `SIZE`."""
    lines = "".join(f"{row % 100},{row % 7}\n" for row in range(100 * FRAGMENTS))
    (home / "a.csv").write_text("a,b\n" + lines)
    return write_python(home / "slow", SLOW).path, home / "a.csv"


SIZE = 480


WORKERS = {"local": 1, "ray": 2}
"""By the engine."""


def line(model: Path, data: Path, output: Path, *more: str, engine: str = "ray") -> list[str]:
    """The command line."""
    words = ["--model", str(model), "--input", str(data), "--output", str(output), "--fragment-bytes", str(SIZE)]
    words += ["--engine", engine, "--workers", str(WORKERS[engine])]
    return [sys.executable, "-m", "fivefold.cli", "score", *words, "--json", *more]


def environment() -> dict[str, str]:
    """Of the package under test, without a cluster."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("RAY_", "FIVEFOLD_"))}
    return kept | {"PYTHONPATH": str(SERVICES)}


@contextlib.contextmanager
def started(words: list[str]) -> Iterator[subprocess.Popen[str]]:
    """A run that goes on in the background; whatever is left of it is killed."""
    processes.adopt_orphans()
    before = processes.descendants()
    process = subprocess.Popen(
        words, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=environment(), start_new_session=True
    )
    try:
        yield process
    finally:
        process.kill()
        process.communicate()
        assert processes.sweep(keep=before) == []


def finish(words: list[str]) -> dict[str, object]:
    """Run to the end, and give the report."""
    done = subprocess.run(words, capture_output=True, text=True, env=environment(), timeout=240)
    assert done.returncode == 0, done.stderr
    report: dict[str, object] = json.loads(done.stdout)
    return report


def until(true: Callable[[], object], seconds: float = 120) -> None:
    """Wait for something that is going to be."""
    deadline = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < deadline
        time.sleep(0.02)


def finished(output: Path) -> int:
    """Fragments that have a record."""
    return max(0, len(list((output / "_ledger").glob("*.json"))) - 1)


def workers(root: int) -> list[int]:
    """The processes below `root` that score."""
    found = []
    for pid in processes.descendants(root):
        with contextlib.suppress(OSError):
            command = Path(f"/proc/{pid}/cmdline").read_bytes()
            if b"TiedWorker" in command or b"fivefold.batch.engine.local_worker" in command:
                found.append(pid)
    return found
