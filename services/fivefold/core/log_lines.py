"""Lines that processes print, each as one JSON record: time, level, logger and message first.

What is JSON already keeps its members, with the names that it has for these four replaced: lines of `telemetry`, of Ray
Serve, and of Ray's own processes. Of text the level is read where Ray, Python's logging, librdkafka or our own `error:`
write it, and a traceback becomes one record. Addresses lose what may be secret in them.

Which lines there are is left to whoever runs the process (`commands.json_logs`).
"""

from __future__ import annotations

import datetime as dt
import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from fivefold.core import redact
from fivefold.core.settings import SettingsError

FORMATS = ("text", "json")

LONGEST = 16_384
"""Characters of a message; of a longer one the middle is left out."""


@dataclass(frozen=True)
class LogSettings:
    """How what a process prints is written."""

    log_format: str = "text"
    """`json`: everything that the process and its children print becomes one JSON record a line, on standard output;
    `text`: it is printed as it comes, the records of requests as JSON."""

    def __post_init__(self) -> None:
        if self.log_format not in FORMATS:
            raise SettingsError(f"FIVEFOLD_LOG_FORMAT: expected text or json, got {self.log_format!r}")


_LEVELS = {
    **dict.fromkeys(("D", "DEBUG", "TRACE"), "debug"),
    **dict.fromkeys(("I", "INFO", "NOTICE"), "info"),
    **dict.fromkeys(("W", "WARN", "WARNING"), "warning"),
    **dict.fromkeys(("E", "ERR", "ERROR"), "error"),
    **dict.fromkeys(("F", "C", "FATAL", "CRITICAL", "CRIT", "EMERG", "ALERT"), "critical"),
}
_WORD = r"(?P<level>TRACE|DEBUG|INFO|NOTICE|WARN|WARNING|ERR|ERROR|FATAL|CRITICAL)"
_TIME = r"(?P<time>\d{4}-\d\d-\d\d[T ]\d\d:\d\d:\d\d(?:[.,]\d{1,6})?)"

_AFTER = _TIME.replace("<time>", "<after>")

_FORMS = tuple(
    re.compile(form, re.DOTALL)
    for form in (
        # Ray's C++: [2026-01-31 05:00:00,123 I 12 34] (raylet) main.cc:5: words
        rf"\[{_TIME},? (?P<level>[DIWEFC]) \d+ \d+\] (?:\((?P<logger>[\w.-]+)\) )?(?P<message>.*)",
        # Ray's Python: 2026-01-31 05:00:00,123<tab>INFO scripts.py:5 -- words; Serve: INFO 2026-01-31 … a 5 -- words
        rf"(?:\[?{_TIME}\]?[\s-]+)?(?:\([^()\s]+ pid=\d+\) )?{_WORD}:? (?:{_AFTER} )?(?P<message>\S.*)",
        # librdkafka: %3|1700000000.000|FAIL|name| words
        r"%(?P<level>[0-7])\|\d+(?:\.\d+)?\|[A-Z_]+\|(?P<message>.*)",
        r"(?P<level>error|warning): (?P<message>.*)",
    )
)
_SYSLOG = ("critical", "critical", "critical", "error", "warning", "info", "info", "debug")
_ESCAPE = re.compile(r"\x1b\[[0-9;?]*[A-Za-z]|\x1b\][^\x07\x1b]*(?:\x07|\x1b\\)")
_NANOSECONDS = 1 << 62
"""Times before the year 2116."""

_TRACE = "Traceback (most recent call last):"
_WARNING = re.compile(r"\S+:\d+: \w*Warning: ")


