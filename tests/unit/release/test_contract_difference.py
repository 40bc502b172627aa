"""The first difference of two contracts is named by its path."""

from __future__ import annotations

from typing import Any

import pytest

from fivefold.core.contract.contract import Contract
from fivefold.release.contract_difference import first_difference

FIELDS = [{"name": "a", "dtype": "float32", "maximum": 10}, {"name": "b", "dtype": "int32"}]


def contract(inputs: list[dict[str, Any]] | None = None, **changes: Any) -> Contract:
    """A contract with two inputs and an output."""
    contract = {
        "format": 1,
        "name": "c",
        "version": "1",
        "inputs": inputs or FIELDS,
        "outputs": [{"name": "y", "dtype": "float32"}],
    }
    return Contract.from_json(contract | changes)


@pytest.mark.parametrize(
    ("released", "said"),
    [
        (contract([FIELDS[0] | {"maximum": 12}, FIELDS[1]]), "inputs.a.maximum: 10 is served, the release has 12"),
        (
            contract([{"name": "a", "dtype": "float32"}, FIELDS[1]]),
            "inputs.a.maximum: 10 is served, the release has nothing",
        ),
        (contract([FIELDS[0], FIELDS[1] | {"default": 0}]), "inputs.b.default: nothing is served, the release has 0"),
        (
            contract([FIELDS[0] | {"maximum": 10.0}, FIELDS[1] | {"dtype": "int64"}]),
            'inputs.b.dtype: "int32" is served',
        ),
        (contract([FIELDS[0]]), "inputs.b is served, the release has no such field"),
        (contract([*FIELDS, {"name": "c", "dtype": "bool"}]), "inputs.c is new in the release"),
        (contract([FIELDS[1], FIELDS[0]]), "inputs: the order of the fields"),
        (contract(outputs=[{"name": "y", "dtype": "float64"}]), 'outputs.y.dtype: "float32" is served'),
        (contract(version="2"), 'version: "1" is served, the release has "2"'),
        (contract(description="of"), 'description: nothing is served, the release has "of"'),
    ],
)
def test_the_first_difference(released: Contract, said: str) -> None:
    """Fields before the contract's own members."""
    assert (first_difference(contract(), released) or "").startswith(said)


def test_a_fields_difference_speaks_before_the_version() -> None:
    """The version changes with it, and says less."""
    released = contract([FIELDS[0], FIELDS[1] | {"unit": "m"}], version="2", name="d")

    assert first_difference(contract(), released) == 'inputs.b.unit: nothing is served, the release has "m"'


def test_equal_contracts_have_none() -> None:
    """However they were made."""
    assert first_difference(contract(), Contract.from_json(contract().to_json())) is None


def test_a_long_value_is_cut() -> None:
    """An enumeration of thousands is no sentence."""
    released = contract([FIELDS[0], {"name": "b", "dtype": "int32", "enum": list(range(5000))}])

    assert len(first_difference(contract(), released) or "") < 300
