"""Who answers a case: the seam that every pattern implements, and the core's own driver.

A driver is a few lines: it turns a case's spelling into its own wire, asks, and gives back an `Outcome` or a `Refusal`.
What it cannot express it leaves out of `asks`, and README.md says why. Comparing is left to `test_conformance`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

import msgspec
import pyarrow as pa

from fivefold.core.check.findings import Reading
from fivefold.core.columns import Columns
from fivefold.core.contract.contract import Contract
from fivefold.core.errors import ContractError, FivefoldError
from fivefold.core.fields.field import Field
from fivefold.core.readers.arrow import Arrow
from fivefold.core.readers.exact_json import MAX_DEPTH, loads
from fivefold.core.readers.records import Records
from fivefold.core.readers.tensors import JsonText, Tensor, Tensors
from fivefold.core.runtime.scorer import Scorer
from fivefold.serving.oip.metadata import DATATYPES
from tests.conformance.cases import Case, from_array, load_contract


@dataclass(frozen=True)
class Outcome:
    """Accepted: the model's outputs as canonical values, the columns where the driver sees them, the metadata."""

    outputs: Mapping[str, list[Any]]
    columns: Mapping[str, list[Any]] | None = None
    metadata: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Refusal:
    """Refused: the ordered codes and paths, at most sixteen."""

    violations: tuple[tuple[str, str], ...]


class Driver(Protocol):
    """One way to ask."""

    transport: str
    """What the metadata of an answer calls it."""

    def asks(self, case: Case) -> Iterator[str]:
        """The spellings in which this driver can put the case: those of the case, and its own variants of them."""
        ...

    def ask(self, case: Case, spelling: str) -> Outcome | Refusal:
        """Put the case in one of those spellings."""
        ...


def refusal(error: FivefoldError) -> Refusal:
    """What an error says, violation by violation."""
    found = [(violation.code, violation.path) for violation in error.details]
    return Refusal(tuple(found) or ((error.code, error.path),))


def refusal_of_body(body: Mapping[str, Any]) -> Refusal:
    """What an error body says, violation by violation; its first one must be the body's own code and path."""
    details = body.get("details") or [body]
    assert (details[0]["code"], details[0]["path"]) == (body["code"], body["path"]), body
    assert body["error"], body
    return Refusal(tuple((item["code"], item["path"]) for item in details))


def lists(fields: Sequence[Field], columns: Columns) -> dict[str, list[Any]]:
    """Columns as canonical values."""
    return {f.name: from_array(f, columns[f.name]) for f in fields}


class _Envelope(msgspec.Struct):
    name: str
    shape: list[int]
    datatype: str
    data: msgspec.Raw


class _Request(msgspec.Struct):
    inputs: list[_Envelope]


class Core:
    """The readers and the scorer themselves, without a wire. Beside the case's own spellings it asks

    - `records: exactly`, which goes past the typed decoder to the reader that explains;
    - `tensors: text`, where each tensor's data is still the JSON text that came;
    - `binary: arrow`, the same typed values as a record batch (scalar columns that agree on their rows).
    """

    transport = ""

    def __init__(self, scorers: Callable[[str], Scorer]) -> None:
        self.scorers = scorers

    def asks(self, case: Case) -> Iterator[str]:
        yield from case.spellings()
        if case.records is not None:
            yield "records: exactly"
        if case.tensors is not None and _envelope(case.tensors) is not None:
            yield "tensors: text"
        if case.binary is not None and _tabular(load_contract(case.contract), case):
            yield "binary: arrow"

    def ask(self, case: Case, spelling: str) -> Outcome | Refusal:
        contract = load_contract(case.contract)
        try:
            columns = self._read(contract, case, spelling).accept()
            outputs = self.scorers(case.contract).score(columns)
        except FivefoldError as err:
            return refusal(err)
        return Outcome(lists(contract.outputs, outputs), lists(contract.inputs, columns))

    def _read(self, contract: Contract, case: Case, spelling: str) -> Reading:
        rows, depth = case.limits.max_rows, case.limits.max_depth or MAX_DEPTH
        fields = contract.inputs
        if spelling == "records":
            assert case.records is not None
            return Records(fields).read_json(case.records, max_rows=rows, max_depth=depth)
        if spelling == "records: exactly":
            assert case.records is not None
            body = loads(case.records, max_depth=depth)
            if not isinstance(body, dict) or set(body) != {"instances"} or not isinstance(body["instances"], list):
                return Records(fields).read_json(case.records, max_rows=rows, max_depth=depth)
            return Records(fields).read(body["instances"], max_rows=rows)
        if spelling == "binary: arrow":
            return Arrow(fields).read(_batch(contract, case))
        return Tensors(fields).read(_tensors(case, spelling, depth), max_rows=rows)


def _tensors(case: Case, spelling: str, depth: int) -> list[Tensor]:
    if spelling == "binary":
        assert case.binary is not None
        return [Tensor(item.name, item.dtype, item.shape, item.array()) for item in case.binary]
    assert case.tensors is not None
    if spelling == "tensors: text":
        request = _envelope(case.tensors)
        assert request is not None
        return [
            Tensor(item.name, DATATYPES[item.datatype], tuple(item.shape), JsonText(bytes(item.data)))
            for item in request.inputs
        ]
    body = loads(case.tensors, max_depth=depth)
    return [
        Tensor(item["name"], DATATYPES[item["datatype"]], tuple(item["shape"]), item["data"]) for item in body["inputs"]
    ]


def _envelope(body: bytes) -> _Request | None:
    """The request with its data left as text, or None for a body that is no JSON."""
    try:
        loads(body)
        return msgspec.json.decode(body, type=_Request)
    except (ContractError, msgspec.MsgspecError, UnicodeError):
        return None


def _tabular(contract: Contract, case: Case) -> bool:
    """Whether the binary spelling is also a table: named once, known, of scalars, one length; text as UTF-8."""
    assert case.binary is not None
    fields = {name: f for f in contract.inputs for name in (f.name, *f.aliases)}
    names = [item.name for item in case.binary]
    return (
        len(set(names)) == len(names)
        and all(name in fields and not fields[name].shape for name in names)
        and len({item.shape for item in case.binary}) == 1
        and len(case.binary[0].shape) == 1
        and case.limits.max_rows is None
        and _batch(contract, case) is not None
    )


def _batch(contract: Contract, case: Case) -> pa.RecordBatch | None:
    assert case.binary is not None
    fields = {name: f for f in contract.inputs for name in (f.name, *f.aliases)}
    arrays = []
    for item in case.binary:
        values = item.array()
        if item.dtype == "bytes" and fields[item.name].kind != "bytes":
            try:
                arrays.append(pa.array([value.decode() for value in values], pa.string()))
            except UnicodeDecodeError:
                return None
        elif item.dtype == "bytes":
            arrays.append(pa.array(list(values), pa.binary()))
        else:
            arrays.append(pa.array(values))
    return pa.record_batch(arrays, [item.name for item in case.binary])
