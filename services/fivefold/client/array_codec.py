"""Arrays that a caller gives as the protocol's tensors, and tensors of an answer as arrays.

Shared by both transports, which carry the same datatypes and the same raw form (`core.oip_tensors`).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from fivefold.client import foreign
from fivefold.core import oip_tensors
from fivefold.core.check.findings import describe
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

    Raises `ContractError` `null_not_allowed` for None and its like, for which a tensor has no spelling.
    """
    if np.ma.isMaskedArray(given) and np.ma.getmaskarray(given).any():
        raise _no_null(name, np.ma.getmaskarray(given), "a tensor has no spelling for a masked element")
    array = np.asarray(given)
    if array.dtype.kind in "US":
        array = array.astype(object)
    if array.dtype == object:
        others = [item for item in array.reshape(-1) if not isinstance(item, str | bytes)]
        if any(map(_missing, others)):
            nulls = np.array([_missing(item) for item in array.reshape(-1)], np.bool_).reshape(array.shape)
            raise _no_null(name, nulls, "a tensor has no spelling for a missing element among objects")
        if others:
            raise TypeError(f"{name}: no tensor can hold a {type(others[0]).__name__}; give an array of one dtype")
        return "BYTES", array
    datatype = oip_tensors.NAMES.get(array.dtype.name)
    if datatype is None:
        raise TypeError(f"{name}: no tensor can hold {array.dtype}")
    return datatype, array


def from_tensor(datatype: str, shape: Sequence[int], raw: bytes) -> Array:
    """An array from its raw form; BYTES stay bytes."""
    return oip_tensors.unpack(datatype, raw, int(np.prod(shape, dtype=np.int64)), "outputs").reshape(tuple(shape))


def chosen(arrays: dict[str, Array], names: Sequence[str]) -> dict[str, Array]:
    """The arrays of an answer as they are; raises `foreign.Misread` where one that was asked for by name is missing."""
    for name in names:
        if name not in arrays:
            raise foreign.Misread(f"it has no output {name!r}")
    return arrays
