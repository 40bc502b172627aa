"""Every case of evolution has the findings that its file says, in both directions."""

from __future__ import annotations

import json

import pytest

from fivefold.core.evolution.inclusion import misfits
from fivefold.evolution.changes import changes
from fivefold.evolution.rule import DIRECTIONS
from fivefold.evolution.rules import RULES
from tests.support.evolution_cases import both, evolution_cases

CASES = list(evolution_cases())


@pytest.mark.parametrize("case", [pytest.param(case, id=id) for id, case in CASES])
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
    for direction in DIRECTIONS:
        said = {line.split()[1] for _, case in CASES for line in case[direction]}
        expected = {rule.id for rule in RULES.values() if rule.severity(direction)}

        assert said <= RULES.keys()
        assert expected - said == {"model-changed", "allowance-expired", "allowance-unused"}


def test_there_are_enough_cases_of_different_names() -> None:
    """The table is what the rules are held against."""
    assert len({id for id, _ in CASES}) == len(CASES) >= 160


def test_an_equal_field_fits() -> None:
    """However a field is written, it fits itself."""
    for _, case in CASES:
        for contract in both(case):
            assert not any(misfits(field, field) for field in (*contract.inputs, *contract.outputs))
