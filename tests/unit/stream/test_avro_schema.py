"""Avro: every value is what fastavro says that it is, and bytes and schemas that are wrong are refused."""

from __future__ import annotations

import contextlib
import io
import json
import math
import random
import struct
import time
from typing import Any

import fastavro
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.support.avro_values import sized, varint

from fivefold.core.errors import ContractError, ProtocolError
from fivefold.core.readers.binary_rows import Fractional, OtherValue
from fivefold.stream.avro_schema import AvroSchema

PRIMITIVES: dict[str, st.SearchStrategy[Any]] = {
    "null": st.none(),
    "boolean": st.booleans(),
    "int": st.integers(-(2**31), 2**31 - 1),
    "long": st.integers(-(2**63), 2**63 - 1),
    "float": st.floats(width=32),
    "double": st.floats(),
    "bytes": st.binary(max_size=20),
    "string": st.text(max_size=20),
}
PLAIN = [(kind, values) for kind, values in PRIMITIVES.items() if kind != "null"]


def schemas() -> st.SearchStrategy[tuple[Any, st.SearchStrategy[Any]]]:
    """A schema, and the values of it."""
    kind = st.sampled_from(PLAIN)
    array = kind.map(lambda each: ({"type": "array", "items": each[0]}, st.lists(each[1], max_size=4)))
    mapping = kind.map(
        lambda each: ({"type": "map", "values": each[0]}, st.dictionaries(st.text(max_size=4), each[1], max_size=3))
    )
    nested = array.map(lambda each: ({"type": "array", "items": each[0]}, st.lists(each[1], max_size=3)))
    union = kind.map(lambda each: (["null", each[0]], st.none() | each[1]))
    enum = st.just(({"type": "enum", "name": "E", "symbols": ["a", "b"]}, st.sampled_from(["a", "b"])))
    fixed = st.just(({"type": "fixed", "name": "F", "size": 3}, st.binary(min_size=3, max_size=3)))
    return st.one_of(kind, array, mapping, nested, union, enum, fixed)


@st.composite
def rows(draw: st.DrawFn) -> tuple[Any, dict[str, Any]]:
    """A record's schema and a record."""
    fields, row = [], {}
    declared: set[str] = set()
    for at in range(draw(st.integers(0, 8))):
        schema, values = draw(schemas())
        name = schema.get("name") if isinstance(schema, dict) else None
        fields.append({"name": f"f{at}", "type": name if name in declared else schema})
        declared |= {name} if name else set()
        row[f"f{at}"] = draw(values)
    return {"type": "record", "name": "R", "fields": fields}, row


def written(schema: Any, value: Any) -> bytes:
    """As fastavro writes it."""
    out = io.BytesIO()
    fastavro.schemaless_writer(out, fastavro.parse_schema(schema), value)
    return out.getvalue()


def decode(schema: Any, data: bytes) -> Any:
    """The value of these bytes."""
    return AvroSchema(json.dumps(schema)).decode(data)


def refusal(schema: Any, data: bytes) -> str:
    """The code of what is wrong with them."""
    with pytest.raises(ContractError) as caught:
        decode(schema, data)
    return caught.value.code


@settings(max_examples=50)
@given(rows())
def test_what_another_writes_is_read(row: tuple[Any, dict[str, Any]]) -> None:
    """Value by value, types included."""
    schema, value = row
    data = written(schema, value)

    theirs = fastavro.schemaless_reader(io.BytesIO(data), fastavro.parse_schema(schema), None)
    assert repr(decode(schema, data)) == repr(theirs)


@settings(max_examples=30)
@given(rows(), st.integers(0, 2**32))
def test_bytes_that_are_cut_or_changed_end_in_a_value_or_a_refusal(row: tuple[Any, dict[str, Any]], seed: int) -> None:
    """Cut anywhere they are refused; changed anywhere nothing else is raised."""
    schema, value = row
    whole = written(schema, value)
    read = AvroSchema(json.dumps(schema))

    for end in range(len(whole)):
        with pytest.raises(ContractError):
            read.decode(whole[:end])
    with pytest.raises(ContractError):
        read.decode(whole + b"\0")
    dice = random.Random(seed)
    for _ in range(20):
        changed = bytearray(whole or b"\0")
        for _ in range(dice.randint(1, 3)):
            changed[dice.randrange(len(changed))] = dice.choice((0, 1, 2, 3, 0x7F, 0x80, 0xFF, dice.randrange(256)))
        with contextlib.suppress(ContractError):
            read.decode(bytes(changed))


BLOCK = varint(-2) + varint(2) + varint(5) + varint(6) + b"\0"


