"""Two versions of a contract to findings: which rules their differences fall under, in which direction, how bad.

Fields are paired and values compared by `fivefold.core.evolution`; the rules stand in `rules`. A finding that has a
record to show it gets one from `counter_example`.
"""

from __future__ import annotations

import json
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

from fivefold.core.contract.contract import Contract
from fivefold.core.evolution.inclusion import Misfit, covered, misfits
from fivefold.core.evolution.pairing import Pairing, pairs
from fivefold.core.fields.field import ABSENT, Field
from fivefold.core.readers.records import Records
from fivefold.evolution.counter_example import Example, Prober
from fivefold.evolution.rule import DIRECTIONS, Direction, Rule, Severity, Side
from fivefold.evolution.rules import RULES

_GROUPS = {
    "kind": "type",
    "dtype": "type",
    "minimum": "range",
    "maximum": "range",
    "min_length": "length",
    "max_length": "length",
    "allow_nan": "nan",
}
"""Aspect of a misfit -> the word in the ids of its rules; the others are their own."""

_VALUE = ("dtype", "minimum", "maximum", "enum", "min_length", "max_length", "pattern", "allow_nan")
"""Keywords that say which values there are."""


@dataclass(frozen=True, slots=True)
class ChangeFinding:
    """One rule that applies, at one place, in one direction."""

    rule: Rule
    path: str
    """`inputs.age`: the new name of a field that both versions have, else its name."""
    direction: Direction
    severity: Severity
    says: str
    """What changed here, with the values before and after."""
    example: Example | None = None
    kept: bool = False
    """Whether the adapter keeps what the rule is about."""
    allowed: str | None = None
    """Why somebody has accepted it."""
    traffic: int | None = None
    """How many recorded requests it hits; None: no requests were replayed."""
    against: str | None = None
    """The contract that it was found against, where there are several."""

    def to_json(self) -> dict[str, Any]:
        """The finding for programs; members that say nothing are left out."""
        out: dict[str, Any] = {
            "rule": self.rule.id,
            "path": self.path,
            "direction": self.direction,
            "severity": self.severity,
            "who": list(self.rule.who(self.direction)),
            "says": self.says,
            "fix": self.rule.fix,
            "docs": self.rule.anchor,
        }
        if self.example is not None:
            out["example"] = self.example.to_json()
        if self.kept:
            out["kept"] = True
        for member in ("allowed", "traffic", "against"):
            if getattr(self, member) is not None:
                out[member] = getattr(self, member)
        return out


def changes(
    old: Contract,
    new: Contract,
    *,
    strict: bool = False,
    carried: Collection[str] = (),
    carried_before: Collection[str] = (),
    examples: bool = True,
) -> list[ChangeFinding]:
    """All findings, in both directions.

    `carried` are the versions that the new bundle carries beside its own, `carried_before` those of the old bundle: for
    callers of such a version the adapter keeps what the rules that are `kept` are about. `strict` makes errors of
    inputs that would be ignored. Without `examples` no readers are run.
    """
    out: list[ChangeFinding] = []
    compared = _Compared()
    for direction in DIRECTIONS:
        kept = old.version in carried if direction == "backward" else new.version in carried_before
        found = list(_contract(old, new, direction))
        for side in ("inputs", "outputs"):
            comparison = _SideComparison(side, direction, getattr(old, side), getattr(new, side), compared, examples)
            found += comparison.findings()
        out += (_adjusted(finding, strict, kept) for finding in found)
    return out


def _adjusted(finding: ChangeFinding, strict: bool, kept: bool) -> ChangeFinding:
    if strict and finding.severity == "warning" and finding.direction in finding.rule.strict:
        return replace(finding, severity="error")
    if kept and finding.rule.kept and finding.severity != "info":
        return replace(finding, severity="info", kept=True, says=f"{finding.says}; kept by the adapter")
    return finding


