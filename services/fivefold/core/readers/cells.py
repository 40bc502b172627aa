"""Parsed JSON values to columns, one cell at a time: the slow path of the record, tensor and text readers.

Values are Python's (`None bool int float str list dict`, and `Literal` numbers), and what only binary formats hold:
`bytes`, floats that are not finite, and the values of `fivefold.core.readers.binary_rows`. What is wrong with a value
is decided here for its type and shape, and by `fivefold.core.check.values` for everything else.
"""

from __future__ import annotations

import base64
import binascii
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
import numpy.typing as npt

from fivefold.core.check.findings import Findings, Mask, describe, first
from fivefold.core.check.values import FEW, column, expected
from fivefold.core.columns import Array
from fivefold.core.fields.field import Field
from fivefold.core.readers.exact_json import Literal

_PLACEHOLDER: dict[str, Any] = {"bool": False, "int": 0, "float": 0.0, "string": "", "bytes": b""}
_WRONG = object()

_NULL, _BOOL, _INT, _FLOAT, _LITERAL, _TEXT, _LIST, _BYTES, _OTHER = range(9)


@dataclass(frozen=True, slots=True)
class OtherValue:
    """A value of a kind that no field has, by the name that a message gives it."""

    name: str


class _Codes(dict[type, int]):
    """The code of each type of value; what no JSON value is belongs nowhere."""

    def __missing__(self, kind: type) -> int:
        self[kind] = code = next((code for known, code in self.items() if issubclass(kind, known)), _OTHER)
        return code


_CODES = _Codes(
    {
        type(None): _NULL,
        bool: _BOOL,
        int: _INT,
        Literal: _LITERAL,
        float: _FLOAT,
        str: _TEXT,
        list: _LIST,
        bytes: _BYTES,
        dict: _OTHER,
    }
)
_LEGAL = {
    "bool": (_BOOL,),
    "int": (_INT, _FLOAT, _LITERAL),
    "float": (_INT, _FLOAT, _LITERAL),
    "string": (_TEXT,),
    "bytes": (_TEXT, _BYTES),
}
_IS_LEGAL = {kind: np.isin(np.arange(_OTHER + 1), codes) for kind, codes in _LEGAL.items()}
"""The same as a table: kind -> whether each code is legal."""


def rows_of_cells(findings: Findings, index: int, values: Sequence[Any], skip: Sequence[bool]) -> Array:
    """A column from one JSON value a row; rows under `skip` are already refused or hold nothing.

    Shaped values may be nested exactly or flat; null stands for a row's whole value or for one element.
    """
    field = findings.fields[index]
    if not field.shape:
        return flat_cells(findings, index, list(values), np.array(skip, np.bool_) if True in skip else None)
    size = field.size
    flat: list[Any] = []
    hidden = np.zeros(len(values), np.bool_)
    nothing = [None] * size
    for row, value in enumerate(values):
        found = None if skip[row] else elements(findings, index, field, row, value)
        if found is None:
            hidden[row] = True
            flat.extend(nothing)
        else:
            flat.extend(found)
    return flat_cells(findings, index, flat, np.repeat(hidden, size) if True in hidden else None)


def flat_cells(findings: Findings, index: int, flat: list[Any], hidden: Mask | None = None) -> Array:
    """A column from rows * field.size scalar JSON values in row-major order; those under `hidden` hold nothing."""
    field = findings.fields[index]
    kind = field.kind
    shape = (findings.rows, *field.shape)
    if kind == "bytes":
        flat = [value["b64"] if is_wrapped(value) else value for value in flat]
    if hidden is None and len(flat) <= FEW:
        few = _few(kind, flat)
        if few is not None:
            return column(findings, index, few.reshape(shape))
        if kind == "float":
            mask = _tell_few_apart(findings, index, flat)
            return _float_column(findings, index, flat, mask.reshape(shape))
    codes = np.fromiter(map(_CODES.__getitem__, map(type, flat)), np.uint8, len(flat))
    mask = np.zeros(len(flat), np.bool_) if hidden is None else hidden
    legal = _IS_LEGAL[kind][codes]
    if not legal.all() or mask.any():
        live = ~mask
        null = live & (codes == _NULL)
        lists = live & (codes == _LIST)
        wrong = live & ~(legal | null | lists)
        if not field.nullable:
            _refuse(findings, index, "null_not_allowed", null, lambda at: _refusal(field, flat[at]))
        _refuse(findings, index, "wrong_shape", lists, lambda at: _refusal(field, flat[at]))
        _refuse_type(findings, index, wrong, flat)
        mask = mask | ~legal
    if kind == "float":
        return _float_column(findings, index, flat, mask.reshape(shape))
    if kind == "int":
        return _integer_column(findings, index, field, flat, codes, mask.reshape(shape))
    filler = _PLACEHOLDER[kind]
    filled = [filler if hide else value for value, hide in zip(flat, mask.tolist(), strict=True)]
    if kind == "bytes":
        filled = [value if isinstance(value, bytes) else decode_base64(value) for value in filled]
        torn = np.fromiter((value is _WRONG for value in filled), np.bool_, len(filled))
        if torn.any():
            _refuse_type(findings, index, torn, flat)
            mask = mask | torn
            filled = [filler if hide else value for value, hide in zip(filled, torn.tolist(), strict=True)]
    source = np.empty(len(filled), np.bool_ if kind == "bool" else object)
    source[:] = filled
    skip = mask.reshape(shape)
    return column(findings, index, source.reshape(shape), skip if mask.any() else None)


