"""The record that a service is asked with is legal under the contract, whatever the contract says."""

from __future__ import annotations

from typing import Any

import pytest
from tests.conformance import cases

from fivefold.cluster.smoke_call import record
from fivefold.core.contract.contract import Contract
from fivefold.core.readers.records import Records

NAMES = sorted({case.contract for case in cases.load()})


@pytest.mark.parametrize("name", NAMES)
def test_a_record_of_every_shared_contract_is_legal(name: str) -> None:
    """As core's own reader has it."""
    contract = cases.load_contract(name)

    assert not Records(contract.inputs).read([record(contract)]).violations


@pytest.mark.parametrize(
    "field",
    [
        {"dtype": "float32", "minimum": -3.4e38, "maximum": 3.4e38},
        {"dtype": "int8", "minimum": -128, "maximum": 127},
        {"dtype": "uint64", "minimum": 18446744073709551615},
        {"dtype": "float64", "maximum": -5.5},
        {"dtype": "string", "pattern": "^[A-Z]{2}\\d{3}$"},
        {"dtype": "string", "minLength": 7, "maxLength": 7},
        {"dtype": "bytes", "minLength": 3},
        {"dtype": "bool", "nullable": True, "null_value": False},
        {"dtype": "int32", "enum": [7, 9], "shape": [2, 3]},
    ],
)
def test_a_record_keeps_every_kind_of_limit(field: dict[str, Any]) -> None:
    """One value of the field stands in the middle of what is allowed."""
    answer = {"name": "y", "dtype": "float32"}
    inputs = [{"name": "x", **field}]
    contract = Contract.from_json({"format": 1, "name": "m", "version": "1", "inputs": inputs, "outputs": [answer]})

    assert not Records(contract.inputs).read([record(contract)]).violations
