"""A measurement as a command: where it puts what it makes, what it says beside its tables, and how it ends.

The exit status of one that has come to its figures is its own to decide.
"""

from __future__ import annotations

import argparse
import contextlib
import functools
import random
import shutil
import signal
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Final, ParamSpec

from fivefold.local import processes

NOT_MEASURED: Final = 2
INTERRUPTED: Final = 130

P = ParamSpec("P")


class NotMeasured(Exception):
    """There are no figures: the sentence says why, `help` what to do, where something can be done."""

    def __init__(self, message: str, help: str = "") -> None:
        super().__init__(message)
        self.help = help


class Failed(NotMeasured):
    """A program that did not do what it was asked; the text has the end of its output."""


class Differs(NotMeasured):
    """Programs that give other answers to the same rows, or run other versions: they cannot be compared."""


def run_command(parser: argparse.ArgumentParser, arguments: Sequence[str] | None) -> int:
    """Parse a command line whose commands have their functions as `run`, and run the one that it names."""
    given = parser.parse_args(arguments)
    ready()
    status: int = given.run(given)
    return status


def exits(*, not_measured: int = NOT_MEASURED) -> Callable[[Callable[P, int]], Callable[P, int]]:
    """Makes a `main` turn `NotMeasured` into a sentence and that status, and Ctrl-C into 130."""

    def decorated(main: Callable[P, int]) -> Callable[P, int]:
        @functools.wraps(main)
        def ended(*args: P.args, **kwargs: P.kwargs) -> int:
            began = time.monotonic()
            try:
                return main(*args, **kwargs)
            except KeyboardInterrupt:
                say(f"\nstopped after {time.monotonic() - began:.0f} s; nothing was written")
                return INTERRUPTED
            except NotMeasured as error:
                say(f"error: {error}")
                if error.help:
                    say(f"help: {error.help}")
                return not_measured

        return ended

    return decorated


@contextlib.contextmanager
def hint(help: str) -> Iterator[None]:
    """What goes wrong in this `with` has this help, unless it has its own."""
    try:
        yield
    except NotMeasured as error:
        error.help = error.help or help
        raise


def end_on_sigterm() -> None:
    """Let SIGTERM mean what Ctrl-C does: what was started is ended before this process is."""
    signal.signal(signal.SIGTERM, _interrupted)


def _interrupted(_signum: int, _frame: object) -> None:
    raise KeyboardInterrupt


def ready() -> None:
    """Whatever this process starts, and whatever that leaves, is ended by `processes.sweep`; SIGTERM is Ctrl-C."""
    end_on_sigterm()
    processes.adopt_orphans()


@contextlib.contextmanager
def scratch(parent: Path, prefix: str) -> Iterator[Path]:
    """A directory for outputs, on the inputs' own disk rather than in a temporary one that may be memory.

    When the `with` ends, so does everything that was started in it, and the directory is gone.
    """
    parent.mkdir(parents=True, exist_ok=True)
    directory = Path(tempfile.mkdtemp(prefix=prefix, dir=parent))
    try:
        yield directory
    finally:
        processes.sweep()
        shutil.rmtree(directory, ignore_errors=True)


def say(line: str) -> None:
    """A line to the terminal, beside the tables on standard output."""
    print(line, file=sys.stderr, flush=True)


def seed(given: int | None) -> int:
    """The seed that was asked for, or one that is drawn: whoever prints it can ask for the same again."""
    return given if given is not None else random.randrange(10_000)


def positive(text: str) -> int:
    """A number of at least 1, as an argument."""
    value = int(text.replace("_", ""))
    if value < 1:
        raise argparse.ArgumentTypeError("expected a number of at least 1")
    return value
