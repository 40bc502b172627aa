"""Arrow decimals to numbers, exactly: an integer keeps every digit, a double is rounded once from all of them.

Arrow's own cast multiplies by a power of ten that is rounded already. Here, digits below 2^53 are divided by a power of
ten that binary64 holds exactly (up to 10^22), which rounds once; what is larger goes by way of its text, which is
parsed correctly rounded. What is legal of a value is left to `fivefold.core.check.values`.
"""

from __future__ import annotations

from fractions import Fraction
from typing import Any

import numpy as np

from fivefold.core.check.findings import Findings, Mask, describe
from fivefold.core.check.values import column, expected
from fivefold.core.columns import Array

_EXACT = 2**53
_POWERS = 22
"""The largest power of ten that binary64 holds exactly."""

_SCALES, _BEYOND = 38, 400
"""Scales that Arrow's cast to integers knows; and above which no digit stands before the point."""

_CHARACTERS = 60
"""Of a decimal that a message shows."""


def decimals(findings: Findings, index: int, values: Any, nulls: Mask, shape: tuple[int, ...], skip: Mask) -> Array:
    """A numeric column from a flat Arrow array of decimals of any width and scale.

    `nulls` is flat; `shape` is that of the column and of `skip`, where cells are null or of a row that is refused.
    """
    import pyarrow as pa

    field = findings.fields[index]
    values = _wide(values)
    if field.kind == "float":
        source = _doubles(values, nulls)
        if nulls.any():
            source = np.where(nulls, np.nan, source)
        return column(findings, index, source.reshape(shape), skip if skip.any() else None, json_source=True)
    kind = pa.uint64() if field.dtype == "uint64" else pa.int64()
    source, odd = _integers(values, nulls, kind)
    skip = skip.copy()
    flat = skip.reshape(-1)
    for place in np.flatnonzero(odd & ~flat).tolist():
        flat[place] = True
        row, element = divmod(place, field.size)
        at = element if field.shape else None
        value = _exact(_unscaled(values)[place].as_py(), values.type.scale)
        if value is None or value.denominator != 1:
            shown = _shown(values[place])
            findings.cell("wrong_type", index, row, at, f"expected {expected(field)}, got {shown}")
        else:
            article = "an" if field.dtype[0] == "i" else "a"
            findings.cell(
                "out_of_range", index, row, at, f"expected {article} {field.dtype}, got {describe(int(value))}"
            )
    return column(findings, index, source.reshape(shape), skip if skip.any() else None)


def _wide(values: Any) -> Any:
    """The same decimals in 128 bits at least: Arrow converts narrower ones wrongly."""
    import pyarrow as pa

    kind = values.type
    return values if kind.byte_width >= 16 else values.cast(pa.decimal128(38, kind.scale))


def _digits(values: Any) -> tuple[Array, Mask]:
    """The digits of each value as int64, and where they fit; of the others, and of nulls, anything."""
    words = values.type.byte_width // 8
    size = len(values)
    raw = values.buffers()[1]
    if not size or raw is None:
        return np.zeros(size, np.int64), np.ones(size, np.bool_)
    table = np.frombuffer(raw, np.int64)[values.offset * words : (values.offset + size) * words].reshape(size, words)
    low = table[:, 0]
    return low, (table[:, 1:] == (low >> 63)[:, None]).all(axis=1)


def _doubles(values: Any, nulls: Mask) -> Array:
    import pyarrow as pa
    import pyarrow.compute as pc

    scale = values.type.scale
    digits, fits = _digits(values)
    # Not by the magnitude alone: the smallest int64 has none.
    exact = fits & (digits > -_EXACT) & (digits < _EXACT) & (abs(scale) <= _POWERS)
    power = 10.0 ** min(abs(scale), _POWERS)
    out = digits / power if scale >= 0 else digits * power
    rest = np.flatnonzero(~exact & ~nulls)
    if len(rest):
        texts = _unscaled(values).take(pa.array(rest)).cast(pa.string())
        parsed = pc.binary_join_element_wise(texts, pa.scalar(f"E{-scale}"), "").cast(pa.float64())
        out[rest] = parsed.to_numpy(zero_copy_only=False)
    return np.asarray(out)


def _integers(values: Any, nulls: Mask, kind: Any) -> tuple[Array, Mask]:
    """The values as int64 or uint64, and where they are none."""
    import pyarrow as pa

    scale = values.type.scale
    digits, fits = _digits(values)
    if scale < 0:
        most = (2**63 - 1) // 10 ** min(-scale, 18) if scale >= -18 else 0
        near = fits & (digits >= -most) & (digits <= most)
        out = np.where(near, digits, 0) * np.int64(10 ** min(-scale, 18))
        odd = np.zeros(len(digits), np.bool_)
    elif scale <= 18:
        near = fits
        out, left = np.divmod(digits, np.int64(10**scale))
        odd = left != 0
    else:
        near, out, odd = fits, np.zeros(len(digits), np.int64), digits != 0
    if pa.types.is_uint64(kind):
        odd |= out < 0
        out = np.where(out < 0, 0, out).astype(np.uint64)
    odd &= near & ~nulls
    rest = np.flatnonzero(~near & ~nulls)
    if len(rest):
        try:
            if not 0 <= scale <= _SCALES:
                raise pa.ArrowInvalid
            out[rest] = values.take(pa.array(rest)).cast(kind).to_numpy(zero_copy_only=False)
        except pa.ArrowInvalid:
            low, high = int(np.iinfo(out.dtype).min), int(np.iinfo(out.dtype).max)
            large = _unscaled(values).take(pa.array(rest)).to_pylist()
            for place, unscaled in zip(rest.tolist(), large, strict=True):
                value = _exact(unscaled, scale)
                if value is not None and value.denominator == 1 and low <= value <= high:
                    out[place] = int(value)
                else:
                    odd[place] = True
    return out, odd


def _unscaled(values: Any) -> Any:
    """The same digits as whole numbers: Arrow writes those out whatever the scale was."""
    import pyarrow as pa

    kind = values.type
    make = pa.decimal128 if kind.byte_width == 16 else pa.decimal256
    return pa.Array.from_buffers(make(kind.precision, 0), len(values), values.buffers(), offset=values.offset)


def _exact(unscaled: Any, scale: int) -> Fraction | None:
    """The value as a fraction; None for one whose scale leaves no integer."""
    if scale > _BEYOND:
        return Fraction(0) if unscaled == 0 else None
    # So large a number is out of every range, however many zeros follow.
    return Fraction(int(unscaled)) * Fraction(10) ** -max(scale, -_BEYOND)


def _shown(value: Any) -> str:
    try:
        return str(value.as_py())[:_CHARACTERS]
    except ArithmeticError:
        return "a number with a fraction"
