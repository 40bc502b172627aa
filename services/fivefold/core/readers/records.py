"""Records to columns: JSON objects (or positional arrays), one a row.

`read` takes parsed values, `read_columns` the same values a field at a time; `read_json` takes a V1 body and tries a
typed decoder first. The typed decoder may only
accept: whatever it refuses is read again exactly, and that reading gives the codes and paths.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from itertools import chain
from operator import le
from typing import Any

import msgspec
import numpy as np

from fivefold.core.check import Findings, Reading, column, say
from fivefold.core.columns import Array, Columns, narrow
from fivefold.core.contract import Field, nearest
from fivefold.core.errors import ContractError
from fivefold.core.readers.cells import is_wrapped, rows_of_cells
from fivefold.core.readers.columnar import spelled
from fivefold.core.readers.exact_json import MAX_DEPTH, loads

_TYPED: dict[str, Any] = {"bool": bool, "int": int, "float": float, "string": str}
_ENVELOPE = ("instances", "inputs", "parameters", "signature_name")


class Records:
    """Reads rows spelled as records under a list of fields."""

    def __init__(self, fields: Sequence[Field]) -> None:
        self.fields = tuple(fields)
        self._names: dict[str, int] = {}
        for index, field in enumerate(self.fields):
            for name in (field.name, *field.aliases):
                self._names[name] = index
        self._defaults = Defaults(self.fields)
        # Under a single field of bytes, an instance of this form is the field's value and no record.
        self._wrapped = len(self.fields) == 1 and self.fields[0].kind == "bytes" and "b64" not in self._names
        self._fast = _body_reader(self.fields)

    def read_json(
        self,
        body: bytes | memoryview,
        *,
        max_rows: int | None = None,
        max_depth: int = MAX_DEPTH,
        columnar: Callable[[], None] | None = None,
    ) -> Reading:
        """Read a body of rows, `{"instances": [...]}`, or of columns, `{"inputs": {...}}`: then `columnar` is called.

        Raises `ContractError` where the body as a whole cannot be read.
        """
        if self._fast is not None:
            columns = self._fast(body, max_rows)
            if columns is not None:
                return columns
        envelope = loads(body, max_depth=max_depth)
        if not isinstance(envelope, dict):
            raise ContractError("malformed", f"expected an object with instances, got {say(envelope)}")
        for name in envelope:
            if name not in _ENVELOPE:
                raise ContractError(
                    "malformed", f"unknown member {say(name)} beside instances", help=nearest(name, _ENVELOPE)
                )
        instances, inputs = envelope.get("instances"), envelope.get("inputs")
        if inputs is not None:
            if instances is not None:
                raise ContractError("malformed", "expected instances or inputs, got both", path="inputs")
            if columnar is not None:
                columnar()
            return self.read_columns(inputs, max_rows=max_rows)
        if not isinstance(instances, list):
            got = say(instances) if "instances" in envelope else "nothing"
            raise ContractError("malformed", f"expected an array of instances, got {got}", path="instances")
        return self.read(instances, max_rows=max_rows)

    def read(self, instances: Sequence[Any], *, max_rows: int | None = None) -> Reading:
        """Read parsed JSON values, one a row, each an object or an array with one value a field in field order.

        Under a single field an instance that is not an object is the field's own value. Raises `ContractError`
        `too_large` above `max_rows`.
        """
        rows = len(instances)
        refuse_rows(rows, max_rows)
        findings = Findings(self.fields, rows)
        if not rows:
            return findings.reading(self._defaults.empty())
        cells: list[list[Any]] = [[None] * rows for _ in self.fields]
        given: list[list[bool]] = [[False] * rows for _ in self.fields]
        unreadable = [False] * rows
        unknown: dict[str, list[int]] = {}
        doubled: dict[int, list[int]] = {}
        for row, instance in enumerate(instances):
            if isinstance(instance, dict) and not (self._wrapped and is_wrapped(instance)):
                for name, value in instance.items():
                    index = self._names.get(name, -1)
                    if index < 0:
                        unknown.setdefault(name, []).append(row)
                    elif given[index][row]:
                        doubled.setdefault(index, []).append(row)
                    else:
                        cells[index][row], given[index][row] = value, True
                continue
            values = self._positional(instance)
            if values is None:
                unreadable[row] = True
                findings.row(row, f"expected an object or an array of {len(self.fields)} values, got {say(instance)}")
                continue
            for index, value in enumerate(values):
                cells[index][row], given[index][row] = value, True
        return self._checked(findings, cells, given, unreadable, unknown, doubled)

    def read_columns(self, inputs: Any, *, max_rows: int | None = None) -> Reading:
        """Read parsed JSON values spelled by column: an object with an array for each field, one value a row.

        Under a single field also that array alone. Raises `ContractError`: `malformed` for what is no such columns or
        where their lengths disagree, `too_large` above `max_rows`.
        """
        found = spelled(self.fields, self._names, inputs)
        rows = found.rows
        refuse_rows(rows, max_rows)
        findings = Findings(self.fields, rows)
        if not rows:
            # There is no row that could lack a field or have it twice.
            for index, field in enumerate(self.fields):
                if field.required and index not in found.arrays:
                    findings.name("missing_field", index, field.name, (), "expected an array, got nothing")
                elif index in found.doubled:
                    findings.name("duplicate_field", index, field.name, (), "given under two of its names")
        cells = [found.arrays.get(index, [None] * rows) for index in range(len(self.fields))]
        given = [[index in found.arrays] * rows for index in range(len(self.fields))]
        unknown, doubled = dict.fromkeys(found.unknown, range(rows)), dict.fromkeys(found.doubled, range(rows))
        return self._checked(findings, cells, given, [False] * rows, unknown, doubled)

    def _checked(
        self,
        findings: Findings,
        cells: Sequence[list[Any]],
        given: Sequence[list[bool]],
        unreadable: Sequence[bool],
        unknown: Mapping[str, Sequence[int]],
        doubled: Mapping[int, Sequence[int]],
    ) -> Reading:
        """Columns of the cells that each field was given; `unreadable` rows hold none and are reported already."""
        rows = findings.rows
        for name, hit in unknown.items():
            findings.name("unknown_field", len(self.fields), name, hit, "no such field", nearest(name, self._names))
        arrays = {}
        for index, field in enumerate(self.fields):
            twice = doubled.get(index, ())
            if twice:
                findings.name("duplicate_field", index, field.name, twice, "given under two of its names")
            absent = [row for row in range(rows) if not given[index][row] and not unreadable[row]]
            if field.required and absent:
                findings.name("missing_field", index, field.name, absent, "expected a value, got nothing")
            skip = [not there for there in given[index]]
            for row in twice:
                skip[row] = True
            arrays[field.name] = self._column(findings, index, cells[index], skip, absent)
        return findings.reading(Columns(self.fields, arrays, rows))

    def _positional(self, instance: Any) -> Sequence[Any] | None:
        if len(self.fields) == 1:
            field = self.fields[0]
            if not field.shape and isinstance(instance, list):
                return instance if len(instance) == 1 else None
            return [instance]
        return instance if isinstance(instance, list) and len(instance) == len(self.fields) else None

    def _column(
        self, findings: Findings, index: int, values: list[Any], skip: list[bool], absent: Sequence[int]
    ) -> Array:
        array = rows_of_cells(findings, index, values, skip)
        if absent and not self.fields[index].required:
            self._defaults.fill(findings, index, array, list(absent))
        return array


def refuse_rows(rows: int, max_rows: int | None) -> None:
    """Raise `too_large` for more rows than one request may carry."""
    if max_rows is not None and rows > max_rows:
        raise ContractError("too_large", f"expected at most {max_rows} rows, got {rows}", path="inputs")


class Defaults:
    """The default cell of each optional field, read once by the same rules as a given value."""

    def __init__(self, fields: Sequence[Field]) -> None:
        self.fields = tuple(fields)
        self._cells: dict[int, tuple[Any, Any]] = {}
        for index, field in enumerate(self.fields):
            if not field.required:
                findings = Findings(self.fields, 1)
                cell = rows_of_cells(findings, index, [field.default], [False])[0]
                null = findings.nulls.get(field.name)
                self._cells[index] = cell, None if null is None else null[0]

    def cell(self, index: int) -> Any:
        """The default of field `index`: a scalar or an array of the field's shape."""
        return self._cells[index][0]

    def null(self, index: int) -> Any:
        """Where that cell is null, for a field that has a mask of its nulls (`Field.null_is_value`), else None."""
        return self._cells[index][1]

    def fill(self, findings: Findings, index: int, array: Array, rows: Any) -> None:
        """Put the default, and whether it is null, into some rows of a column (a mask or positions)."""
        cell, null = self._cells[index]
        array[rows] = cell
        if null is not None:
            findings.nulls[self.fields[index].name][rows] = null

    def column(self, findings: Findings, index: int) -> Array:
        """The default in every row."""
        field, rows = self.fields[index], findings.rows
        cell, null = self._cells[index]
        out = np.empty((rows, *field.shape), field.numpy_dtype)
        out[:] = cell
        if null is not None:
            findings.nulls[field.name] = np.full(out.shape, null)
        return out

    def empty(self) -> Columns:
        """No rows at all."""
        arrays = {field.name: np.empty((0, *field.shape), field.numpy_dtype) for field in self.fields}
        return Columns(self.fields, arrays, 0)


