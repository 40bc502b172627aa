"""Events that somebody sends who knows better, or means harm: what each is, and how it has to end.

An event ends as a result or as a dead letter; what ends a worker is not here, for nothing behind it is scored then.
Ids of schemas are those of `schemas`.
"""

from __future__ import annotations

import base64
import json
import random
import struct
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from fivefold.stream.events import Headers
from tests.support.avro_values import message, sized, spell_record, varint
from tests.support.raw_records import RawHeaders
from tests.support.schema_registry import Registry

GOOD = b'{"a": 1, "b": 2}'
BOM = b"\xef\xbb\xbf"
STRUCTURED: Headers = (("content-type", b"application/cloudevents+json"),)
ATTRIBUTES: dict[str, Any] = {"specversion": "1.0", "id": "1", "source": "/s", "type": "t"}
RECORD, PROTOBUF, TEXTS, TORN, LONG = 1, 2, 3, 4, 5
NOWHERE = 99
YEAR_2100 = 4_102_444_800_000
BIG = 900_000
"""Bytes that a message may have, and its dead letter with them."""

DEEP = b"[" * 50_000 + b"]" * 50_000

NOT_JSON = ("malformed", "")
RESULT = ("", "")


@dataclass(frozen=True, slots=True)
class HostileEvent:
    """An event, and the code and path of its dead letter, empty where it has a result."""

    name: str
    value: bytes | None
    ends: tuple[str, str] = NOT_JSON
    headers: Headers = ()
    key: bytes | None = b"k"
    timestamp: int | None = None
    codec: str = ""
    """How Kafka's batch is compressed; the local log has none."""

    raw: RawHeaders | None = None
    """Headers that Python cannot send, for Kafka alone."""


def schemas(registry: Registry) -> None:
    """Register the schemas that events name."""
    schema, _ = spell_record({"a": 1, "b": 2})
    assert registry.add(schema) == RECORD
    assert registry.add('syntax = "proto3"; message A {}', schemaType="PROTOBUF") == PROTOBUF
    assert registry.add(spell_record({"a": "1", "b": "2"})[0]) == TEXTS
    assert registry.add("{torn") == TORN
    assert registry.add({"type": "record", "name": "R", "fields": [{"name": "a", "type": "double"}] * 2}) == LONG


def envelope(**members: Any) -> bytes:
    """A CloudEvent in JSON; None takes a member away."""
    whole = ATTRIBUTES | {"data": {"a": 1, "b": 2}} | members
    return json.dumps({name: each for name, each in whole.items() if each is not None}).encode()


def ce(**attributes: bytes | None) -> Headers:
    """Headers of a CloudEvent in binary mode; None takes one away."""
    whole: dict[str, bytes | None] = {name: text.encode() for name, text in ATTRIBUTES.items()}
    return tuple((f"ce_{name}", each) for name, each in (whole | attributes).items() if each is not None)


def hostile_events() -> list[HostileEvent]:
    """All of them, in an order that makes no difference."""
    return [
        *_texts(),
        *_records(),
        *_avro(),
        *_cloud_events(),
        *_headers(),
        *_keys_times_and_codecs(),
        *_of_other_clients(),
    ]


def _texts() -> Iterator[HostileEvent]:
    """Values that are no JSON, or hardly."""
    for name, value in (
        ("empty", b""),
        ("blank", b" \t\r\n"),
        ("torn", b'{"a": 1, "b"'),
        ("two values", GOOD + GOOD),
        ("two lines", GOOD + b"\n" + GOOD),
        ("not UTF-8", b'{"a": 1, "b": "\xff"}'),
        ("only a byte", b"\xff"),
        ("a BOM", BOM + GOOD),
        ("only a BOM", BOM),
        ("UTF-16", GOOD.decode().encode("utf-16")),
        ("UTF-32", GOOD.decode().encode("utf-32")),
        ("NUL bytes inside", b'{"a": 1, \0"b": 2}'),
        ("NUL bytes behind", GOOD + b"\0"),
        ("NaN", b'{"a": NaN, "b": 2}'),
        ("-Infinity", b'{"a": 1, "b": -Infinity}'),
        ("a comment", b'{"a": 1, /* one */ "b": 2}'),
        ("a comma too many", b'{"a": 1, "b": 2,}'),
        ("a plus", b'{"a": +1, "b": 2}'),
        ("a zero first", b'{"a": 01, "b": 2}'),
        ("hexadecimal", b'{"a": 0x1, "b": 2}'),
        ("single quotes", b"{'a': 1, 'b': 2}"),
        ("a control character", b'{"a": 1, "b": "\x01"}'),
        ("a pickle", b"\x80\x04}\x94."),
        ("gzip inside", b"\x1f\x8b\x08\x00" + b"\0" * 20),
        ("ANSI escapes", b"\x1b[2J\x1b]0;title\x07"),
        ("much that is none", b"x" * BIG),
    ):
        yield HostileEvent(name, value)
    yield HostileEvent("a tombstone", None)
    yield HostileEvent("much blank", b" " * BIG + GOOD, RESULT)


