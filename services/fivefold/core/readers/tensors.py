"""Named tensors to columns: one tensor a field, shape [rows, *field.shape].

The adapter has already turned its wire's datatype into a dtype of ours and its bytes into an array (or left JSON text
or parsed JSON values alone). Declared numeric dtypes do not bind: values decide.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from itertools import chain
from typing import Any

import msgspec
import numpy as np

from fivefold.core.check.findings import MOST_ELEMENTS, Findings, Reading, describe, elements, sizes
from fivefold.core.check.values import FEW, column, every_cell, expected, plain_numbers
from fivefold.core.columns import Array, Columns, narrow
from fivefold.core.fields.field import FLOATS, INTEGERS, Field, indices
from fivefold.core.fields.suggestion import nearest
from fivefold.core.readers.cells import flat_cells
from fivefold.core.readers.defaults import Defaults
from fivefold.core.readers.exact_json import MAX_DEPTH, Watch, loads
from fivefold.core.readers.instances import first_names
from fivefold.core.readers.records import containers, refuse_rows

_FLOAT_LIST = msgspec.json.Decoder(list[float])
_FLOAT_LISTS = msgspec.json.Decoder(list[list[float]])
_INT_LIST = msgspec.json.Decoder(list[int])
_BOOL_LIST = msgspec.json.Decoder(list[bool])


MANY_TENSORS = 256
SECONDS_PER_TENSOR = 5e-6
"""What telling one tensor from the others takes; of more than `MANY_TENSORS` whoever waits is asked first."""

LOOK_FIELDS = 16
"""Short columns between two looks whether anybody waits."""

_SHORT = 32 * FEW
"""Bytes of JSON that a few numbers take at most, spaces included."""


class JsonText(msgspec.Struct, frozen=True, eq=False, gc=False):
    """A tensor's data as the JSON text that came, not yet decoded."""

    text: bytes | memoryview


class Tensor(msgspec.Struct, frozen=True, eq=False, gc=False):
    """A named tensor as it came.

    `dtype` is one of the contract's dtypes, "bytes" for elements that may be text or bytes. `data` is a flat or shaped
    numpy array (object array of `bytes` or `str` for "bytes"), parsed JSON values, or JSON text.
    """

    name: str
    dtype: str
    shape: tuple[int, ...]
    data: Array | list[Any] | JsonText