def _body_reader(fields: tuple[Field, ...]) -> Callable[[bytes | memoryview, int | None], Reading | None] | None:
    """The typed reader of V1 bodies, or None where a field has no typed form (bytes)."""
    typed = typed_rows(fields)
    if typed is None:
        return None
    row_type, read_rows = typed.row, typed.read
    members = [("instances", list[row_type])]  # type: ignore[valid-type]  # made at run time
    envelope = msgspec.defstruct("Envelope", members, forbid_unknown_fields=True)
    decode: Callable[[bytes | memoryview], Any] = msgspec.json.Decoder(envelope).decode
    defaults = Defaults(fields)

    def read(body: bytes | memoryview, max_rows: int | None) -> Reading | None:
        try:
            instances = decode(body).instances
        except (msgspec.MsgspecError, UnicodeError, RecursionError):
            return None
        refuse_rows(len(instances), max_rows)
        return read_rows(instances) if instances else Reading(defaults.empty(), 0)

    return read


@dataclass(frozen=True, slots=True)
class TypedRows:
    """Rows as a typed decoder makes them: `row` is the type of one, `read` makes columns of at least one.

    What `read` accepts is as the exact reader has it; it gives None where only that one can tell. `extra` gives the
    values of the names beside the fields that were allowed, in their order, `msgspec.UNSET` for an absent one.
    """

    row: type
    read: Callable[[list[Any]], Reading | None]
    extra: Callable[[Any], tuple[Any, ...]]


