"""The verdict is never weaker than `oasdiff breaking` on the OpenAPI documents of the same contracts.

All cases of the table are one document of each version, each case a model of its own. What oasdiff calls an error and
is safe is listed with the promise of ours that OpenAPI cannot say.
"""

from __future__ import annotations

import json
import subprocess
from collections import defaultdict
from pathlib import Path
from typing import Any

import pytest
from tests.support.evolution_cases import both, evolution_cases
from tests.support.programs import needed

from fivefold.core.contract.contract import Contract
from fivefold.evolution.changes import changes
from fivefold.evolution.rule import DIRECTIONS
from fivefold.exports import openapi_schema

pytestmark = [pytest.mark.full, pytest.mark.rare]

CASES = [(id, case) for id, case in evolution_cases() if "options" not in case]

_RENAMED = {"input-renamed", "input-alias-added", "output-renamed", ""}
_VALUES = {
    f"{side}-{group}"
    for side in ("input", "output")
    for group in ("rules-restated", "type-widened", "type-narrowed", "enum-widened", "enum-narrowed", "length-widened")
}
_COVERED = {"output-enum-covered", "output-labels-covered"}

PROMISES: dict[str, tuple[set[str], str]] = {
    "request-property-type-changed": (_VALUES, "values decide: every one of the old type is one of the new type"),
    "response-property-type-changed": (_VALUES, "the same, the other way round"),
    "request-property-max-decreased": (_VALUES, "the enum or the type that was there allowed no more"),
    "request-property-min-increased": (_VALUES, "the enum or the type that was there allowed no less"),
    "request-property-enum-value-removed": (
        _VALUES,
        "a bound ruled the member out, or it is the same one",
    ),
    "request-property-became-enum": (_VALUES, "the range or the pattern that was there allowed no other value"),
    "request-property-pattern-added": (_VALUES, "the enum, or the lengths, allowed nothing that it does not find"),
    "request-property-max-length-set": (_VALUES, "no member of the enum is longer"),
    "request-property-any-of-removed": (
        _VALUES | _RENAMED | {"input-length-narrowed", "input-added-optional", "input-removed-optional"},
        "the ways to write a value are numbered anew when one of them changes",
    ),
    "request-property-min-items-increased": (
        {"input-added-optional", "input-removed-optional"},
        "a row without names has one value a field of the version that its caller names",
    ),
    "request-property-all-of-added": (_RENAMED, "one of two names is what an alias means"),
    "request-property-became-required": (_RENAMED, "the other name was one of two that were read"),
    "response-required-property-removed": (_RENAMED, "the adapter answers under the name that the caller knows"),
    "response-property-enum-value-added": (_COVERED, "the caller's version says what it gets instead"),
    "response-property-became-not-enum": (_COVERED, "the caller's version says what it gets instead"),
    "response-property-max-items-increased": (_COVERED, "the numbers of unknown labels are added for the caller"),
}
"""oasdiff's check -> rules of ours under which it is safe (empty: none applies), and why."""


def document(contracts: list[Contract]) -> dict[str, Any]:
    """One OpenAPI document of many contracts."""
    out: dict[str, Any] = {}
    for contract in contracts:
        (raw,) = openapi_schema.files(contract).values()
        one = json.loads(raw)
        out = out or one
        out["paths"] |= one["paths"]
        out["components"]["schemas"] |= one["components"]["schemas"]
    return out


@pytest.mark.parametrize("direction", DIRECTIONS)
def test_it_finds_nothing_that_breaks_in_what_is_safe(direction, tmp_path: Path) -> None:
    """Requests and responses of all cases."""
    program = needed("oasdiff", "what oasdiff says of two contracts")
    pairs = [both(case, name=f"case{number}") for number, (_, case) in enumerate(CASES)]
    files = []
    for at in (0, 1) if direction == "backward" else (1, 0):
        files.append(tmp_path / f"{at}.json")
        files[-1].write_text(json.dumps(document([pair[at] for pair in pairs])))
    ran = subprocess.run([program, "breaking", *files, "--format", "json"], capture_output=True, text=True, check=True)
    errors = defaultdict(set)
    for one in json.loads(ran.stdout):
        if one["level"] >= 3:
            errors[one["path"]].add(one["id"])
    weaker = []
    for number, (id, _) in enumerate(CASES):
        found = [one for one in changes(*pairs[number], examples=False) if one.direction == direction]
        rules = {one.rule.id for one in found} or {""}
        if all(one.severity == "info" for one in found):
            said = errors[f"/v1/models/case{number}:predict"]
            weaker += [(id, each) for each in said if not PROMISES.get(each, (set(), ""))[0] & rules]

    assert sum(map(len, errors.values())) > 100
    assert not weaker
