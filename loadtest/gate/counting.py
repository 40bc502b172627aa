"""Instructions of every hot path, for base and head at the same time, below valgrind's callgrind.

Counts do not depend on what else the machine does, so a small change shows at once. Every path is counted in batches,
and the cheapest batch is what counts: now and then the collector or the model's runtime does something of its own, and
a batch with that costs up to 7 % more. What this hides (work that not every ten requests cause), and what counts cannot
see (waiting, cache misses, the kernel), is left to the paired timing.
"""

from __future__ import annotations

import contextlib
import re
import shutil
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

from loadtest.gate.trees import Tree, with_its_own_script

BATCHES, REQUESTS = 5, 10
"""Batches of each path, and the requests in one: with 10 % injected exactly one of them is handled twice."""

SECONDS = 200.0
"""The longest that counting may take before something is wrong."""

_NAME = re.compile(rb"^desc: Trigger: Client Request: (.+)$", re.MULTILINE)
_TOTAL = re.compile(rb"^totals: (\d+)", re.MULTILINE)


class CannotCount(Exception):
    """There are no counts of a tree; the text says why, in what its program printed last."""

    def __init__(self, tree: Tree, text: str) -> None:
        super().__init__(f"{tree.name}: {text}")
        self.tree = tree.name


class CannotRun(CannotCount):
    """The program itself failed."""


def available() -> bool:
    """Whether valgrind is here."""
    return shutil.which("valgrind") is not None


def dumps(directory: Path) -> dict[str, int]:
    """Path -> instructions of its cheapest batch, from the files that callgrind left in a directory."""
    found: dict[str, list[int]] = {}
    for file in sorted(directory.glob("counts*")):
        data = file.read_bytes()
        name, total = _NAME.search(data), _TOTAL.search(data)
        if name and total:
            found.setdefault(name[1].decode(), []).append(int(total[1]))
    return {path: min(totals) for path, totals in found.items()}


def run(tree: Tree, bundles: Path, slowdown: float = 0.0) -> subprocess.Popen[bytes]:
    """Start counting; what it prints goes to a file beside the counts."""
    directory = counts_directory(tree)
    shutil.rmtree(directory, ignore_errors=True)
    directory.mkdir()
    program = [sys.executable, "-P", str(tree.script), "count", str(bundles)]
    program += ["--batches", str(BATCHES), "--requests", str(REQUESTS)]
    valgrind = ["valgrind", "-q", "--tool=callgrind", "--instr-atstart=no"]
    with (directory / "printed.txt").open("wb") as printed:
        return subprocess.Popen(
            [
                *valgrind,
                f"--callgrind-out-file={directory / 'counts'}",
                *program,
                *("--package", str(tree.services), *tree.injected(slowdown)),
            ],
            stdin=subprocess.DEVNULL,
            stdout=printed,
            stderr=printed,
            env=tree.environment(),
        )


def counts_directory(tree: Tree) -> Path:
    """Where a tree's counts lie."""
    return tree.services.parent.with_name(f"{tree.name}-counts")


def count(trees: Sequence[Tree], bundles: Path, slowdowns: Sequence[float]) -> list[dict[str, int]]:
    """The counts of each tree, one process each at the same time; raises `CannotCount`."""
    with contextlib.ExitStack() as running:
        processes = [run(tree, bundles, slowdown) for tree, slowdown in zip(trees, slowdowns, strict=True)]
        for process in processes:
            running.callback(_end, process)
        return [_collect(tree, process) for tree, process in zip(trees, processes, strict=True)]


def check(tree: Tree, bundles: Path) -> None:
    """Ask everything once, uncounted; raises `CannotRun` where the tree's script cannot drive its package."""
    program = [sys.executable, "-P", str(tree.script), "count", str(bundles), "--batches", "1", "--requests", "1"]
    program += ["--package", str(tree.services)]
    done = subprocess.run(
        program,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        env=tree.environment(),
        text=True,
        errors="replace",
    )
    if done.returncode:
        raise CannotRun(tree, _ended(done.returncode, done.stdout))


def with_a_script_that_runs(base: Tree, bundles: Path) -> Tree:
    """Base with the script that can drive it: head's where that works, so that both are asked the same, otherwise its
    own. Raises `CannotRun`."""
    try:
        check(base, bundles)
    except CannotRun:
        own = with_its_own_script(base)
        if own is None:
            raise
        check(own, bundles)
        return own
    return base


def _collect(tree: Tree, process: subprocess.Popen[bytes]) -> dict[str, int]:
    directory = counts_directory(tree)
    try:
        status = process.wait(SECONDS)
    except subprocess.TimeoutExpired:
        raise CannotCount(tree, f"counting took longer than {SECONDS:.0f} s") from None
    printed = (directory / "printed.txt").read_text(errors="replace").strip()
    if status:
        raise CannotRun(tree, _ended(status, printed))
    counted = dumps(directory)
    if not counted:
        raise CannotCount(tree, "callgrind wrote no counts (its marks are for x86-64)")
    return counted


def _ended(status: int, printed: str) -> str:
    last = "\n".join(printed.strip().splitlines()[-5:])
    return f"the hot path's script ended with status {status}:\n{last}"


def _end(process: subprocess.Popen[bytes]) -> None:
    if process.poll() is None:
        process.kill()
    process.wait()
