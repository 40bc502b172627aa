"""Arrow arrays from numpy and back, by their buffers: the same values as by Arrow's own functions.

Those load pandas wherever it is installed, which takes longer than a small batch run has to do. What has no buffer of
plain values here (decimals, lists, columns of types that differ) is left to them.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from fivefold.core.columns import Array


def to_numpy(values: Any) -> Array:
    """An Arrow array of numbers or truth values without nulls, as the dtype of its type; not to be written to."""
    import pyarrow as pa

    data, start, rows = values.buffers()[1], values.offset, len(values)
    if pa.types.is_boolean(values.type):
        if data is None or not rows:
            return np.zeros(rows, np.bool_)
        first = start // 8
        packed = np.frombuffer(data, np.uint8, (start + rows + 7) // 8 - first, first)
        return np.unpackbits(packed, bitorder="little")[start % 8 : start % 8 + rows].view(np.bool_)
    dtype = np.dtype(values.type.to_pandas_dtype())
    if data is None or not rows:
        return np.zeros(rows, dtype)
    return np.frombuffer(data, dtype, rows, start * dtype.itemsize)


def from_numpy(values: Array, kind: Any, nulls: Array | None = None) -> Any:
    """Numbers, truth values, or objects that Arrow makes `kind` of, one-dimensional, as an array of that Arrow type.

    `nulls` are those that stand for null. What is not of the type's own dtype is converted by Arrow, which raises
    `ArrowException`, and `ValueError` for text that is no UTF-8.
    """
    import pyarrow as pa

    if values.dtype == object:
        if pa.types.is_string(kind) and nulls is None:
            return _texts(values.tolist())
        return pa.array(values.tolist(), kind, mask=nulls)
    if pa.types.is_boolean(kind) and values.dtype == np.bool_:
        data = _bits(values)
    elif pa.types.is_primitive(kind) and values.dtype == kind.to_pandas_dtype():
        data = pa.py_buffer(np.ascontiguousarray(values))
    else:
        return pa.array(np.ascontiguousarray(values), kind, mask=nulls)
    return pa.Array.from_buffers(kind, len(values), [None if nulls is None else _bits(~nulls), data])


def _texts(values: Sequence[Any]) -> Any:
    import pyarrow as pa

    if not all(isinstance(value, str) for value in values):
        return pa.array(values, pa.string())
    encoded = [value.encode() for value in values]
    ends = np.cumsum([0, *map(len, encoded)], dtype=np.int64)
    if ends[-1] > np.iinfo(np.int32).max:
        return pa.array(values, pa.string())
    buffers = [None, pa.py_buffer(ends.astype(np.int32)), pa.py_buffer(b"".join(encoded))]
    return pa.Array.from_buffers(pa.string(), len(values), buffers)


def _bits(values: Array) -> Any:
    import pyarrow as pa

    return pa.py_buffer(np.packbits(values, bitorder="little"))
