"""Rows that break a contract, one rule each and some two at once, made from a row that keeps it.

Whether a row is refused, and with what, is the core's to say: here are only candidates, one that happens to be legal is
asked as such.
"""

from __future__ import annotations

import base64
import json
import random
from collections.abc import Iterator, Mapping
from typing import Any, Final

import numpy as np

from fivefold.core.contract.contract import Contract
from fivefold.core.fields.field import Field

_NO_NAME: Final = "no_such_field"


def refusable(contract: Contract, good: Mapping[str, Any], most: int, seed: str) -> list[str]:
    """At most `most` rows as JSON text: the kinds of mistake in turn, each at another field."""
    if not most:
        return []
    source = random.Random(f"{seed}\0refused")  # noqa: S311 - rows to test with, no secret
    kinds = _kinds(contract, good, source)
    out: dict[str, None] = {}
    while len(out) < most and any(kinds.values()):
        for rows in kinds.values():
            if rows and len(out) < most:
                out[json.dumps(rows.pop(), ensure_ascii=False, allow_nan=False, separators=(",", ":"))] = None
    return list(out)


def _kinds(contract: Contract, good: Mapping[str, Any], source: random.Random) -> dict[str, list[Any]]:
    """The rows of each kind of mistake, the fields in an order of the seed's."""
    whole: list[Any] = [5, "text", None, [], {}, {**good, _NO_NAME: 1}]
    kinds: dict[str, list[Any]] = {"row": whole, "missing": [], "twice": [], "both": []}
    fields = list(contract.inputs)
    source.shuffle(fields)
    for field in fields:
        without = {name: value for name, value in good.items() if name not in (field.name, *field.aliases)}
        if field.required:
            kinds["missing"].append(without)
        for alias in field.aliases[:1]:
            kinds["twice"].append({**without, field.name: good.get(field.name), alias: good.get(field.name)})
        for kind, value in _wrong(field):
            kinds.setdefault(kind, []).append({**without, field.name: value})
            if kind == "null" and field.required:
                kinds["both"].append({**without, _NO_NAME: value})
    for left, right in zip(kinds.get("type", ()), kinds.get("missing", ()), strict=False):
        kinds["both"].append({name: value for name, value in left.items() if name in right})
    return kinds


def _wrong(field: Field) -> Iterator[tuple[str, Any]]:
    """Kinds of mistake, and a cell that makes it."""
    for kind, element in _elements(field):
        yield kind, _shaped(field, element)
    if field.shape:
        yield "shape", _shaped(field, _plain(field))[:-1]
        yield "shape", _plain(field)
    else:
        yield "shape", [_plain(field)]
        yield "shape", [_plain(field), _plain(field)]


def _elements(field: Field) -> Iterator[tuple[str, Any]]:
    yield "null", None
    yield "object", {}
    if field.kind in ("string", "bytes"):
        yield "type", 5
        yield "bool", True
        yield from _texts(field)
    elif field.kind == "bool":
        yield "type", "true"
        yield "number", 1
    else:
        yield "type", "5"
        yield "bool", True
        yield from _numbers(field)
    if field.enum is not None:
        yield "enum", f"{field.enum[0]}?" if field.kind == "string" else max(field.enum) + 1


def _numbers(field: Field) -> Iterator[tuple[str, Any]]:
    low, high = field.minimum, field.maximum
    if field.kind == "int":
        info = np.iinfo(field.dtype)
        yield "range", int(info.max if high is None else high) + 1
        yield "range", int(info.min if low is None else low) - 1
        yield "fraction", 1.5
        yield "huge", 2**64
        return
    # One step of binary64: what a narrow field rounds back to its bound is legal, and asked as that.
    if high is not None:
        yield "range", float(np.nextafter(float(high), np.inf))
        yield "range", float(high) * 2 + 1
    if low is not None:
        yield "range", float(np.nextafter(float(low), -np.inf))
        yield "range", float(low) - abs(float(low)) - 1
    if field.dtype != "float64":
        yield "huge", 1e300


def _texts(field: Field) -> Iterator[tuple[str, Any]]:
    def made(length: int) -> str:
        return base64.b64encode(b"x" * length).decode() if field.kind == "bytes" else "x" * length

    if field.min_length:
        yield "short", made(field.min_length - 1)
    if field.max_length is not None and field.max_length < 65536:
        yield "long", made(field.max_length + 1)
    if field.pattern is not None:
        yield "pattern", "\u0001"
    if field.kind == "bytes":
        yield "base64", "?"


def _plain(field: Field) -> Any:
    if field.kind == "bool":
        return True
    if field.enum:
        return field.enum[0]
    if field.kind in ("string", "bytes"):
        return ""
    return field.minimum if field.minimum is not None else 0


def _shaped(field: Field, element: Any) -> Any:
    """The element alone, or in the last place of a cell of the field's shape."""
    if not field.shape:
        return element
    flat: list[Any] = [_plain(field)] * (field.size - 1) + [element]
    for size in reversed(field.shape[1:]):
        flat = [flat[at : at + size] for at in range(0, len(flat), size)]
    return flat
