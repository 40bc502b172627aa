"""Cells of two outputs compared exactly: typed values as what they are, whatever format each output has.

Numbers are equal where they are the same number, whatever type holds them, and never by way of binary64; NaN is equal
to NaN, and -0.0 is not 0.0. Text, bytes, truth values, numbers, dates, times and moments are never equal to each other,
and null only to null. A column of CSV that the report has no type for is text, to which the other side is compared as
it would stand there. Which rows belong together is left to `difference`.
"""

from __future__ import annotations

import base64
import csv
import io
import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

import msgspec
import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv
import pyarrow.parquet as pq

from fivefold.batch.formats import carried_values

ROWS = 65_536


@dataclass(frozen=True, slots=True)
class Cells:
    """A column of some rows: `typed` an Arrow array, `text` an Arrow array of CSV's cells, `json` a list of values."""

    kind: str
    values: Any

    def take(self, rows: Any) -> Cells:
        """The cells of some rows (an array of indexes)."""
        if self.kind == "json":
            return Cells(self.kind, [self.values[row] for row in rows.tolist()])
        return Cells(self.kind, self.values.take(pa.array(rows, pa.int64())))

    def at(self, row: int) -> Any:
        """One cell as a JSON value."""
        if self.kind == "json":
            return self.values[row]
        return carried_values.json_values(self.values.slice(row, 1))[0]


@dataclass(frozen=True, slots=True)
class OutputRows:
    """Some rows of an output, by their numbers in the input file."""

    numbers: Any
    columns: dict[str, Cells]

    def __len__(self) -> int:
        return len(self.numbers)

    def take(self, rows: Any) -> OutputRows:
        """Some of them (an array of indexes)."""
        return OutputRows(self.numbers[rows], {name: cells.take(rows) for name, cells in self.columns.items()})


def read(stream: Any, format: str, row: str, types: dict[str, Any]) -> Iterator[OutputRows]:
    """The rows of a part, some at a time. `row` is the column of their numbers, `types` the Arrow types of columns that
    the report knows."""
    if format == "parquet":
        for batch in pq.ParquetFile(stream).iter_batches(ROWS):
            arrays = {name: _typed(values) for name, values in zip(batch.schema.names, batch.columns, strict=True)}
            yield OutputRows(batch.column(row).to_numpy(), arrays)
        return
    for names, columns in _csv(stream) if format == "csv" else _json_lines(stream):
        cells = {name: _as_reported(cells, types.get(name)) for name, cells in zip(names, columns, strict=True)}
        numbers = cells.pop(row).values
        yield OutputRows(
            np.array(numbers.cast(pa.int64()) if isinstance(numbers, pa.Array) else numbers, np.int64), cells
        )


def _typed(values: Any) -> Cells:
    values = carried_values.readable(values)
    return Cells("typed", values.dictionary_decode() if pa.types.is_dictionary(values.type) else values)


def _csv(stream: Any) -> Iterator[tuple[Sequence[str], list[Cells]]]:
    data = stream.read()
    names = next(csv.reader(io.TextIOWrapper(io.BytesIO(data), encoding="utf-8", newline="")))
    options = pa.csv.ConvertOptions(
        column_types={name: pa.string() for name in names},
        null_values=[""],
        strings_can_be_null=True,
        quoted_strings_can_be_null=False,
    )
    parse = pa.csv.ParseOptions(newlines_in_values=True)
    read = pa.csv.ReadOptions(block_size=16 << 20)
    with pa.csv.open_csv(pa.BufferReader(data), read, parse, options) as reader:
        for batch in reader:
            yield names, [Cells("text", column) for column in batch.columns]


def _json_lines(stream: Any) -> Iterator[tuple[Sequence[str], list[Cells]]]:
    rows: list[dict[str, Any]] = []
    decode = msgspec.json.Decoder(dict[str, Any]).decode
    for line in stream:
        rows.append(decode(line))
        if len(rows) == ROWS:
            yield _columns(rows)
            rows = []
    if rows:
        yield _columns(rows)


def _columns(rows: list[dict[str, Any]]) -> tuple[Sequence[str], list[Cells]]:
    names = list(dict.fromkeys(name for row in rows for name in row))
    return names, [Cells("json", [row.get(name) for row in rows]) for name in names]


def _as_reported(cells: Cells, kind: Any) -> Cells:
    """A column of text or JSON as the type that the report has for it; as it is where it does not fit."""
    if kind is None:
        return cells
    try:
        return Cells(
            "typed", _from_json(cells.values, kind) if cells.kind == "json" else _from_text(cells.values, kind)
        )
    except (pa.ArrowException, ValueError, TypeError, OverflowError, msgspec.MsgspecError):
        return cells


