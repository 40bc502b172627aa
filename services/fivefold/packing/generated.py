"""Rows generated from a contract as whole arrays: inside ranges, enumerations, lengths and patterns.

Every field draws from a generator of its own, seeded by the caller's seed and the field's name: the same fields, count
and seed give the same rows on every machine. Which values are rarely met and still legal is left to
`fivefold.packing.special`.
"""

from __future__ import annotations

import hashlib
import math
import random
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import numpy.typing as npt

from fivefold.core.check.findings import Findings, Reading
from fivefold.core.check.values import column
from fivefold.core.columns import Array, Columns
from fivefold.core.errors import ContractInvalid
from fivefold.core.fields.field import ABSENT, Field

Mask = npt.NDArray[np.bool_]

NULLS = 0.125
"""How many cells of a nullable field are null: one in eight."""

_CHUNK = 1 << 20
"""Numbers drawn in binary64 at once, before they are rounded to the field's dtype."""
_TRIES = 200
_LETTERS = "abcdefghijklmnopqrstuvwxyz0123456789 "


def generate(fields: Sequence[Field], rows: int, seed: str, nulls: float = NULLS) -> Columns:
    """`rows` legal rows; each cell of a nullable field is null with probability `nulls`.

    Raises `ContractInvalid` where no value is found that fits a field.
    """
    arrays: dict[str, Array] = {}
    masks: dict[str, Mask] = {}
    for field in fields:
        source = generator(seed, field.name)
        array = arrays[field.name] = _array(field, rows, source)
        if field.nullable and nulls:
            mask = masks[field.name] = source.random(array.shape, np.float32) < nulls
            array[mask] = field.null
    return checked(fields, arrays, rows, masks).columns


def generator(seed: str, name: str) -> np.random.Generator:
    """The generator of one name under a seed (PCG64)."""
    return np.random.default_rng(int.from_bytes(hashlib.sha256(f"{seed}\0{name}".encode()).digest(), "big"))


def checked(fields: Sequence[Field], arrays: Mapping[str, Array], rows: int, nulls: Mapping[str, Mask]) -> Reading:
    """What core's check says of arrays whose cells under `nulls` (bool, each of its column's shape) are null.

    Cells that are null hold the field's `null`. The columns of the reading know their nulls.
    """
    findings = Findings(fields, rows)
    out: dict[str, Array] = {}
    for index, field in enumerate(fields):
        mask = nulls.get(field.name)
        out[field.name] = column(findings, index, arrays[field.name], mask if mask is not None and mask.any() else None)
    return findings.reading(Columns(fields, out, rows))


def legal(field: Field, values: Sequence[Any]) -> list[Any]:
    """Those of `values` that the field allows as one element, as values of its dtype; order and doublets stay.

    Values are Python's own of the field's family; integers lie inside its dtype.
    """
    if not values:
        return []
    one = replace(field, shape=(), labels=(), default=ABSENT)
    source: Array = np.empty(len(values), object if field.kind in ("string", "bytes") else _wide(field))
    source[:] = values
    findings = Findings((one,), len(values))
    values_of_dtype = column(findings, 0, source)
    return list(values_of_dtype[~findings.bad])


def row_bytes(fields: Sequence[Field]) -> int:
    """Bytes that one row takes in memory; text and bytes count 64 an element."""
    return sum(f.size * (64 if f.numpy_dtype is object else np.dtype(f.dtype).itemsize) for f in fields)


def span(field: Field) -> tuple[float | int, float | int]:
    """Bounds to draw a number from: the field's, or 100 (integers) or 4 (floats) wide where one or both are open."""
    low, high = field.minimum, field.maximum
    width: float | int = 100 if field.kind == "int" else 4.0
    floor: float | int
    ceiling: float | int
    if field.kind == "int":
        info = np.iinfo(field.dtype)
        floor, ceiling = int(info.min), int(info.max)
    else:
        ceiling = float(np.finfo(field.dtype).max)
        floor = -ceiling
    if low is None and high is None:
        low = 0 if field.kind == "int" else -width / 2
    if low is None:
        assert high is not None
        low = max(high - width, floor)
    if high is None:
        high = min(low + width, ceiling)
    if field.kind == "float" and not math.isfinite(high - low):
        low, high = low / 2, high / 2
    return low, high


def texts(field: Field, count: int, source: random.Random) -> list[Any]:
    """`count` legal values of a text or bytes field without an enumeration."""
    make = _bytes if field.kind == "bytes" else _plain if field.pattern is None else _matching
    return [make(field, source) for _ in range(count)]


def _wide(field: Field) -> npt.DTypeLike:
    return np.float64 if field.kind == "float" else np.dtype(field.dtype)


def _array(field: Field, rows: int, source: np.random.Generator) -> Array:
    shape = (rows, *field.shape)
    if field.enum is not None:
        return _chosen(field, source, shape)
    if field.kind == "bool":
        return np.asarray(source.integers(0, 2, shape), np.bool_)
    if field.kind in ("string", "bytes"):
        out: Array = np.empty(rows * field.size, object)
        out[:] = texts(field, len(out), random.Random(source.bytes(32)))  # noqa: S311 - rows to test with, no secret
        return out.reshape(shape)
    low, high = span(field)
    if field.kind == "int":
        dtype = np.uint64 if field.dtype == "uint64" else np.int64
        return source.integers(int(low), int(high), shape, dtype, endpoint=True).astype(field.dtype)
    return _floats(field, shape, float(low), float(high), source)


def _chosen(field: Field, source: np.random.Generator, shape: tuple[int, ...]) -> Array:
    allowed = legal(field, field.enum or ())
    if not allowed:
        raise ContractInvalid(
            "no value of the enum keeps the field's other limits",
            path=f"inputs.{field.name}",
            help="correct the enum, or its bounds, lengths or pattern",
        )
    known: Array = np.empty(len(allowed), field.numpy_dtype)
    known[:] = allowed
    return known[source.integers(0, len(known), shape)]


def _floats(field: Field, shape: tuple[int, ...], low: float, high: float, source: np.random.Generator) -> Array:
    dtype = np.dtype(field.dtype)
    out: Array = np.empty(shape, dtype)
    flat = out.reshape(-1)
    with np.errstate(over="ignore"):
        for start in range(0, len(flat), _CHUNK):
            part = flat[start : start + _CHUNK]
            part[:] = low + (high - low) * source.random(len(part))
        # The rounded value must still lie inside the bounds.
        np.clip(out, dtype.type(low), dtype.type(high), out=out)
    return out


def _length(field: Field, source: random.Random) -> int:
    low = field.min_length or 0
    high = field.max_length if field.max_length is not None else low + 12
    return source.randint(low, min(high, low + 64))


def _bytes(field: Field, source: random.Random) -> bytes:
    return source.randbytes(_length(field, source))


def _plain(field: Field, source: random.Random) -> str:
    return "".join(source.choices(_LETTERS, k=_length(field, source)))


def _matching(field: Field, source: random.Random) -> str:
    pattern = field.limits.pattern
    assert pattern is not None
    low, high = field.min_length or 0, field.max_length
    for _ in range(_TRIES):
        text = pattern.example(source)
        if len(text) >= low and (high is None or len(text) <= high) and pattern.matches(text):
            return text
    raise ContractInvalid(
        f"no text was found that fits the pattern {field.pattern!r} and the lengths",
        path=f"inputs.{field.name}",
        help="give data for the golden rows: --golden DATA",
    )
