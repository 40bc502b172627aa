"""The cases of adapters, asked of the core: what a caller of another contract version sends and gets."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from fivefold.core.contract.contract import Contract
from fivefold.core.evolution.adapter import Adapter, NotAdaptable
from fivefold.core.readers.records import Records

CASES: list[dict[str, Any]] = json.loads(Path(__file__).with_name("adapters").joinpath("adapters.json").read_text())[
    "cases"
]


def contracts(case: dict[str, Any]) -> tuple[Contract, Contract]:
    """The caller's contract and the model's own."""
    sides = {"caller": "1.0.0", "own": "2.0.0"}
    caller, own = (
        Contract.from_json({"format": 1, "name": "demo", "version": version, **case[side]})
        for side, version in sides.items()
    )
    return caller, own


@pytest.mark.parametrize("case", CASES, ids=[case["id"] for case in CASES])
def test_an_adapter_takes_rows_there_and_answers_back(case: dict[str, Any]) -> None:
    """As the case says, or there is none, for the fields that it names."""
    caller, own = contracts(case)
    if "refused" in case:
        with pytest.raises(NotAdaptable) as refusal:
            Adapter.between(caller, own, newer=case.get("newer", False))
        assert sorted({reason.partition(":")[0] for reason in refusal.value.reasons}) == case["refused"]
        return
    adapter = Adapter.between(caller, own, newer=case.get("newer", False))

    assert list(adapter.ignored) == case["ignored"]
    for sent, got, sender, receiver, way in (
        ("given", "into", caller.inputs, own.inputs, adapter.into),
        ("answer", "back", own.outputs, caller.outputs, adapter.back),
    ):
        if sent not in case:
            continue
        columns = Records(sender).read([case[sent]] * 2).accept()
        adapted = columns if way is None else way(columns)
        assert adapted.to_records() == [case[got]] * 2
        assert tuple(adapted) == tuple(field.name for field in receiver)
        # What arrives is legal there by that side's own reader, and reads as the same.
        assert Records(receiver).read(adapted.to_records()).accept().to_records() == [case[got]] * 2


def test_cases_have_names_of_their_own() -> None:
    """Runtimes name them in what they print."""
    ids = [case["id"] for case in CASES]

    assert len(set(ids)) == len(ids)
