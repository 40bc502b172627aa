"""Carried columns in the output: whatever type a file has them in, as Parquet, as a cell of CSV, as a JSON value.

Parquet keeps the type. Elsewhere text is text, numbers and truth values are themselves, bytes are base64, dates and
times ISO 8601, decimals their digits, lists and structures JSON. Nothing is rounded, and there is no type that ends a
run; which row is refused is left to the readers.
"""

from __future__ import annotations

import base64
from collections.abc import Callable
from typing import Any

import msgspec
import pyarrow as pa

_UNITS = {"s": 1, "ms": 10**3, "us": 10**6, "ns": 10**9}


def readable(values: Any) -> Any:
    """A column of a file in a type that every step can work on: views and run lengths as plain arrays."""
    if pa.types.is_run_end_encoded(values.type):
        import pyarrow.compute as pc

        return readable(pc.run_end_decode(values))
    kind = readable_type(values.type)
    return values if kind == values.type else values.cast(kind)


def readable_type(kind: Any) -> Any:
    """The type that `readable` gives a column of that type."""
    if pa.types.is_string_view(kind):
        return pa.string()
    if pa.types.is_binary_view(kind):
        return pa.binary()
    if pa.types.is_run_end_encoded(kind):
        return readable_type(kind.value_type)
    if pa.types.is_list_view(kind) or pa.types.is_large_list_view(kind):
        return pa.large_list(kind.value_type)
    return kind


def not_text(values: Any) -> list[int]:
    """The rows of an Arrow column that call text what is no UTF-8."""
    if not _has_text(values.type):
        return []
    try:
        values.validate(full=True)
    except pa.ArrowInvalid:
        return [row for row in range(len(values)) if not _valid(values.take(pa.array([row])))]
    return []


def _has_text(kind: Any) -> bool:
    if pa.types.is_string(kind) or pa.types.is_large_string(kind):
        return True
    if isinstance(kind, pa.BaseExtensionType):
        return _has_text(kind.storage_type)
    if pa.types.is_dictionary(kind) or _is_list(kind):
        return _has_text(kind.value_type)
    if pa.types.is_map(kind):
        return _has_text(kind.key_type) or _has_text(kind.item_type)
    return pa.types.is_struct(kind) and any(_has_text(field.type) for field in kind)


def _valid(values: Any) -> bool:
    try:
        values.validate(full=True)
    except pa.ArrowInvalid:
        return False
    return True


def for_parquet(values: Any) -> Any:
    """As it came; JSON values as text."""
    if not isinstance(values, pa.Array):
        return texts(values)
    if pa.types.is_dictionary(values.type) and values.dictionary.null_count:
        return values.dictionary_decode()
    return values


def needs_schema(kind: Any) -> bool:
    """Whether Parquet alone would forget the type: durations, zones, extensions."""
    if pa.types.is_timestamp(kind):
        return kind.tz not in (None, "UTC")
    if pa.types.is_duration(kind) or isinstance(kind, pa.BaseExtensionType):
        return True
    if pa.types.is_map(kind):
        return needs_schema(kind.key_type) or needs_schema(kind.item_type)
    if _is_list(kind):
        return needs_schema(kind.value_type)
    if pa.types.is_struct(kind):
        return any(needs_schema(field.type) for field in kind)
    return False


def for_csv(values: Any) -> Any:
    """As an array that Arrow's writer of CSV takes."""
    if not isinstance(values, pa.Array):
        return texts(values)
    kind = values.type
    if pa.types.is_dictionary(kind):
        return for_csv(values.dictionary_decode())
    if pa.types.is_null(kind):
        return values.cast(pa.string())
    if pa.types.is_float16(kind):
        return values.cast(pa.float32())
    native = (pa.types.is_integer, pa.types.is_floating, pa.types.is_boolean, pa.types.is_decimal, pa.types.is_date)
    if pa.types.is_string(kind) or pa.types.is_large_string(kind) or any(is_kind(kind) for is_kind in native):
        return values
    if pa.types.is_time(kind) or (pa.types.is_timestamp(kind) and kind.tz is None):
        return values
    if pa.types.is_timestamp(kind):
        # As an instant: what a zone's name means differs from machine to machine.
        return values.cast(pa.timestamp(kind.unit, "UTC"))
    return texts(json_values(values))


