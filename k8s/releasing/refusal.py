"""How a release fails: with a sentence, and a way on."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Sequence
from pathlib import Path


class ReleaseRefused(Exception):
    """What is not released, and `help`: what to do about it."""

    def __init__(self, message: str, help: str) -> None:
        super().__init__(message)
        self.help = help


class ProgramMissing(ReleaseRefused):
    """A program that a release needs is not on this machine."""


def run(words: Sequence[str | Path], cwd: Path | None = None) -> str:
    """What a program prints; raises `ReleaseRefused` with its last words where it fails."""
    program = str(words[0])
    if shutil.which(program) is None:
        raise ProgramMissing(f"{program} is not on PATH", "make doctor says what is missing, and where to get it")
    done = subprocess.run([str(word) for word in words], cwd=cwd, capture_output=True, text=True, check=False)  # noqa: S603  # ours
    if done.returncode != 0:
        said = (done.stderr or done.stdout).strip().splitlines()
        raise ReleaseRefused(
            f"{program} failed: {said[-1] if said else f'exit {done.returncode}'}",
            " ".join(str(word) for word in words),
        )
    return done.stdout