def _records() -> Iterator[HostileEvent]:
    """JSON that is no record of the contract."""
    for name, value, ends in (
        ("null", b"null", ("malformed", "inputs[0]")),
        ("a number", b"7", ("malformed", "inputs[0]")),
        ("an empty array", b"[]", ("malformed", "inputs[0]")),
        ("an empty object", b"{}", ("missing_field", "inputs.a")),
        ("a list of records", b"[" + GOOD + b"]", ("malformed", "inputs[0]")),
        ("deep", b'{"a": 1, "b": ' + DEEP + b"}", ("too_large", "")),
        ("deep alone", DEEP, ("too_large", "")),
        ("deep objects", b'{"a":' * 50_000 + b"1" + b"}" * 50_000, ("too_large", "")),
        ("many arrays", b'{"a": 1, "b": [' + b"[]," * 200_000 + b"[]]}", ("too_large", "")),
        ("a huge number", b'{"a": 1e999, "b": 2}', ("out_of_range", "inputs.a[0]")),
        ("a long number", b'{"a": ' + b"9" * 100_000 + b', "b": 2}', ("out_of_range", "inputs.a[0]")),
        ("a long fraction", b'{"a": 1.' + b"0" * 100_000 + b'1, "b": 2}', RESULT),
        ("a small number", b'{"a": 1e-999999999, "b": 3}', RESULT),
        ("minus zero", b'{"a": -0, "b": 3}', RESULT),
        ("a lone surrogate", b'{"a": "\\ud800", "b": 2}', ("wrong_type", "inputs.a[0]")),
        ("a lone surrogate's name", b'{"a": 1, "b": 2, "\\udc00": 3}', ("unknown_field", "inputs.\ufffd")),
        ("a name of NUL", b'{"a": 1, "b": 2, "\\u0000": 3}', ("unknown_field", "inputs.\0")),
        ("a long name", b'{"a": 1, "b": 2, "' + b"n" * BIG + b'": 3}', ("unknown_field", f"inputs.{'n' * 128}…")),
        ("a member twice", b'{"a": 50, "a": 1, "b": 2}', RESULT),
        ("__proto__", b'{"a": 1, "b": 2, "__proto__": {}}', ("unknown_field", "inputs.__proto__")),
        ("a text", b'{"a": "1", "b": 2}', ("wrong_type", "inputs.a[0]")),
        ("out of range", b'{"a": 100.001, "b": 2}', ("out_of_range", "inputs.a[0]")),
    ):
        yield HostileEvent(name, value, ends)


def _avro() -> Iterator[HostileEvent]:
    """What a registry knows, does not know, and what is not what it says."""
    _, data = spell_record({"a": 1, "b": 2})
    good = message(RECORD, data)
    typed: Headers = (("content-type", b"application/avro"),)
    unsupported = ("unsupported_media_type", "")
    yield HostileEvent("Avro", good, RESULT)
    for name, value, headers in (
        ("a wrong magic byte", b"\x01" + good[1:], typed),
        ("a wrong magic byte, unnamed", b"\x01" + good[1:], ()),
        ("Avro's file format", b"Obj\x01" + good, typed),
        ("only a magic byte", b"\0", ()),
        ("half of an id", b"\0\0\0", ()),
        ("a negative id", b"\0\xff\xff\xff\xff" + data, ()),
        ("Avro that is torn", good[:-1], ()),
        ("Avro with a rest", good + b"\0", ()),
        ("Avro without anything", good[:5], ()),
        ("a long of eleven bytes", message(RECORD, b"\xff" * 10 + b"\x01" + data), ()),
        ("Avro called JSON", good, (("content-type", b"application/json"),)),
        ("JSON called Avro", GOOD, typed),
        ("nothing called Avro", b"", typed),
        ("a length beyond the end", message(TEXTS, varint(2**40) + b"1"), ()),
        ("a length below zero", message(TEXTS, varint(-1) + b"1"), ()),
    ):
        yield HostileEvent(name, value, headers=headers)
    yield HostileEvent("an id without a schema", message(NOWHERE, data), ("not_found", f"schema {NOWHERE}"))
    yield HostileEvent("the last id without one", message(2**31 - 1, data), ("not_found", f"schema {2**31 - 1}"))
    yield HostileEvent("Protobuf", message(PROTOBUF, data), unsupported)
    yield HostileEvent("a schema that is none", message(TORN, data), unsupported)
    yield HostileEvent("a name twice in a schema", message(LONG, struct.pack("<dd", 1, 2)), unsupported)
    yield HostileEvent("texts in Avro", message(TEXTS, sized(b"1") + sized(b"2")), ("wrong_type", "inputs.a[0]"))
    yield HostileEvent("no UTF-8 in Avro", message(TEXTS, sized(b"\xff") + sized(b"2")), ("wrong_type", "inputs.a[0]"))


