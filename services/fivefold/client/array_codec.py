"""Arrays that a caller gives as the protocol's tensors, and tensors of an answer as arrays.

Shared by both transports, which carry the same datatypes and the same raw form (`core.oip_tensors`).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from fivefold.client import foreign
from fivefold.client.plain_values import is_json, kind_home
from fivefold.core import oip_tensors
from fivefold.core.check.findings import describe, shown_name
from fivefold.core.columns import Array, Columns
from fivefold.core.errors import ContractError


def without_nulls(arrays: Mapping[str, Any]) -> Mapping[str, Any]:
    """The arrays that travel as tensors, every null among them told apart from a value.

    Columns whose `null_value` is a value have no null in a tensor: one of nulls alone is left out where null is the
    field's default, any other is refused with `ContractError` `null_not_allowed`.
    """
    if not isinstance(arrays, Columns):
        return arrays
    out: dict[str, Any] = dict(arrays)
    for field in arrays.fields:
        if field.null_is_value and (nulls := arrays.nulls(field.name)).any():
            if not (field.default is None and nulls.all() and len(out) > 1):
                raise _no_null(field.name, nulls, f"a tensor has no null, and {describe(field.null_value)} is a value")
            del out[field.name]
    return out


def _no_null(name: str, nulls: Array, message: str) -> ContractError:
    place = "".join(f"[{at}]" for at in np.argwhere(nulls)[0]) if nulls.ndim else ""
    return ContractError("null_not_allowed", message, path=f"inputs.{name}{place}", help=_NO_NULL)


_NO_NULL = (
    "send records over HTTP, which have null, or give the field a null_value outside of its legal values; "
    "in a nullable float NaN is null"
)


def _missing(item: Any) -> bool:
    """None, NaN, or pandas' own word for what is not there."""
    return item is None or (isinstance(item, float) and item != item) or type(item).__name__ in ("NAType", "NaTType")


def to_tensor(name: str, given: Any) -> tuple[str, Array]:
    """The protocol's datatype of an array, and the array as it is packed; text becomes an object array.

    Raises `ContractError`: `null_not_allowed` for None and its like, for which a tensor has no spelling, `wrong_type`
    for what no tensor holds and for values of several kinds, which would become others.
    """
    if not isinstance(name, str):
        raise TypeError(f"expected arrays by the names of fields, got the name {name!r}")
    if not is_json(name):
        raise _refused("not_utf8", name, "expected a name of valid UTF-8, got a lone surrogate")
    if np.ma.isMaskedArray(given) and np.ma.getmaskarray(given).any():
        raise _no_null(name, np.ma.getmaskarray(given), "a tensor has no spelling for a masked element")
    array = _as_array(name, given)
    if array.dtype.kind in "US":
        array = array.astype(object)
    if array.dtype == object:
        return _of_objects(name, array, isinstance(given, np.ndarray))
    datatype = oip_tensors.NAMES.get(array.dtype.name)
    if datatype is None:
        raise _refused("wrong_type", name, f"no tensor can hold {array.dtype}")
    return datatype, array


def _as_array(name: str, given: Any) -> Array:
    """An array with the values that were given: of lists an object array, since numpy makes one type of several."""
    home = kind_home(given)
    if home == "pandas" and not (isinstance(given.dtype, np.dtype) and given.dtype.kind in "biuf"):
        given = given.tolist()
    elif home == "pyarrow":
        given = given.to_pylist()
    if not isinstance(given, list | tuple):
        return np.asarray(given)
    try:
        return np.array(given, object) if given else np.empty(0)
    except ValueError:
        raise _refused("wrong_shape", name, "expected rows of one shape") from None


def _of_objects(name: str, array: Array, declared: bool) -> tuple[str, Array]:
    """The tensor of an object array; an empty one is text where it was `declared` to hold objects."""
    flat = array.reshape(-1).tolist()
    kinds = {_kind(item) for item in flat}
    if any(map(_missing, flat)) and not kinds <= {"number", "integer"}:
        nulls = np.array([_missing(item) for item in flat], np.bool_).reshape(array.shape)
        raise _no_null(name, nulls, "a tensor has no spelling for a missing element among objects")
    if kinds <= {"text"} and (kinds or declared):
        for at, item in enumerate(flat):
            if isinstance(item, str) and not item.isascii() and not is_json(item):
                raise _refused("not_utf8", name, "expected valid UTF-8, got a lone surrogate", array, at)
        return "BYTES", array
    if kinds == {"boolean"}:
        return "BOOL", array.astype(np.bool_)
    if kinds == {"integer"}:
        dtype = np.uint64 if max(flat) > np.iinfo(np.int64).max and min(flat) >= 0 else np.int64
        for at, item in enumerate(flat):
            if not np.iinfo(dtype).min <= item <= np.iinfo(dtype).max:
                raise _refused("out_of_range", name, f"no tensor can hold {describe(int(item))} here", array, at)
        return oip_tensors.NAMES[np.dtype(dtype).name], array.astype(dtype)
    if kinds <= {"integer", "number"}:
        for at, item in enumerate(flat):
            if _kind(item) == "integer" and not _is_exact(item):
                raise _refused(
                    "wrong_type", name, f"among floats {describe(int(item))} would become another", array, at
                )
        return "FP64", array.astype(np.float64)
    odd = next((at for at, item in enumerate(flat) if _kind(item) == "other"), None)
    if odd is None:
        raise _refused("wrong_type", name, f"expected values of one kind, got {' and '.join(sorted(kinds))}")
    if isinstance(flat[odd], list | tuple | np.ndarray):
        raise _refused("wrong_shape", name, "expected rows of one shape")
    raise _refused("wrong_type", name, f"no tensor can hold a {type(flat[odd]).__name__}", array, odd)


def _kind(item: Any) -> str:
    if isinstance(item, bool | np.bool_):
        return "boolean"
    if isinstance(item, str | bytes):
        return "text"
    if isinstance(item, int | np.integer) and not isinstance(item, np.timedelta64):
        return "integer"
    if isinstance(item, float | np.float16 | np.float32):
        return "number"
    return "other"


def _is_exact(item: Any) -> bool:
    try:
        return bool(int(float(item)) == item)
    except OverflowError:
        return False


def _refused(code: str, name: str, message: str, array: Array | None = None, at: int = 0) -> ContractError:
    place = "" if array is None else "".join(f"[{i}]" for i in np.unravel_index(at, array.shape))
    return ContractError(code, message, path=f"inputs.{shown_name(name)}{place}")


def from_tensor(datatype: str, shape: Sequence[int], raw: bytes) -> Array:
    """An array from its raw form; BYTES stay bytes."""
    return oip_tensors.unpack(datatype, raw, int(np.prod(shape, dtype=np.int64)), "outputs").reshape(tuple(shape))


def chosen(arrays: dict[str, Array], names: Sequence[str]) -> dict[str, Array]:
    """The arrays of an answer as they are; raises `foreign.Misread` where one that was asked for by name is missing."""
    for name in names:
        if name not in arrays:
            raise foreign.Misread(f"it has no output {name!r}")
    return arrays
