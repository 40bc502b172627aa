"""Records to columns: JSON objects (or positional arrays), one a row.

`read` takes parsed values; `read_json` takes a V1 body and tries a typed decoder first. The typed decoder may only
accept: whatever it refuses is read again exactly, and that reading gives the codes and paths.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from heapq import nsmallest
from itertools import chain
from operator import le
from typing import Any

import msgspec
import numpy as np

from fivefold.core.check import Findings, Part, Reading, column, say
from fivefold.core.columns import Array, Columns, narrow
from fivefold.core.contract import Field, nearest
from fivefold.core.errors import MAX_DETAILS, ContractError
from fivefold.core.readers.cells import elements, rows_of_cells
from fivefold.core.readers.exact_json import MAX_DEPTH, Watch, loads

_TYPED: dict[str, Any] = {"bool": bool, "int": int, "float": float, "string": str}
_ENVELOPE = ("instances", "parameters", "signature_name")


class Records:
    """Reads rows spelled as records under a list of fields."""

    def __init__(self, fields: Sequence[Field]) -> None:
        self.fields = tuple(fields)
        self._names: dict[str, int] = {}
        for index, field in enumerate(self.fields):
            for name in (field.name, *field.aliases):
                self._names[name] = index
        self._required = tuple(index for index, field in enumerate(self.fields) if field.required)
        self._shaped = tuple(index for index, field in enumerate(self.fields) if field.shape)
        self._containers = 1 + sum(containers(field.shape) for field in self.fields)
        self._defaults = Defaults(self.fields)
        self._fast = _body_reader(self.fields)

    def read_json(
        self,
        body: bytes | memoryview,
        *,
        max_rows: int | None = None,
        max_depth: int = MAX_DEPTH,
        watch: Watch | None = None,
    ) -> Reading:
        """Read a body `{"instances": [...]}`; raises `ContractError` where the body as a whole cannot be read.

        `watch` is asked where the reading is long, and may end it.
        """
        if self._fast is not None:
            columns = self._fast(body, max_rows, watch)
            if columns is not None:
                return columns
        envelope = loads(body, max_depth=max_depth, max_rows=max_rows, per_row=self._containers, watch=watch)
        if not isinstance(envelope, dict):
            raise ContractError("malformed", f"expected an object with instances, got {say(envelope)}")
        for name in envelope:
            if name not in _ENVELOPE:
                raise ContractError(
                    "malformed", f"unknown member {say(name)} beside instances", help=nearest(name, _ENVELOPE)
                )
        instances = envelope.get("instances")
        if not isinstance(instances, list):
            got = say(instances) if "instances" in envelope else "nothing"
            raise ContractError("malformed", f"expected an array of instances, got {got}", path="instances")
        return self.read(instances, max_rows=max_rows, watch=watch)

    def read(self, instances: Sequence[Any], *, max_rows: int | None = None, watch: Watch | None = None) -> Reading:
        """Read parsed JSON values, one a row, each an object or an array with one value a field in field order.

        Under a single field an instance that is not an object is the field's own value. Raises `ContractError`
        `too_large` above `max_rows`, and what `watch` raises.
        """
        rows = len(instances)
        refuse_rows(rows, max_rows)
        if not rows:
            return Findings(self.fields, 0).reading(self._defaults.empty())
        sorted_ = _Sorted(self.fields, self._names, self._required, instances, watch)
        return sorted_.reading(self._defaults, self._shaped)


class _Sorted:
    """Instances, told apart: those that give what every row must, in lines of one value a field, and the others.

    Of the others each cell that is given is checked too, for what it has to report, but no column is made: an empty
    object costs as little as it says.
    """

    def __init__(
        self,
        fields: tuple[Field, ...],
        names: dict[str, int],
        required: tuple[int, ...],
        instances: Sequence[Any],
        watch: Watch | None,
    ) -> None:
        self.fields, self._names, self._required, self._watch = fields, names, required, watch
        self.findings = Findings(fields, len(instances))
        self._lines: list[list[Any]] = []
        self._line_rows: list[int] = []
        self._cells: dict[int, tuple[list[int], list[Any]]] = {}
        """Field -> rows and values of the cells of the others."""
        self._unknown: dict[str, list[int]] = {}
        self._doubled: dict[int, list[int]] = {}
        self._unreadable: list[int] = []
        for start in range(0, len(instances), _LOOK_ROWS):
            if watch is not None:
                watch.look()
            for row, instance in enumerate(instances[start : start + _LOOK_ROWS], start):
                if isinstance(instance, dict):
                    self._record(row, instance)
                else:
                    self._positional(row, instance)

    def _record(self, row: int, instance: dict[str, Any]) -> None:
        if len(instance) < len(self._required):
            self._torn(row, instance.items())
            return
        line = [_ABSENT] * len(self.fields)
        for name, value in instance.items():
            index = self._names.get(name, -1)
            if index < 0 or line[index] is not _ABSENT:
                self._torn(row, instance.items())
                return
            line[index] = value
        if len(instance) < len(line) and any(line[index] is _ABSENT for index in self._required):
            self._torn(row, instance.items())
            return
        self._lines.append(line)
        self._line_rows.append(row)

    def _positional(self, row: int, instance: Any) -> None:
        width = len(self.fields)
        alone = width == 1
        if alone and (self.fields[0].shape or not isinstance(instance, list)):
            self._lines.append([instance])
        elif not isinstance(instance, list) or len(instance) != width:
            self._unreadable.append(row)
            self.findings.row(row, lambda: f"expected an object or an array of {width} values, got {say(instance)}")
            return
        else:
            self._lines.append(list(instance))
        self._line_rows.append(row)

    def _torn(self, row: int, items: Iterable[tuple[str, Any]]) -> None:
        """A record that is bad by its names: take down each cell that it gives."""
        seen: set[int] = set()
        for name, value in items:
            index = self._names.get(name, -1)
            if index < 0:
                self._unknown.setdefault(name, []).append(row)
                if len(self._unknown) > _MANY_NAMES:
                    # The first by their bytes are the ones that are reported, whatever is still to come.
                    self._unknown = {name: self._unknown[name] for name in first_names(self._unknown)}
            elif index in seen:
                self._doubled.setdefault(index, []).append(row)
            else:
                seen.add(index)
                at, values = self._cells.setdefault(index, ([], []))
                at.append(row)
                values.append(value)
        self.findings.bad[row] = True

    def reading(self, defaults: Defaults, shaped: tuple[int, ...]) -> Reading:
        """The columns of the good rows, and everything that was found."""
        findings = self.findings
        self._report_names()
        for index in shaped:
            self._flatten(index)
        for index, (at, values) in self._cells.items():
            self._look()
            if self._doubled.get(index):
                twice = set(self._doubled[index])
                pairs = [(row, value) for row, value in zip(at, values, strict=True) if row not in twice]
                at, values = [row for row, _ in pairs], [value for _, value in pairs]
            part = Part(findings, np.array(at, np.int64))
            rows_of_cells(part, index, values, [False] * len(values))
        rows = np.array(self._line_rows, np.int64)
        lines = findings if len(rows) == findings.rows else Part(findings, rows)
        arrays = {}
        for index, (field, column_) in enumerate(zip(self.fields, zip(*self._lines, strict=True), strict=False)):
            self._look()
            absent = [value is _ABSENT for value in column_]
            arrays[field.name] = rows_of_cells(lines, index, column_, absent)
            if True in absent:
                defaults.fill(lines, index, arrays[field.name], np.array(absent))
        if lines is findings:
            return findings.reading(Columns(self.fields, arrays, findings.rows))
        good = Columns(self.fields, arrays, len(rows)) if arrays else defaults.empty()
        reading = lines.reading(good)
        findings.bad[rows[lines.bad]] = True
        return Reading(reading.columns, findings.rows, findings.ordered(), findings.bad)

    def _report_names(self) -> None:
        findings, width = self.findings, len(self.fields)
        for name in first_names(self._unknown):
            findings.name(
                "unknown_field", width, name, self._unknown[name], "no such field", partial(nearest, name, self._names)
            )
        for index, rows in self._doubled.items():
            findings.name("duplicate_field", index, self.fields[index].name, rows, "given under two of its names")
        given, reported = len(self._lines) + len(self._unreadable), 0
        for index in self._required:
            at = self._cells.get(index, ([], []))[0]
            if given + len(at) == findings.rows:
                continue
            if reported == MAX_DETAILS:
                # Those that follow come after them; which rows are bad is known.
                break
            reported += 1
            missing: Any = range(findings.rows)
            if given or at:
                absent = np.ones(findings.rows, np.bool_)
                for rows in (self._line_rows, self._unreadable, at):
                    absent[np.array(rows, np.int64)] = False
                missing = np.flatnonzero(absent)
            name = self.fields[index].name
            findings.name("missing_field", index, name, missing, "expected a value, got nothing")

    def _flatten(self, index: int) -> None:
        """The lines' values of a shaped field as flat lists; lines whose value has another shape go to the others."""
        field = self.fields[index]
        kept = []
        for row, line in zip(self._line_rows, self._lines, strict=True):
            value = line[index]
            if (value is not _ABSENT and value is not None) or (not field.nullable and value is None):
                value = elements(self.findings, index, field, row, value)
                if value is None:
                    line[index] = _ABSENT
                    for other, cell in enumerate(line):
                        if cell is not _ABSENT:
                            at, values = self._cells.setdefault(other, ([], []))
                            at.append(row)
                            values.append(cell)
                    continue
                line[index] = value
            kept.append((row, line))
        if len(kept) < len(self._lines):
            self._line_rows, self._lines = [row for row, _ in kept], [line for _, line in kept]

    def _look(self) -> None:
        if self._watch is not None:
            self._watch.look()