def finding(
    rule: str, path: str, direction: Direction, says: str, *, decided: bool = True, example: Example | None = None
) -> ChangeFinding | None:
    """A finding under a rule; None where the rule has nothing to say in that direction."""
    found = RULES[rule]
    severity = found.severity(direction)
    if severity is None:
        return None
    if not decided and severity == "error":
        severity = "warning"
    return ChangeFinding(found, path, direction, severity, says, example)


def _contract(old: Contract, new: Contract, direction: Direction) -> Iterator[ChangeFinding]:
    found: list[ChangeFinding | None] = []
    if old.name != new.name:
        found.append(finding("contract-renamed", "name", direction, f"name: {old.name} became {new.name}"))
    if old.version == new.version and _unversioned(old) != _unversioned(new):
        says = f"version: {old.version}, as before the change"
        found.append(finding("version-unchanged", "version", direction, says))
    if (old.description or None) != (new.description or None):
        says = _became("description", old.description, new.description)
        found.append(finding("description-changed", "description", direction, says))
    return (one for one in found if one is not None)


def _unversioned(contract: Contract) -> tuple[Any, ...]:
    return contract.name, contract.inputs, contract.outputs, contract.description or None


class _Compared:
    """What is known of pairs of fields: each is asked about for both directions."""

    def __init__(self) -> None:
        self._known: dict[tuple[int, int], list[Misfit]] = {}

    def __call__(self, sender: Field, receiver: Field) -> list[Misfit]:
        pair = id(sender), id(receiver)  # of two contracts that are held meanwhile
        if pair not in self._known:
            self._known[pair] = misfits(sender, receiver)
        return self._known[pair]


