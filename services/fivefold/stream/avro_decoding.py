"""Avro's binary encoding, read strictly: for each type a function from bytes to a value.

https://avro.apache.org/docs/1.12.0/specification/#binary-encoding. Nothing is guessed of bytes that the specification
does not have: the usual decoders take an index of -1 for the last branch or symbol, 2 for true, a number of any length
for one of 64 bits, and round a decimal to the digits that its type declares. Which types a schema has, and that none of
them lets few bytes become much, is `avro_schema`'s.

A function takes the bytes, where to begin and the number of containers that arrays may still hold, and gives the value
and where it ends. Values are those of `fivefold.core.readers.binary_rows`. Bytes that end too early raise `IndexError`
or `struct.error`, everything else that is wrong `ContractError`.
"""

from __future__ import annotations

import struct
import uuid
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from fivefold.core.errors import ContractError
from fivefold.core.readers.binary_rows import OtherValue, exact_decimal

Read = Callable[[bytes, int, list[int]], tuple[Any, int]]


@dataclass(frozen=True, slots=True)
class AvroType:
    """How a value of a type is read, and how much of it there is."""

    read: Read
    least: int
    """Bytes that a value takes at least."""

    weight: int = 1
    """Values that one holds at most, itself included; what an array or a map holds is paid for by bytes of its own."""

    container: bool = False
    """Whether it is read into a list or a dict."""

    depth: int = 0
    """Lists and dicts inside of one another."""

    code: str = ""
    """The letter that `struct` has for it."""


def _malformed(message: str, at: int) -> ContractError:
    return ContractError("malformed", f"not Avro of the event's schema: {message} at byte {at}")


def _null(_: bytes, at: int, __: list[int]) -> tuple[None, int]:
    return None, at


def _boolean(data: bytes, at: int, _: list[int]) -> tuple[bool, int]:
    byte = data[at]
    if byte > 1:
        raise _malformed(f"expected 0 or 1 as a boolean, got {byte}", at)
    return byte == 1, at + 1


def _long(data: bytes, at: int, _: Any = None) -> tuple[int, int]:
    byte = data[at]
    at += 1
    if byte < 0x80:
        return (byte >> 1) ^ -(byte & 1), at
    value = byte & 0x7F
    for shift in range(7, 64, 7):
        byte = data[at]
        at += 1
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            if value >> 64:
                break
            return (value >> 1) ^ -(value & 1), at
    raise _malformed("a number of more than 64 bits", at)


def _int(data: bytes, at: int, _: list[int]) -> tuple[int, int]:
    value, end = _long(data, at)
    if not -(2**31) <= value < 2**31:
        raise _malformed(f"expected an int of 32 bits, got {value}", at)
    return value, end


def _number(code: str) -> AvroType:
    form = struct.Struct(f"<{code}")
    unpack, size = form.unpack_from, form.size

    def read(data: bytes, at: int, _: list[int]) -> tuple[float, int]:
        return unpack(data, at)[0], at + size

    return AvroType(read, size, code=code)


def _sized(data: bytes, at: int) -> tuple[int, int]:
    """Where something begins and ends whose length comes first."""
    size, begin = _long(data, at)
    if not 0 <= size <= len(data) - begin:
        raise _malformed(f"a length of {size}, and {len(data) - begin} bytes are left", at)
    return begin, begin + size


def _bytes(data: bytes, at: int, _: list[int]) -> tuple[bytes, int]:
    begin, end = _sized(data, at)
    return data[begin:end], end


def _string(data: bytes, at: int, _: Any = None) -> tuple[str, int]:
    begin, end = _sized(data, at)
    # What is no UTF-8 becomes lone surrogates, which the contract's rules refuse where they stand.
    return data[begin:end].decode("utf-8", "surrogateescape"), end


PRIMITIVES = {
    "null": AvroType(_null, 0),
    "boolean": AvroType(_boolean, 1),
    "int": AvroType(_int, 1),
    "long": AvroType(_long, 1),
    "float": _number("f"),
    "double": _number("d"),
    "bytes": AvroType(_bytes, 1),
    "string": AvroType(_string, 1),
}


def fixed(size: int) -> AvroType:
    """So many bytes."""

    def read(data: bytes, at: int, _: list[int]) -> tuple[bytes, int]:
        end = at + size
        if end > len(data):
            raise IndexError
        return data[at:end], end

    return AvroType(read, size)


def enum(symbols: Sequence[str]) -> AvroType:
    """One of some texts."""
    known = tuple(symbols)

    def read(data: bytes, at: int, _: list[int]) -> tuple[str, int]:
        index, end = _long(data, at)
        if not 0 <= index < len(known):
            raise _malformed(f"expected a symbol from 0 to {len(known) - 1}, got {index}", at)
        return known[index], end

    return AvroType(read, 1)


