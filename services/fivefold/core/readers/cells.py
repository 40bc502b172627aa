"""Parsed JSON values to columns, one cell at a time: the slow path of the record, tensor and text readers.

Values are Python's (`None bool int float str list dict`, and `Literal` numbers). What is wrong with a value is decided
here for its type and shape, and by `fivefold.core.check` for everything else.
"""

from __future__ import annotations

import base64
import binascii
import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from fivefold.core.check import Findings, column, expected, say
from fivefold.core.columns import Array
from fivefold.core.contract import Field
from fivefold.core.readers.exact_json import Literal

_PLACEHOLDER: dict[str, Any] = {"bool": False, "int": 0, "float": 0.0, "string": "", "bytes": b""}
_WRONG = object()


def rows_of_cells(findings: Findings, index: int, values: Sequence[Any], skip: Sequence[bool]) -> Array:
    """A column from one JSON value a row; rows under `skip` are already refused or hold nothing.

    Shaped values may be nested exactly or flat; null stands for a row's whole value or for one element.
    """
    field = findings.fields[index]
    size = field.size
    flat: list[Any] = []
    hidden: list[bool] = []
    for row, value in enumerate(values):
        elements = None if skip[row] else _elements(findings, index, field, row, value)
        if elements is None:
            flat.extend([None] * size)
            hidden.extend([True] * size)
        else:
            flat.extend(elements)
            hidden.extend([False] * size)
    return flat_cells(findings, index, flat, hidden)


def flat_cells(findings: Findings, index: int, flat: list[Any], hidden: list[bool]) -> Array:
    """A column from rows * field.size scalar JSON values in row-major order."""
    field = findings.fields[index]
    scalar = not field.shape
    size = field.size
    kind = field.kind
    for position, value in enumerate(flat):
        if hidden[position]:
            continue
        row, element = divmod(position, size)
        at = None if scalar else element
        if value is None:
            hidden[position] = True
            if not field.nullable:
                findings.cell("null_not_allowed", index, row, at, f"expected {expected(field)}, got null")
            continue
        if isinstance(value, list):
            hidden[position] = True
            findings.cell("wrong_shape", index, row, at, f"expected {expected(field)}, got {say(value)}")
            continue
        converted = _convert(kind, value)
        if converted is _WRONG:
            hidden[position] = True
            findings.cell("wrong_type", index, row, at, f"expected {expected(field)}, got {_got(kind, value)}")
        else:
            flat[position] = converted
    shape = (findings.rows, *field.shape)
    mask = np.array(hidden, np.bool_).reshape(shape)
    if kind in ("int", "float"):
        return _number_column(findings, index, field, flat, hidden, mask)
    filler = _PLACEHOLDER[kind]
    filled = [filler if hidden[position] else value for position, value in enumerate(flat)]
    source = np.empty(len(filled), np.bool_ if kind == "bool" else object)
    source[:] = filled
    return column(findings, index, source.reshape(shape), mask if mask.any() else None)


def _number_column(
    findings: Findings, index: int, field: Field, flat: list[Any], hidden: list[bool], mask: Array
) -> Array:
    shape = mask.shape
    skip = mask if mask.any() else None
    if field.kind == "float":
        # NaN where nothing is: in a nullable field that is what null looks like.
        wide = np.array([math.nan if hidden[i] else _wide(value) for i, value in enumerate(flat)], np.float64)
        return column(findings, index, wide.reshape(shape), skip, json_source=True)
    out = np.full(len(flat), field.null_value if field.nullable else 0, np.dtype(field.dtype))
    low, high = int(np.iinfo(field.dtype).min), int(np.iinfo(field.dtype).max)
    live = ~mask.reshape(-1)
    for position, value in enumerate(flat):
        if hidden[position]:
            continue
        row, element = divmod(position, field.size)
        if low <= value <= high:
            out[position] = int(value)
            continue
        live[position] = False
        message = f"expected {'an' if field.dtype[0] == 'i' else 'a'} {field.dtype}, got {say(value)}"
        findings.cell("out_of_range", index, row, element if field.shape else None, message)
    return column(findings, index, out.reshape(shape), ~live.reshape(shape))


