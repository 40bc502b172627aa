"""Every case of evolution has the findings that its file says, in both directions."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from fivefold.core.contract.contract import Contract
from fivefold.core.evolution.inclusion import misfits
from fivefold.evolution.changes import changes
from fivefold.evolution.rule import DIRECTIONS
from fivefold.evolution.rules import RULES

CASES = Path(__file__).parent / "evolution"
PLAIN = {"inputs": [{"name": "x", "dtype": "float64"}], "outputs": [{"name": "y", "dtype": "float64"}]}


def cases() -> Iterator[Any]:
    for path in sorted(CASES.glob("*.json")):
        for case in json.loads(path.read_text()):
            yield pytest.param(case, id=f"{path.stem}/{case['name']}")


def both(case: Any) -> tuple[Contract, Contract]:
    """The old and the new contract of a case."""
    out = []
    for index, version in enumerate(("1.0.0", "1.1.0")):
        raw = {"format": 1, "name": "case", "version": version}
        for side in ("inputs", "outputs"):
            fields = case.get(side, (PLAIN[side], PLAIN[side]))[index]
            raw[side] = fields
        out.append(Contract.from_json({**raw, **case.get("contracts", ({}, {}))[index]}))
    return out[0], out[1]


@pytest.mark.parametrize("case", list(cases()))
def test_the_findings_of_a_case(case) -> None:
    """Rules and severities, each direction for itself."""
    old, new = both(case)
    found = changes(old, new, **case.get("options", {}))

    for direction in DIRECTIONS:
        said = sorted(f"{one.severity} {one.rule.id}" for one in found if one.direction == direction)
        assert said == sorted(case[direction]), direction
    for one in found:
        json.dumps(one.to_json(), allow_nan=False)


def test_every_rule_that_a_contract_can_break_has_a_case() -> None:
    """In each direction in which it says something."""
    texts = [json.loads(path.read_text()) for path in CASES.glob("*.json")]
    for direction in DIRECTIONS:
        said = {line.split()[1] for cases in texts for case in cases for line in case[direction]}
        expected = {rule.id for rule in RULES.values() if rule.severity(direction)}

        assert said <= RULES.keys()
        assert expected - said == {"model-changed", "allowance-expired", "allowance-unused"}


def test_there_are_enough_cases() -> None:
    """The table is what the rules are held against."""
    assert sum(len(json.loads(path.read_text())) for path in CASES.glob("*.json")) >= 160


def test_an_equal_field_fits() -> None:
    """However a field is written, it fits itself."""
    for path in CASES.glob("inputs-*.json"):
        for case in json.loads(path.read_text()):
            for field in both(case)[0].inputs:
                assert not misfits(field, field)
