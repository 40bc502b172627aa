"""Findings that somebody has accepted, each with a reason and until a day.

    {"allow": [{"rule": "input-unit-stated", "path": "inputs.age", "reason": "it always was years",
                "expires": "2027-01-31"}]}

or the same as TOML, one `[[allow]]` an entry. `path` may be `*`, and `direction` one of backward and forward. What is
over is itself an error: a day that has passed is no longer anybody's decision.
"""

from __future__ import annotations

import json
import tomllib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from datetime import date
from pathlib import Path
from typing import Any

from fivefold.core.errors import ContractInvalid
from fivefold.core.fields.suggestion import nearest
from fivefold.evolution.changes import ChangeFinding, finding
from fivefold.evolution.rule import DIRECTIONS, Direction
from fivefold.evolution.rules import RULES
from fivefold.evolution.verdict import Mode, directions

_MEMBERS = ("rule", "path", "reason", "expires", "direction")


@dataclass(frozen=True, slots=True)
class Exemption:
    """One accepted finding, or all of a rule where `path` is `*`."""

    rule: str
    path: str
    reason: str
    expires: date
    """The last day on which it holds."""
    direction: Direction | None = None

    def covers(self, found: ChangeFinding) -> bool:
        return (
            found.rule.id == self.rule and self.path in ("*", found.path) and self.direction in (None, found.direction)
        )


def load(path: str | Path) -> list[Exemption]:
    """Read the file; raises `ContractInvalid` with the place of what is wrong in it."""
    place = Path(path)
    try:
        raw = place.read_bytes()
        data: Any = tomllib.loads(raw.decode()) if place.suffix == ".toml" else json.loads(raw)
    except OSError as err:
        raise ContractInvalid(f"cannot read {place}: {err.strerror}") from err
    except (ValueError, RecursionError) as err:
        raise ContractInvalid(f"{place} is not {'TOML' if place.suffix == '.toml' else 'JSON'}: {err}") from err
    if isinstance(data, Mapping) and set(data) == {"allow"}:
        data = data["allow"]
    if not isinstance(data, list):
        raise ContractInvalid(f"{place}: expected a list of entries under 'allow'")
    return [_entry(item, f"allow[{index}]") for index, item in enumerate(data)]


def apply(
    findings: Iterable[ChangeFinding], exemptions: Iterable[Exemption], today: date, mode: Mode = "full"
) -> list[ChangeFinding]:
    """Mark what is accepted, and add findings about entries that are over or meet nothing."""
    found = list(findings)
    for exemption in exemptions:
        covered = [index for index, one in enumerate(found) if exemption.covers(one)]
        for direction in directions(mode) if exemption.direction is None else (exemption.direction,):
            if exemption.expires < today:
                says = (
                    f"{exemption.rule} at {exemption.path} was accepted until {exemption.expires}: {exemption.reason}"
                )
                found += _said("allowance-expired", exemption, direction, says)
            elif not covered:
                says = f"{exemption.rule} at {exemption.path} is accepted until {exemption.expires}, and is not there"
                found += _said("allowance-unused", exemption, direction, says)
        if exemption.expires >= today:
            for index in covered:
                found[index] = replace(found[index], allowed=exemption.reason)
    return found


def _said(rule: str, exemption: Exemption, direction: Direction, says: str) -> list[ChangeFinding]:
    said = finding(rule, exemption.path, direction, says)
    return [] if said is None else [said]


def _entry(item: Any, path: str) -> Exemption:
    if not isinstance(item, Mapping):
        raise ContractInvalid("expected an object", path=path)
    for key in item:
        if key not in _MEMBERS:
            raise ContractInvalid(f"unknown member {key!r}", path=path, help=nearest(str(key), _MEMBERS))
    texts = {}
    for key in ("rule", "path", "reason"):
        value = item.get(key)
        if not isinstance(value, str) or not value.strip():
            raise ContractInvalid("expected a text that is not empty", path=f"{path}.{key}")
        texts[key] = value
    if texts["rule"] not in RULES:
        raise ContractInvalid(
            f"no such rule {texts['rule']!r}", path=f"{path}.rule", help=nearest(texts["rule"], RULES)
        )
    if item.get("direction") not in (None, *DIRECTIONS):
        raise ContractInvalid("expected backward or forward", path=f"{path}.direction")
    return Exemption(**texts, expires=_day(item.get("expires"), f"{path}.expires"), direction=item.get("direction"))


def _day(value: Any, path: str) -> date:
    if type(value) is date:  # TOML has days of its own
        return value
    try:
        return date.fromisoformat(value)
    except (TypeError, ValueError):
        raise ContractInvalid(f"expected a day such as 2027-01-31, got {value!r}", path=path) from None