def _wide(value: int | float) -> float:
    try:
        return float(value)
    except OverflowError:
        return math.inf


def _convert(kind: str, value: Any) -> Any:
    """The value as its kind's Python type, or `_WRONG`. Integers stay exact."""
    if kind == "float":
        return value if isinstance(value, int | float) and not isinstance(value, bool) else _WRONG
    if kind == "int":
        if isinstance(value, bool):
            return _WRONG
        if isinstance(value, int):
            return value
        if not isinstance(value, float):
            return _WRONG
        if math.isinf(value):
            return value
        if isinstance(value, Literal):
            exact = value.exact()
            # A fractional literal is its binary64 value, and those are integral from 2^53 on.
            return int(value) if exact is None else exact
        return int(value) if value.is_integer() else _WRONG
    if kind == "bool":
        return value if isinstance(value, bool) else _WRONG
    if kind == "bytes" and is_wrapped(value):
        value = value["b64"]
    if not isinstance(value, str):
        return _WRONG
    if kind == "string":
        return value
    return decode_base64(value)


def is_wrapped(value: Any) -> bool:
    """Whether a value is `{"b64": "…"}`, as TensorFlow Serving's clients spell bytes in JSON."""
    return isinstance(value, dict) and len(value) == 1 and isinstance(value.get("b64"), str)


def decode_base64(value: str) -> Any:
    """The bytes of strict standard base64, or a marker that `_convert` understands."""
    if len(value) % 4:
        # Python's decoder lets surplus padding pass; a browser's does not.
        return _WRONG
    try:
        return base64.b64decode(value, validate=True)
    except (binascii.Error, ValueError):
        return _WRONG


def _got(kind: str, value: Any) -> str:
    if kind == "bytes" and isinstance(value, str):
        return f"other text: {say(value)}"
    return f"the string {say(value)}" if isinstance(value, str) else say(value)


def _elements(findings: Findings, index: int, field: Field, row: int, value: Any) -> list[Any] | None:
    """A row's value as a flat list of its elements, or None when it was refused."""
    if not field.shape:
        return [value]
    if value is None:
        if field.nullable:
            return [None] * field.size
        findings.cell("null_not_allowed", index, row, None, f"expected {_array(field)}, got null")
        return None
    if not isinstance(value, list):
        right = _convert(field.kind, value) is not _WRONG
        code = "wrong_shape" if right else "wrong_type"
        findings.cell(code, index, row, None, f"expected {_array(field)}, got {_got(field.kind, value)}")
        return None
    flat = flatten(value, field.shape)
    if flat is None:
        refuse_shape(findings, index, row, value)
    return flat


def refuse_shape(findings: Findings, index: int, row: int, value: Any) -> None:
    """Report a row's value that is not nested as the field's shape."""
    field = findings.fields[index]
    findings.cell("wrong_shape", index, row, None, f"expected {_array(field)}, got {_shape_of(value)}")


def flatten(value: list[Any], shape: tuple[int, ...]) -> list[Any] | None:
    """The elements of a value nested exactly as `shape`, or flat with as many elements; None for anything else."""
    if not any(isinstance(item, list) for item in value):
        return list(value) if len(value) == math.prod(shape) else None
    level: list[Any] = [value]
    for size in shape:
        following: list[Any] = []
        for item in level:
            if not isinstance(item, list) or len(item) != size:
                return None
            following.extend(item)
        level = following
    return None if any(isinstance(item, list) for item in level) else level


def _array(field: Field) -> str:
    return f"an array of shape {list(field.shape)}"


def _shape_of(value: Any) -> str:
    sizes = []
    while isinstance(value, list):
        sizes.append(len(value))
        value = value[0] if value else None
    return f"one of shape {sizes}" if sizes else say(value)