def _cloud_events() -> Iterator[HostileEvent]:
    """Broken in each way that an envelope, or headers, can be."""
    unsupported = ("unsupported_media_type", "")
    many = b'{"specversion":"1.0","id":"1","source":"/s","type":"t","data":{"a":1,"b":2},'
    many += b",".join(b'"m%d":1' % at for at in range(60_000))
    yield HostileEvent("an envelope", envelope(), RESULT, STRUCTURED)
    for name in ATTRIBUTES:
        yield HostileEvent(f"an envelope without {name}", envelope(**{name: None}), headers=STRUCTURED)
        yield HostileEvent(f"an envelope with a number as {name}", envelope(**{name: 1}), headers=STRUCTURED)
        ends = RESULT if name == "specversion" else NOT_JSON  # without that one it is no CloudEvent
        yield HostileEvent(f"headers without {name}", GOOD, ends, ce(**{name: None}))
    for text, value, headers, ends in (
        ("headers alone", GOOD, ce(), RESULT),
        ("an envelope without data", envelope(data=None), STRUCTURED, NOT_JSON),
        ("data that is null", envelope(data=None)[:-1] + b', "data": null}', STRUCTURED, ("malformed", "inputs[0]")),
        ("both kinds of data", envelope(data_base64="e30="), STRUCTURED, NOT_JSON),
        ("data that is no base64", envelope(data=None, data_base64="?"), STRUCTURED, NOT_JSON),
        ("data_base64 of a number", envelope(data=None, data_base64=7), STRUCTURED, NOT_JSON),
        ("data in base64", envelope(data=None, data_base64=base64.b64encode(GOOD).decode()), STRUCTURED, RESULT),
        ("data as a text", envelope(data=GOOD.decode()), STRUCTURED, ("malformed", "inputs[0]")),
        ("an old version", envelope(specversion="0.3"), STRUCTURED, NOT_JSON),
        ("an old version in headers", GOOD, ce(specversion=b"0.3"), NOT_JSON),
        ("a version of other bytes", GOOD, ce(specversion=b"\xff"), NOT_JSON),
        ("an attribute that is empty", GOOD, ce(id=b""), NOT_JSON),
        ("data of XML", envelope(datacontenttype="application/xml"), STRUCTURED, unsupported),
        ("a batch of them", b"[" + envelope() + b"]", STRUCTURED, NOT_JSON),
        ("a batch by its type", envelope(), (("content-type", b"application/cloudevents-batch+json"),), unsupported),
        ("an envelope in Avro", envelope(), (("content-type", b"application/cloudevents+avro"),), unsupported),
        ("an envelope that is none", b"\xff", STRUCTURED, NOT_JSON),
        ("an attribute twice", envelope()[:-1] + b', "id": "2"}', STRUCTURED, NOT_JSON),
        ("many members", many + b"}", STRUCTURED, RESULT),
        ("many members and one twice", many + b',"m59999":2}', STRUCTURED, NOT_JSON),
        ("a deep extension", envelope()[:-1] + b', "x": ' + DEEP + b"}", STRUCTURED, NOT_JSON),
        ("an extension of many digits", envelope()[:-1] + b', "x": ' + b"7" * 4000 + b"}", STRUCTURED, RESULT),
        ("an extension of a surrogate", envelope()[:-1] + b', "x": "\\ud800"}', STRUCTURED, NOT_JSON),
        ("an extension by our name", envelope(**{"fivefold-id": "forged"}), STRUCTURED, RESULT),
        ("a structured one in headers, too", envelope(), (*STRUCTURED, *ce()), RESULT),
        ("Avro's bytes in an envelope", envelope(data=None, data_base64="AAAAAAE="), STRUCTURED, NOT_JSON),
    ):  # fmt: skip
        yield HostileEvent(text, value, ends, headers)


