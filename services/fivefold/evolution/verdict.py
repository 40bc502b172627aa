"""All findings together: compatible in which direction, and which part of the version should move.

The words are those of schema registries: BACKWARD, FORWARD, FULL, NONE. What counts as failed is left to the caller of
`Judgement.failed`, who knows the direction that matters.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable
from dataclasses import dataclass, replace
from typing import Any, Literal

from fivefold.core.contract.contract import Contract
from fivefold.evolution.changes import ChangeFinding, changes
from fivefold.evolution.rule import DIRECTIONS, SEVERITIES, Direction

Compatibility = Literal["FULL", "BACKWARD", "FORWARD", "NONE"]
Bump = Literal["major", "minor", "patch", "none"]
Mode = Literal["backward", "forward", "full"]
FailOn = Literal["error", "warning", "never"]

_QUIET = ("description-changed", "model-changed", "version-unchanged", "allowance-unused", "allowance-expired")
"""Rules about what no caller can see."""


@dataclass(frozen=True, slots=True)
class Judgement:
    """The findings of one check, the worst first, and what they come to."""

    old: str
    """`NAME@VERSION` of the old contract."""
    new: str
    findings: tuple[ChangeFinding, ...]
    replayed: Replays | None = None
    others: tuple[str, ...] = ()
    """Contracts that the new one was held against beside the old one."""

    @property
    def compatibility(self) -> Compatibility:
        """The directions in which nobody breaks: accepted findings count as none."""
        broken = {one.direction for one in self.findings if one.severity == "error" and one.allowed is None}
        if not broken:
            return "FULL"
        if len(broken) == 2:
            return "NONE"
        return "FORWARD" if "backward" in broken else "BACKWARD"

    @property
    def bump(self) -> Bump:
        """The part of the version that should move: major where old callers break, patch for words alone."""
        seen = [one for one in self.findings if one.rule.id not in _QUIET]
        if any(one.severity == "error" and one.direction == "backward" for one in seen):
            return "major"
        if seen:
            return "minor"
        return "patch" if self.findings else "none"

    def replaced(self, findings: Iterable[ChangeFinding]) -> Judgement:
        """The same check with other findings."""
        return replace(self, findings=ordered(findings))

    def adding(self, findings: Iterable[ChangeFinding]) -> Judgement:
        """The same check with more findings."""
        return self.replaced((*self.findings, *findings))

    def of(self, mode: Mode) -> list[ChangeFinding]:
        """The findings of the directions that matter."""
        return [one for one in self.findings if mode in ("full", one.direction)]

    def failed(self, mode: Mode, fail_on: FailOn) -> bool:
        """Whether a finding that nobody has accepted is at least that bad."""
        if fail_on == "never":
            return False
        worst = SEVERITIES[: SEVERITIES.index(fail_on) + 1]
        return any(one.severity in worst and one.allowed is None for one in self.of(mode))

    def to_json(self, mode: Mode = "full") -> dict[str, Any]:
        out: dict[str, Any] = {
            "old": self.old,
            "new": self.new,
            "verdict": self.compatibility,
            "bump": self.bump,
            "findings": [one.to_json() for one in self.of(mode)],
        }
        if self.others:
            out["others"] = list(self.others)
        if self.replayed is not None:
            out["traffic"] = self.replayed.to_json()
        return out


@dataclass(frozen=True, slots=True)
class Replays:
    """What replaying recorded requests came to, in requests."""

    read: int
    """Requests of the old contract that were replayed."""
    hit: int
    """Those that the new contract refuses or changes."""
    foreign: int
    """Requests that the old contract refuses itself, or that name another version."""
    by_place: tuple[tuple[str, str, int], ...] = ()
    """Rule, path and requests hit; the rule is empty where no finding foresaw it."""

    def to_json(self) -> dict[str, Any]:
        places = [{"rule": rule, "path": path, "requests": count} for rule, path, count in self.by_place]
        return {"read": self.read, "hit": self.hit, "foreign": self.foreign, "by_place": places}


def judge(
    old: Contract,
    new: Contract,
    *,
    strict: bool = False,
    carried: Collection[str] = (),
    carried_before: Collection[str] = (),
    examples: bool = True,
) -> Judgement:
    """Hold a new contract against an old one; see `changes` for the options."""
    found = changes(old, new, strict=strict, carried=carried, carried_before=carried_before, examples=examples)
    return Judgement(shown(old), shown(new), ordered(found))


def shown(contract: Contract) -> str:
    """`NAME@VERSION`."""
    return f"{contract.name}@{contract.version}"


def ordered(findings: Iterable[ChangeFinding]) -> tuple[ChangeFinding, ...]:
    """The worst first, then backward before forward, else as they came."""
    return tuple(sorted(findings, key=lambda one: (SEVERITIES.index(one.severity), DIRECTIONS.index(one.direction))))


def directions(mode: Mode) -> tuple[Direction, ...]:
    """The directions that a mode asks about."""
    return DIRECTIONS if mode == "full" else (mode,)
