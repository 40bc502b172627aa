"""One field drafted from one column: dtype, shape, range, enum and what stands for null.

Which columns are fields, and their names, is left to `fivefold.exports.draft`.
"""

from __future__ import annotations

import base64
import contextlib
import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from fivefold.core.errors import ContractInvalid
from fivefold.core.fields.field import SAFE_INTEGER

MAX_ENUM = 32
"""Strings with more distinct values than this, or seen less than twice each on average, are drafted without an enum."""

NO_TEXT = "\N{SYMBOL FOR NULL}"
"""What stands for null in a column that holds the empty text: no data means anything by it."""

_FIXED = "every row of an array field has the same shape"


@dataclass(frozen=True)
class Ranges:
    """How far a range reaches: `margin` times the observed span beyond each end, or everywhere."""

    margin: float = 0.0
    is_open: bool = False


@dataclass(frozen=True)
class Drawn:
    """A field as contract.json has it, and what was decided about it."""

    json: dict[str, Any]
    notes: tuple[str, ...] = ()


def of_column(
    values: Any, header: str, name: str, path: str, ranges: Ranges, enum: Sequence[Any] | None = None
) -> Drawn:
    """The field called `name` of a column (a chunked Arrow array) called `header`."""
    import pyarrow as pa

    kind = values.type
    flat, shape, nulls = _flatten(values.combine_chunks(), header, path)
    dtype = _dtype(flat.type, header, path)
    out: dict[str, Any] = {"name": name, "dtype": dtype, **({"shape": shape} if shape else {})}
    if name != header:
        out["description"] = f"column {header!r} of the data"
        if header:
            out["aliases"] = [header]
    known = flat.drop_null()
    numbers = None
    if dtype not in ("string", "bool", "bytes"):
        numbers = known.to_numpy(zero_copy_only=False).astype(dtype)
        nulls = nulls or (numbers.dtype.kind == "f" and bool(np.isnan(numbers).any()))
    notes = _notes(header, name, kind, numbers, nulls)
    given = _enum(dtype, enum)
    if given:
        out["enum"] = given
        strange = [value for value in dict.fromkeys(known.to_pylist()) if value == value and value not in given]
        if strange:
            notes.append(
                f"column {header!r} holds {strange[0]!r}, which the model does not know: rows with it are refused"
            )
    elif dtype == "string":
        distinct = sorted(set(known.to_pylist()))
        if 0 < len(distinct) <= min(MAX_ENUM, len(known) // 2):
            out["enum"] = distinct
    elif numbers is not None:
        out |= _range(numbers, ranges)
    if nulls:
        out["nullable"] = True
        if dtype in ("string", "bytes"):
            out |= _null_text(dtype, out.get("enum"), set(known.to_pylist()))
        elif numbers is None or numbers.dtype.kind != "f":
            out["null_value"] = False if numbers is None else _null_number(dtype, out, numbers)
    if pa.types.is_null(kind):
        notes.append(f"column {header!r} holds no value: drafted as a nullable number")
    return Drawn(out, tuple(notes))


def answer(field: dict[str, Any]) -> dict[str, Any]:
    """A column of known answers as an output: a range seen in data must not make the next answer a failure.

    Integers of 64 bits stay within what every client holds exactly, unless the data goes beyond that.
    """
    low, high = field.get("minimum"), field.get("maximum")
    dropped = ("minimum", "maximum", "nullable", "null_value", "minLength", "allow_nan", "aliases")
    out = {keyword: value for keyword, value in field.items() if keyword not in dropped}
    if field["dtype"] in ("int64", "uint64") and low is not None and high is not None:
        least = -SAFE_INTEGER if field["dtype"] == "int64" else 0
        if least <= low and high <= SAFE_INTEGER:
            out |= {"minimum": least, "maximum": SAFE_INTEGER}
    return out


def _flatten(values: Any, header: str, path: str) -> tuple[Any, list[int], bool]:
    """The elements of a column, the shape of a row, and whether a row or an element is null."""
    import pyarrow as pa
    import pyarrow.compute as pc

    shape: list[int] = []
    nulls = bool(values.null_count)
    if isinstance(values.type, pa.FixedShapeTensorType):
        shape, values = list(values.type.shape), values.storage.flatten()
        nulls = nulls or bool(values.null_count)
    lists = (pa.types.is_list, pa.types.is_large_list, pa.types.is_fixed_size_list)
    while any(is_one(values.type) for is_one in lists):
        sizes = pc.unique(pc.list_value_length(values.drop_null())).to_pylist()
        if len(sizes) != 1 or not sizes[0]:
            raise ContractInvalid(
                f"column {header!r}: arrays of {len(sizes)} different sizes or of none",
                path=path,
                help=f"{_FIXED}; or leave it out: --drop {header}",
            )
        shape.append(sizes[0])
        values = values.drop_null().flatten()
        nulls = nulls or bool(values.null_count)
    if pa.types.is_dictionary(values.type):
        values = values.dictionary_decode()
        nulls = nulls or bool(values.null_count)
    if pa.types.is_decimal(values.type):
        values = values.cast(pa.float64(), safe=False)
    if pa.types.is_null(values.type):
        values = values.cast(pa.float64())
    return values, shape, nulls


def _dtype(kind: Any, header: str, path: str) -> str:
    import pyarrow as pa

    types = pa.types
    if types.is_integer(kind):
        return str(kind)
    if types.is_floating(kind):
        return f"float{kind.bit_width}"
    if types.is_boolean(kind):
        return "bool"
    if types.is_string(kind) or types.is_large_string(kind) or types.is_string_view(kind):
        return "string"
    if types.is_binary(kind) or types.is_large_binary(kind) or types.is_fixed_size_binary(kind):
        return "bytes"
    if types.is_binary_view(kind):
        return "bytes"
    fix = "turn it into a number or a string"
    if types.is_temporal(kind):
        fix = "turn it into a number (seconds, days)"
    if types.is_struct(kind):
        fix = "make each of its members a column"
    raise ContractInvalid(
        f"column {header!r}: {kind} has no dtype in a contract",
        path=path,
        help=f"{fix}, or leave it out: --drop {header}",
    )


def _notes(header: str, name: str, kind: Any, numbers: Any, nulls: bool) -> list[str]:
    """What a reader of the draft would not expect of the column."""
    import pyarrow as pa

    out = []
    if not header:
        out.append(f"a column has no header: drafted as {name!r}, and data under the contract needs that header")
    if pa.types.is_decimal(kind):
        out.append(f"column {header!r}: {kind} becomes float64, which holds 15 digits exactly")
    floats = numbers is not None and numbers.dtype.kind == "f" and not pa.types.is_decimal(kind)
    finite = numbers[np.isfinite(numbers)] if floats else ()
    if floats and nulls and len(finite) and bool(np.equal(finite, np.trunc(finite)).all()):
        out.append(
            f"column {header!r} holds whole numbers and nulls: drafted as {numbers.dtype}, as pandas holds integers "
            f"with missing values"
        )
    return out


def _enum(dtype: str, given: Sequence[Any] | None) -> list[Any]:
    """The values of a model's encoder that the dtype can hold, in their order."""
    out: list[Any] = []
    for value in given if given is not None else ():
        plain = value.item() if isinstance(value, np.generic) else value
        if dtype == "string":
            fits = isinstance(plain, str)
        elif dtype in ("bool", "bytes") or isinstance(plain, bool) or not isinstance(plain, int | float):
            fits = False
        elif dtype.startswith("float"):
            fits = math.isfinite(plain) and bool(np.isfinite(np.float64(plain).astype(dtype)))
        else:
            info = np.iinfo(dtype)
            fits = math.isfinite(plain) and plain == int(plain) and int(info.min) <= plain <= int(info.max)
            plain = int(plain) if fits else plain
        if fits and plain not in out:
            out.append(plain)
    return out


def _range(numbers: Any, ranges: Ranges) -> dict[str, Any]:
    """The observed ends, moved outwards by the margin; infinities open theirs."""
    out: dict[str, Any] = {"allow_nan": True} if np.isinf(numbers).any() else {}
    finite = numbers[np.isfinite(numbers)]
    if not len(finite) or ranges.is_open:
        return out
    low, high = _plain(finite.min()), _plain(finite.max())
    if ranges.margin:
        low, high = _wider(low, high, ranges.margin, numbers.dtype)
    if not (numbers == -np.inf).any():
        out = {"minimum": low, **out}
    if not (numbers == np.inf).any():
        out = {**out, "maximum": high}
    return out


def _wider(low: Any, high: Any, margin: float, dtype: Any) -> tuple[Any, Any]:
    """Both ends moved outwards: integers to integers, floats to few digits; neither crosses zero nor leaves the dtype.

    A column of one value has no span: its size (at least 1) counts then.
    """
    if dtype.kind == "f":
        edge = float(np.finfo(dtype).max)
        grown = margin * ((high - low) or max(abs(low), 1.0))
        least, most = (_short(low - grown, grown), _short(high + grown, grown)) if grown < edge else (-edge, edge)
        least, most = min(least, low), max(most, high)
    else:
        info = np.iinfo(dtype)
        edge, span = int(info.max), (high - low) or max(abs(low), 1)
        grown = math.ceil(min(margin * span, 2.0**65))
        least, most = low - grown, high + grown
    floor = 0 if low >= 0 else -edge if dtype.kind == "f" else int(info.min)
    ceiling = 0 if high <= 0 and low < 0 else edge
    return max(least, floor), min(most, ceiling)


def _short(value: float, grown: float) -> float:
    """A widened end with no more digits than two of what it was widened by."""
    if not grown or not math.isfinite(value):
        return value
    with contextlib.suppress(OverflowError):
        return round(value, 1 - math.floor(math.log10(grown)))
    return value


def _plain(value: Any) -> int | float:
    """A numpy number as a person writes it: the shortest text that rounds back to the same value."""
    return float(str(value)) if value.dtype.kind == "f" else int(value)


def _null_number(dtype: str, field: dict[str, Any], numbers: Any) -> int:
    """An integer for null that the field does not allow, where the dtype has one to spare."""
    info = np.iinfo(dtype)
    if "enum" in field:
        low, high = min(field["enum"]), max(field["enum"])
    elif "minimum" in field:
        low, high = field["minimum"], field["maximum"]
    elif len(numbers):
        # An open range allows every integer: the one furthest from the data is taken for null.
        return int(info.min) if info.min < int(numbers.min()) else int(info.max)
    else:
        low = high = 0
    if info.min < 0 <= low:
        return -1
    if low > info.min:
        return int(info.min)
    return int(info.max) if high < info.max else 0


def _null_text(dtype: str, enum: Sequence[str] | None, seen: set[Any]) -> dict[str, Any]:
    """What stands for null in text or bytes: the empty value, which is then no legal one, or one that no data holds."""
    taken = {base64.b64encode(value).decode() for value in seen} if dtype == "bytes" else seen | set(enum or ())
    if "" not in taken:
        return {"null_value": ""} if enum else {"null_value": "", "minLength": 1}
    count = 1
    while (text := _stand_in(dtype, count)) in taken:
        count += 1
    return {"null_value": text}


def _stand_in(dtype: str, count: int) -> str:
    return NO_TEXT * count if dtype == "string" else base64.b64encode(b"\0" * count).decode()
