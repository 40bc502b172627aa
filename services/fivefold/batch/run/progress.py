"""What is seen of a run: a bar on a terminal, JSON lines elsewhere, and Prometheus metrics in a file or a gateway.

Everything is computed from the ledger's records, so it speaks of rows that are finished. The metrics' names are those
of `fivefold.core.telemetry`.
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

import msgspec

from fivefold.batch.output.ledger import Record
from fivefold.batch.plan.planning import Plan
from fivefold.core import atomic, redact
from fivefold.core.errors import first_line

BAR_SECONDS, LINE_SECONDS = 1.0, 10.0
"""Between two looks of a person, and two lines of a log."""

BAR_CELLS = 24
PUSH_SECONDS = 10.0


@dataclass(frozen=True, slots=True)
class State:
    """How far a run is. `total` is None where only reading will tell the rows; `left` are seconds, None if unknown."""

    fragments: int
    of: int
    rows: int
    total: int | None
    quarantined: int
    rows_per_second: float
    left: float | None

    def to_json(self) -> dict[str, Any]:
        """As an event's fields."""
        return {
            "fragments": self.fragments,
            "of": self.of,
            "rows": self.rows,
            "rows_total": self.total,
            "quarantined": self.quarantined,
            "rows_per_second": round(self.rows_per_second),
            "seconds_left": None if self.left is None else round(self.left, 1),
        }


def state(plan: Plan, records: Mapping[str, Record], fresh_rows: int, seconds: float) -> State:
    """How far a run is, of whose rows `fresh_rows` were finished in the last `seconds`."""
    rows = sum(record.rows for record in records.values())
    speed = fresh_rows / seconds if seconds > 0 else 0.0
    total = plan.rows
    left = (total - rows) / speed if total is not None and speed else None
    bad = sum(record.quarantined for record in records.values())
    return State(len(records), len(plan.fragments), rows, total, bad, speed, left)


class Progress:
    """Shows one run's progress, every second or every few."""

    def __init__(self, plan: Plan, out: IO[str], metrics: str = "") -> None:
        self._plan, self._out = plan, out
        self._bar = out.isatty()
        self._metrics = Metrics(plan, metrics) if metrics else None
        self._metrics_failed = ""
        self._begun = self._shown = time.monotonic()
        self._fresh = 0
        self._unended = False
        self._is_working = False

    def working(self) -> None:
        """The workers have started: speed is counted from here."""
        self._begun, self._is_working = time.monotonic(), True

    def event(self, name: str, **rest: Any) -> None:
        """One line about something that happened."""
        if self._bar:
            shown = ", ".join(f"{key.replace('_', ' ')} {_word(value)}" for key, value in rest.items() if value)
            self._out.write(f"\r\x1b[K{name.replace('_', ' ')}{': ' if shown else ''}{shown}\n")
            self._unended = False
        else:
            self._line(name, rest)
        self._out.flush()

    def finished(self, record: Record, records: Mapping[str, Record]) -> None:
        """One more fragment."""
        self._fresh += record.rows
        self.show(records)

    def show(self, records: Mapping[str, Record], *, last: bool = False) -> None:
        """Show how far it is, if it is time."""
        now = time.monotonic()
        if not last and now - self._shown < (BAR_SECONDS if self._bar else LINE_SECONDS):
            return
        self._shown = now
        found = state(self._plan, records, self._fresh, now - self._begun)
        if self._bar:
            waited = f"starting workers, {clock(now - self._begun)}"
            self._out.write(f"\r\x1b[K{bar(found) if self._is_working or last else waited}")
            self._unended = True
        else:
            self._line("progress", found.to_json())
        self._out.flush()
        if self._metrics is not None:
            self._metrics.show(found, last=last)
            failed, before = self._metrics.failed, self._metrics_failed
            self._metrics_failed = failed
            if failed and failed != before:
                self.event("metrics_failed", reason=failed)

    def end(self) -> None:
        """Nothing more is shown: what is written next stands on a line of its own."""
        if self._unended:
            self._out.write("\n")
            self._out.flush()
            self._unended = False

    def _line(self, event: str, rest: Mapping[str, Any]) -> None:
        line = {"event": event, "run_id": self._plan.run_id[:16], **rest}
        self._out.write(msgspec.json.encode(line).decode("utf-8", "backslashreplace") + "\n")


def _word(value: Any) -> str:
    if isinstance(value, list):
        return ", ".join(map(str, value))
    return f"{value:,}" if isinstance(value, int) else str(value)


def bar(state: State) -> str:
    """One line for a terminal."""
    share = state.fragments / state.of if state.of else 1.0
    full = round(share * BAR_CELLS)
    left = "" if state.left is None else f", {clock(state.left)} left"
    total = "" if state.total is None else f" of {state.total:,}"
    refused = f", {state.quarantined:,} quarantined" if state.quarantined else ""
    return (
        f"[{'█' * full}{'·' * (BAR_CELLS - full)}] {share:4.0%}  {state.rows:,}{total} rows, "
        f"{state.rows_per_second:,.0f} rows/s{left}{refused}"
    )


def clock(seconds: float) -> str:
    """Seconds as a person reads them."""
    whole = round(seconds)
    hours, minutes = whole // 3600, whole // 60 % 60
    return f"{hours} h {minutes:02} min" if hours else f"{minutes} min {whole % 60:02} s" if minutes else f"{whole} s"


class Metrics:
    """The run's metrics, written to a textfile or pushed to a gateway; what fails there never fails the run."""

    def __init__(self, plan: Plan, target: str) -> None:
        from fivefold.core.telemetry import Telemetry

        facts = plan.facts
        self._target = target
        self._telemetry = Telemetry("batch", log_sample=0)
        model, version = facts["model"], facts["version"]
        self._counters = self._telemetry.counters("files", model, version, facts["bundle"])
        self._telemetry.bundle(
            model=model, version=version, bundle=facts["bundle"], contract=facts["contract"], runtime=""
        )
        self._left = 0
        self._telemetry.inflight(lambda: self._left)
        self._job = f"batch-{plan.run_id[:16]}"
        self._pushed = 0.0
        self.failed = ""
        """Why the last ones could not be written or pushed, and where to; empty where they were."""

    def show(self, state: State, *, last: bool) -> None:
        """Write or push what is finished."""
        if not last and time.monotonic() - self._pushed < PUSH_SECONDS:
            return
        self._pushed = time.monotonic()
        self._left = state.of - state.fragments
        self._counters.rows.update(scored=state.rows - state.quarantined, refused=state.quarantined)
        self._counters.codes["ok"] = state.fragments
        # As loaded as `Telemetry`.
        import urllib.error
        import urllib.request

        body, media_type = self._telemetry.expose()
        try:
            if "://" in self._target:
                url = f"{self._target.rstrip('/')}/metrics/job/{self._job}"
                request = urllib.request.Request(url, body, {"content-type": media_type}, method="PUT")  # noqa: S310  # the user's own address
                urllib.request.urlopen(request, timeout=5).close()  # noqa: S310
            else:
                atomic.replace_file(Path(self._target), body)
        except (OSError, ValueError, urllib.error.URLError) as err:
            self.failed = redact.text(f"{self._target}: {first_line(err)}")
        else:
            self.failed = ""