class Tensors:
    """Reads rows spelled as tensors under a list of fields."""

    def __init__(self, fields: Sequence[Field]) -> None:
        self.fields = tuple(fields)
        self._names = indices(self.fields)
        self._defaults = Defaults(self.fields)
        self._plain = _Plain.of(self.fields)

    def read(
        self,
        tensors: Sequence[Tensor],
        *,
        max_rows: int | None = None,
        max_depth: int = MAX_DEPTH,
        watch: Watch | None = None,
    ) -> Reading:
        """Read tensors; raises `ContractError` `too_large` above `max_rows`, `malformed` for what is not JSON.

        `watch` is asked where the reading is long, and may end it.
        """
        if self._plain is not None and len(tensors) == 1:
            reading = self._plain.read(tensors[0], max_rows)
            if reading is not None:
                return reading
        given: dict[int, Tensor] = {}
        unknown: list[str] = []
        doubled: list[int] = []
        for tensor in tensors:
            index = self._names.get(tensor.name, -1)
            if index < 0:
                unknown.append(tensor.name)
            elif index in given:
                doubled.append(index)
            else:
                given[index] = tensor
        rows = self._rows(tensors)
        refuse_rows(rows, max_rows)
        findings = Findings(self.fields, rows)
        for name in first_names(dict.fromkeys(unknown)):
            findings.name(
                "unknown_field",
                len(self.fields),
                name,
                range(rows),
                "no such field",
                partial(nearest, name, self._names),
            )
        for index in dict.fromkeys(doubled):
            name = self.fields[index].name
            findings.name("duplicate_field", index, name, range(rows), "given under two of its names")
        if not tensors and not any(field.required for field in self.fields):
            findings.whole("malformed", "inputs", "expected at least one tensor: no tensor, no number of rows")
        arrays: dict[str, Array] = {}
        twice = frozenset(doubled)
        for index, field in enumerate(self.fields):
            item = given.get(index)
            few = None if item is None or index in twice else _few(field, item, rows)
            if watch is not None and (few is None or not index % LOOK_FIELDS):
                watch.look()
            if few is not None:
                arrays[field.name] = few
            elif item is not None and index not in twice:
                found = self._column(findings, index, item, max_depth, watch)
                arrays[field.name] = _blank(field, rows) if found is None else found
            elif item is not None or field.required:
                arrays[field.name] = _blank(field, rows)
                if item is None:
                    findings.name("missing_field", index, field.name, range(rows), "expected a tensor, got nothing")
        for index, field in enumerate(self.fields):
            if field.name not in arrays:
                # A shape is soon written: nothing is made for rows that are all refused.
                nobody = rows and findings.bad.all()
                arrays[field.name] = _blank(field, rows) if nobody else self._defaults.column(findings, index)
        return findings.reading(Columns(self.fields, arrays, rows))

    @property
    def plain(self) -> bool:
        """Whether the only field is an array of plain numbers, so that `read_numbers` may accept."""
        return self._plain is not None

    def read_numbers(
        self, name: str, dtype: str, shape: tuple[int, ...], numbers: list[float], *, max_rows: int | None = None
    ) -> Reading | None:
        """Read the one tensor's JSON numbers, already decoded and flat: it accepts, or leaves it to `read`."""
        return None if self._plain is None else self._plain.accept(name, dtype, shape, numbers, max_rows)

    def _rows(self, tensors: Sequence[Tensor]) -> int:
        return next((t.shape[0] for t in tensors if t.shape and t.shape[0] >= 0 and t.name in self._names), 0)

    def _column(
        self, findings: Findings, index: int, tensor: Tensor, max_depth: int, watch: Watch | None
    ) -> Array | None:
        """The checked column, or None where the tensor as a whole was refused."""
        field = self.fields[index]
        rows, shape = findings.rows, tensor.shape
        path = f"inputs.{field.name}"
        if shape and min(shape) < 0:
            findings.whole("malformed", path, lambda: f"expected sizes of at least 0, got shape {sizes(shape)}")
            return None
        if not shape:
            findings.name("wrong_shape", index, field.name, range(rows), f"expected {_wanted(field)}, got shape []")
            return None
        data = self._decoded(field, tensor, max_depth, rows, watch)
        if isinstance(data, str):
            findings.whole("malformed", path, data)
            return None
        count = data.size if isinstance(data, np.ndarray) else len(data)
        if count != elements(shape):
            findings.whole("malformed", path, lambda: _wrong_count(shape, count))
            return None
        if shape[0] != rows:
            findings.whole("malformed", path, f"expected {rows} rows as in the first tensor, got {shape[0]}")
            return None
        if _family(tensor.dtype) not in _FAMILIES[field.kind]:
            every_cell(findings, index, "wrong_type", f"expected {expected(field)}, got a tensor of {tensor.dtype}")
            return None
        if shape[1:] != field.shape and not (not field.shape and shape[1:] == (1,)):
            message = f"expected {_wanted(field)}, got shape {sizes(shape)}"
            if not rows:
                findings.name("wrong_shape", index, field.name, (), message)
            for row in range(min(rows, 17)):
                findings.cell("wrong_shape", index, row, None, message)
            findings.bad[:] = True
            return None
        if isinstance(data, list):
            return flat_cells(findings, index, data)
        return column(
            findings, index, data.reshape(rows, *field.shape), json_source=not isinstance(tensor.data, np.ndarray)
        )

    def _decoded(
        self, field: Field, tensor: Tensor, max_depth: int, rows: int, watch: Watch | None
    ) -> Array | list[Any] | str:
        """Numbers as an array where a typed decoder accepts them, everything else as a flat list of JSON values.

        A sentence where the data is no such list.
        """
        data = tensor.data
        if isinstance(data, np.ndarray):
            return data.reshape(-1)
        if isinstance(data, JsonText):
            typed = _typed(field, data.text, tensor.shape)
            if typed is not None:
                return typed
            nested = 1 + rows * containers(field.shape)
            parsed = loads(data.text, max_depth=max_depth, containers=nested, watch=watch)
            if not isinstance(parsed, list):
                return f"expected an array of data, got {describe(parsed)}"
            data = parsed
        flat = _flatten(data, tensor.shape)
        return f"expected data flat or nested as shape {sizes(tensor.shape)}" if flat is None else flat


