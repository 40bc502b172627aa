"""The ways in which Arrow writes the same values: each becomes the plain array of them.

Dictionaries, runs, views and the canonical extension types are spellings, as a wire type is; what has another meaning
than its storage (a UUID, a type of somebody's own) is left as it is, and no field takes it.
"""

from __future__ import annotations

from typing import Any


def plain(values: Any) -> Any:
    """An array without dictionary, runs, list views or an extension's name, also inside of its lists."""
    import pyarrow as pa

    while True:
        kind = values.type
        types = pa.types
        if types.is_dictionary(kind):
            values = values.dictionary_decode()
        elif types.is_run_end_encoded(kind):
            # Seldom needed, and not loaded in a moment.
            import pyarrow.compute as pc

            values = pc.run_end_decode(values)
        elif types.is_list_view(kind) or types.is_large_list_view(kind):
            # Arrow's cast from a view gives offsets that are one short.
            values = pa.array(values.to_pylist(), pa.large_list(kind.value_type))
        elif isinstance(kind, pa.BaseExtensionType):
            storage = _storage(values)
            if storage is None:
                return values
            values = storage
        else:
            return values


def _storage(values: Any) -> Any:
    """What an extension array holds, None where that is not what it means."""
    import pyarrow as pa
    import pyarrow.compute as pc

    name = values.type.extension_name
    if name == "arrow.json":
        return values.storage
    if name == "arrow.bool8":
        return pc.not_equal(values.storage, pa.scalar(0, pa.int8()))
    if name == "arrow.fixed_shape_tensor":
        kind = values.type
        if kind.permutation is not None and list(kind.permutation) != sorted(kind.permutation):
            return None
        return _nested(values.storage, kind.shape)
    return None


def _nested(flat: Any, shape: Any) -> Any:
    """Lists of a tensor's elements as lists within lists of its shape."""
    import pyarrow as pa

    # `flatten` would leave out what stands under a null.
    inner = flat.values.slice(flat.offset * flat.type.list_size, len(flat) * flat.type.list_size)
    for size in reversed(shape[1:]):
        inner = pa.FixedSizeListArray.from_arrays(inner, size)
    mask = flat.is_null() if flat.null_count else None
    return pa.FixedSizeListArray.from_arrays(inner, shape[0], mask=mask)