def _headers() -> Iterator[HostileEvent]:
    """Headers of every sort, among them those that are ours to write."""
    version = ("contract_unsupported", "contract-version")
    media = ("unsupported_media_type", "")
    forged: Headers = tuple(
        (f"{prefix}{name}", b"forged")
        for prefix in ("fivefold-", "fivefold-dead-")
        for name in ("id", "source", "model", "bundle", "code", "path", "error", "group", "details")
    )
    for name, headers, ends in (
        ("an empty name", (("", b"x"), ("", b"")), RESULT),
        ("a null value", (("x", None),), RESULT),
        ("a name twice", (("x", b"1"), ("x", b"2"), ("x", None)), RESULT),
        ("a header of many bytes", (("x", b"h" * BIG),), RESULT),
        ("a header's long name", (("n" * BIG, b"x"),), RESULT),
        ("many headers", tuple((f"h{at}", b"%d" % at) for at in range(10_000)), RESULT),
        ("a value of other bytes", (("x", bytes(range(256))),), RESULT),
        ("a name of emojis", (("🦄\u202e", b"x"),), RESULT),
        ("a name of line ends", (("a\r\nb: c", b"x\r\n"),), RESULT),
        ("our names forged", forged, RESULT),
        ("another version", (("contract-version", b"9.9"),), version),
        ("a version of other bytes", (("contract-version", b"\xff\xfe"),), version),
        ("an empty version", (("contract-version", b""),), version),
        ("a version of null", (("contract-version", None),), RESULT),
        ("two versions, the last is known", (("contract-version", b"9"), ("contract-version", b"1.0")), RESULT),
        ("two versions, the first is known", (("contract-version", b"1.0"), ("contract-version", b"9")), version),
        ("a long version", (("contract-version", b"1.0" * 100_000),), version),
        ("a type of images", (("content-type", b"image/png"),), media),
        ("a type of other bytes", (("content-type", b"\xff\0\xfe"),), media),
        ("a long type", (("content-type", b"a" * BIG),), media),
        ("a type of nothing", (("content-type", b""),), RESULT),
        ("a type with a charset", (("content-type", b"Application/JSON ; charset=utf-16"),), RESULT),
    ):  # fmt: skip
        yield HostileEvent(name, GOOD, ends, headers)
    yield HostileEvent("our names forged on a bad one", b"{}", ("missing_field", "inputs.a"), forged)


def _keys_times_and_codecs() -> Iterator[HostileEvent]:
    keys = {"no key": None, "an empty key": b"", "a key of other bytes": b"\xff\0", "a long key": b"k" * BIG}
    for name, key in keys.items():
        yield HostileEvent(name, GOOD, RESULT, key=key)
        yield HostileEvent(f"{name}, and bad", b"?", key=key)
    yield HostileEvent("a key again", GOOD, RESULT, key=b"k")
    for name, stamp in (("1970", 0), ("a millisecond later", 1), ("2100", YEAR_2100), ("no time", -1)):
        yield HostileEvent(name, GOOD, RESULT, timestamp=stamp)
        yield HostileEvent(f"{name}, and bad", b"?", timestamp=stamp)
    for codec in ("gzip", "snappy", "lz4", "zstd"):
        yield HostileEvent(f"{codec}", GOOD, RESULT, codec=codec)
        yield HostileEvent(f"{codec}, and bad", b"?" * 1000, codec=codec)
        yield HostileEvent(f"{codec} of very little", b" " * BIG, codec=codec)


def _of_other_clients() -> Iterator[HostileEvent]:
    """What Python cannot send."""
    unreadable = ("not_utf8", "headers")
    yield HostileEvent("a header's name of other bytes", GOOD, unreadable, raw=((b"ok", b"1"), (b"\xff\xfe", b"2")))
    yield HostileEvent("half of a character", GOOD, unreadable, raw=((b"\xe2\x82", None),))
    yield HostileEvent("a surrogate's bytes", b"{}", unreadable, raw=((b"\xed\xa0\x80", b""),))
    # No compression makes it shorter.
    noise = random.Random(7).randbytes(1_048_400).translate(bytes(range(256)).replace(b"[", b"_").replace(b"{", b"_"))
    yield HostileEvent("as long as a broker takes it", noise, raw=())
    yield HostileEvent("a name with a NUL", GOOD, RESULT, raw=((b"contract\0version", b"9"),))
