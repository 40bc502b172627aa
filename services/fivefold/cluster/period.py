"""The day or the hour whose files a run is for: which one a Job means, and how a command and a label name it.

A run follows what it is for: a Job that is due at some time is for the day before, or for the hour before where its
command names the hour. A Job with the annotation `DATE` says itself what it is for; then its own time means nothing.
"""

from __future__ import annotations

import datetime as dt
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

SCHEDULED = "batch.kubernetes.io/cronjob-scheduled-timestamp"
"""The annotation of a Job that its CronJob made; one that a person made from the CronJob has none."""

DATE = "fivefold.dev/date"
"""The annotation with the day or hour whose files a RayJob, or a Job that a person made, is for."""

_PLACE = re.compile(r"\{(date|year|month|day|hour)\}")
_DAY = re.compile(r"\d{4}-\d{2}-\d{2}", re.ASCII)
_HOUR = re.compile(r"\d{4}-\d{2}-\d{2}T\d{2}", re.ASCII)


@dataclass(frozen=True)
class Period:
    """A day or, with `hourly`, an hour; `start` is its first moment, in the time zone of the schedule."""

    start: dt.datetime
    hourly: bool = False

    @classmethod
    def parse(cls, text: str, zone: dt.tzinfo, *, hourly: bool) -> Period:
        """A day as 2026-01-31, an hour as 2026-01-31T05. Raises `ValueError`."""
        if hourly:
            expected, form, pattern = "an hour, such as 2026-01-31T05", "%Y-%m-%dT%H", _HOUR
        else:
            expected, form, pattern = "a day, such as 2026-01-31", "%Y-%m-%d", _DAY
        try:
            if not pattern.fullmatch(text):
                raise ValueError
            start = dt.datetime.strptime(text, form)
        except ValueError:
            raise ValueError(f"expected {expected}, got {text!r}") from None
        return cls(start.replace(tzinfo=zone), hourly)

    @classmethod
    def is_one(cls, text: str) -> bool:
        """Whether a text is a day or an hour, whichever may be meant."""
        for hourly in (False, True):
            try:
                cls.parse(text, dt.UTC, hourly=hourly)
            except ValueError:
                continue
            return True
        return False

    @classmethod
    def before(cls, due: dt.datetime, zone: dt.tzinfo, *, hourly: bool) -> Period:
        """The one that is over when a run is due."""
        local = due.astimezone(zone)
        if hourly:
            # Of its minutes: a zone's hour may not begin with UTC's.
            return cls((local - dt.timedelta(hours=1)).replace(minute=0, second=0, microsecond=0), hourly)
        midnight = dt.datetime.combine(local.date() - dt.timedelta(days=1), dt.time(), zone)
        return cls(midnight, hourly)

    @property
    def end(self) -> dt.datetime:
        """The first moment that is no more of it, by the clock on the wall."""
        return self.start + (dt.timedelta(hours=1) if self.hourly else dt.timedelta(days=1))

    def __str__(self) -> str:
        day = self.start.date().isoformat()
        return f"{day}T{self.start:%H}" if self.hourly else day

    @property
    def digits(self) -> str:
        """What names of objects may hold of it: 20260131, or 2026013105."""
        return re.sub(r"\D", "", str(self))

    def fill(self, command: str) -> str:
        """A command with {date}, {year}, {month}, {day} and {hour} filled in; other braces are its own."""
        date = self.start.date().isoformat()
        year, month, day = date.split("-")
        words = {"date": date, "year": year, "month": month, "day": day, "hour": f"{self.start:%H}"}
        return _PLACE.sub(lambda found: words[found[1]], command)


def is_hourly(command: str) -> bool:
    """Whether a command names the hour that it is for."""
    return "{hour}" in command


def due(job: Mapping[str, Any]) -> dt.datetime:
    """When a Job was meant to start, in UTC: a late start is for the same day as a punctual one."""
    about = job["metadata"]
    text = annotations_of(job).get(SCHEDULED) or about["creationTimestamp"]
    return dt.datetime.fromisoformat(text).astimezone(dt.UTC)


def annotations_of(item: Mapping[str, Any]) -> Mapping[str, str]:
    """An object's annotations, where it has any."""
    return item["metadata"].get("annotations") or {}


def of_job(job: Mapping[str, Any], zone: dt.tzinfo, *, hourly: bool) -> Period:
    """What a Job is for. Raises `ValueError` where its own annotation is none."""
    given = annotations_of(job).get(DATE)
    if given is not None:
        return Period.parse(given, zone, hourly=hourly)
    return Period.before(due(job), zone, hourly=hourly)