def typed_rows(fields: tuple[Field, ...], extra: Sequence[str] = ()) -> TypedRows | None:
    """The typed form of rows under the fields, or None where a field has none (bytes).

    `extra` are names beside the fields (and their aliases) that a row may carry, with any value.
    """
    if any(field.kind == "bytes" for field in fields):
        return None
    members: list[Any] = []
    for index, field in enumerate(fields):
        kind: Any = _TYPED[field.kind]
        for _ in field.shape:
            kind = list[kind]
        if field.nullable and not field.shape:
            kind = kind | None
        # An absent optional field is marked, not filled: its default is a checked cell, not a JSON value.
        if field.required:
            members.append((f"f{index}", kind))
        else:
            members.append((f"f{index}", kind | msgspec.UnsetType, msgspec.UNSET))
    members += [(f"x{index}", Any, msgspec.UNSET) for index in range(len(extra))]
    rename = {f"f{index}": field.name for index, field in enumerate(fields)}
    rename |= {f"x{index}": name for index, name in enumerate(extra)}
    row_type = msgspec.defstruct("Row", members, rename=rename, forbid_unknown_fields=True, gc=False, kw_only=True)
    defaults = Defaults(fields)
    names = tuple(field.name for field in fields)
    one_dtype = {field.dtype for field in fields}
    blocked = (
        len(fields) > 1
        and len(one_dtype) == 1
        and all(field.kind == "float" and not field.shape and field.required for field in fields)
    )
    dtype = np.dtype(fields[0].dtype) if blocked else None
    nullable = any(field.nullable for field in fields)
    low, high = _block_limits(fields, dtype) if dtype else (None, None)
    lows, highs = (low.tolist(), high.tolist()) if low is not None and high is not None else ([], [])
    width = len(fields)
    whole: Callable[[Any], tuple[Any, ...]] = msgspec.structs.astuple

    def of_fields(row: Any) -> tuple[Any, ...]:
        return whole(row)[:width]

    astuple = of_fields if extra else whole

    def read_block(instances: list[Any]) -> Reading:
        assert dtype is not None
        rows = len(instances)
        if rows == 1 and not nullable:
            # One row is the usual request, and shorter than any call of numpy. JSON has no NaN that could slip through.
            row = astuple(instances[0])
            if all(map(le, lows, row)) and all(map(le, row, highs)):
                return Reading(Columns.of_block(fields, names, np.array((row,), dtype)), 1, (), np.zeros(1, np.bool_))
        if nullable:
            wide = np.array([astuple(row) for row in instances], np.float64)
        else:
            wide = np.fromiter(chain.from_iterable(map(astuple, instances)), np.float64, rows * width).reshape(
                rows, width
            )
        block = narrow(wide, dtype)
        # NaN (null) fails this comparison too and takes the explaining path, which lets it pass where it may.
        if ((block >= low) & (block <= high)).all():
            return Reading(Columns.of_block(fields, names, block), rows, (), np.zeros(rows, np.bool_))
        findings = Findings(fields, rows)
        for index in range(width):
            nulls = np.isnan(wide[:, index])
            column(findings, index, wide[:, index], nulls if nulls.any() else None, json_source=True)
        return findings.reading(Columns.of_block(fields, names, block))

    def read_columns(instances: list[Any]) -> Reading | None:
        rows = len(instances)
        findings = Findings(fields, rows)
        arrays = {}
        for index, (field, values) in enumerate(zip(fields, zip(*map(astuple, instances), strict=True), strict=True)):
            array = _typed_column(findings, index, field, values, defaults)
            if array is None:
                return None
            arrays[field.name] = array
        return findings.reading(Columns(fields, arrays, rows))

    return TypedRows(row_type, read_block if blocked else read_columns, lambda row: whole(row)[width:])