class _Plain:
    """The short way for the most common contract, one array of plain numbers: it accepts, or leaves it to `read`."""

    def __init__(self, field: Field) -> None:
        assert field.interval is not None
        self._field, self._fields, self._dtype = field, (field,), np.dtype(field.dtype)
        self._low, self._high = field.interval

    @classmethod
    def of(cls, fields: Sequence[Field]) -> _Plain | None:
        """For these fields; None where there are several, or the one knows more than numbers and their bounds."""
        if len(fields) != 1:
            return None
        field = fields[0]
        if field.kind != "float" or not field.shape or field.nullable or field.allow_nan or field.enum is not None:
            return None
        return cls(field)

    def accept(
        self, name: str, dtype: str, shape: tuple[int, ...], numbers: list[float], max_rows: int | None
    ) -> Reading | None:
        """The tensor of JSON numbers, given flat."""
        if not self._fits(name, dtype, shape, max_rows):
            return None
        return self._numbers(numbers, shape)

    def read(self, tensor: Tensor, max_rows: int | None) -> Reading | None:
        """The tensor, as text or as an array."""
        data, shape = tensor.data, tensor.shape
        if not self._fits(tensor.name, tensor.dtype, shape, max_rows):
            return None
        if isinstance(data, JsonText):
            return self._numbers(_plain_numbers(data.text, shape), shape)
        if not isinstance(data, np.ndarray) or data.dtype.kind not in "fiu" or data.size != shape[0] * self._field.size:
            return None
        few = plain_numbers(self._field, data)
        values = narrow(data, self._dtype) if few is None else few
        # NaN and the infinities fail this too.
        if few is None and not (values.min() >= self._low and values.max() <= self._high):
            return None
        return self._reading(values, shape)

    def _fits(self, name: str, dtype: str, shape: tuple[int, ...], max_rows: int | None) -> bool:
        rows = shape[0] if shape else -1
        return (
            name == self._field.name
            and shape[1:] == self._field.shape
            and rows >= 1
            and (max_rows is None or rows <= max_rows)
            and dtype in _NUMBERS
        )

    def _numbers(self, numbers: list[float] | None, shape: tuple[int, ...]) -> Reading | None:
        if not numbers or len(numbers) != shape[0] * self._field.size:
            return None
        # Beyond a few, an array is sooner made and reduced than a list is walked through twice.
        exact = np.fromiter(numbers, np.float64, len(numbers)) if len(numbers) > FEW else None
        least, most = (min(numbers), max(numbers)) if exact is None else (exact.min(), exact.max())
        # JSON has no NaN, and what lies within bounds of the dtype's own rounds to something within them.
        if least < self._low or most > self._high:
            return None
        return self._reading(
            np.array(numbers, self._dtype) if exact is None else exact.astype(self._dtype, copy=False), shape
        )

    def _reading(self, values: Array, shape: tuple[int, ...]) -> Reading:
        rows = shape[0]
        columns = Columns(self._fields, {self._field.name: values.reshape(shape)}, rows)
        return Reading(columns, rows, (), np.zeros(rows, np.bool_))


