"""Backfill: one run a day, some at a time, each by a process of its own; what is done is read from the outputs.

So a backfill that is stopped or dies goes on where it was, and its table is true however often it was started.
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

from fivefold.batch.storage.sources import find
from fivefold.batch.tools.status import status
from fivefold.core.errors import FivefoldError, NotFound

POLL_SECONDS = 0.2

NO_INPUT = "no input"
OTHER_RUN = "other run"
DONE = ("published", OTHER_RUN)
"""States of days that `--only-missing` leaves alone."""

MISSING = 3
"""Exit status of a backfill that has found nothing to do."""

WORST = (1, 4, 3, 2, 5)
"""Exit statuses, the one that speaks for several days first."""


@dataclass(frozen=True, slots=True)
class Day:
    """One partition and what is known of it. `state` is one of `waiting`, `running`, `published`, `unfinished`,
    `failed`, `no input`, `other run` (published, and by another bundle)."""

    name: str
    state: str
    rows: int = 0
    scored: int = 0
    quarantined: int = 0
    seconds: float = 0.0
    error: str = ""
    status: int = 0
    """The exit status of what became of it now."""


def days(first: str, last: str) -> list[str]:
    """The days from `first` to `last`, both included, as YYYY-MM-DD; raises `ValueError`."""
    start, end = dt.date.fromisoformat(first), dt.date.fromisoformat(last)
    if end < start:
        raise ValueError(f"{last} is before {first}")
    return [(start + dt.timedelta(days=n)).isoformat() for n in range((end - start).days + 1)]


def filled(text: str, partition: str, value: str) -> str:
    """A path with `{partition}` replaced."""
    return text.replace(f"{{{partition}}}", value)


def day_of(name: str, output: str, *, allow_http: bool = False, bundle: str = "") -> Day:
    """What the output says of a day; `bundle` is the digest of the one that is asked for, if it matters."""
    try:
        found = status(output, allow_http=allow_http)
    except NotFound:
        return Day(name, "waiting")
    seconds, state, error = 0.0, found.state, ""
    if found.report:
        seconds = found.report["seconds"]
        if bundle and found.report["bundle"] != bundle:
            state, error = OTHER_RUN, f"{output} is published by the bundle {found.report['bundle']}"
    status_code = MISSING if error else 0
    return Day(name, state, found.rows, found.scored, found.quarantined, seconds, error, status_code)


class Backfill:
    """Runs days by `command`, a command line with `{partition}` in it, whose output is `output`."""

    def __init__(
        self,
        names: Sequence[str],
        command: Sequence[str],
        output: str,
        *,
        partition: str,
        max_parallel: int,
        only_missing: bool,
        allow_http: bool,
        log: IO[str],
        stopped: Callable[[], bool] = lambda: False,
        inputs: Sequence[str] = (),
        bundle: str = "",
    ) -> None:
        """`inputs` are the patterns of files with `{partition}` in them, by which a day without any is known before it
        is started; without them its run says so. A day that another bundle than the one of that digest has published
        is not done."""
        self._command, self._output, self._partition = tuple(command), output, partition
        self._parallel, self._only_missing, self._allow_http = max_parallel, only_missing, allow_http
        self._log, self._stopped, self._inputs = log, stopped, tuple(inputs)
        self._bundle = bundle
        self.days = {name: self._day(name) for name in names}

    def run(self) -> bool:
        """Do the days that are not done; whether all of them are, at the end."""
        waiting = [name for name, day in self.days.items() if not (self._only_missing and day.state in DONE)]
        running: dict[str, subprocess.Popen[str]] = {}
        try:
            while (waiting and not self._stopped()) or running:
                while waiting and len(running) < self._parallel and not self._stopped():
                    name = waiting.pop(0)
                    if self._has_no_input(name):
                        self._print(replace(self.days[name], state=NO_INPUT, status=MISSING))
                        continue
                    running[name] = self._start(name)
                    self._print(replace(self.days[name], state="running"))
                for name, day in self._ended(running):
                    del running[name]
                    self._print(day)
                if running:
                    time.sleep(POLL_SECONDS)
        finally:
            for process in running.values():
                process.terminate()
            for process in running.values():
                process.wait()
        return all(day.state in ("published", NO_INPUT) for day in self.days.values())

    def status(self, *, fail_on_missing: bool) -> int:
        """The exit status: of the worst day, where one has failed; 3 where no day has input, or one has none and that
        is not allowed."""
        found = {day.status or 1 for day in self.days.values() if day.state not in ("published", NO_INPUT)}
        if found:
            return next((status for status in WORST if status in found), 1)
        missing = [day for day in self.days.values() if day.state == NO_INPUT]
        return MISSING if missing and (fail_on_missing or len(missing) == len(self.days)) else 0

    def _has_no_input(self, name: str) -> bool:
        """Whether a day has no file; what else is wrong with its input, its run will say."""
        if not self._inputs:
            return False
        try:
            find([filled(pattern, self._partition, name) for pattern in self._inputs], allow_http=self._allow_http)
        except NotFound:
            return True
        except FivefoldError:
            return False
        return False

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
                _, stderr = process.communicate(timeout=0.05)
            except subprocess.TimeoutExpired:
                continue
            day = self._day(name)
            if process.returncode:
                sentence = next((line for line in stderr.splitlines() if line.startswith("error: ")), "")
                error = sentence.removeprefix("error: ") or f"exit status {process.returncode}"
                nothing = error.startswith("no file matches")
                day = replace(day, state=NO_INPUT if nothing else "failed", error=error, status=process.returncode)
            yield name, day

    def _day(self, name: str) -> Day:
        try:
            return day_of(
                name, filled(self._output, self._partition, name), allow_http=self._allow_http, bundle=self._bundle
            )
        except FivefoldError as error:
            return Day(name, "failed", error=str(error), status=MISSING)

    def _print(self, day: Day) -> None:
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