def texts(values: Any) -> Any:
    """JSON values as text: a string as it is, any other value as JSON."""
    encode = msgspec.json.Encoder(enc_hook=str).encode
    return pa.array(
        [value if value is None or isinstance(value, str) else encode(value).decode() for value in values], pa.string()
    )


def json_values(values: Any) -> list[Any]:
    """As values that JSON has."""
    if not isinstance(values, pa.Array):
        return list(values)
    kind = values.type
    if pa.types.is_dictionary(kind):
        return json_values(values.dictionary_decode())
    if isinstance(kind, pa.BaseExtensionType):
        return _extension(values)
    if pa.types.is_struct(kind):
        return _structures(values)
    if _is_list(kind) or pa.types.is_map(kind):
        return [None if not each.is_valid else json_values(each.values) for each in values]
    leaf = _leaf(kind)
    return values.to_pylist() if leaf is None else leaf(values)


def _structures(values: Any) -> list[Any]:
    names = [field.name for field in values.type]
    columns = [json_values(values.field(index)) for index in range(len(names))]
    valid = values.is_valid().to_pylist()
    rows = zip(*columns) if columns else [()] * len(values)
    return [dict(zip(names, row)) if here else None for row, here in zip(rows, valid, strict=True)]


def _extension(values: Any) -> list[Any]:
    name = values.type.extension_name
    if name == "arrow.uuid":
        return [None if value is None else str(value) for value in values.to_pylist()]
    if name == "arrow.bool8":
        return [None if value is None else bool(value) for value in values.storage.to_pylist()]
    return json_values(values.storage)


def _leaf(kind: Any) -> Callable[[Any], list[Any]] | None:
    """How values without a JSON type of their own are written; None for those that have one."""
    types = pa.types
    if types.is_binary(kind) or types.is_large_binary(kind) or types.is_fixed_size_binary(kind):
        return _base64
    if types.is_decimal(kind) or types.is_date(kind) or types.is_time(kind):
        return lambda values: values.cast(pa.string()).to_pylist()
    if types.is_timestamp(kind):
        return _instants
    if types.is_duration(kind):
        return _durations
    if types.is_interval(kind):
        return lambda values: [None if value is None else list(value) for value in values.to_pylist()]
    if types.is_string_view(kind) or types.is_binary_view(kind):
        return lambda values: json_values(readable(values))
    return None


def _base64(values: Any) -> list[Any]:
    return [None if value is None else base64.b64encode(value).decode("ascii") for value in values.to_pylist()]


def _instants(values: Any) -> list[Any]:
    import pyarrow.compute as pc

    if values.type.tz is not None:
        values = values.cast(pa.timestamp(values.type.unit, "UTC"))
    out: list[Any] = pc.replace_substring(values.cast(pa.string()), " ", "T", max_replacements=1).to_pylist()
    return out


def _durations(values: Any) -> list[Any]:
    unit = _UNITS[values.type.unit]
    out: list[Any] = []
    for count in values.cast(pa.int64()).to_pylist():
        if count is None:
            out.append(None)
            continue
        seconds, rest = divmod(abs(count), unit)
        fraction = f".{rest:0{len(str(unit)) - 1}d}".rstrip("0") if rest else ""
        out.append(f"{'-' if count < 0 else ''}PT{seconds}{fraction}S")
    return out


def _is_list(kind: Any) -> bool:
    types = pa.types
    return bool(types.is_list(kind) or types.is_large_list(kind) or types.is_fixed_size_list(kind))
