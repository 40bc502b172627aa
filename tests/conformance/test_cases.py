"""The cases themselves: well formed, complete, and the generated ones exactly what their program writes."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path

import pytest

from fivefold.core.errors import MAX_DETAILS, VIOLATION_CODES
from fivefold.core.fields.field import INTEGERS
from tests.conformance.cases import ROOT, Case, contracts, expected_outputs, load, load_contract
from tests.conformance.families import GENERATED, text

KEYS = {"id", "why", "contract", "records", "tensors", "binary", "limits", "expect"}
FILES = sorted(ROOT.glob("*.json"))


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_a_case_file_is_canonical(path: Path) -> None:
    """Each file is written as `families.text` writes it, so that a difference in review is a difference in meaning."""
    raw = path.read_text("utf-8")

    assert text(json.loads(raw)) == raw


@pytest.mark.parametrize("family", GENERATED)
def test_generated_files_are_what_their_program_writes(family: str) -> None:
    """A generated file is never edited by hand."""
    assert (ROOT / f"{family}.json").read_text("utf-8") == text(GENERATED[family]())


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_a_case_has_known_keys_and_its_family(path: Path) -> None:
    """A misspelt key would silently test nothing."""
    document = json.loads(path.read_text("utf-8"))

    assert set(document) == {"family", "about", "cases"}
    assert document["family"] == path.stem
    for item in document["cases"]:
        assert set(item) <= KEYS, item["id"]
        assert item["id"].startswith(f"{document['family']}/")
        assert item["why"].endswith((".", "?")), item["id"]
        assert item["contract"] in contracts()
        assert set(item["expect"]) in ({"accepted"}, {"refused"}), item["id"]


def test_ids_are_unique() -> None:
    """An id names one case."""
    assert [name for name, count in Counter(case.id for case in load()).items() if count > 1] == []


@pytest.mark.parametrize("case", load(), ids=lambda case: case.id)
def test_a_case_is_askable_and_complete(case: Case) -> None:
    """A case has a spelling, expects known codes or whole columns, and at most sixteen violations."""
    assert list(case.spellings())
    if case.refused is None:
        names = {field.name for field in load_contract(case.contract).inputs}
        assert set(case.columns) <= names
        assert all(len(values) == case.rows for values in expected_outputs(case).values())
        return

    assert 1 <= len(case.refused) <= MAX_DETAILS
    assert {code for code, _ in case.refused} <= {*VIOLATION_CODES, "malformed", "too_large", "model_failed"}


def test_the_cases_cover_the_law() -> None:
    """Enough cases, both verdicts, every code of the table on both spellings where it can be spelled, every dtype."""
    cases = load()
    spelled = {
        spelling: {code for case in cases for code, _ in case.refused or () if getattr(case, spelling) is not None}
        for spelling in ("records", "tensors", "binary")
    }
    everything = {*VIOLATION_CODES, "malformed", "too_large"}

    assert len(cases) >= 220
    assert sum(case.refused is None for case in cases) >= 100
    assert sum(case.refused is not None for case in cases) >= 100
    # JSON has no token for a number that is not finite.
    assert spelled["records"] >= everything - {"not_finite"}
    assert spelled["tensors"] >= everything - {"not_finite"}
    # A raw tensor has no null.
    assert spelled["binary"] >= everything - {"null_not_allowed"}
    fields = [field for name in contracts() for field in load_contract(name).inputs]
    assert {field.dtype for field in fields} == {*INTEGERS, "bool", "float16", "float32", "float64", "string", "bytes"}


def test_every_contract_is_used() -> None:
    """No contract stands there for nothing."""
    assert {case.contract for case in load()} == set(contracts())