def union(branches: Sequence[AvroType]) -> AvroType:
    """A value of one of some types."""
    reads = tuple(each.read for each in branches)

    def read(data: bytes, at: int, left: list[int]) -> tuple[Any, int]:
        index, begin = _long(data, at)
        if not 0 <= index < len(reads):
            raise _malformed(f"expected a branch from 0 to {len(reads) - 1}, got {index}", at)
        return reads[index](data, begin, left)

    return AvroType(
        read,
        1 + min(each.least for each in branches),
        max(each.weight for each in branches),
        any(each.container for each in branches),
        max(each.depth for each in branches),
    )


def record(members: Sequence[tuple[str, AvroType]]) -> AvroType:
    """A dict; floats and doubles that follow one another are read at once."""
    steps: list[tuple[str, Read]] = []
    runs: list[tuple[tuple[str, ...], struct.Struct] | None] = []
    at = 0
    while at < len(members):
        end = at
        while end < len(members) and members[end][1].code:
            end += 1
        if end - at > 1:
            names, types = zip(*members[at:end], strict=True)
            steps.append(("", PRIMITIVES["null"].read))
            runs.append((names, struct.Struct("<" + "".join(each.code for each in types))))
            at = end
        else:
            steps.append((members[at][0], members[at][1].read))
            runs.append(None)
            at += 1
    plan = tuple(zip(steps, runs, strict=True))

    def read(data: bytes, at: int, left: list[int]) -> tuple[dict[str, Any], int]:
        out: dict[str, Any] = {}
        for (name, one), run in plan:
            if run is None:
                out[name], at = one(data, at, left)
            else:
                names, form = run
                out.update(zip(names, form.unpack_from(data, at), strict=True))
                at += form.size
        return out, at

    return AvroType(
        read,
        sum(each.least for _, each in members),
        1 + sum(each.weight for _, each in members),
        container=True,
        depth=1 + max((each.depth for _, each in members), default=0),
    )


def _block(data: bytes, at: int, least: int, container: bool, left: list[int]) -> tuple[int, int, int | None]:
    """How many values a block of an array or a map holds, where it begins, and where it ends if it says so."""
    count, begin = _long(data, at)
    end = None
    if count < 0:
        size, begin = _long(data, begin)
        count, end = -count, begin + size
    if count * least > len(data) - begin:
        raise _malformed(f"a block of {count} values, and {len(data) - begin} bytes are left", at)
    if container:
        left[0] -= count
        if left[0] < 0:
            raise ContractError("too_large", "expected fewer arrays and records in one event")
    return count, begin, end


def _ended(at: int, end: int | None) -> None:
    if end is not None and at != end:
        raise _malformed(f"a block that was to end at byte {end} ends", at)


def array(item: AvroType) -> AvroType:
    """A list. Each `item` takes a byte at least."""
    one, least, code, container = item.read, item.least, item.code, item.container

    def read(data: bytes, at: int, left: list[int]) -> tuple[list[Any], int]:
        out: list[Any] = []
        while True:
            count, at, end = _block(data, at, least, container, left)
            if not count:
                return out, at
            if code:
                out += struct.unpack_from(f"<{count}{code}", data, at)
                at += count * least
            else:
                for _ in range(count):
                    value, at = one(data, at, left)
                    out.append(value)
            _ended(at, end)

    return AvroType(read, 1, container=True, depth=item.depth + 1)


def mapping(item: AvroType) -> AvroType:
    """A dict; of two values under one name the last counts, as in JSON."""
    one, least, container = item.read, item.least + 1, item.container

    def read(data: bytes, at: int, left: list[int]) -> tuple[dict[str, Any], int]:
        out: dict[str, Any] = {}
        while True:
            count, at, end = _block(data, at, least, container, left)
            if not count:
                return out, at
            for _ in range(count):
                name, at = _string(data, at)
                out[name], at = one(data, at, left)
            _ended(at, end)

    return AvroType(read, 1, container=True, depth=item.depth + 1)


def decimal(raw: AvroType, scale: int) -> AvroType:
    """A number whose digits are `raw` bytes, two's complement."""

    def read(data: bytes, at: int, left: list[int]) -> tuple[Any, int]:
        digits, end = raw.read(data, at, left)
        if not digits:
            raise _malformed("a decimal without digits", at)
        return exact_decimal(int.from_bytes(digits, "big", signed=True), scale), end

    return AvroType(read, raw.least)


def uuid_text(raw: AvroType) -> AvroType:
    """Sixteen `raw` bytes as the text of a UUID (RFC 9562)."""

    def read(data: bytes, at: int, left: list[int]) -> tuple[str, int]:
        digits, end = raw.read(data, at, left)
        return str(uuid.UUID(bytes=digits)), end

    return AvroType(read, raw.least)


def other(raw: AvroType, name: str) -> AvroType:
    """What no field of a contract has, whatever is in it."""
    value = OtherValue(name)

    def read(data: bytes, at: int, left: list[int]) -> tuple[OtherValue, int]:
        _, end = raw.read(data, at, left)
        return value, end

    return AvroType(read, raw.least)