def _few(field: Field, tensor: Tensor, rows: int) -> Array | None:
    """The short way for a scalar's column, a few plain numbers in flat JSON: it accepts, or leaves it to `read`."""
    data, interval, shape = tensor.data, field.interval, tensor.shape
    if (
        interval is None
        or field.shape
        or (shape != (rows,) and shape != (rows, 1))
        or type(data) is not JsonText
        or len(data.text) > _SHORT
        or tensor.dtype not in _NUMBERS
    ):
        return None
    try:
        values: list[Any] = (_FLOAT_LIST if field.kind == "float" else _INT_LIST).decode(data.text)
    except (msgspec.MsgspecError, UnicodeError, RecursionError):
        return None
    low, high = interval
    if not values or len(values) != rows or min(values) < low or max(values) > high:
        return None
    return np.array(values, field.numpy_dtype)


def _plain_numbers(text: bytes | memoryview, shape: tuple[int, ...]) -> list[float] | None:
    """The numbers of a JSON array, flat or as rows of equal length; None for anything else."""
    try:
        if not _nested(text):
            return _FLOAT_LIST.decode(text)
        rows = _FLOAT_LISTS.decode(text) if len(shape) == 2 and not _fragments(text, shape) else []
    except (msgspec.MsgspecError, UnicodeError, RecursionError):
        return None
    if len(rows) != shape[0] or any(len(row) != shape[1] for row in rows):
        return None
    return rows[0] if len(rows) == 1 else list(chain.from_iterable(rows))


def _typed(field: Field, text: bytes | memoryview, shape: tuple[int, ...]) -> Array | None:
    try:
        if field.kind == "float":
            if len(shape) == 2 and _nested(text):
                if _fragments(text, shape):
                    return None
                rows = np.array(_FLOAT_LISTS.decode(text), np.float64)
                return rows.reshape(-1) if rows.shape == shape else None
            return np.array(_FLOAT_LIST.decode(text), np.float64)
        if field.kind == "int":
            return np.array(_INT_LIST.decode(text), np.uint64 if field.dtype == "uint64" else np.int64)
        if field.kind == "bool":
            return np.array(_BOOL_LIST.decode(text), np.bool_)
    except (msgspec.MsgspecError, UnicodeError, OverflowError, ValueError, RecursionError):
        return None
    return None


def _fragments(text: bytes | memoryview, shape: tuple[int, ...]) -> bool:
    """Whether long text has more arrays than the shape's rows: each takes some thirty times its two brackets."""
    return len(text) > _LONG and bytes(text).count(b"[") > shape[0] + 1


_LONG = 1 << 20


def _nested(text: bytes | memoryview) -> bool:
    return bytes(text[:16]).replace(b" ", b"").replace(b"\n", b"")[:2] == b"[["


def _flatten(data: list[Any], shape: tuple[int, ...]) -> list[Any] | None:
    """Elements of data that is flat, or nested exactly as `shape`; None for anything else."""
    if list not in map(type, data):
        return data
    level: list[Any] = [data]
    for size in shape:
        following: list[Any] = []
        for item in level:
            if not isinstance(item, list) or len(item) != size:
                return None
            following.extend(item)
        level = following
    return level


def _blank(field: Field, rows: int) -> Array:
    """What stands in a column that was refused: never seen, since every one of its rows is bad, and without memory."""
    return np.broadcast_to(np.zeros((), field.numpy_dtype), (rows, *field.shape))


def _wrong_count(shape: tuple[int, ...], count: int) -> str:
    wanted = elements(shape)
    shown = "more than 2^62" if wanted == MOST_ELEMENTS else wanted
    return f"expected {shown} elements for shape {sizes(shape)}, got {count}"


_NUMBERS = frozenset((*INTEGERS, *FLOATS))


def _family(dtype: str) -> str:
    return "number" if dtype in _NUMBERS else dtype


_FAMILIES = {
    "bool": ("bool",),
    "int": ("number",),
    "float": ("number",),
    "string": ("bytes", "string"),
    "bytes": ("bytes",),
}


def _wanted(field: Field) -> str:
    return f"shape {['rows', *field.shape]}".replace("'", "")
