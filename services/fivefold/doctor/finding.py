"""A finding of the doctor: one thing that was looked at."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any, Literal

Verdict = Literal["ok", "warn", "missing"]


@dataclass(frozen=True, slots=True)
class Finding:
    """`says` is what was found, `need` what it is for, `help` how to get it. `missing` means that something fails."""

    name: str
    verdict: Verdict
    says: str
    need: str = ""
    help: str = ""

    def to_json(self) -> dict[str, Any]:
        return {
            "name": self.name,
            "verdict": self.verdict,
            "says": self.says,
            "need": self.need,
            "help": self.help,
        }


def version_of(text: str) -> tuple[int, int, int] | None:
    """The first `1.2` or `1.2.3` in a text, with or without a `v`; None where there is none."""
    match = re.search(r"v?(\d+)\.(\d+)(?:\.(\d+))?", text)
    return (int(match[1]), int(match[2]), int(match[3] or 0)) if match else None


def dotted(version: tuple[int, ...]) -> str:
    """A version as it is written."""
    return ".".join(map(str, version))
