"""Records to columns: JSON objects (or positional arrays), one a row.

`read` takes parsed values, `read_columns` the same values a field at a time; `read_json` takes a V1 body and tries a
typed decoder first. The typed decoder may only accept: whatever it refuses is read again exactly, and that reading
gives the codes and paths.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from itertools import chain, islice
from operator import le
from typing import Any

import msgspec
import numpy as np
import numpy.typing as npt

from fivefold.core.check.findings import Findings, Reading, describe
from fivefold.core.check.values import FEW, column
from fivefold.core.columns import Array, Columns, narrow
from fivefold.core.errors import ContractError
from fivefold.core.fields.field import Field, indices
from fivefold.core.fields.suggestion import nearest
from fivefold.core.readers.cells import is_wrapped
from fivefold.core.readers.columnar import Columnar
from fivefold.core.readers.defaults import Defaults
from fivefold.core.readers.exact_json import MAX_DEPTH, Watch, loads
from fivefold.core.readers.instances import LOOK_ROWS, Instances

_TYPED: dict[str, Any] = {"bool": bool, "int": int, "float": float, "string": str}
_ENVELOPE = ("instances", "inputs", "parameters", "signature_name")


class Records:
    """Reads rows spelled as records under a list of fields."""

    def __init__(self, fields: Sequence[Field]) -> None:
        self.fields = tuple(fields)
        self._names = indices(self.fields)
        self._required = tuple(index for index, field in enumerate(self.fields) if field.required)
        self._shaped = tuple(index for index, field in enumerate(self.fields) if field.shape)
        self._containers = 1 + sum(containers(field.shape) for field in self.fields)
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
        watch: Watch | None = None,
    ) -> Reading:
        """Read a body of rows, `{"instances": [...]}`, or of columns, `{"inputs": {...}}`: then `columnar` is called.

        Raises `ContractError` where the body as a whole cannot be read. `watch` is asked where the reading is long, and
        may end it.
        """
        if self._fast is not None:
            columns = self._fast(body, max_rows, watch)
            if columns is not None:
                return columns
        envelope = loads(body, max_depth=max_depth, max_rows=max_rows, per_row=self._containers, watch=watch)
        if not isinstance(envelope, dict):
            help = 'wrap it in instances: {"instances": […]}' if isinstance(envelope, list) else None
            raise ContractError("malformed", f"expected an object with instances, got {describe(envelope)}", help=help)
        wrapped = self._wrapping(envelope)
        if wrapped is not None:
            raise ContractError("malformed", "expected an object with instances, got a record by itself", help=wrapped)
        for name in envelope:
            if name not in _ENVELOPE:
                raise ContractError(
                    "malformed", f"unknown member {describe(name)} beside instances", help=nearest(name, _ENVELOPE)
                )
        instances, inputs = envelope.get("instances"), envelope.get("inputs")
        if inputs is not None:
            if instances is not None:
                raise ContractError("malformed", "expected instances or inputs, got both", path="inputs")
            if columnar is not None:
                columnar()
            return self.read_columns(inputs, max_rows=max_rows, watch=watch)
        if not isinstance(instances, list):
            got = describe(instances) if "instances" in envelope else "nothing"
            raise ContractError("malformed", f"expected an array of instances, got {got}", path="instances")
        return self.read(instances, max_rows=max_rows, watch=watch)

    def _wrapping(self, envelope: Mapping[str, Any]) -> str | None:
        """How a record that came as the whole body is to be sent; None for what is no record of these fields."""
        if any(name in envelope for name in _ENVELOPE) or not any(name in self._names for name in envelope):
            return None
        shown = [f"{describe(name)}: {_sketch(value)}" for name, value in islice(envelope.items(), _SHOWN)]
        more = ["…"] if len(envelope) > _SHOWN else []
        return f'wrap it in instances: {{"instances": [{{{", ".join([*shown, *more])}}}]}}'

    def read(self, instances: Sequence[Any], *, max_rows: int | None = None, watch: Watch | None = None) -> Reading:
        """Read parsed JSON values, one a row, each an object or an array with one value a field in field order.

        Under a single field an instance that is not an object is the field's own value. Raises `ContractError`
        `too_large` above `max_rows`, and what `watch` raises.
        """
        rows = len(instances)
        refuse_rows(rows, max_rows)
        if not rows:
            return Findings(self.fields, 0).reading(self._defaults.empty())
        if self._wrapped:
            instances = [value["b64"] if is_wrapped(value) else value for value in instances]
        told_apart = Instances(self.fields, self._names, self._required, instances, watch)
        return told_apart.reading(self._defaults, self._shaped)

    def read_columns(self, inputs: Any, *, max_rows: int | None = None, watch: Watch | None = None) -> Reading:
        """Read parsed JSON values spelled by column: an object with an array for each field, one value a row.

        Under a single field also that array alone. Raises `ContractError`: `malformed` for what is no such columns or
        where their lengths disagree, `too_large` above `max_rows`.
        """
        columnar = Columnar(self.fields, self._names, inputs)
        refuse_rows(columnar.rows, max_rows)
        return columnar.reading(self._defaults, watch)

    def read_table(self, rows: int, columns: Sequence[tuple[str, list[Any] | Array]]) -> Reading:
        """Read the columns of a table of so many rows: for each name parsed JSON values, or a numpy array, of its rows.

        Codes and paths are those of the same rows as records; a name that is no field's is refused as there.
        """
        return Columnar.of_table(self.fields, self._names, rows, columns).reading(self._defaults)


_Fast = Callable[["bytes | memoryview", "int | None", "Watch | None"], "Reading | None"]

_SHOWN = 4
"""Members of a record that a help line shows."""


def _sketch(value: Any) -> str:
    return "[…]" if isinstance(value, list) else "{…}" if isinstance(value, dict) else describe(value)


SECONDS_PER_TEXT = 4e-7
"""What checking one text takes, against an enumeration or a pattern."""


def containers(shape: Sequence[int]) -> int:
    """The arrays that spell one nested value of that shape."""
    return sum(math.prod(shape[:depth]) for depth in range(len(shape)))


def refuse_rows(rows: int, max_rows: int | None) -> None:
    """Raise `too_large` for more rows than one request may carry."""
    if max_rows is not None and rows > max_rows:
        raise ContractError("too_large", f"expected at most {max_rows} rows, got {rows}", path="inputs")


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
        if watch is not None and len(instances) > LOOK_ROWS:
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

    plain = _plain_fields(fields)

    def read_columns(instances: list[Any]) -> Reading | None:
        rows = len(instances)
        if rows == 1 and plain is not None:
            few = _plain_row(plain, astuple(instances[0]))
            if few is not None:
                return Reading(Columns(fields, few, 1), 1, (), np.zeros(1, np.bool_))
        findings = Findings(fields, rows)
        arrays = {}
        for index, (field, values) in enumerate(zip(fields, zip(*map(astuple, instances), strict=True), strict=True)):
            array = _typed_column(findings, index, field, values, defaults)
            if array is None:
                return None
            arrays[field.name] = array
        return findings.reading(Columns(fields, arrays, rows))

    return TypedRows(row_type, read_block if blocked else read_columns, lambda row: whole(row)[width:])


_PlainField = tuple[str, int, float, float, npt.DTypeLike]
"""Name, elements (0: a scalar), both ends of its interval, dtype."""


def _plain_fields(fields: Sequence[Field]) -> list[_PlainField] | None:
    """What `_plain_row` has to know of fields that are a few numbers with nothing but bounds; None for others."""
    out: list[_PlainField] = []
    for field in fields:
        if field.interval is None or len(field.shape) > 1 or not field.required:
            return None
        out.append((field.name, field.size if field.shape else 0, *field.interval, field.numpy_dtype))
    return out if sum(field.size for field in fields) <= FEW else None


def _plain_row(plain: Sequence[_PlainField], values: Sequence[Any]) -> dict[str, Array] | None:
    """The short way for one row: it accepts, or leaves the row to the full check. JSON has no NaN to slip through."""
    out: dict[str, Array] = {}
    for (name, size, low, high, dtype), value in zip(plain, values, strict=True):
        if size:
            if len(value) != size or min(value) < low or max(value) > high:
                return None
        elif not low <= value <= high:
            return None
        out[name] = np.array((value,), dtype)
    return out


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