def _from_json(values: list[Any], kind: Any) -> Any:
    if pa.types.is_boolean(kind) != any(isinstance(value, bool) for value in values if value is not None):
        raise TypeError("a truth value is no number")
    return pa.array([_bytes(value, kind) for value in values], kind)


def _from_text(values: Any, kind: Any) -> Any:
    if pa.types.is_fixed_size_list(kind):
        decoded = [None if value is None else msgspec.json.decode(value) for value in values.to_pylist()]
        return _from_json(decoded, kind)
    if pa.types.is_binary(kind):
        return pa.array([_bytes(value, kind) for value in values.to_pylist()], kind)
    if pa.types.is_float16(kind):
        return values.cast(pa.float32()).cast(kind)
    return values.cast(kind)


def _bytes(value: Any, kind: Any) -> Any:
    """Base64 as the bytes that it stands for, in lists too."""
    if isinstance(value, list):
        return [_bytes(each, kind.value_type) for each in value]
    return base64.b64decode(value) if value is not None and pa.types.is_binary(kind) else value


def differs(one: Cells, other: Cells) -> tuple[Any, float]:
    """Where two columns of as many rows differ (a mask), and by how much numbers do at most."""
    if one.kind == other.kind == "typed":
        return _typed_differ(one.values, other.values)
    if one.kind == other.kind == "text":
        return _unlike(one.values, other.values), 0.0
    if "text" in (one.kind, other.kind):
        text, rest = (one, other) if one.kind == "text" else (other, one)
        pairs = zip(text.values.to_pylist(), _json(rest), _written(rest), strict=True)
        return np.array([not _reads(cell, value, written) for cell, value, written in pairs], np.bool_), 0.0
    return _values_differ(_json(one), _json(other))


def _json(cells: Cells) -> list[Any]:
    return list(cells.values) if cells.kind == "json" else carried_values.json_values(cells.values)


def _written(cells: Cells) -> list[Any]:
    """The cells as CSV would have them."""
    values = carried_values.for_csv(cells.values)
    out: list[Any] = values.cast(pa.string()).to_pylist()
    return out


def _reads(cell: str | None, value: Any, written: str | None) -> bool:
    """Whether a cell of CSV is that value: by its text, or as the number that it denotes."""
    if cell == written or cell is None or not isinstance(value, float):
        return cell == written
    try:
        return _equal(float(cell), value)
    except ValueError:
        return False


def _typed_differ(one: Any, other: Any) -> tuple[Any, float]:
    families = _family(one.type), _family(other.type)
    numbers = ("int", "float", "decimal")
    if families[0] != families[1] and not (families[0] in numbers and families[1] in numbers):
        return _either(one, other), 0.0
    if families[0] == families[1] == "float":
        return _floats_differ(*(values.cast(pa.float64()) for values in (one, other)))
    if families[0] in numbers:
        if one.type == other.type and not _unlike(one, other).any():
            return np.zeros(len(one), np.bool_), 0.0
        return _values_differ(one.to_pylist(), other.to_pylist())
    if families[0] == "list":
        found = _lists_differ(one, other)
        if found is not None:
            return found
    if families[0] in ("list", "other"):
        return _values_differ(*(carried_values.json_values(values) for values in (one, other)))
    if families[0] in ("text", "bytes", "bool", "null") or one.type == other.type:
        wide = {"text": pa.large_string(), "bytes": pa.large_binary()}.get(families[0])
        return _unlike(*((one, other) if wide is None else (one.cast(wide), other.cast(wide)))), 0.0
    moments = [_moments(values) for values in (one, other)]
    return _values_differ(*moments)[0], 0.0


def _family(kind: Any) -> str:
    types = pa.types
    known = {
        "null": types.is_null,
        "bool": types.is_boolean,
        "int": types.is_integer,
        "float": types.is_floating,
        "decimal": types.is_decimal,
        "text": lambda kind: types.is_string(kind) or types.is_large_string(kind),
        "bytes": lambda kind: types.is_binary(kind) or types.is_large_binary(kind) or types.is_fixed_size_binary(kind),
        "date": types.is_date,
        "time": types.is_time,
        "duration": types.is_duration,
        "instant": lambda kind: types.is_timestamp(kind) and kind.tz is not None,
        "timestamp": types.is_timestamp,
        "list": lambda kind: types.is_list(kind) or types.is_large_list(kind) or types.is_fixed_size_list(kind),
    }
    return next((name for name, is_kind in known.items() if is_kind(kind)), "other")