def _block_limits(fields: Sequence[Field], dtype: np.dtype[Any]) -> tuple[Array, Array]:
    """Both ends of every field as rows of one array; an unbounded end is the largest finite value."""
    edge = float(np.finfo(dtype).max)
    low = np.array([-edge if field.minimum is None else float(field.minimum) for field in fields]).astype(dtype)
    high = np.array([edge if field.maximum is None else float(field.maximum) for field in fields]).astype(dtype)
    if any(field.enum is not None for field in fields):
        # An empty interval sends every row to the check that knows enums.
        low = np.array(
            [np.inf if field.enum is not None else bound for field, bound in zip(fields, low, strict=True)], dtype
        )
    return low, high


def _typed_column(
    findings: Findings, index: int, field: Field, values: tuple[Any, ...], defaults: Defaults
) -> Array | None:
    """One column of decoded values, or None where only the exact reader can say what is wrong."""
    if field.nullable or not field.required:
        fill = field.null if field.nullable else _FILL[field.kind]
        hidden = [value is None or value is msgspec.UNSET for value in values]
        if any(hidden):
            if field.shape:
                return None
            unset = [value is msgspec.UNSET for value in values]
            source = _source(field, tuple(fill if hide else value for hide, value in zip(hidden, values, strict=True)))
            if source is None:
                return None
            array = column(findings, index, source, np.array(hidden, np.bool_), json_source=True)
            if any(unset):
                array = array.copy()
                defaults.fill(findings, index, array, np.array(unset))
            return array
    source = _source(field, values)
    return None if source is None else column(findings, index, source, json_source=True)


_FILL: Mapping[str, Any] = {"bool": False, "int": 0, "float": 0.0, "string": ""}


def _source(field: Field, values: tuple[Any, ...]) -> Array | None:
    if field.kind == "string":
        if field.shape:
            return None
        text = np.empty(len(values), object)
        text[:] = values
        return text
    dtype = {"bool": np.bool_, "float": np.float64}.get(field.kind, field.dtype)
    try:
        source = np.array(values, dtype)
    except (ValueError, OverflowError):
        return None
    return source if source.shape == (len(values), *field.shape) else None