_PLAIN: dict[str, set[type]] = {"bool": {bool}, "int": {int}, "float": {int, float}, "string": {str}}


def _few(kind: str, flat: list[Any]) -> Array | None:
    """A few values that are all of the kind as an array, sooner made than told apart; None where some are not."""
    if kind == "bytes" or not _PLAIN[kind].issuperset(map(type, flat)):
        return None
    if kind == "string":
        text = np.empty(len(flat), object)
        text[:] = flat
        return text
    try:
        return np.array(flat, {"bool": np.bool_, "int": np.int64, "float": np.float64}[kind])
    except OverflowError:
        return None


def _tell_few_apart(findings: Findings, index: int, flat: list[Any]) -> Mask:
    """Report those of a few values that are not of the field's kind, sooner walked through than told apart in arrays;
    where they are."""
    field = findings.fields[index]
    legal = _LEGAL[field.kind]
    codes = [_CODES[type(value)] for value in flat]
    mask = [code not in legal for code in codes]
    for place, wrong in enumerate(mask):
        if not wrong:
            continue
        code = codes[place]
        if code == _NULL and field.nullable:
            continue
        row, element = divmod(place, field.size)
        message = partial(_refusal, field, flat[place])
        findings.cell(_CODE.get(code, "wrong_type"), index, row, element if field.shape else None, message)
    return np.array(mask, np.bool_)


_CODE = {_NULL: "null_not_allowed", _LIST: "wrong_shape"}


def _refusal(field: Field, value: Any) -> str:
    """What is wrong with a value that is not of the field's kind."""
    return f"expected {expected(field)}, got {_got(field.kind, value)}"


def _refuse(findings: Findings, index: int, code: str, mask: Mask, message: Callable[[int], str]) -> None:
    """Report the cells under a flat mask."""
    if not mask.any():
        return
    field = findings.fields[index]
    findings.bad |= mask.reshape(-1, field.size).any(axis=1)
    for place in first(mask):
        row, element = divmod(place, field.size)
        findings.cell(code, index, row, element if field.shape else None, partial(message, place))


def _refuse_type(findings: Findings, index: int, mask: Mask, flat: list[Any]) -> None:
    field = findings.fields[index]
    _refuse(findings, index, "wrong_type", mask, lambda at: _refusal(field, flat[at]))


def _float_column(findings: Findings, index: int, flat: list[Any], mask: Mask) -> Array:
    hidden = mask.reshape(-1).tolist() if mask.any() else None
    # NaN where nothing is: in a nullable field that is what null looks like.
    filled = flat if hidden is None else [math.nan if h else v for v, h in zip(flat, hidden, strict=True)]
    try:
        wide = np.fromiter(filled, np.float64, len(filled))
    except OverflowError:
        wide = np.fromiter(map(_wide, filled), np.float64, len(filled))
    finite: bool | Mask = True
    if np.isinf(wide).any():
        # A float of Python's own that is infinite came as one; any other number was finite where it was written.
        finite = np.fromiter((type(value) is not float for value in filled), np.bool_, len(filled)).reshape(mask.shape)
    return column(findings, index, wide.reshape(mask.shape), mask if hidden is not None else None, json_source=finite)


def _integer_column(
    findings: Findings, index: int, field: Field, flat: list[Any], codes: npt.NDArray[np.uint8], mask: Mask
) -> Array:
    shape = mask.shape
    hidden = mask.reshape(-1).tolist() if mask.any() else None
    if hidden is not None:
        flat = [0 if h else v for v, h in zip(flat, hidden, strict=True)]
    live = ~mask.reshape(-1)
    fractions = live & (codes != _INT)
    if fractions.any():
        flat = list(flat)
        odd = np.zeros(len(flat), np.bool_)
        odd[[at for at in np.flatnonzero(fractions).tolist() if _is_unfinite(flat[at])]] = True
        _refuse(findings, index, "not_finite", odd, lambda at: f"expected an integer, got {describe(flat[at])}")
        live &= ~odd
        exact = {at: _whole(flat[at]) for at in np.flatnonzero(fractions & ~odd).tolist()}
        torn = np.zeros(len(flat), np.bool_)
        torn[[at for at, value in exact.items() if value is _WRONG]] = True
        _refuse_type(findings, index, torn, flat)
        live &= ~torn
        for at in np.flatnonzero(odd).tolist():
            flat[at] = 0
        for at, value in exact.items():
            flat[at] = 0 if value is _WRONG else value
    low, high = int(np.iinfo(field.dtype).min), int(np.iinfo(field.dtype).max)
    try:
        exact_values: Any = np.fromiter(flat, np.uint64 if field.dtype == "uint64" else np.int64, len(flat))
        outside = live & ((exact_values < low) | (exact_values > high))
    except OverflowError:
        outside = live & np.fromiter((not low <= value <= high for value in flat), np.bool_, len(flat))
        exact_values = [0 if out else value for value, out in zip(flat, outside.tolist(), strict=True)]
        exact_values = np.array(exact_values, field.dtype) if len(flat) else np.zeros(0, field.dtype)
    article = "an" if field.dtype[0] == "i" else "a"
    _refuse(
        findings,
        index,
        "out_of_range",
        outside,
        lambda at: f"expected {article} {field.dtype}, got {describe(flat[at])}",
    )
    live &= ~outside
    out = np.full(len(flat), field.null_value if field.nullable else 0, np.dtype(field.dtype))
    out[live] = exact_values[live].astype(field.dtype)
    return column(findings, index, out.reshape(shape), ~live.reshape(shape))


