"""What a rule is: its words for directions and severities, whom it hits, where it is explained.

The table of rules is `rules`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

Direction = Literal["backward", "forward"]
Severity = Literal["error", "warning", "info"]
Side = Literal["inputs", "outputs", "contract"]

DIRECTIONS: tuple[Direction, Direction] = ("backward", "forward")
SEVERITIES: tuple[Severity, ...] = ("error", "warning", "info")
"""The worst first."""

PAGE = "docs/evolution/rules.md"

WHO: Mapping[Direction, tuple[str, ...]] = {
    "backward": ("old clients on the new model", "stored events", "batch files"),
    "forward": ("new clients on the old model", "devices on an old bundle"),
}
"""Whom a finding of a direction may hit. Answers are read by clients alone: see `Rule.who`."""


@dataclass(frozen=True, slots=True)
class Rule:
    """One sort of change. A severity of None: the direction is not touched by it."""

    id: str
    side: Side
    backward: Severity | None
    forward: Severity | None
    says: str
    """What changed and what follows, one or two sentences."""
    fix: str
    kept: bool = False
    """Whether the adapter of a bundle that carries the caller's version takes the harm away."""
    strict: tuple[Direction, ...] = ()
    """The directions in which `--strict` makes an error of a warning."""

    def severity(self, direction: Direction) -> Severity | None:
        return self.backward if direction == "backward" else self.forward

    def who(self, direction: Direction) -> tuple[str, ...]:
        """Whom it hits in that direction."""
        everybody = WHO[direction]
        return everybody[:1] if self.side == "outputs" and direction == "backward" else everybody

    @property
    def anchor(self) -> str:
        """Where the documentation explains it."""
        return f"{PAGE}#{self.id}"