def test_blocks_that_say_their_length_are_read() -> None:
    """As other writers of long arrays have them; a length that is not theirs is refused."""
    schema = {"type": "array", "items": "long"}

    assert decode(schema, BLOCK) == [5, 6]
    assert decode(schema, varint(1) + varint(7) + BLOCK) == [7, 5, 6]
    assert refusal(schema, BLOCK.replace(varint(2) + varint(5), varint(3) + varint(5))) == "malformed"
    assert decode({"type": "map", "values": "long"}, varint(-1) + varint(3) + sized(b"a") + b"\x02\0") == {"a": 1}


ARRAY = {"type": "array", "items": "boolean"}
MANY = varint(2**62)
LISTS = {"type": "array", "items": {"type": "array", "items": "long"}}


@pytest.mark.parametrize(
    ("schema", "data", "code"),
    [
        ("boolean", b"\2", "malformed"),
        ("int", varint(2**31), "malformed"),
        ("int", varint(-(2**31) - 1), "malformed"),
        ("long", b"\x80" * 9 + b"\2", "malformed"),
        ("long", b"\x80" * 12 + b"\1", "malformed"),
        ("long", b"\xff" * 100_000, "malformed"),
        ("string", varint(-1), "malformed"),
        ("bytes", MANY + b"x", "malformed"),
        ("string", varint(3) + b"ab", "malformed"),
        (["null", "boolean"], varint(-1) + b"\1", "malformed"),
        (["null", "boolean"], varint(2), "malformed"),
        ({"type": "enum", "name": "E", "symbols": ["a"]}, varint(-1), "malformed"),
        ({"type": "enum", "name": "E", "symbols": ["a"]}, varint(1), "malformed"),
        ({"type": "fixed", "name": "F", "size": 2}, b"a", "malformed"),
        (ARRAY, MANY, "malformed"),
        (ARRAY, varint(-(2**63)) + b"\0\0", "malformed"),
        (ARRAY, varint(-1) + varint(-1) + b"\1\0", "malformed"),
        ({"type": "array", "items": "double"}, MANY + b"\0" * 100, "malformed"),
        ({"type": "map", "values": "boolean"}, MANY, "malformed"),
        (LISTS, varint(200_000) + b"\0" * 200_001, "too_large"),
        ({"type": "bytes", "logicalType": "decimal", "precision": 4}, b"\0", "malformed"),
        ("null", b"\0", "malformed"),
        ("double", b"", "malformed"),
    ],
    ids=range(23),
)
def test_bytes_that_are_no_avro_are_refused(schema: Any, data: bytes, code: str) -> None:
    """Also where other readers guess, and at once where they would go on for ever."""
    begun = time.process_time()

    assert refusal(schema, data) == code
    assert time.process_time() - begun < 5


def test_text_that_is_none_is_left_to_the_contract() -> None:
    """As lone surrogates, which no text has."""
    assert decode("string", sized(b"a\xff")) == "a\udcff"


def decimals(unscaled: int, scale: int, precision: int = 30) -> Any:
    """A decimal, read."""
    digits = unscaled.to_bytes(40, "big", signed=True)
    return decode({"type": "bytes", "logicalType": "decimal", "precision": precision, "scale": scale}, sized(digits))


def test_decimals_are_exact() -> None:
    """Integral ones as integers of any length, the others rounded once and never integral."""
    assert decimals(12300, 2) == 123
    assert type(decimals(12300, 2)) is int
    assert decimals(-(10**29), 0, precision=2) == -(10**29)
    assert decimals(1, 1) == 0.1
    almost = decimals(3 * 10**20 + 1, 20)
    assert isinstance(almost, Fractional)
    assert (almost, almost.is_integer()) == (3.0, False)
    digits = (10**350 + 1).to_bytes(200, "big", signed=True)
    schema = {"type": "bytes", "logicalType": "decimal", "precision": 400, "scale": 1}
    assert math.isinf(decode(schema, sized(digits)))


@pytest.mark.parametrize(
    ("schema", "data", "value"),
    [
        ({"type": "int", "logicalType": "date"}, b"\2", OtherValue("a date")),
        ({"type": "long", "logicalType": "timestamp-millis"}, varint(2**62), OtherValue("a timestamp-millis")),
        ({"type": "long", "logicalType": "local-timestamp-micros"}, b"\2", OtherValue("a local-timestamp-micros")),
        ({"type": "fixed", "name": "F", "size": 12, "logicalType": "duration"}, b"\0" * 12, OtherValue("a duration")),
        ({"type": "string", "logicalType": "uuid"}, sized(b"AB"), "AB"),
        (
            {"type": "fixed", "name": "F", "size": 16, "logicalType": "uuid"},
            bytes(range(16)),
            "00010203-0405-0607-0809-0a0b0c0d0e0f",
        ),
        ({"type": "string", "logicalType": "date"}, sized(b"x"), "x"),
        ({"type": "bytes", "logicalType": "decimal", "precision": 2, "scale": 3}, sized(b"x"), b"x"),
        ({"type": "long", "logicalType": "my own"}, b"\2", 1),
        ({"type": {"type": "string"}}, sized(b"x"), "x"),
    ],
    ids=range(10),
)
def test_logical_types(schema: Any, data: bytes, value: Any) -> None:
    """Times are nothing that a contract has; what is not known, or not legal there, is the plain type."""
    assert decode(schema, data) == value


