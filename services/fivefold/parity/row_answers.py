"""What a runtime says of one row: its outputs, or the codes and paths with which it refuses it.

Outputs are columns of one row under the contract, however they travelled: the readers here take the two forms in which
answers come, JSON records and typed arrays.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import msgspec
import numpy as np

from fivefold.core.columns import Array, Columns
from fivefold.core.errors import ContractError, FivefoldError
from fivefold.core.fields.field import Field
from fivefold.core.readers.exact_json import loads
from fivefold.core.readers.records import Records


@dataclass(frozen=True, slots=True)
class RowRefused:
    """The ordered codes and paths, as of a request with this one row."""

    violations: tuple[tuple[str, str], ...]

    @classmethod
    def of(cls, error: FivefoldError) -> RowRefused:
        """What an error says, violation by violation."""
        found = tuple((violation.code, violation.path) for violation in error.details)
        return cls(found or ((error.code, error.path),))

    @classmethod
    def of_body(cls, body: Mapping[str, Any]) -> RowRefused:
        """The same of an error as it travels as JSON."""
        details = body.get("details") or [body]
        return cls(tuple((str(each.get("code")), str(each.get("path", ""))) for each in details))

    def describe(self) -> str:
        """As a report shows it."""
        return ", ".join(f"{code} at {path or 'the body'}" for code, path in self.violations)


@dataclass(frozen=True, slots=True)
class RowUnreadable:
    """An answer that is none: it leaves the contract's outputs, or is not there at all."""

    reason: str


RowAnswer = Columns | RowRefused | RowUnreadable


def of_records(fields: Sequence[Field], records: Sequence[bytes | str]) -> list[RowAnswer]:
    """The answers in JSON records, one text each."""
    reader = Records(fields)
    out: list[RowAnswer] = []
    for record in records:
        try:
            text = record.encode() if isinstance(record, str) else record
            out.append(reader.read([loads(text)]).accept())
        except ContractError as error:
            out.append(RowUnreadable(f"no answer under the contract: {error}"))
    return out


class _Predictions(msgspec.Struct):
    predictions: list[msgspec.Raw]


def of_predictions(fields: Sequence[Field], body: bytes) -> list[RowAnswer]:
    """The answers in a V1 answer's body, each text as it came; raises `ValueError` for what is none."""
    try:
        found = msgspec.json.decode(body, type=_Predictions).predictions
    except (msgspec.MsgspecError, UnicodeError) as error:
        raise ValueError(f"no V1 answer: {error}") from error
    return of_records(fields, [bytes(each) for each in found])


def of_arrays(fields: Sequence[Field], arrays: Mapping[str, Any], rows: int) -> list[RowAnswer]:
    """The answers in typed arrays of shape [rows, *shape], text as text or as UTF-8."""
    columns: dict[str, Array] = {}
    for field in fields:
        if field.name not in arrays:
            return [RowUnreadable(f"the answer has no output {field.name!r}")] * rows
        given = np.asarray(arrays[field.name])
        if given.shape != (rows, *field.shape):
            return [RowUnreadable(f"the output {field.name!r} has shape {list(given.shape)} for {rows} rows")] * rows
        if field.kind == "string":
            text: Array = np.empty(given.size, object)
            text[:] = [item if isinstance(item, str) else item.decode() for item in given.reshape(-1)]
            given = text.reshape(given.shape)
        elif field.kind != "bytes" and given.dtype != np.dtype(field.dtype):
            return [
                RowUnreadable(f"the output {field.name!r} is {given.dtype}, the contract says {field.dtype}")
            ] * rows
        columns[field.name] = given
    whole = Columns(fields, columns, rows)
    return [whole.slice(row, row + 1) for row in range(rows)]
