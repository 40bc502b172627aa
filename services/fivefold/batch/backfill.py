"""Backfill: one run a day, some at a time, each by a process of its own; what is done is read from the outputs.

So a backfill that is stopped or dies goes on where it was, and its table tells the truth however often it was started.
A day's run is what `fivefold score` does; a day that fails does not keep the others from being done.
"""

from __future__ import annotations

import datetime as dt
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import IO

from fivefold.batch.status import status
from fivefold.core.errors import FivefoldError, NotFound

POLL_SECONDS = 0.2


@dataclass(frozen=True, slots=True)
class Day:
    """One partition and what is known of it. `state` is one of `waiting`, `running`, `published`, `unfinished`,
    `failed`, `no input`."""

    name: str
    state: str
    rows: int = 0
    scored: int = 0
    quarantined: int = 0
    seconds: float = 0.0
    error: str = ""


def days(first: str, last: str) -> list[str]:
    """The days from `first` to `last`, both included, as YYYY-MM-DD; raises `ValueError`."""
    start, end = dt.date.fromisoformat(first), dt.date.fromisoformat(last)
    if end < start:
        raise ValueError(f"{last} is before {first}")
    return [(start + dt.timedelta(days=n)).isoformat() for n in range((end - start).days + 1)]


def filled(text: str, partition: str, value: str) -> str:
    """A path with `{partition}` replaced."""
    return text.replace(f"{{{partition}}}", value)


def look(name: str, output: str, *, clear: bool = False) -> Day:
    """What the output place says of a day."""
    try:
        found = status(output, clear=clear)
    except NotFound:
        return Day(name, "waiting")
    seconds = found.report["seconds"] if found.report else 0.0
    return Day(name, found.state, found.rows, found.scored, found.quarantined, seconds)


class Backfill:
    """Runs days by `command`, a command line with `{partition}` in it, whose output place is `output`."""

    def __init__(
        self,
        names: Sequence[str],
        command: Sequence[str],
        output: str,
        *,
        partition: str,
        max_parallel: int,
        only_missing: bool,
        clear: bool,
        log: IO[str],
        stopped: Callable[[], bool] = lambda: False,
    ) -> None:
        self._command, self._output, self._partition = tuple(command), output, partition
        self._parallel, self._only_missing, self._clear = max_parallel, only_missing, clear
        self._log, self._stopped = log, stopped
        self.days = {name: self._look(name) for name in names}

    def run(self) -> bool:
        """Do the days that are not done; whether all of them are, at the end."""
        waiting = [name for name, day in self.days.items() if not (self._only_missing and day.state == "published")]
        running: dict[str, subprocess.Popen[str]] = {}
        try:
            while (waiting and not self._stopped()) or running:
                while waiting and len(running) < self._parallel and not self._stopped():
                    name = waiting.pop(0)
                    running[name] = self._start(name)
                    self._say(replace(self.days[name], state="running"))
                for name, day in self._ended(running):
                    del running[name]
                    self._say(day)
                time.sleep(POLL_SECONDS)
        finally:
            for process in running.values():
                process.terminate()
            for process in running.values():
                process.wait()
        return all(day.state in ("published", "no input") for day in self.days.values())

    def _start(self, name: str) -> subprocess.Popen[str]:
        words = [filled(word, self._partition, name) for word in self._command]
        return subprocess.Popen(  # noqa: S603  # our own interpreter and module
            [sys.executable, "-m", "fivefold.cli", *words],
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            text=True,
            # Ctrl-C reaches the whole foreground group: this process passes it on when it is time.
            start_new_session=True,
        )

    def _ended(self, running: dict[str, subprocess.Popen[str]]) -> Iterator[tuple[str, Day]]:
        for name, process in list(running.items()):
            if self._stopped():
                process.terminate()
            try:
                _, said = process.communicate(timeout=0.05)
            except subprocess.TimeoutExpired:
                continue
            day = self._look(name)
            if process.returncode:
                sentence = next((line for line in said.splitlines() if line.startswith("error: ")), "")
                error = sentence.removeprefix("error: ") or f"exit status {process.returncode}"
                day = replace(day, state="no input" if "no file matches" in error else "failed", error=error)
            yield name, day

    def _look(self, name: str) -> Day:
        try:
            return look(name, filled(self._output, self._partition, name), clear=self._clear)
        except FivefoldError as error:
            return Day(name, "failed", error=str(error))

    def _say(self, day: Day) -> None:
        self.days[day.name] = day
        print(row(day), file=self._log, flush=True)


HEAD = f"{'day':<12}{'state':<12}{'rows':>12}{'scored':>12}{'quarantined':>13}{'seconds':>9}"


def row(day: Day) -> str:
    """A line of the table."""
    text = (
        f"{day.name:<12}{day.state:<12}{day.rows:>12,}{day.scored:>12,}{day.quarantined:>13,}{day.seconds:>9.1f}"
        f"  {day.error}"
    )
    return text.rstrip()
