"""Requests made from a contract, for every transport, each with the answer it must get.

Valid rows are the bundle's golden rows where the deployment gives them out, otherwise rows made from the contract;
invalid ones break one rule of one field. Talking to the deployment is left to `deployment`, sending to
`k6`. An item is a JSON object that `scenario.js` reads: transport `t`, the request, and `want` (output name to
flat values) or `code`.
"""

from __future__ import annotations

import base64
import json
import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from fivefold.core import oip_tensors
from fivefold.core.contract.contract import Contract
from fivefold.core.fields.field import Field
from fivefold.core.readers.records import Records
from fivefold.packing.golden import made
from fivefold.serving.http.http_errors import HTTP_STATUS
from loadtest.load.scenario import Scenario

Record = dict[str, Any]
ROWS_MADE: Final = 64
REQUESTS: Final = 1000
"""Prepared iterations; a run goes round them."""
JSON_HEADERS: Final = {"content-type": "application/json"}


@dataclass(frozen=True)
class ValidRows:
    """Valid records, the outputs they must get, and where both are from."""

    inputs: list[Record]
    outputs: list[Record]
    source: str
    tolerance: float


@dataclass(frozen=True)
class Violation:
    """One way to break the contract: a field's value replaced (or taken away), and the code that must come back."""

    field: str
    code: str
    value: Any = None
    absent: bool = False
    json_only: bool = False

    def broken(self, record: Record) -> Record:
        """The record with the fault in it."""
        out = dict(record)
        if self.absent:
            out.pop(self.field, None)
        else:
            out[self.field] = self.value
        return out


def made_rows(contract: Contract) -> list[Record]:
    """Records made from the contract, the same ones every time."""
    return made(contract.inputs, ROWS_MADE, contract.name).columns.to_records()


def faults(contract: Contract, record: Record) -> list[Violation]:
    """Ways to break `record`, each proven to be refused with its code by the contract's own reader."""
    found = [Violation("no_such_field", "unknown_field", value=1, json_only=True)]
    for field in contract.inputs:
        found += _of_field(field)
    reader = Records(contract.inputs)
    out = []
    for fault in found:
        violations = reader.read([fault.broken(record)]).violations
        if violations and violations[0].code == fault.code:
            out.append(fault)
    return out


def _shaped(field: Field, value: Any) -> Any:
    for size in reversed(field.shape):
        value = [value] * size
    return value


def _of_field(field: Field) -> list[Violation]:
    name = field.name
    out = []
    if field.required:
        out.append(Violation(name, "missing_field", absent=True))
    if not field.nullable:
        out.append(Violation(name, "null_not_allowed", value=_shaped(field, None), json_only=True))
    wrong: Any = 1 if field.kind in ("string", "bytes") else "no number"
    out.append(Violation(name, "wrong_type", value=_shaped(field, wrong), json_only=True))
    if field.numeric:
        for bound, sign in ((field.maximum, 1), (field.minimum, -1)):
            if bound is not None:
                value = bound + sign * max(1, abs(bound))
                fits = field.kind == "float" or np.iinfo(field.dtype).min <= value <= np.iinfo(field.dtype).max
                fits = fits and (field.kind != "float" or abs(value) < float(np.finfo(field.dtype).max))
                out.append(Violation(name, "out_of_range", value=_shaped(field, value), json_only=not fits))
    if field.kind == "string" and field.max_length is not None:
        out.append(Violation(name, "too_long", value=_shaped(field, "x" * (field.max_length + 1))))
    if field.kind == "string" and field.enum is not None:
        out.append(Violation(name, "not_in_enum", value=_shaped(field, "no such value")))
    return out


def _array(field: Field, values: Sequence[Any]) -> npt.NDArray[Any]:
    """Records' values as [rows, *shape] of the field's dtype, nulls as the field's null."""
    flat: list[Any] = []

    def walk(value: Any) -> None:
        if isinstance(value, list):
            for one in value:
                walk(one)
        elif value is None:
            flat.append(field.null)
        else:
            flat.append(base64.b64decode(value) if field.kind == "bytes" else value)

    for value in values:
        walk([None] * field.size if value is None and field.shape else value)
    if field.kind in ("string", "bytes"):
        out = np.empty(len(flat), object)
        out[:] = flat
        return out
    return np.array(flat).astype(field.dtype)


def _flat(values: Any, into: list[Any]) -> list[Any]:
    if isinstance(values, list):
        for one in values:
            _flat(one, into)
    else:
        into.append(values)
    return into