def test_names_are_looked_up_in_their_namespaces() -> None:
    """As the specification has it."""
    inner = {"type": "enum", "name": "E", "symbols": ["x", "y"]}
    schema = {
        "type": "record",
        "name": "a.b.R",
        "fields": [{"name": "p", "type": inner}, {"name": "q", "type": "E"}, {"name": "r", "type": "a.b.E"}],
    }

    assert decode(schema, varint(0) + varint(1) + varint(0)) == {"p": "x", "q": "y", "r": "x"}


def record(fields: list[Any], name: str = "R") -> dict[str, Any]:
    """A record's schema; fields are types."""
    return {
        "type": "record",
        "name": name,
        "fields": [{"name": f"f{at}", "type": kind} for at, kind in enumerate(fields)],
    }


def laughing(levels: int) -> Any:
    """A record of two records of two records …, and null at the end: no byte, and very many values."""
    kind: Any = record(["null", "null"], "R0")
    for at in range(levels):
        kind = record([kind, f"R{at}"], f"R{at + 1}")
    return kind


def chained(links: int) -> Any:
    """Records, each in arrays of its own and around the one before: deep, though no declaration is."""
    kinds: list[Any] = [{"type": "enum", "name": "R0", "symbols": ["a"]}]
    for at in range(links):
        kind: Any = f"R{at}"
        for _ in range(20):
            kind = {"type": "array", "items": kind}
        kinds.append(record([kind], f"R{at + 1}"))
    return record(kinds, "All")


def nested(levels: int) -> Any:
    """Arrays in arrays."""
    kind: Any = "long"
    for _ in range(levels):
        kind = {"type": "array", "items": kind}
    return kind


@pytest.mark.parametrize(
    "schema",
    [
        "strong",
        7,
        {},
        {"type": 7},
        [],
        [["null"]],
        {"type": "array"},
        {"type": "array", "items": "null"},
        {"type": "array", "items": record([])},
        {"type": "array", "items": {"type": "fixed", "name": "F", "size": 0}},
        {"type": "array", "items": record(["boolean", *["null"] * 1000])},
        {"type": "map", "values": record(["boolean", *["null"] * 1000])},
        {"type": "record", "name": "R"},
        {"type": "record", "fields": []},
        {"type": "record", "name": "R", "fields": [7]},
        {"type": "record", "name": "R", "fields": [{"name": "a", "type": "int"}, {"name": "a", "type": "int"}]},
        record(["R"]),
        record([["null", "R"]]),
        record([{"type": "array", "items": "R"}]),
        record([record([], "A"), record([], "A")]),
        {"type": "enum", "name": "E", "symbols": []},
        {"type": "enum", "name": "E", "symbols": "ab"},
        {"type": "fixed", "name": "F", "size": -1},
        {"type": "fixed", "name": "F", "size": True},
        {"type": "fixed", "name": "F", "size": 2**40},
        {"type": "bytes", "logicalType": "decimal", "precision": 10**9, "scale": 10**9},
        laughing(40),
        nested(65),
        chained(4),
        chained(200),
        record(["null"] * 100),
        record(["null"] * 70_000),
    ],
    ids=range(32),
)
def test_a_schema_that_is_wrong_or_costs_too_much_is_refused(schema: Any) -> None:
    """At once, whatever its values may be."""
    begun = time.process_time()

    with pytest.raises(ProtocolError) as caught:
        AvroSchema(json.dumps(schema))

    assert caught.value.code == "unsupported_media_type"
    assert time.process_time() - begun < 5


@pytest.mark.parametrize("text", ["", "{", "\ud800", '"' + "x" * 2_000_000 + '"', "[" * 100_000, "NaN"], ids=range(6))
def test_a_text_that_is_no_schema_is_refused(text: str) -> None:
    """As any other."""
    with pytest.raises(ProtocolError):
        AvroSchema(text)


def test_the_deepest_and_widest_are_read() -> None:
    """At the limits."""
    deep: Any = 5
    for _ in range(64):
        deep = [deep]

    assert decode(nested(64), varint(1) * 64 + varint(5) + b"\0" * 64) == deep
    assert len(decode(chained(2), varint(0) * 3)) == 3
    wide = decode(record(["double"] * 5000), struct.pack("<5000d", *range(5000)))
    assert list(wide.values()) == list(range(5000))
