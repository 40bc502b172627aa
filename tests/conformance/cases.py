"""The case files as Python objects, and how an answer is compared with what a case expects.

The format is described in README.md; nothing here knows a rule about data. Asking is left to `drivers`.
"""

from __future__ import annotations

import base64
import json
import math
import struct
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from fivefold.core.contract.contract import Contract
from fivefold.core.fields.field import Field

ROOT = Path(__file__).parent / "cases"
SPELLINGS = ("records", "tensors", "binary")
RESERVED = {"NaN": math.nan, "Infinity": math.inf, "-Infinity": -math.inf}


@dataclass(frozen=True)
class RawTensor:
    """A tensor of the binary spelling: little-endian elements; "bytes" elements follow a 4-byte length each."""

    name: str
    dtype: str
    shape: tuple[int, ...]
    raw: bytes

    def array(self) -> np.ndarray[Any, Any]:
        """The elements, flat; "bytes" as an object array."""
        if self.dtype == "bytes":
            items, at = [], 0
            while at < len(self.raw):
                (size,) = struct.unpack_from("<I", self.raw, at)
                items.append(self.raw[at + 4 : at + 4 + size])
                at += 4 + size
            out = np.empty(len(items), object)
            out[:] = items
            return out
        return np.frombuffer(self.raw, np.dtype(self.dtype).newbyteorder("<"))


@dataclass(frozen=True)
class Limits:
    """The limits a case asks for; None = the default of whoever reads."""

    max_rows: int | None = None
    max_depth: int | None = None


@dataclass(frozen=True)
class Case:
    """One case. `refused` is None where the rows are accepted, else the ordered codes and paths."""

    id: str
    why: str
    contract: str
    records: bytes | None
    tensors: bytes | None
    binary: tuple[RawTensor, ...] | None
    limits: Limits
    refused: tuple[tuple[str, str], ...] | None
    rows: int
    columns: Mapping[str, list[Any]] = field(hash=False)
    outputs: Mapping[str, list[Any]] | None = field(hash=False)

    def spellings(self) -> Iterator[str]:
        """The spellings that the case has."""
        return (spelling for spelling in SPELLINGS if getattr(self, spelling) is not None)


@cache
def load_contract(name: str) -> Contract:
    """A shared contract by name."""
    return Contract.from_json((ROOT / "contracts" / f"{name}.json").read_bytes())


def contracts() -> list[str]:
    """The names of the shared contracts."""
    return sorted(path.stem for path in (ROOT / "contracts").glob("*.json"))


@cache
def load() -> tuple[Case, ...]:
    """All cases, file by file."""
    return tuple(
        _case(item) for path in sorted(ROOT.glob("*.json")) for item in json.loads(path.read_text("utf-8"))["cases"]
    )


def representatives(cases: Iterable[Case]) -> list[Case]:
    """The first case of every contract and set of codes: for servers that every case would keep for minutes."""
    first: dict[tuple[str, frozenset[str]], Case] = {}
    for case in cases:
        first.setdefault((case.contract, frozenset(code for code, _ in case.refused or ())), case)
    return list(first.values())


def mostly_rare(cases: Iterable[Case]) -> list[Any]:
    """All cases as parameters, those rare that are no representatives: they cross what was crossed before."""
    cases = list(cases)
    always = {case.id for case in representatives(cases)}
    return [pytest.param(case, id=case.id, marks=() if case.id in always else pytest.mark.rare) for case in cases]


def _case(item: Mapping[str, Any]) -> Case:
    accepted = item["expect"].get("accepted", {})
    refused = item["expect"].get("refused")
    binary = item.get("binary")
    return Case(
        item["id"],
        item["why"],
        item["contract"],
        _body(item.get("records")),
        _body(item.get("tensors")),
        None if binary is None else tuple(_raw(tensor) for tensor in binary),
        Limits(**item.get("limits", {})),
        None if refused is None else tuple((code, path) for code, path in refused),
        accepted.get("rows", 0),
        accepted.get("columns", {}),
        accepted.get("outputs"),
    )


def _body(value: str | Mapping[str, str] | None) -> bytes | None:
    if isinstance(value, Mapping):
        return base64.b64decode(value["base64"], validate=True)
    return None if value is None else value.encode()


def _raw(item: Mapping[str, Any]) -> RawTensor:
    return RawTensor(item["name"], item["dtype"], tuple(item["shape"]), base64.b64decode(item["base64"], validate=True))


def expected_columns(case: Case) -> dict[str, list[Any]]:
    """Every input column as canonical values; a field that the case leaves out holds its default in every row."""
    contract = load_contract(case.contract)
    out = {}
    for f in contract.inputs:
        values = case.columns[f.name] if f.name in case.columns else [_default(f)] * case.rows
        out[f.name] = [canonical(f, value) for value in values]
    return out


def expected_outputs(case: Case) -> dict[str, list[Any]]:
    """Every output column as canonical values; where the case names none, the model echoes its inputs."""
    contract = load_contract(case.contract)
    if case.outputs is None:
        columns = expected_columns(case)
        return {f.name: columns[f.name] for f in contract.outputs}
    assert set(case.outputs) == {f.name for f in contract.outputs}, case.id
    return {f.name: [canonical(f, value) for value in case.outputs[f.name]] for f in contract.outputs}


def _default(f: Field) -> Any:
    return _nulls(f.shape) if f.default is None else f.default


def _nulls(shape: Sequence[int]) -> Any:
    return [_nulls(shape[1:]) for _ in range(shape[0])] if shape else None


def canonical(f: Field, value: Any) -> Any:
    """A value in a form that `==` compares bit by bit: floats as the hexadecimal of their binary64, integers exact."""
    if isinstance(value, list):
        return [canonical(f, item) for item in value]
    if value is None:
        return None
    if f.kind == "float":
        number = RESERVED[value] if isinstance(value, str) else float(value)
        assert math.isnan(number) or float(np.dtype(f.dtype).type(number)) == number, f"{value} is no {f.dtype}"
        return number.hex()
    if f.kind == "int":
        return int(value)
    return value


def from_array(f: Field, array: np.ndarray[Any, Any]) -> list[Any]:
    """A column of the field, shape [rows, *field.shape], as canonical values."""

    def one(value: Any) -> Any:
        if isinstance(value, list):
            return [one(item) for item in value]
        if f.kind == "float":
            return None if f.nullable and math.isnan(value) else float(value).hex()
        if f.nullable and value == f.null:
            return None
        return base64.b64encode(value).decode() if f.kind == "bytes" else value

    return [one(value) for value in array.tolist()]
