"""Rows to ask: repeatable, of every origin, legal where they should be."""

from __future__ import annotations

from pathlib import Path

import pytest
from tests.support.bundles import contract as contract_of
from tests.support.bundles import field, write_sum
from tests.support.contract_values import case_contracts, every_rule

from fivefold.core.contract.contract import Contract
from fivefold.core.errors import ContractError
from fivefold.core.readers.records import Records
from fivefold.packing.generated import generate
from fivefold.parity.question_rows import _legal, origins, questions
from fivefold.parity.refusable_rows import refusable


def codes(contract: Contract, texts: list[str]) -> set[str]:
    """What the core says of each row alone; `` for a legal one."""
    found = set()
    for text in texts:
        try:
            Records(contract.inputs).read_json(f'{{"instances":[{text}]}}'.encode()).accept()
            found.add("")
        except ContractError as error:
            found.add(error.code)
    return found


def test_the_same_bundle_gives_the_same_rows(tmp_path: Path) -> None:
    """And another seed others, behind the same golden ones."""
    bundle = write_sum(tmp_path / "sum")
    first, again, other = (questions(bundle, 40, seed) for seed in ("a", "a", "b"))

    assert first == again
    assert [each.text for each in first[:8]] == [each.text for each in other[:8]]
    assert first[8:] != other[8:]
    assert [each.number for each in first] == list(range(len(first)))


def test_golden_rows_alone(tmp_path: Path) -> None:
    """Where no others are wanted."""
    assert origins(questions(write_sum(tmp_path / "sum"), 0)) == {"golden": 8}


@pytest.mark.parametrize("contract", [*case_contracts(), every_rule()], ids=lambda contract: contract.name)
def test_generated_rows_keep_every_contract(contract: Contract) -> None:
    """Every one of them, bounds and nulls too."""
    rows = _legal(contract, 40, "seed")

    assert rows
    assert codes(contract, [text for _, text in rows]) == {""}


@pytest.mark.parametrize("contract", [*case_contracts(), every_rule()], ids=lambda contract: contract.name)
def test_broken_rows_are_made_for_every_contract(contract: Contract) -> None:
    """Several kinds, whatever the contract's fields are."""
    (good,) = generate(contract.inputs, 1, "seed", 0.0).to_records()
    found = codes(contract, refusable(contract, good, 60, "seed"))

    assert len(found - {""}) >= 3


def test_each_rule_is_broken() -> None:
    """By at least one row."""
    contract = contract_of(
        [
            field("n", minimum=0, maximum=10, aliases=["m"]),
            field("i", "int8"),
            field("t", "string", minLength=2, maxLength=4),
            field("p", "string", pattern="^[a-z]{1,3}$"),
            field("c", "string", enum=["a", "b"]),
            field("v", "float64", shape=[2]),
        ],
        [field("o")],
    )
    good = {"n": 1, "i": 1, "t": "abc", "p": "x", "c": "a", "v": [1, 2]}

    assert codes(contract, refusable(contract, good, 200, "seed")) >= {
        *("malformed", "missing_field", "unknown_field", "duplicate_field", "null_not_allowed", "wrong_type"),
        *("wrong_shape", "out_of_range", "not_in_enum", "too_short", "too_long", "pattern_mismatch"),
    }