@dataclass(frozen=True)
class Requests:
    """Requests to one model: turns records into any transport's request."""

    contract: Contract
    model: str

    def of(
        self, transport: str, records: Sequence[Record], outputs: Sequence[Record] | None, code: str = ""
    ) -> dict[str, Any]:
        """One request of a transport with what must come back (`stream`: one message of a conversation)."""
        item: dict[str, Any] = {"t": transport, **getattr(self, f"_{transport}")(records)}
        if code:
            return item | {"code": code, "status": HTTP_STATUS[code]}
        want = {field.name: _flat([row[field.name] for row in outputs or ()], []) for field in self.contract.outputs}
        return item | {"want": want, "status": 200}

    def _v1(self, records: Sequence[Record]) -> dict[str, Any]:
        return {
            "path": f"/v1/models/{self.model}:predict",
            "body": json.dumps({"instances": list(records)}, separators=(",", ":")),
            "headers": JSON_HEADERS,
        }

    def _given(self, records: Sequence[Record]) -> list[Field]:
        """Fields that the records carry: a field that one lacks is a tensor that is not sent."""
        return [field for field in self.contract.inputs if all(field.name in record for record in records)]

    def _head(self, field: Field, rows: int) -> dict[str, Any]:
        return {"name": field.name, "shape": [rows, *field.shape], "datatype": oip_tensors.NAMES[field.dtype]}

    def _v2(self, records: Sequence[Record]) -> dict[str, Any]:
        tensors = []
        for field in self._given(records):
            head = self._head(field, len(records))
            if head["datatype"] == "FP16":
                head["datatype"] = "FP32"
            tensors.append(head | {"data": _flat([record[field.name] for record in records], [])})
        if unknown := [name for name in records[0] if name not in {field.name for field in self.contract.inputs}]:
            tensors.append(
                {"name": unknown[0], "shape": [len(records)], "datatype": "FP32", "data": [1] * len(records)}
            )
        body = json.dumps({"inputs": tensors}, separators=(",", ":"))
        return {"path": f"/v2/models/{self.model}/infer", "body": body, "headers": JSON_HEADERS}

    def _binary(self, records: Sequence[Record]) -> dict[str, Any]:
        heads, raw = [], []
        for field in self._given(records):
            data = oip_tensors.pack(_array(field, [record[field.name] for record in records]))
            heads.append(self._head(field, len(records)) | {"parameters": {"binary_data_size": len(data)}})
            raw.append(data)
        text = json.dumps({"parameters": {"binary_data_output": True}, "inputs": heads}, separators=(",", ":")).encode()
        return {
            "path": f"/v2/models/{self.model}/infer",
            "body": base64.b64encode(b"".join((text, *raw))).decode(),
            "headers": {
                "content-type": "application/octet-stream",
                "inference-header-content-length": str(len(text)),
            },
        }

    def _grpc(self, records: Sequence[Record]) -> dict[str, Any]:
        fields = self._given(records)
        raw = [oip_tensors.pack(_array(field, [record[field.name] for record in records])) for field in fields]
        message = {
            "model_name": self.model,
            "inputs": [self._head(field, len(records)) for field in fields],
            "raw_input_contents": [base64.b64encode(data).decode() for data in raw],
        }
        return {"message": message}

    _stream = _grpc


def schedule(
    scenario: Scenario, contract: Contract, model: str, rows: ValidRows, *, count: int = REQUESTS
) -> list[Record]:
    """`count` iterations in the scenario's mix and share of invalid requests, in an order that its seed makes.

    A `stream` iteration holds a whole conversation; its share is of messages, so fewer iterations are streams.
    """
    source = random.Random(scenario.seed)
    requests = Requests(contract, model)
    broken = faults(contract, rows.inputs[0])
    tensors = [fault for fault in broken if not fault.json_only]
    weights = {
        name: share / (scenario.conversation if name == "stream" else 1) for name, share in scenario.shares().items()
    }
    total = sum(weights.values())
    kinds: list[str] = []
    owed = 0.0
    for name, weight in weights.items():
        owed += weight / total * count
        kinds += [name] * (round(owed) - len(kinds))
    source.shuffle(kinds)
    at = 0
    every = range(len(rows.inputs))
    # A tensor of numbers has no null of its own: rows that need one go by the transports that say it.
    said = [row for row in every if _sayable(contract, rows.inputs[row])] or every

    def one(transport: str) -> Record:
        nonlocal at
        able = broken if transport in ("v1", "v2") else tensors
        if able and source.random() < scenario.invalid:
            fault = source.choice(able)
            return requests.of(transport, [fault.broken(rows.inputs[0])], None, fault.code)
        able_rows = every if transport in ("v1", "v2") else said
        chosen = [able_rows[(at + i) % len(able_rows)] for i in range(scenario.rows)]
        at += scenario.rows
        return requests.of(transport, [rows.inputs[i] for i in chosen], [rows.outputs[i] for i in chosen])

    return [
        {"t": kind, "messages": [one(kind) for _ in range(scenario.conversation)]} if kind == "stream" else one(kind)
        for kind in kinds
    ]


def _sayable(contract: Contract, record: Record) -> bool:
    """Whether a tensor's elements alone can say the record: no null of a field whose `null_value` is a value itself."""
    return not any(field.null_is_value and None in _flat(record.get(field.name, 0), []) for field in contract.inputs)


def first_only(scenario: Scenario, contract: Contract, model: str, rows: ValidRows) -> list[Record]:
    """The scenario's mix of transports with the first rows alone and nothing invalid: what a null server can answer."""
    few = [i % len(rows.inputs) for i in range(scenario.rows)]
    same = replace(rows, inputs=[rows.inputs[i] for i in few], outputs=[rows.outputs[i] for i in few])
    return schedule(scenario.with_(invalid=0.0), contract, model, same, count=100)


def facts(contract: Contract) -> Mapping[str, Any]:
    """What `scenario.js` must know of the outputs to compare them: which are bytes, and what stands for null."""
    return {
        "bytes": [field.name for field in contract.outputs if field.kind == "bytes"],
        "nulls": {
            field.name: field.null_value for field in contract.outputs if field.nullable and field.kind != "float"
        },
    }
