"""Lines of `kubectl logs --prefix` for a person: of a JSON record time, level, logger, message, then the rest."""

from __future__ import annotations

import json
import re
import sys

_PREFIX = re.compile(r"(\[\S+\] )?(.*)", re.DOTALL)
_SHOWN = ("time", "level", "logger", "message", "pod", "exception")


def shown(line: str) -> str:
    """One line as a person reads it; what is no record stays as it is."""
    found = _PREFIX.fullmatch(line.rstrip("\n"))
    assert found is not None
    prefix, text = found[1] or "", found[2]
    try:
        record = json.loads(text) if text.startswith("{") else None
    except ValueError:
        record = None
    if not isinstance(record, dict) or not {"time", "level", "message"} <= record.keys():
        return prefix + text
    rest = " ".join(f"{name}={value}" for name, value in record.items() if name not in _SHOWN)
    words = (str(record["time"])[11:23], f"{record['level']:<8}", record.get("logger"), record["message"], rest)
    line = prefix + " ".join(str(word) for word in words if word not in (None, ""))
    return f"{line}\n{record['exception']}" if record.get("exception") else line


def main() -> None:
    """Standard input to standard output, line by line."""
    for line in sys.stdin:
        print(shown(line), flush=True)


if __name__ == "__main__":
    main()
