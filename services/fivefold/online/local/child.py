"""A process of a run's own that takes one order and reports how it gets on, in JSON lines.

The order comes on its standard input, the reports leave on a descriptor that it is told as its last argument; what it
prints goes to a file. What it is to do, and what its reports mean, is left to who starts it.
"""

from __future__ import annotations

import contextlib
import json
import os
import selectors
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import IO, Any

TURN_SECONDS = 1.0
"""At least so often whoever waits for a report may do something else."""

OUTPUT_CHARACTERS = 4000
"""How many of the last characters that it printed are told."""


class Ended(Exception):
    """It has ended, or closed its reports, before it said what was waited for."""


class Child:
    """A running `python -m MODULE`. It is a leader of its own session: a terminal's Ctrl-C does not reach it."""

    def __init__(self, module: str, log: Path, environment: Mapping[str, str]) -> None:
        """Start it; raises `OSError`."""
        self._log = log
        read, write = os.pipe()
        self._reports: IO[bytes] = os.fdopen(read, "rb", buffering=0)
        try:
            with log.open("wb") as printed:
                self.process = subprocess.Popen(  # noqa: S603  # our own interpreter and module
                    [sys.executable, "-m", module, str(write)],
                    stdin=subprocess.PIPE,
                    stdout=printed,
                    stderr=printed,
                    pass_fds=(write,),
                    env=dict(environment),
                    start_new_session=True,
                )
        except BaseException:
            self._reports.close()
            raise
        finally:
            os.close(write)

    def order(self, line: str) -> None:
        """Tell it what to do."""
        assert self.process.stdin is not None
        with contextlib.suppress(BrokenPipeError):
            self.process.stdin.write(line.encode() + b"\n")
            self.process.stdin.flush()

    def dismiss(self) -> None:
        """Tell it that nothing more will come."""
        assert self.process.stdin is not None
        with contextlib.suppress(OSError):
            self.process.stdin.close()

    def report(self, until: float | None, wake: int, turn: Callable[[], None]) -> dict[str, Any] | None:
        """The next report, or None when it is `until` (`time.monotonic`; None: whenever it comes).

        `turn` is called at least every `TURN_SECONDS` and whenever the descriptor `wake` can be read; what it raises
        ends the wait. Raises `Ended`.
        """
        line = b""
        with selectors.DefaultSelector() as selector:
            selector.register(self._reports, selectors.EVENT_READ)
            selector.register(wake, selectors.EVENT_READ)
            while not line.endswith(b"\n"):
                left = TURN_SECONDS if until is None else min(TURN_SECONDS, until - time.monotonic())
                ready = selector.select(max(0.0, left))
                reported = any(key.fileobj is self._reports for key, _ in ready)
                if not reported or len(ready) > 1:
                    turn()
                if reported:
                    byte = self._reports.read(1)
                    if not byte:
                        raise Ended
                    line += byte
                elif until is not None and time.monotonic() >= until:
                    return None
        report: dict[str, Any] = json.loads(line)
        return report

    def output(self) -> str:
        """The end of what it has printed, as the end of a sentence; empty where it printed nothing."""
        try:
            output = self._log.read_text(encoding="utf-8", errors="replace")[-OUTPUT_CHARACTERS:].strip()
        except OSError:
            return ""
        return f":\n{output}" if output else ""

    def how(self) -> str:
        """How it has ended, in words."""
        try:
            status = self.process.wait(5)
        except subprocess.TimeoutExpired:
            return "it closed what it had open"
        return f"exit status {status}" if status >= 0 else signal.Signals(-status).name

    def close(self) -> None:
        """Let go of it. Whoever started it has ended it."""
        self.dismiss()
        self._reports.close()
        self.process.poll()
