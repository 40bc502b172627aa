"""A schema of Avro's, from the text that a registry has of it to a reader of values.

https://avro.apache.org/docs/1.12.0/specification/#schema-declaration. A schema comes from whoever may register one, so
it is bounded: in its text, in how deep values nest, and in how many of them a byte may stand for. A schema that refers
to itself is refused, as no contract has such a value. Defaults and aliases are of no use here: a value is read by the
schema that it was written by, and what it holds is judged by the contract.
"""

from __future__ import annotations

import struct
from collections.abc import Mapping
from typing import Any, Final

from fivefold.core.check.findings import describe
from fivefold.core.errors import ContractError, FivefoldError, ProtocolError
from fivefold.core.readers.exact_json import BYTES_PER_CONTAINER, FEW_CONTAINERS, MAX_DEPTH, loads
from fivefold.stream import avro_decoding
from fivefold.stream.avro_decoding import AvroType

MAX_CHARACTERS: Final = 1 << 20
"""Of a schema's text."""

MAX_NESTING: Final = 4 * MAX_DEPTH
"""Of its JSON, where a record takes several levels."""

MAX_PER_BYTE: Final = 4
"""Values that a byte stands for, at most: a null takes none, nor does a record that holds nothing else."""

FREE_VALUES: Final = 64
"""Values of one event that no byte is needed for."""

MAX_DIGITS: Final = 1000
"""Of a decimal."""

_TIMES: Final = {
    "int": ("date", "time-millis"),
    "long": (
        "time-micros",
        *(f"{kind}-{unit}" for kind in ("timestamp", "local-timestamp") for unit in ("millis", "micros", "nanos")),
    ),
}