def _is_unfinite(value: float) -> bool:
    """Whether a number came as NaN or an infinity: JSON has none, and what is beyond binary64 there is a `Literal`."""
    return type(value) is float and not math.isfinite(value)


def _whole(value: float) -> Any:
    """The integer that a number with a fraction or an exponent is, infinity as it is, or `_WRONG`."""
    if math.isinf(value):
        return value
    if isinstance(value, Literal):
        exact = value.exact()
        # A fractional literal is its binary64 value, and those are integral from 2^53 on.
        return int(value) if exact is None else exact
    return int(value) if value.is_integer() else _WRONG


def _wide(value: int | float) -> float:
    try:
        return float(value)
    except OverflowError:
        return math.inf


def _right(kind: str, value: Any) -> bool:
    """Whether a scalar is of the kind."""
    if kind == "bytes" and is_wrapped(value):
        value = value["b64"]
    if _CODES[type(value)] not in _LEGAL[kind]:
        return False
    if kind == "int" and isinstance(value, float):
        return _whole(value) is not _WRONG
    return kind != "bytes" or isinstance(value, bytes) or decode_base64(value) is not _WRONG


def is_wrapped(value: Any) -> bool:
    """Whether a value is `{"b64": "…"}`, as TensorFlow Serving's clients spell bytes in JSON."""
    return isinstance(value, dict) and len(value) == 1 and isinstance(value.get("b64"), str)


def decode_base64(value: str) -> Any:
    """The bytes of strict standard base64, or a marker for what is none."""
    if len(value) % 4:
        # Python's decoder lets surplus padding pass; a browser's does not.
        return _WRONG
    try:
        return base64.b64decode(value, validate=True)
    except (binascii.Error, ValueError):
        return _WRONG


def _got(kind: str, value: Any) -> str:
    if isinstance(value, OtherValue):
        return value.name
    if kind == "bytes" and isinstance(value, str):
        return f"other text: {describe(value)}"
    return f"the string {describe(value)}" if isinstance(value, str) else describe(value)


def elements(findings: Findings, index: int, field: Field, row: int, value: Any) -> list[Any] | None:
    """A row's value as a flat list of its elements, or None when it was refused."""
    if not field.shape:
        return [value]
    if value is None:
        if field.nullable:
            return [None] * field.size
        findings.cell("null_not_allowed", index, row, None, lambda: f"expected {_array(field)}, got null")
        return None
    if not isinstance(value, list):
        code = "wrong_shape" if _right(field.kind, value) else "wrong_type"
        findings.cell(code, index, row, None, lambda: f"expected {_array(field)}, got {_got(field.kind, value)}")
        return None
    flat = flatten(value, field.shape)
    if flat is None:
        refuse_shape(findings, index, row, value)
    return flat


def refuse_shape(findings: Findings, index: int, row: int, value: Any) -> None:
    """Report a row's value that is not nested as the field's shape."""
    field = findings.fields[index]
    findings.cell("wrong_shape", index, row, None, lambda: f"expected {_array(field)}, got {_shape_of(value)}")


def flatten(value: list[Any], shape: tuple[int, ...]) -> list[Any] | None:
    """The elements of a value nested exactly as `shape`, or flat with as many elements; None for anything else."""
    if list not in map(type, value):
        return value if len(value) == math.prod(shape) else None
    level: list[Any] = [value]
    for size in shape:
        following: list[Any] = []
        for item in level:
            if not isinstance(item, list) or len(item) != size:
                return None
            following.extend(item)
        level = following
    return None if list in map(type, level) else level


def _array(field: Field) -> str:
    return f"an array of shape {list(field.shape)}"


def _shape_of(value: Any) -> str:
    sizes = []
    while isinstance(value, list):
        sizes.append(len(value))
        value = value[0] if value else None
    return f"one of shape {sizes}" if sizes else describe(value)