def _unlike(one: Any, other: Any) -> Any:
    """Where two arrays of one type differ; null is like null."""
    same = pc.fill_null(pc.equal(one, other), False) if not pa.types.is_null(one.type) else one.is_null()
    same = pc.or_(same, pc.and_(one.is_null(), other.is_null()))
    return ~np.asarray(same.to_numpy(zero_copy_only=False), np.bool_)


def _either(one: Any, other: Any) -> Any:
    """Where one of two is not null."""
    return ~np.asarray(pc.and_(one.is_null(), other.is_null()).to_numpy(zero_copy_only=False), np.bool_)


def _floats_differ(one: Any, other: Any) -> tuple[Any, float]:
    nulls = [np.asarray(values.is_null().to_numpy(zero_copy_only=False), np.bool_) for values in (one, other)]
    ours, theirs = (np.asarray(pc.fill_null(values, 0.0).to_numpy(zero_copy_only=False)) for values in (one, other))
    same = (ours == theirs) & (np.signbit(ours) == np.signbit(theirs)) | (np.isnan(ours) & np.isnan(theirs))
    same = np.where(nulls[0] | nulls[1], nulls[0] & nulls[1], same)
    with np.errstate(invalid="ignore", over="ignore"):
        gap = np.where(same | nulls[0] | nulls[1], 0.0, np.abs(ours - theirs))
    return ~same, float(np.nanmax(gap, initial=0.0))


def _lists_differ(one: Any, other: Any) -> tuple[Any, float] | None:
    """Lists of floats of one length, all at once; None for others."""
    size = 1
    while all(_family(values.type) == "list" for values in (one, other)):
        lengths = [pc.unique(pc.list_value_length(values)).to_pylist() for values in (one, other)]
        if len(lengths[0]) != 1 or lengths[0] != lengths[1] or lengths[0][0] is None:
            return None
        size *= lengths[0][0]
        one, other = one.flatten(), other.flatten()
    if not size or any(_family(values.type) != "float" for values in (one, other)):
        return None
    mask, largest = _floats_differ(*(values.cast(pa.float64()) for values in (one, other)))
    return mask.reshape(-1, size).any(axis=1), largest


def _moments(values: Any) -> list[int | None]:
    """Dates, times and moments as exact counts of nanoseconds."""
    kind = values.type
    day = 86_400 * 10**9
    units = {"s": 10**9, "ms": 10**6, "us": 10**3, "ns": 1}
    scale = day if pa.types.is_date32(kind) else 10**6 if pa.types.is_date64(kind) else units[kind.unit]
    small = pa.types.is_date32(kind) or pa.types.is_time32(kind)
    counts = (values.cast(pa.int32()) if small else values.cast(pa.int64())).to_pylist()
    return [None if count is None else count * scale for count in counts]


def _values_differ(ours: Sequence[Any], theirs: Sequence[Any]) -> tuple[Any, float]:
    pairs = list(zip(ours, theirs, strict=True))
    mask = np.array([not _equal(*pair) for pair in pairs], np.bool_)
    return mask, max((_gap(*pairs[row]) for row in np.flatnonzero(mask).tolist()), default=0.0)


def _equal(one: Any, other: Any) -> bool:
    if one is None or other is None:
        return one is other
    if isinstance(one, bool) or isinstance(other, bool):
        return one is other
    if isinstance(one, _NUMBER) and isinstance(other, _NUMBER):
        if one != one or other != other:
            return one != one and other != other
        return one == other and _negative_zero(one) == _negative_zero(other)
    if isinstance(one, list | tuple) and isinstance(other, list | tuple):
        return len(one) == len(other) and all(map(_equal, one, other))
    if isinstance(one, dict) and isinstance(other, dict):
        return one.keys() == other.keys() and all(_equal(value, other[name]) for name, value in one.items())
    return type(one) is type(other) and bool(one == other)


_NUMBER = (int, float, Decimal)


def _negative_zero(value: Any) -> bool:
    return isinstance(value, float) and value == 0 and math.copysign(1.0, value) < 0


def _gap(one: Any, other: Any) -> float:
    """By how much two numbers differ; 0 for anything else."""
    if not all(isinstance(value, _NUMBER) and not isinstance(value, bool) for value in (one, other)):
        return 0.0
    if any(isinstance(value, float) and not math.isfinite(value) for value in (one, other)):
        return math.inf if one == one and other == other else 0.0
    return float(abs(Decimal(one) - Decimal(other)))
