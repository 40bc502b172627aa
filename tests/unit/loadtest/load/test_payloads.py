"""Requests made from a contract."""

from __future__ import annotations

import base64
import json
from collections import Counter
from typing import Any

import pytest
from google.protobuf import json_format
from loadtest.load.payloads import Requests, ValidRows, faults, first_only, made_rows, schedule
from loadtest.load.scenario import TRANSPORTS, Scenario

from fivefold.core.contract.contract import Contract
from fivefold.core.readers.records import Records
from fivefold.core.readers.tensors import Tensors
from fivefold.serving.grpc import tensor_codec as wire_tensors
from fivefold.serving.grpc.proto import inference_pb2 as wire

CONTRACT = Contract.from_json(
    {
        "format": 1,
        "name": "kinds",
        "version": "1",
        "inputs": [
            {"name": "f", "dtype": "float32", "minimum": 0, "maximum": 10},
            {"name": "i", "dtype": "int8", "minimum": -5, "maximum": 5},
            {"name": "s", "dtype": "string", "enum": ["a", "é"]},
            {"name": "t", "dtype": "string", "maxLength": 4},
            {"name": "b", "dtype": "bytes", "maxLength": 4},
            {"name": "h", "dtype": "float16", "shape": [2, 2]},
            {"name": "n", "dtype": "int32", "minimum": 0, "nullable": True, "null_value": -1},
            {"name": "o", "dtype": "bool", "default": False},
        ],
        "outputs": [{"name": "y", "dtype": "float32", "shape": [2]}],
    }
)
INPUTS = made_rows(CONTRACT)
ROWS = ValidRows(INPUTS, [{"y": [0.0, float(i)]} for i in range(len(INPUTS))], "made", 1e-5)


def test_each_fault_is_refused_with_its_code() -> None:
    """Every kind of violation that the contract allows for is among them, and the reader agrees on all."""
    found = faults(CONTRACT, INPUTS[0])
    codes = {fault.code for fault in found}

    assert codes >= {
        "missing_field",
        "unknown_field",
        "null_not_allowed",
        "wrong_type",
        "out_of_range",
        "not_in_enum",
        "too_long",
    }
    reader = Records(CONTRACT.inputs)
    for fault in found:
        assert reader.read([fault.broken(INPUTS[0])]).violations[0].code == fault.code


@pytest.mark.parametrize("code", ["", "out_of_range", "missing_field", "not_in_enum"])
def test_a_grpc_request_holds_the_same_rows(code: str) -> None:
    """What k6 sends as protobuf reads as the records do, and breaks the contract the same way."""
    record = INPUTS[0]
    if code:
        fault = next(fault for fault in faults(CONTRACT, record) if fault.code == code and not fault.json_only)
        record = fault.broken(record)
    item = Requests(CONTRACT, "kinds").of("grpc", [record], [{"y": [0, 1]}], code)
    message = json_format.ParseDict(item["message"], wire.ModelInferRequest())

    reading = Tensors(CONTRACT.inputs).read(wire_tensors.read(message))

    if code:
        assert reading.violations[0].code == code
    else:
        assert reading.accept().equals(Records(CONTRACT.inputs).read([record]).accept())


def test_a_binary_request_says_where_its_json_ends() -> None:
    """The header's length and each tensor's size add up to the body."""
    item = Requests(CONTRACT, "kinds").of("binary", INPUTS[:3], ROWS.outputs[:3])
    body = base64.b64decode(item["body"])
    length = int(item["headers"]["inference-header-content-length"])
    head = json.loads(body[:length])

    assert sum(tensor["parameters"]["binary_data_size"] for tensor in head["inputs"]) == len(body) - length
    assert item["want"] == {"y": [0.0, 0.0, 0.0, 1.0, 0.0, 2.0]}


def test_the_schedule_keeps_mix_and_invalid_share() -> None:
    """Shares are of messages: a conversation of four is one iteration in place of four."""
    scenario = Scenario(mix=dict.fromkeys(TRANSPORTS, 1.0), invalid=0.1, conversation=4)
    messages: list[dict[str, Any]] = []
    for item in schedule(scenario, CONTRACT, "kinds", ROWS, count=1700):
        messages += item.get("messages") or [item]
    kinds = Counter(message["t"] for message in messages)
    broken = sum("code" in message for message in messages) / len(messages)

    assert all(count == pytest.approx(len(messages) / 5, rel=0.02) for count in kinds.values())
    assert broken == pytest.approx(0.1, abs=0.03)


def test_the_same_seed_makes_the_same_requests() -> None:
    """Two runs differ in what the server does, not in what it is asked."""
    scenario = Scenario(invalid=0.5, seed=3)

    assert schedule(scenario, CONTRACT, "kinds", ROWS) == schedule(scenario, CONTRACT, "kinds", ROWS)
    assert schedule(scenario, CONTRACT, "kinds", ROWS) != schedule(scenario.with_(seed=4), CONTRACT, "kinds", ROWS)


def test_calibration_asks_one_valid_thing_of_each_transport() -> None:
    """A null server has one answer for each."""
    items = first_only(Scenario(mix={"v1": 1, "v2": 1}, invalid=1.0, rows=2), CONTRACT, "kinds", ROWS)

    assert {item["t"] for item in items} == {"v1", "v2"}
    assert len({json.dumps(item) for item in items}) == 2
    assert not any("code" in item for item in items)
