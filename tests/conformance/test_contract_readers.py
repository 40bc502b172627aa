"""Every case through the contract as other languages read it, and the adapters' cases: codes, paths and values."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest

from fivefold.core.readers.records import Records
from fivefold.core.runtime.scorer import Scorer
from tests.conformance.asking import check
from tests.conformance.cases import Case, load
from tests.conformance.conftest import READERS
from tests.conformance.contract_readers import (
    SPELLINGS,
    ContractReader,
    ContractReaderDriver,
    contract_bytes,
    packed,
    tensors_of,
)
from tests.conformance.test_adapters import CASES as ADAPTERS
from tests.conformance.test_adapters import contracts

CASES = [(reader, case) for reader in READERS for case in load() if {*case.spellings()} & {*SPELLINGS[reader]}]


@pytest.mark.parametrize(
    ("reader", "case"), CASES, indirect=["reader"], ids=[f"{reader}-{case.id}" for reader, case in CASES]
)
def test_a_reader_answers_every_case(case: Case, reader: ContractReader, scorers: Callable[[str], Scorer]) -> None:
    """It accepts and refuses as the case says, value by value, code by code and path by path."""
    check(ContractReaderDriver(reader, scorers), case)


@pytest.mark.parametrize("case", ADAPTERS, ids=[case["id"] for case in ADAPTERS])
def test_an_adapter_takes_rows_there_and_answers_back(case: dict[str, Any], reader: ContractReader) -> None:
    """As the case says, or there is none, for the fields that it names."""
    caller, own = contracts(case)
    question: dict[str, Any] = {"newer": case.get("newer", False)}
    if "given" in case:
        question["given"] = packed(json.dumps({"instances": [case["given"]] * 2}).encode())
    if "answer" in case:
        answer = Records(own.outputs).read([case["answer"]] * 2).accept()
        question["answer"] = {"tensors": tensors_of(answer), "rows": 2}
    reply = reader.ask("adapter", caller=contract_bytes(caller), own=contract_bytes(own), **question)

    if "refused" in case:
        assert sorted({reason.partition(":")[0] for reason in reply["reasons"]}) == case["refused"]
        return
    assert reply["answer"]["ignored"] == case["ignored"]
    for sent, got in (("given", "into"), ("answer", "back")):
        if sent in case:
            assert json.loads(reply["answer"][got]["records"]) == [case[got]] * 2