class AvroSchema:
    """Reads values of one schema."""

    def __init__(self, text: str, names: Mapping[str, str] | None = None) -> None:
        """`names` are fields of the outermost record that get another name.

        Raises `ProtocolError(unsupported_media_type)` for a schema that is not one, or is not read here.
        """
        if len(text) > MAX_CHARACTERS:
            raise refused(f"expected at most {MAX_CHARACTERS:,} characters, got {len(text):,}")
        try:
            schema = loads(text.encode("utf-8", "surrogatepass"), max_depth=MAX_NESTING)
        except ContractError as error:
            raise refused(error.message) from None
        self._type = _Compiler(names or {}).compile(schema, "", 0)
        if self._type.depth > MAX_DEPTH:
            raise refused(f"expected values nested at most {MAX_DEPTH} deep, got {self._type.depth}")
        if self._type.weight > FREE_VALUES + MAX_PER_BYTE * self._type.least:
            raise refused(f"its value takes {self._type.least:,} bytes and holds {self._type.weight:,} values")

    def decode(self, data: bytes, begin: int = 0) -> Any:
        """The value of the bytes from `begin` on, all of them (see `fivefold.core.readers.binary_rows`).

        Raises `ContractError`: `malformed`, or `too_large` where arrays hold too many arrays and records.
        """
        try:
            value, end = self._type.read(data, begin, [FEW_CONTAINERS + len(data) // BYTES_PER_CONTAINER])
        except (IndexError, struct.error):
            raise ContractError("malformed", "not Avro of the event's schema: the bytes end too early") from None
        if end != len(data):
            message = f"not Avro of the event's schema: {len(data) - end} bytes are left behind its value"
            raise ContractError("malformed", message)
        return value


def refused(reason: str) -> FivefoldError:
    """Why events of a schema are not read."""
    return ProtocolError("unsupported_media_type", f"the event's schema is not read: {reason}")


class _Compiler:
    def __init__(self, names: Mapping[str, str]) -> None:
        self._names = names
        self._known: dict[str, AvroType | None] = {}
        """Types that have a name; None for one that is not complete."""

    def compile(self, schema: Any, space: str, depth: int, *, outermost: bool = True) -> AvroType:
        """The type that `schema` declares inside of the namespace `space`."""
        if depth > MAX_DEPTH:
            raise refused(f"expected values nested at most {MAX_DEPTH} deep")
        if isinstance(schema, str):
            return avro_decoding.PRIMITIVES.get(schema) or self._named(schema, space)
        if isinstance(schema, list):
            if not schema or any(isinstance(each, list) for each in schema):
                raise refused("expected a union of types, got an empty or a nested one")
            return avro_decoding.union([self.compile(each, space, depth, outermost=outermost) for each in schema])
        kind = schema.get("type") if isinstance(schema, dict) else None
        if kind in ("record", "error", "enum", "fixed"):
            return self._declared(kind, schema, space, depth, outermost)
        if kind == "array":
            return avro_decoding.array(self._item(schema.get("items"), space, depth, 0))
        if kind == "map":
            return avro_decoding.mapping(self._item(schema.get("values"), space, depth, 1))
        if isinstance(kind, str) and kind in avro_decoding.PRIMITIVES:
            return _logical(avro_decoding.PRIMITIVES[kind], kind, schema)
        if isinstance(kind, str | list | dict):
            return self.compile(kind, space, depth + 1, outermost=outermost)
        raise refused(f"expected a type, got {describe(schema if kind is None else kind)}")

    def _named(self, name: str, space: str) -> AvroType:
        for full in (_full(name, space), name):
            if full in self._known:
                found = self._known[full]
                if found is None:
                    raise refused(f"the type {describe(name)} holds itself")
                return found
        raise refused(f"no type {describe(name)}")

    def _declared(self, kind: str, schema: Mapping[str, Any], space: str, depth: int, outermost: bool) -> AvroType:
        name, given = schema.get("name"), schema.get("namespace", space)
        if not isinstance(name, str) or not name or not isinstance(given, str):
            raise refused(f"expected a name of the {kind}, got {describe(name)}")
        full = _full(name, given)
        if full in self._known:
            raise refused(f"the type {describe(full)} is declared twice")
        self._known[full] = None
        if kind == "enum":
            symbols = schema.get("symbols")
            if not isinstance(symbols, list) or not symbols or not all(isinstance(each, str) for each in symbols):
                raise refused(f"expected symbols of the enum {describe(full)}")
            made = avro_decoding.enum(symbols)
        elif kind == "fixed":
            size = schema.get("size")
            if type(size) is not int or not 0 <= size <= MAX_CHARACTERS:
                raise refused(f"expected a size of the fixed {describe(full)}, got {describe(size)}")
            made = _logical(avro_decoding.fixed(size), "fixed", schema)
        else:
            made = self._record(schema, full, depth, outermost)
        self._known[full] = made
        return made

    def _record(self, schema: Mapping[str, Any], full: str, depth: int, outermost: bool) -> AvroType:
        fields = schema.get("fields")
        if not isinstance(fields, list):
            raise refused(f"expected fields of the record {describe(full)}")
        members: dict[str, AvroType] = {}
        for field in fields:
            name = field.get("name") if isinstance(field, dict) else None
            if not isinstance(name, str):
                raise refused(f"expected fields with names in the record {describe(full)}")
            made = self.compile(field.get("type"), full.rpartition(".")[0], depth + 1, outermost=False)
            name = self._names.get(name, name) if outermost else name
            if name in members:
                raise refused(f"the record {describe(full)} has the field {describe(name)} twice")
            members[name] = made
        return avro_decoding.record(list(members.items()))

    def _item(self, schema: Any, space: str, depth: int, key: int) -> AvroType:
        """The type of an array's or, beside a `key`, of a map's values: one that bytes are needed for."""
        item = self.compile(schema, space, depth + 1, outermost=False)
        if item.least < 1 or item.weight > MAX_PER_BYTE * (item.least + key):
            raise refused(f"an array or a map of values that take {item.least} bytes and hold {item.weight:,} values")
        return item


def _full(name: str, space: str) -> str:
    return name if "." in name or not space else f"{space}.{name}"


def _logical(plain: AvroType, kind: str, schema: Mapping[str, Any]) -> AvroType:
    """What a logical type makes of a plain one; an unknown one, or one that is not legal there, makes nothing of it."""
    logical = schema.get("logicalType")
    if logical in _TIMES.get(kind, ()):
        return avro_decoding.other(plain, f"a {logical}")
    if logical == "duration" and kind == "fixed" and plain.least == 12:
        return avro_decoding.other(plain, "a duration")
    if logical == "uuid" and kind == "fixed" and plain.least == 16:
        return avro_decoding.uuid_text(plain)
    if logical != "decimal" or kind not in ("bytes", "fixed"):
        return plain
    precision, scale = schema.get("precision"), schema.get("scale", 0)
    if type(precision) is not int or type(scale) is not int or not 0 <= scale <= precision or not precision:
        return plain
    if precision > MAX_DIGITS:
        raise refused(f"expected a decimal of at most {MAX_DIGITS} digits, got one of {precision}")
    return avro_decoding.decimal(plain, scale)
