"""Outputs as numpy arrays, a DataFrame or an Arrow table: no value changes, and null stays null.

Null is NaN in floats, and in other dtypes what the form has for it: pandas' nullable dtypes, Arrow's nulls, None in an
object array.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from fivefold.core.bundle.frame import default_layout
from fivefold.core.bundle.frame import frame as to_frame
from fivefold.core.columns import Array, Columns
from fivefold.core.fields.field import Field


def arrays(columns: Columns) -> dict[str, Array]:
    """Each output by its name, shape [rows, *shape]; text, bytes, and what holds null and is no float, as objects."""
    return {field.name: _with_none(field, columns) for field in columns.fields}


def _with_none(field: Field, columns: Columns) -> Array:
    values = np.asarray(columns[field.name])
    if field.kind == "float" or not field.nullable:
        return values
    nulls = columns.nulls(field.name)
    if not nulls.any():
        return values
    out = values.astype(object)
    out[nulls] = None
    return out


def structured(columns: Columns) -> Array:
    """One record array of shape [rows]."""
    found = arrays(columns)
    members: Any = [(field.name, found[field.name].dtype, field.shape) for field in columns.fields]
    out = np.empty(columns.rows, members)
    for name, values in found.items():
        out[name] = values
    return out


def positional(columns: Columns) -> Array:
    """[rows, columns]: the outputs in their order side by side, an array output with one column for each element.

    A single output keeps its shape. Outputs of different families come as objects: a number stays one.
    """
    found = list(arrays(columns).values())
    if len(found) == 1:
        return found[0]
    flat = [values.reshape(columns.rows, field.size) for values, field in zip(found, columns.fields, strict=True)]
    if len({values.dtype.kind for values in flat}) > 1:
        flat = [values.astype(object) for values in flat]
    return np.concatenate(flat, axis=1)


def frame(columns: Columns, index: Any) -> Any:
    """A pandas DataFrame under an index."""
    out = to_frame(columns, default_layout(columns.fields))
    out.index = index
    return out


def arrow(columns: Columns) -> Any:
    """A pyarrow Table."""
    import pyarrow as pa

    made = {field.name: _arrow_array(field, columns) for field in columns.fields}
    return pa.table(list(made.values()), names=list(made))


def _arrow_array(field: Field, columns: Columns) -> Any:
    import pyarrow as pa

    kind = {"bool": pa.bool_(), "string": pa.large_string(), "bytes": pa.large_binary()}.get(field.dtype)
    values = np.ascontiguousarray(columns[field.name]).reshape(-1)
    nulls = columns.nulls(field.name).reshape(-1) if field.nullable else None
    out = pa.array(values, kind or pa.from_numpy_dtype(np.dtype(field.dtype)), mask=nulls)
    for size in reversed(field.shape):
        out = pa.FixedSizeListArray.from_arrays(out, size)
    return out
