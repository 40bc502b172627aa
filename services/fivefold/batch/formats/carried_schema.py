"""One type for each carried column, whatever the files say: so all parts of an output have one schema.

Files of one table differ: a column without a value has no type, whole numbers are int32 in one file and int64 or double
in another, text is a dictionary. The type that holds all of them exactly is taken; where there is none, text is.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import pyarrow as pa

from fivefold.batch.formats.carried_values import json_values, texts
from fivefold.batch.formats.chunk import Chunk
from fivefold.core.errors import ContractError


def schema(kinds: Sequence[Mapping[str, Any]], names: Sequence[str]) -> bytes:
    """The schema of the carried columns of some files, as Arrow writes it; empty where nothing is carried."""
    fields = [(name, _one([each[name] for each in kinds if name in each])) for name in names]
    return pa.schema(fields).serialize().to_pybytes() if fields else b""


def conformed(chunk: Chunk, schema: bytes, url: str) -> Chunk:
    """A chunk whose carried columns have the schema's types. Raises `ContractError` for a value that its type would
    change."""
    if not schema:
        return chunk
    for field in pa.ipc.read_schema(pa.py_buffer(schema)):
        values = chunk.carried.get(field.name)
        if isinstance(values, pa.Array) and values.type != field.type:
            try:
                chunk.carried[field.name] = _cast(values, field.type)
            except pa.ArrowException as err:
                raise ContractError(
                    "wrong_type",
                    f"the column {field.name!r} is {values.type} here, and another file makes it {field.type}, which "
                    f"cannot hold all of its values: {str(err).splitlines()[0][:200]}",
                    path=url,
                    help=f"leave {field.name} out of --columns, or give the files one type",
                ) from err
    return chunk


def _cast(values: Any, kind: Any) -> Any:
    if pa.types.is_null(values.type):
        return pa.nulls(len(values), kind)
    if pa.types.is_dictionary(values.type):
        values = values.dictionary_decode()
    if values.type == kind or not pa.types.is_string(kind) or _is_text(values.type):
        return values.cast(kind)
    return texts(json_values(values))


def _one(kinds: Sequence[Any]) -> Any:
    found = [kind for kind in dict.fromkeys(kinds) if not pa.types.is_null(kind)]
    if len(found) < 2:
        return found[0] if found else pa.null()
    found = list(dict.fromkeys(_plain(kind) for kind in found))
    types = pa.types
    if len(found) == 1:
        return found[0]
    if all(types.is_integer(kind) for kind in found):
        return _integer(found)
    if all(types.is_integer(kind) or types.is_floating(kind) for kind in found):
        return pa.float64()
    try:
        fields = [pa.schema([("x", kind)]) for kind in found]
        return pa.unify_schemas(fields, promote_options="permissive").field("x").type
    except pa.ArrowException:
        return pa.string()


def _integer(kinds: Sequence[Any]) -> Any:
    signed = [kind for kind in kinds if pa.types.is_signed_integer(kind)]
    if len(signed) in (0, len(kinds)):
        return max(kinds, key=lambda kind: kind.bit_width)
    return pa.decimal128(20, 0) if pa.uint64() in kinds else pa.int64()


def _plain(kind: Any) -> Any:
    types = pa.types
    if types.is_dictionary(kind) or types.is_run_end_encoded(kind):
        kind = kind.value_type
    if _is_text(kind):
        return pa.string()
    if types.is_large_binary(kind) or types.is_binary_view(kind) or types.is_fixed_size_binary(kind):
        return pa.binary()
    return kind


def _is_text(kind: Any) -> bool:
    types = pa.types
    return bool(types.is_string(kind) or types.is_large_string(kind) or types.is_string_view(kind))