class _SideComparison:
    """The inputs or the outputs of both versions in one direction."""

    def __init__(
        self,
        side: Side,
        direction: Direction,
        old: Sequence[Field],
        new: Sequence[Field],
        compared: _Compared,
        examples: bool,
    ) -> None:
        self.side, self.direction, self.old, self.new = side, direction, old, new
        self.noun, self.compared = side[:-1], compared
        self.from_old = (side == "inputs") == (direction == "backward")
        """Whether values go from the old version to the new one."""
        senders, receivers = (old, new) if self.from_old else (new, old)
        self.pairing: Pairing = pairs(senders, receivers)
        self.prober = Prober(side, senders, receivers, self.pairing) if examples else None
        self.of_new = {after.name: before for before, after in (self._in_time(pair) for pair in self.pairing.matched)}
        """Name of a new field -> the old field that it stands for."""

    def findings(self) -> list[ChangeFinding]:
        found: list[ChangeFinding | None] = [*self._unpaired()]
        for pair in self.pairing.matched:
            if pair[0] != pair[1]:
                found += self._pair(*pair)
        if self._reordered():
            says = f"{self.side}: {_list(self.old)} became {_list(self.new)}"
            example = self.prober.positional() if self.prober and self.side == "inputs" else None
            found.append(finding(f"{self.side}-reordered", self.side, self.direction, says, example=example))
        return [one for one in found if one is not None]

    def _in_time(self, pair: tuple[Field, Field]) -> tuple[Field, Field]:
        sender, receiver = pair
        return (sender, receiver) if self.from_old else (receiver, sender)

    def _unpaired(self) -> Iterator[ChangeFinding | None]:
        matched_old = {before.name for before in self.of_new.values()}
        for field in self.old:
            if field.name not in matched_old:
                yield self._presence(field, "removed")
        for field in self.new:
            if field.name not in self.of_new:
                yield self._presence(field, "added")

    def _presence(self, field: Field, what: str) -> ChangeFinding | None:
        rule = f"{self.noun}-{what}"
        says = "is gone" if what == "removed" else "is new"
        if self.side == "inputs":
            rule += "-required" if field.required else "-optional"
            says += ", required" if field.required else f", default {_shown(field.default)}"
        example = None
        if self.prober is not None and RULES[rule].severity(self.direction) == "error":
            unsent = (what == "added") == self.from_old
            example = self.prober.unsent(field) if unsent else self.prober.unknown(field)
        return finding(rule, self._path(field), self.direction, f"{self._path(field)} {says}", example=example)

    def _path(self, field: Field) -> str:
        return f"{self.side}.{field.name}"

    def _pair(self, sender: Field, receiver: Field) -> Iterator[ChangeFinding | None]:
        before, after = self._in_time((sender, receiver))
        path = self._path(after)
        if before.name != after.name:
            says = f"{path} was {before.name}"
            yield finding(f"{self.noun}-renamed", path, self.direction, says)
        yield from self._aliases(before, after, path)
        if self.side == "inputs":
            yield self._default(sender, receiver, before, after, path)
        if before.nullable and after.nullable and before.kind == after.kind and before.null_value != after.null_value:
            says = f"{path}: {_became('null_value', before.null_value, after.null_value)}"
            yield finding(f"{self.noun}-null-value-changed", path, self.direction, says)
        yield from self._values(sender, receiver, before, after, path)
        if before.description != after.description:
            says = f"{path}: {_became('description', before.description, after.description)}"
            yield finding("description-changed", path, self.direction, says)
        if before.unknown != after.unknown:
            says = f"{path}: {_became('unknown', before.unknown, after.unknown)}"
            yield finding(f"{self.noun}-unknown-changed", path, self.direction, says)

    def _aliases(self, before: Field, after: Field, path: str) -> Iterator[ChangeFinding | None]:
        names, now = [before.name, *before.aliases], [after.name, *after.aliases]
        lost = [name for name in names if name not in now]
        if lost:
            says = f"{path}: is no longer {_words(lost)}"
            rule = f"{self.noun}-alias-removed"
            wanted = self.prober is not None and RULES[rule].severity(self.direction) == "error"
            example = self.prober.named(before, after, lost[0]) if self.prober and wanted else None
            yield finding(rule, path, self.direction, says, example=example)
        gained = [name for name in after.aliases if name not in names]
        if gained:
            yield finding(f"{self.noun}-alias-added", path, self.direction, f"{path}: is also {_words(gained)}")

    def _default(self, sender: Field, receiver: Field, before: Field, after: Field, path: str) -> ChangeFinding | None:
        if before.required and after.required:
            return None
        if before.required != after.required:
            rule = "input-made-required" if after.required else "input-made-optional"
        elif _same_default(before, after):
            return None
        else:
            rule = "input-default-changed"
        says = f"{path}: {_became('default', *(_ABSENT if f.required else f.default for f in (before, after)))}"
        bad = RULES[rule].severity(self.direction) == "error"
        example = self.prober.left_out(sender, receiver) if self.prober and bad else None
        return finding(rule, path, self.direction, says, example=example)

    def _values(
        self, sender: Field, receiver: Field, before: Field, after: Field, path: str
    ) -> Iterator[ChangeFinding | None]:
        there, back = self.compared(sender, receiver), self.compared(receiver, sender)
        rules = self._ruled(sender, receiver, there, back, narrowed=self.from_old)
        mirrored = self._ruled(receiver, sender, back, there, narrowed=not self.from_old)
        groups = {group for group, _, _ in rules}
        for _, rule, found in rules:
            first = next((misfit for misfit in found if misfit.witness is not ABSENT), found[0])
            decided = any(misfit.decided for misfit in found)
            says = self._describe(path, before, after, found, decided)
            example = None
            bad = RULES[rule].severity(self.direction) == "error"
            if self.prober is not None and bad and first.witness is not ABSENT:
                example = self.prober.value(sender, receiver, first.witness)
            yield finding(rule, path, self.direction, says, decided=decided, example=example)
        for group, rule, found in mirrored:
            if group not in groups and rule.endswith(("-narrowed", "-widened", "-enum-covered")):
                says = self._describe(path, before, after, found, True)
                yield finding(rule, path, self.direction, says)
        restated = any(getattr(before, keyword) != getattr(after, keyword) for keyword in _VALUE)
        if restated and not any(_is_value(misfit) for misfit in (*there, *back)):
            says = self._describe(path, before, after, [], True)
            yield finding(f"{self.noun}-rules-restated", path, self.direction, says)

    def _ruled(
        self, sender: Field, receiver: Field, found: list[Misfit], back: list[Misfit], *, narrowed: bool
    ) -> list[tuple[str, str, list[Misfit]]]:
        """Misfits put together under their rules: group, rule, misfits."""
        taken = covered(sender, receiver) if self.side == "outputs" else frozenset()
        both = {_GROUPS.get(misfit.aspect, misfit.aspect) for misfit in back}
        out: dict[str, tuple[str, list[Misfit]]] = {}
        for misfit in found:
            group = _GROUPS.get(misfit.aspect, misfit.aspect)
            if misfit.aspect in taken:
                group = "labels" if group in ("shape", "labels") else "enum"
                rule = f"{self.noun}-{group}-covered"
            elif group in ("unit", "labels") and not misfit.decided:
                rule = f"{self.noun}-{group}-stated"
            elif group in ("unit", "labels", "shape") or misfit.aspect == "kind" or (group == "type" and group in both):
                rule = f"{self.noun}-{group}-changed"
            else:
                rule = f"{self.noun}-{group}-{'narrowed' if narrowed else 'widened'}"
            out.setdefault(rule, (group, []))[1].append(misfit)
        return [(group, rule, misfits) for rule, (group, misfits) in out.items()]

    def _describe(self, path: str, before: Field, after: Field, found: list[Misfit], decided: bool) -> str:
        one, two = before.to_json(), after.to_json()
        keywords = [
            keyword
            for keyword in dict.fromkeys((*one, *two))
            if keyword not in _APART and one.get(keyword, _ABSENT) != two.get(keyword, _ABSENT)
        ]
        says = ", ".join(_became(keyword, one.get(keyword, _ABSENT), two.get(keyword, _ABSENT)) for keyword in keywords)
        doubt = "" if decided or any(m.aspect in ("unit", "labels") for m in found) else "; too much to compare"
        return f"{path}: {says}{doubt}"

    def _reordered(self) -> bool:
        """Whether a row without names would be read into other fields, or a field moved from its place."""
        at = {field.name: index for index, field in enumerate(self.old)}
        places = [at[self.of_new[field.name].name] for field in self.new if field.name in self.of_new]
        first_new = next(
            (index for index, field in enumerate(self.new) if field.name not in self.of_new), len(self.new)
        )
        inserted = any(field.name in self.of_new for field in self.new[first_new:])
        if places != sorted(places) or inserted:
            return True
        return len(self.old) == len(self.new) and len(places) < len(self.new)


_APART = ("name", "aliases", "description", "default", "unknown")
"""Keywords with rules of their own."""


class _Nothing:
    def __repr__(self) -> str:
        return "nothing"


_ABSENT = _Nothing()


def _is_value(misfit: Misfit) -> bool:
    return misfit.aspect not in ("unit", "labels", "shape")


def _same_default(one: Field, two: Field) -> bool:
    if one.dtype == two.dtype and one.default == two.default and type(one.default) is type(two.default):
        return True
    values = [Records((field,)).read([{}]).columns.to_list(field)[0] for field in (one, two)]
    return bool(values[0] == values[1])


def _shown(value: Any) -> str:
    if value is _ABSENT:
        return "nothing"
    text = json.dumps(value, ensure_ascii=False)
    return text if len(text) <= 80 else f"{text[:79]}…"


def _became(keyword: str, before: Any, after: Any) -> str:
    return f"{keyword} {_shown(before)} became {_shown(after)}"


def _words(names: Sequence[str]) -> str:
    return ", ".join(names[:6]) + (", …" if len(names) > 6 else "")


def _list(fields: Sequence[Field]) -> str:
    return f"[{_words([field.name for field in fields])}]"