class LogRecords:
    """The lines of one process and its children as records; `fields` are put into each, `logger` where none is said."""

    def __init__(self, logger: str, fields: Mapping[str, str] | None = None) -> None:
        self._logger = logger
        self._fields = dict(fields or {})
        self._trace: list[str] = []

    def feed(self, line: str) -> Iterator[str]:
        """The records that a line, without its end, completes: none within a traceback."""
        text = _ESCAPE.sub("", line.rstrip("\r").rpartition("\r")[2]).rstrip()
        if self._trace:
            within = not text or text[0].isspace()
            if sum(map(len, self._trace)) < LONGEST and (within or not self._is_record(text)):
                self._trace.append(text)
                if not within:
                    yield from self.flush()
                return
            yield from self.flush()
        if text.endswith(_TRACE):
            self._trace.append(text)
        elif text:
            yield self._record(text)

    def flush(self) -> Iterator[str]:
        """The record of a traceback that has no end yet."""
        if self._trace:
            lines, self._trace = self._trace, []
            said = next((line for line in reversed(lines) if line), "")
            exception = _cut(redact.text("\n".join(lines)), LONGEST)
            yield self._write({"level": "error", "message": redact.text(said), "exception": exception})

    @staticmethod
    def _is_record(text: str) -> bool:
        return text.startswith("{") or any(form.match(text) for form in _FORMS[:2])

    def _record(self, text: str) -> str:
        if text.startswith("{"):
            try:
                given = json.loads(text)
            except (ValueError, RecursionError):
                given = None
            if isinstance(given, dict):
                return self._write(_renamed(given))
        return self._write(_read(text))

    def _write(self, given: dict[str, Any]) -> str:
        head = {
            "time": given.pop("time", None) or _text(dt.datetime.now(dt.UTC)),
            "level": given.pop("level", "info"),
            "logger": given.pop("logger", None) or self._logger,
            "message": _cut(str(given.pop("message", "")), LONGEST),
        }
        record = {**head, **self._fields, **{name: value for name, value in given.items() if value not in (None, "")}}
        try:
            return json.dumps(record, ensure_ascii=False, allow_nan=False, default=str)
        except ValueError:
            # A number that JSON has not, in a line that called itself JSON.
            return json.dumps({**head, **self._fields, "line": _cut(repr(given), LONGEST)})


def _renamed(given: dict[str, Any]) -> dict[str, Any]:
    """A record of somebody else's with our names for its time, level, logger and message."""
    out = dict(given)
    level = str(out.pop("levelname", out.pop("level", "info")) or "info")
    out["level"] = _LEVELS.get(level.upper(), level.lower())
    nanoseconds, when = out.pop("timestamp_ns", None), out.pop("asctime", None)
    if isinstance(nanoseconds, int) and 0 <= nanoseconds < _NANOSECONDS:
        out["time"] = _text(dt.datetime.fromtimestamp(nanoseconds / 1e9, dt.UTC))
    elif isinstance(when, str):
        out["time"] = _parsed(when)
    part = out.get("component") or out.get("component_name")
    name = f"ray.{part}" if part else out.pop("name", None)
    out["logger"] = out.get("logger") or name or ("fivefold" if "event" in out else None)
    if "message" not in out and "event" in out:
        out["message"] = ": ".join(str(out[name]) for name in ("event", "error") if out.get(name))
    elif isinstance(out.get("message"), str):
        out["message"] = redact.text(_ESCAPE.sub("", out["message"]))
    return out


def _read(text: str) -> dict[str, Any]:
    """A line of text, with what is known of its level, time and logger."""
    for form in _FORMS:
        found = form.match(text)
        if found is None:
            continue
        parts = found.groupdict()
        level = parts["level"]
        said = _SYSLOG[int(level)] if level.isdigit() else _LEVELS[level.upper()]
        out: dict[str, Any] = {"level": said, "message": redact.text(parts["message"])}
        if when := parts.get("time") or parts.get("after"):
            out["time"] = _parsed(when)
        if parts.get("logger"):
            out["logger"] = f"ray.{parts['logger']}"
        return out
    return {"level": "warning" if _WARNING.match(text) else "info", "message": redact.text(text)}


def _parsed(text: str) -> str | None:
    """A time as processes of this machine write it, in its own time zone."""
    try:
        return _text(dt.datetime.fromisoformat(text.replace(",", ".")).astimezone(dt.UTC))
    except (ValueError, OverflowError):
        return None


def _text(time: dt.datetime) -> str:
    return time.isoformat(timespec="milliseconds").replace("+00:00", "Z")


def _cut(text: str, most: int) -> str:
    return text if len(text) <= most else f"{text[: most // 2]} … {text[-most // 2 :]}"
