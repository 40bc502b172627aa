"""Values of Python, numpy, pandas and Arrow as the readers of the core know them: JSON's, and what JSON cannot say.

What comes out is `None bool int float str list dict`, `bytes`, and `OtherValue` for what no field has (a date, a set):
the readers refuse it with its field and its row. No value becomes another one on the way: a number that is exact stays
exact, and what pandas has for a missing value is null.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Mapping, Sequence
from decimal import Decimal
from math import isfinite
from typing import Any, Final

import msgspec
import numpy as np

from fivefold.core.fields.field import SAFE_INTEGER, Field
from fivefold.core.readers.binary_rows import Fractional
from fivefold.core.readers.cells import OtherValue

_EXACT: Final = float(SAFE_INTEGER)

_SAME: Final = frozenset({type(None), bool, int, str, bytes, OtherValue})
_JSON: Final = frozenset({type(None), bool, int, str})
_MISSING: Final = ("NAType", "NaTType")
"""The types of pandas' own words for what is not there, which may not be imported."""


def plain(value: Any) -> Any:
    """A value as the readers know it; containers are walked through."""
    kind = type(value)
    if kind in _SAME:
        return value
    if kind is float:
        # From 2^53 on every float is an integer; its shortest decimal text, which JSON would have, is often another.
        return int(value) if isfinite(value) and not -_EXACT <= value <= _EXACT else value
    if isinstance(value, list | tuple):
        return [plain(item) for item in value]
    if isinstance(value, Mapping):
        return {key if type(key) is str else str(key): plain(item) for key, item in value.items()}
    if kind.__name__ in _MISSING:
        return None
    return _foreign(value)


def _foreign(value: Any) -> Any:
    """A value of a type that is not JSON's own."""
    if isinstance(value, np.generic):
        # A date becomes an integer by `item`, and a long double loses digits.
        return plain(value.item()) if _is_plain(value.dtype) else _other(value)
    if isinstance(value, np.ndarray):
        return array_values(value)
    if isinstance(value, str):
        # An enumeration's member is its value, whatever it calls itself.
        return str.__str__(value)
    if isinstance(value, int):
        return int(value)
    if isinstance(value, float):
        return value if isinstance(value, Fractional) else plain(float(value))
    if isinstance(value, bytes | bytearray | memoryview):
        return bytes(value)
    if isinstance(value, Decimal):
        return _number(value)
    if isinstance(value, msgspec.Struct):
        return {each.encode_name: plain(getattr(value, each.name)) for each in msgspec.structs.fields(value)}
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return {each.name: plain(getattr(value, each.name)) for each in dataclasses.fields(value)}
    home = kind_home(value)
    if home == "pandas" and hasattr(value, "tolist"):
        return plain(value.to_dict() if hasattr(value, "to_dict") and _is_row(value) else value.tolist())
    if home == "pyarrow":
        if hasattr(value, "as_py"):
            return plain(value.as_py())
        if hasattr(value, "to_pylist"):
            return plain(value.to_pylist())
    return _other(value)


def _is_plain(dtype: np.dtype[Any]) -> bool:
    """Whether Python has the dtype's values."""
    return dtype.kind in "bSU" or (dtype.kind in "iuf" and dtype.itemsize <= 8)


def _is_row(series: Any) -> bool:
    """Whether a pandas Series is a row: its labels are names."""
    return all(isinstance(label, str) for label in series.index) and len(series.index) > 0


def kind_home(value: Any) -> str:
    """The package that a value's type is from, such as `pandas`."""
    return type(value).__module__.partition(".")[0]


def array_values(array: np.ndarray[Any, Any]) -> Any:
    """The elements of an array as plain values, nested by its shape; masked ones are null."""
    if array.dtype.kind == "O" or _is_plain(array.dtype):
        return plain(array.tolist())
    flat = np.empty(array.size, object)
    flat[:] = [_other(array.reshape(-1)[at]) for at in range(array.size)]
    return flat.reshape(array.shape).tolist()


def _number(value: Decimal) -> Any:
    """A decimal number: exact where it is integral, else rounded once to binary64, and never taken for an integer."""
    if not value.is_finite():
        return float("nan") if value.is_nan() else float(value)
    if value == value.to_integral_value():
        # Ten digits more than binary64 reaches: nothing but out of range, and not worth the digits.
        return int(value) if value.adjusted() < 400 else Fractional(float(value))
    return Fractional(float(value))


def _other(value: Any) -> OtherValue:
    name = type(value).__name__
    return OtherValue(f"{'an' if name[:1].lower() in 'aeiou' else 'a'} {name}")


def is_easy(record: Any) -> bool:
    """Whether a record is plain and JSON's own at a glance, as most are: no nesting, and only the usual values."""
    if type(record) is dict:
        for name in record:
            if type(name) is not str or not name.isascii():
                return False
        values: Iterable[Any] = record.values()
    elif type(record) is list:
        values = record
    else:
        return False
    for value in values:
        kind = type(value)
        if kind is float:
            if not -_EXACT <= value <= _EXACT:
                return False
        elif kind is str:
            if not value.isascii():
                return False
        elif kind is not int and kind is not bool and value is not None:
            return False
    return True


def is_json(value: Any) -> bool:
    """Whether a plain value is JSON's own, so that any server may read it: finite numbers, no bytes, valid UTF-8."""
    kind = type(value)
    if kind in _JSON:
        return kind is not str or value.isascii() or _is_utf8(value)
    if kind is float:
        return isfinite(value)
    if kind is list:
        return all(map(is_json, value))
    return kind is dict and all(is_json(name) and is_json(item) for name, item in value.items())


def _is_utf8(text: str) -> bool:
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def with_nulls(field: Field, value: Any) -> Any:
    """NaN as null, which it is wherever no number may be NaN: tables have it for what is missing in any column.

    In a float field NaN stays: there the contract says whether it is null, a value, or refused.
    """
    if field.kind == "float":
        return value
    if isinstance(value, list):
        return [with_nulls(field, item) for item in value]
    return None if isinstance(value, float) and value != value else value


def rows_with_nulls(fields: Mapping[str, Field], order: Sequence[Field], rows: list[Any]) -> list[Any]:
    """Plain records, of names or positional, with NaN as null by `with_nulls`."""
    out: list[Any] = []
    for row in rows:
        if isinstance(row, dict):
            out.append(
                {name: with_nulls(fields[name], value) if name in fields else value for name, value in row.items()}
            )
        elif isinstance(row, list) and len(order) > 1 and len(row) == len(order):
            out.append([with_nulls(field, value) for field, value in zip(order, row, strict=True)])
        else:
            out.append(with_nulls(order[0], row) if len(order) == 1 else row)
    return out
