"""What values a field allows, applied to whole columns.

Every reader hands its values to the functions here, so a value is accepted or refused the same way whatever it came in.
The numeric path is vectorised; text is walked value by value. Decoding wire forms is left to the readers,
collecting what is wrong to `findings`, a model's answers to `outputs`.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from math import isfinite
from typing import Any

import numpy as np

from fivefold.core.check.findings import (
    Findings,
    Mask,
    Sentence,
    describe,
    first,
)
from fivefold.core.columns import Array, narrow, null_mask
from fivefold.core.errors import MAX_DETAILS
from fivefold.core.fields.field import Field, FieldLimits
from fivefold.core.fields.suggestion import nearest

FEW = 64
"""Numbers up to which walking through them in Python is quicker than reducing an array."""


def expected(field: Field) -> str:
    """What a scalar of the field is, as a message says it."""
    nouns = {
        "bool": "true or false",
        "int": "an integer",
        "float": "a number",
        "string": "a string",
        "bytes": "base64 text",
    }
    return nouns[field.kind]


def _limit(field: Field, word: str, value: Any) -> str:
    return f"expected {expected(field)} of {word} {describe(value)}{f' {field.unit}' if field.unit else ''}"


def numbers(
    findings: Findings, index: int, source: Array, skip: Mask | None, *, json_source: bool | Mask = False
) -> Array:
    """Check a numeric source against a numeric field; returns the column in the field's dtype.

    `source` has shape [rows, *field.shape] and any integer or float dtype. Cells under `skip` are null or already
    refused and hold whatever stands for null. JSON has no infinities, so what is infinite in a `json_source`, or in the
    cells that are one, is a number beyond binary64.
    """
    field = findings.fields[index]
    values = plain_numbers(field, source) if skip is None else _plain_others(field, source, skip)
    if values is not None:
        return values
    if field.kind == "float":
        return _floats(findings, index, field, source, skip, json_source)
    return _integers(findings, index, field, source, skip, json_source)


def plain_numbers(field: Field, source: Array) -> Array | None:
    """The short way for the usual few numbers that are all right: the column in the field's dtype, or None.

    It only accepts; what it leaves, the full check tells apart. A reduction in numpy costs more than a walk through a
    few dozen Python numbers.
    """
    interval, size, came = field.interval, source.size, source.dtype
    if interval is None or not 0 < size <= FEW or came.kind not in ("f" if field.kind == "float" else "iu"):
        return None
    low, high = interval
    if size == 1:
        # NaN is in no interval.
        if not low <= source.item() <= high:
            return None
    else:
        values = source.ravel().tolist()
        # The sum of finite numbers that is not finite itself is left to the full check, like NaN and the infinities.
        if field.kind == "float" and not isfinite(sum(values)):
            return None
        if min(values) < low or max(values) > high:
            return None
    dtype = field.numpy_dtype
    return source if came == dtype else source.astype(dtype)


def _plain_others(field: Field, source: Array, skip: Mask) -> Array | None:
    """`plain_numbers` for floats of which some are skipped."""
    interval = field.interval
    if interval is None or field.kind != "float" or source.size > FEW or source.dtype.kind != "f":
        return None
    values = [value for value, hide in zip(source.ravel().tolist(), skip.ravel().tolist(), strict=True) if not hide]
    low, high = interval
    if values and not (isfinite(sum(values)) and min(values) >= low and max(values) <= high):
        return None
    return narrow(source, np.dtype(field.dtype))


def _floats(
    findings: Findings, index: int, field: Field, source: Array, skip: Mask | None, json_source: bool | Mask
) -> Array:
    values = narrow(source, np.dtype(field.dtype))
    finite = np.isfinite(values)
    limits = field.limits
    skipped = skip
    if field.nullable:
        nan = np.isnan(values)
        skipped = nan if skip is None else skip | nan
    plain = limits.enum is None
    if plain and skipped is None and finite.all():
        inside = (limits.low is None or (values >= limits.low).all()) and (
            limits.high is None or (values <= limits.high).all()
        )
        if inside:
            return values
    live = ~skipped if skipped is not None else np.ones(values.shape, np.bool_)
    wide = source.astype(np.float64, copy=False)
    came_finite = np.isfinite(wide)
    beyond = live & ~finite & (came_finite | np.isinf(wide) & json_source)
    _report(
        findings,
        "out_of_range",
        index,
        beyond,
        lambda at: (
            f"expected {expected(field)} that fits {field.dtype}, got "
            + (describe(wide[at]) if came_finite[at] else "one beyond binary64")
        ),
    )
    if not field.allow_nan:
        unfinite = live & ~finite & ~beyond
        _report(
            findings, "not_finite", index, unfinite, lambda at: f"expected a finite number, got {describe(wide[at])}"
        )
        live = live & finite
    else:
        live = live & ~beyond & ~np.isnan(values)
    _bounds(findings, index, field, limits, values, source, live)
    return values


def _integers(
    findings: Findings, index: int, field: Field, source: Array, skip: Mask | None, json_source: bool | Mask
) -> Array:
    info = np.iinfo(field.dtype)
    if skip is None and not field.nullable and field.enum is None and source.dtype.kind in "iu" and source.size:
        # The usual case, two reductions: whatever they do not settle is told apart below.
        low = info.min if field.minimum is None else field.minimum
        high = info.max if field.maximum is None else field.maximum
        if int(source.min()) >= low and int(source.max()) <= high:
            return source.astype(field.dtype, copy=False)
    live = ~skip if skip is not None else np.ones(source.shape, np.bool_)
    if source.dtype.kind == "f":
        wide = source.astype(np.float64, copy=False)
        finite = np.isfinite(wide)
        huge = live & ~finite & json_source
        _report(findings, "out_of_range", index, huge, lambda _: "expected an integer, got a number beyond binary64")
        unfinite = live & ~finite & ~huge
        _report(findings, "not_finite", index, unfinite, lambda at: f"expected an integer, got {describe(wide[at])}")
        live = live & finite
        whole = np.zeros(wide.shape, np.bool_)
        whole[finite] = np.floor(wide[finite]) == wide[finite]
        _report(
            findings, "wrong_type", index, live & ~whole, lambda at: f"expected an integer, got {describe(wide[at])}"
        )
        live = live & whole
        # 2^63 and 2^64 are exact in binary64 while the largest int64 and uint64 are not: compare with the open end.
        fits = (wide >= float(info.min)) & (wide < float(int(info.max) + 1))
    else:
        fits = (source >= int(info.min)) & (source <= int(info.max))
    _report(
        findings,
        "out_of_range",
        index,
        live & ~fits,
        lambda at: f"expected {_article(field.dtype)}, got {describe(source[at])}",
    )
    live = live & fits
    filler = field.null_value if field.nullable else 0
    values = np.full(source.shape, filler, np.dtype(field.dtype))
    values[live] = source[live].astype(field.dtype)
    if field.nullable:
        live = live & ~null_mask(field, values)
    _bounds(findings, index, field, field.limits, values, source, live)
    return values


def _article(dtype: str) -> str:
    return f"{'an' if dtype[0] in 'iu' and dtype[:2] != 'ui' else 'a'} {dtype}"


def _bounds(
    findings: Findings, index: int, field: Field, limits: FieldLimits, values: Array, source: Array, live: Mask
) -> None:
    refused = np.zeros(values.shape, np.bool_)
    if limits.low is not None:
        below = live & (values < limits.low)
        _report(
            findings,
            "out_of_range",
            index,
            below,
            lambda at: f"{_limit(field, 'at least', field.minimum)}, got {describe(source[at])}",
        )
        refused |= below
    if limits.high is not None:
        above = live & (values > limits.high)
        _report(
            findings,
            "out_of_range",
            index,
            above,
            lambda at: f"{_limit(field, 'at most', field.maximum)}, got {describe(source[at])}",
        )
        refused |= above
    if limits.enum is not None:
        outside = live & ~refused & ~np.isin(values, limits.enum)
        _report(findings, "not_in_enum", index, outside, lambda at: f"{_one_of(field)}, got {describe(source[at])}")


def _report(findings: Findings, code: str, index: int, mask: Mask, message: Callable[[tuple[int, ...]], str]) -> None:
    if not mask.any():
        return
    scalar = mask.ndim == 1
    findings.bad |= mask if scalar else mask.reshape(len(mask), -1).any(axis=1)
    for place in first(mask):
        row, element = divmod(place, mask.size // len(mask))
        at = tuple(int(i) for i in np.unravel_index(place, mask.shape))
        findings.cell(code, index, row, None if scalar else element, partial(message, at))


def _one_of(field: Field) -> str:
    assert field.enum is not None
    shown = ", ".join(describe(value) for value in field.enum[:6])
    return f"expected one of {shown}{', …' if len(field.enum) > 6 else ''}"


def text(findings: Findings, index: int, source: Array, skip: Mask | None) -> Array:
    """Check an object array of `str` (or of `bytes` for a bytes field), shape [rows, *field.shape]; returns it.

    A string value may come as UTF-8 `bytes`. Cells under `skip` are replaced by the field's null or an empty value.
    """
    field = findings.fields[index]
    limits = field.limits
    string = field.kind == "string"
    filler = field.null if field.nullable else ("" if string else b"")
    flat = source.reshape(-1)
    if skip is None and string and not field.nullable:
        plain = plain_text(field, source)
        if plain is not None:
            return plain
    values = flat.tolist()
    hidden = None if skip is None else skip.reshape(-1).tolist()
    per_row = field.size
    scalar = not field.shape
    least, most = field.min_length, field.max_length
    unlimited = limits.pattern is None and field.enum is None and least is None and most is None
    for position, value in enumerate(values):
        if hidden is not None and hidden[position]:
            values[position] = filler
            continue
        try:
            if string:
                if isinstance(value, bytes):
                    values[position] = value = value.decode("utf-8")
                elif not value.isascii():
                    value.encode("utf-8")
        except UnicodeError:
            kind = "a lone surrogate" if isinstance(value, str) else "other bytes"
            row, element = divmod(position, per_row)
            message = f"expected valid UTF-8, got {kind}"
            findings.cell("not_utf8", index, row, None if scalar else element, message)
            values[position] = filler
            continue
        if unlimited or (field.nullable and value == field.null):
            continue
        code, sentence, help = _text_refusal(field, limits, value)
        if code:
            row, element = divmod(position, per_row)
            findings.cell(code, index, row, None if scalar else element, sentence, help)
    out = np.empty(len(values), object)
    out[:] = values
    return out.reshape(source.shape)


def plain_text(field: Field, array: Array) -> Array | None:
    """The short way for text that is all right, as `plain_numbers` is for numbers: the column itself, or None."""
    if field.kind != "string" or array.dtype.kind != "O" or field.limits.pattern is not None or field.nullable:
        return None
    values = array.ravel().tolist()
    for value in values:
        if type(value) is not str or not value.isascii():
            return None
    if field.min_length is not None or field.max_length is not None:
        return None
    return array if field.enum is None or field.limits.known.issuperset(values) else None


def _text_refusal(field: Field, limits: FieldLimits, value: Any) -> tuple[str, Sentence, Sentence]:
    if field.enum is not None and value not in limits.known:
        return (
            "not_in_enum",
            lambda: f"{_one_of(field)}, got {describe(value)}",
            lambda: nearest(value, map(str, field.enum or ())),
        )
    unit = "code points" if field.kind == "string" else "bytes"
    if field.min_length is not None and len(value) < field.min_length:
        return "too_short", lambda: f"expected at least {field.min_length} {unit}, got {len(value)}", None
    if field.max_length is not None and len(value) > field.max_length:
        return "too_long", lambda: f"expected at most {field.max_length} {unit}, got {len(value)}", None
    if limits.pattern is not None and not limits.pattern.matches(value):
        return "pattern_mismatch", lambda: f"expected a match of {field.pattern}, got {describe(value)}", None
    return "", "", None


def column(
    findings: Findings, index: int, source: Array, skip: Mask | None = None, *, json_source: bool | Mask = False
) -> Array:
    """Check a typed source of the field's own family; returns the column in the field's dtype.

    `source` has shape [rows, *field.shape]. Cells under `skip` are null, or of a row that is refused or filled later.
    """
    field = findings.fields[index]
    if field.null_is_value:
        findings.nulls[field.name] = np.zeros(source.shape, np.bool_) if skip is None else np.array(skip)
    if field.numeric:
        return numbers(findings, index, source, skip, json_source=json_source)
    if field.kind == "bool":
        values = np.where(skip, bool(field.null_value), source) if skip is not None else source
        return np.asarray(values, np.bool_)
    return text(findings, index, source, skip)


def refuse_nulls(findings: Findings, index: int, nulls: Mask) -> None:
    """Report nulls of a field that allows none. `nulls` has shape [rows] (whole values) or the column's shape."""
    field = findings.fields[index]
    if field.nullable or not nulls.any():
        return
    message = f"expected {expected(field)}, got null"
    findings.bad |= nulls if nulls.ndim == 1 else nulls.reshape(len(nulls), -1).any(axis=1)
    for place in first(nulls):
        row, element = divmod(place, nulls.size // len(nulls))
        findings.cell("null_not_allowed", index, row, None if nulls.ndim == 1 else element, message)


def every_cell(findings: Findings, index: int, code: str, message: str) -> None:
    """Refuse every cell of a field with one sentence: the whole column is of the wrong family."""
    findings.bad[:] = True
    field = findings.fields[index]
    if not findings.rows:
        findings.name(code, index, field.name, (), message)
        return
    for cell in range(min(findings.rows * field.size, MAX_DETAILS)):
        row, element = divmod(cell, field.size)
        findings.cell(code, index, row, element if field.shape else None, message)