_ABSENT: Any = object()

_Fast = Callable[["bytes | memoryview", "int | None", "Watch | None"], "Reading | None"]

SECONDS_PER_TEXT = 4e-7
"""What checking one text takes, against an enumeration or a pattern."""

_LOOK_ROWS = 1024
"""Rows between two looks whether anybody waits."""

_MANY_NAMES = 4096


def first_names(names: Iterable[str]) -> list[str]:
    """The unknown names that can be reported, by their UTF-8 bytes."""
    return nsmallest(MAX_DETAILS, names, key=lambda name: name.encode("utf-8", "surrogatepass"))


def containers(shape: Sequence[int]) -> int:
    """The arrays that spell one nested value of that shape."""
    return sum(math.prod(shape[:depth]) for depth in range(len(shape)))


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


def _body_reader(fields: tuple[Field, ...]) -> _Fast | None:
    """The typed reader of V1 bodies, or None where a field has no typed form (bytes)."""
    typed = typed_rows(fields)
    if typed is None:
        return None
    row_type, read_rows = typed.row, typed.read
    members = [("instances", list[row_type])]  # type: ignore[valid-type]  # made at run time
    envelope = msgspec.defstruct("Envelope", members, forbid_unknown_fields=True)
    decode: Callable[[bytes | memoryview], Any] = msgspec.json.Decoder(envelope).decode
    defaults = Defaults(fields)

    per_row = sum(SECONDS_PER_TEXT * field.size for field in fields if field.kind == "string")

    def read(body: bytes | memoryview, max_rows: int | None, watch: Watch | None) -> Reading | None:
        try:
            instances = decode(body).instances
        except (msgspec.MsgspecError, UnicodeError, RecursionError):
            return None
        refuse_rows(len(instances), max_rows)
        if watch is not None and len(instances) > _LOOK_ROWS:
            watch.begin(len(instances) * per_row)
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
