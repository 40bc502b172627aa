"""The rows that every runtime is asked: a bundle's golden rows, and rows generated from its contract.

A row is the text of one JSON record, as a caller would write it. The same bundle, count and seed give the same rows on
every machine. Making rows that break the contract is left to `refusable_rows`; what is right to `expected_answers`.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Final

import msgspec
import numpy as np

from fivefold.core.bundle.bundle import Bundle
from fivefold.core.bundle.manifest import GOLDEN
from fivefold.core.columns import Columns
from fivefold.core.contract.contract import Contract
from fivefold.core.fields.field import Field
from fivefold.packing.generated import generate
from fivefold.packing.special import Special, specials, spread
from fivefold.parity.refusable_rows import refusable

SEED: Final = "parity"


@dataclass(frozen=True)
class Question:
    """One row: its place among all, where it comes from (golden, valid, boundary, null, refused), and its text."""

    number: int
    origin: str
    text: str

    @cached_property
    def record(self) -> Any:
        """The row as Python's JSON values."""
        return json.loads(self.text)


def questions(bundle: Bundle, rows: int, seed: str = SEED) -> list[Question]:
    """All golden rows and about `rows` generated ones, up to half of them made to be refused."""
    contract = bundle.contract
    lines = bundle.read(GOLDEN).splitlines()
    texts = [("golden", bytes(msgspec.json.decode(line, type=dict[str, msgspec.Raw])["in"]).decode()) for line in lines]
    if rows:
        # A small contract can be broken in few ways: legal rows take the place of what there is not.
        broken = refusable(contract, json.loads(texts[0][1]), rows // 2, seed)
        texts += _legal(contract, rows - len(broken), seed)
        texts += [("refused", text) for text in broken]
    return [Question(number, origin, text) for number, (origin, text) in enumerate(texts)]


def _legal(contract: Contract, rows: int, seed: str) -> list[tuple[str, str]]:
    """Half of them drawn inside the contract, the rest with one field at a bound, a rare value, null or left out."""
    drawn = _sayable(generate(contract.inputs, rows, seed))
    edges = list(_edges(contract, drawn, seed))
    chosen = spread(edges, rows // 2)
    ordinary = [("valid", record) for record in drawn.to_records()[: rows - len(chosen)]]
    return [(origin, _text(record)) for origin, record in [*ordinary, *chosen]]


def _edges(contract: Contract, drawn: Columns, seed: str) -> Iterator[tuple[str, Mapping[str, Any]]]:
    """One rare value after another, each in a row of its own, in turns between the fields."""
    records = drawn.to_records()
    turns = [[*_rare(field, drawn, seed)] for field in contract.inputs]
    at = 0
    for depth in range(max(map(len, turns))):
        for field, cells in zip(contract.inputs, turns, strict=True):
            if depth >= len(cells):
                continue
            record = dict(records[at % len(records)])
            at += 1
            origin, cell = cells[depth]
            if cell is _LEFT_OUT:
                del record[field.name]
            else:
                record[field.name] = cell
            if record:
                yield origin, record


_LEFT_OUT = object()


def _rare(field: Field, drawn: Columns, seed: str) -> Iterator[tuple[str, Any]]:
    """The field's cells as JSON values."""
    if not field.required:
        yield "boundary", _LEFT_OUT
    for special in specials(field, drawn[field.name], seed):
        if special.null:
            yield "null", _filled(field, None)
        elif not _is_non_finite(special):
            yield "boundary", _filled(field, _json(field, special.value))


def _is_non_finite(special: Special) -> bool:
    """JSON has no word for these: they are asked by typed transports' own tests."""
    return isinstance(special.value, float | np.floating) and not np.isfinite(special.value)


def _json(field: Field, value: Any) -> Any:
    from fivefold.core.columns import json_values

    cell = np.empty((1,), field.numpy_dtype)
    cell[0] = value
    # Whether the value is the one that stands for null is not asked here: it is written out.
    return json_values(field, cell, np.zeros(1, np.bool_))[0]


def _filled(field: Field, value: Any) -> Any:
    """A cell of the field's shape that holds the value in every element."""
    for size in reversed(field.shape):
        value = [value] * size
    return value


def _sayable(columns: Columns) -> Columns:
    """The rows without NaN and infinities, which JSON has no word for."""
    good = np.ones(columns.rows, np.bool_)
    for field in columns.fields:
        if field.kind == "float":
            array, nulls = columns[field.name], columns.nulls(field.name)
            good &= (np.isfinite(array) | nulls).reshape(columns.rows, -1).all(axis=1)
    return columns if good.all() else columns.take(good)


def _text(record: Mapping[str, Any]) -> str:
    return json.dumps(record, ensure_ascii=False, allow_nan=False, separators=(",", ":"))


def origins(asked: Sequence[Question]) -> dict[str, int]:
    """How many rows of each origin there are."""
    out: dict[str, int] = {}
    for question in asked:
        out[question.origin] = out.get(question.origin, 0) + 1
    return out
