"""Avro written by hand, so that any value can be said and any byte be wrong: a schema and the bytes of a JSON value."""

from __future__ import annotations

import base64
import json
import re
import struct
from collections.abc import Mapping, Sequence
from typing import Any

from fivefold.core.fields.field import Field, indices
from fivefold.core.readers.exact_json import Literal

Spelt = tuple[Any, bytes]
"""A schema and a value's bytes."""

LEGAL = re.compile(r"[A-Za-z_][A-Za-z0-9_]*\Z")


class Unsayable(Exception):
    """No value of Avro's says this."""


def varint(number: int) -> bytes:
    """A long."""
    number = (number << 1) ^ (number >> 63)
    out = bytearray()
    while number > 0x7F:
        out.append(number & 0x7F | 0x80)
        number >>= 7
    return bytes((*out, number))


def sized(data: bytes) -> bytes:
    """Bytes behind their length."""
    return varint(len(data)) + data


def message(number: int, data: bytes) -> bytes:
    """In the wire format of registries."""
    return b"\0" + number.to_bytes(4, "big") + data


def spell(value: Any) -> Spelt:
    """A JSON value, with the type that it has by itself; arrays hold unions."""
    if value is None:
        return "null", b""
    if isinstance(value, bool):
        return "boolean", bytes((value,))
    if isinstance(value, Literal):
        if value in (float("inf"), float("-inf")) or (exact := value.exact()) is None:
            raise Unsayable
        return spell(exact)
    if isinstance(value, int):
        if -(2**63) <= value < 2**63:
            return "long", varint(value)
        digits = value.to_bytes(value.bit_length() // 8 + 1, "big", signed=True)
        return {"type": "bytes", "logicalType": "decimal", "precision": 400, "scale": 0}, sized(digits)
    if isinstance(value, float):
        return "double", struct.pack("<d", value)
    if isinstance(value, bytes):
        return "bytes", sized(value)
    if isinstance(value, str):
        return "string", sized(value.encode("utf-8", "surrogatepass"))
    if isinstance(value, list):
        schema, data = _items([spell(each) for each in value])
        return {"type": "array", "items": schema}, data
    schema, data = _items([spell(each) for each in value.values()], [_text(name) for name in value])
    return {"type": "map", "values": schema}, data


def _text(name: str) -> bytes:
    return sized(name.encode("utf-8", "surrogatepass"))


def _items(items: Sequence[Spelt], keys: Sequence[bytes] = ()) -> Spelt:
    """A union of all types that there are, one branch each, and a block of the values."""
    kinds = list({json.dumps(schema): schema for schema, _ in items}.values())
    if not kinds:
        return ["null", "long"], b"\0"
    branches = [json.dumps(kind) for kind in kinds]
    out = varint(len(items))
    for at, (schema, data) in enumerate(items):
        out += (keys[at] if keys else b"") + varint(branches.index(json.dumps(schema))) + data
    return kinds, out + b"\0"


def spell_record(value: Mapping[str, Any], names: Mapping[str, str] | None = None) -> Spelt:
    """An object as a record, its members under the names that Avro has for them."""
    fields, out = [], b""
    for name, each in value.items():
        spelt = (names or {}).get(name, name)
        if not LEGAL.match(spelt):
            raise Unsayable
        schema, data = spell(each)
        fields.append({"name": spelt, "type": schema})
        out += data
    return {"type": "record", "name": "Row", "fields": fields}, out


def as_held(fields: Sequence[Field], row: Any) -> Any:
    """A JSON row with the bytes that its base64 stands for."""
    known = indices(fields)
    if isinstance(row, dict) and not (len(fields) == 1 and fields[0].kind == "bytes" and set(row) == {"b64"}):
        return {
            name: _held(each) if name in known and fields[known[name]].kind == "bytes" else each
            for name, each in row.items()
        }
    if isinstance(row, list) and len(row) == len(fields) and not fields[0].shape:
        return [_held(each) if field.kind == "bytes" else each for field, each in zip(fields, row, strict=True)]
    return _held(row) if fields[0].kind == "bytes" else row


def _held(value: Any) -> Any:
    if isinstance(value, list):
        return [_held(each) for each in value]
    if isinstance(value, dict) and set(value) == {"b64"}:
        return _held(value["b64"])
    if not isinstance(value, str):
        return value
    try:
        return base64.b64decode(value, validate=True)
    except ValueError:
        raise Unsayable from None
