"""The exact JSON reader: slower than the typed decoders, and the one that explains.

The typed decoders only ever accept; whatever they refuse is read again here, where numbers keep what binary64 would
lose and the error says where. A body that is not JSON is `malformed`; one nested too deeply is `too_large`.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from decimal import Decimal
from typing import Any, Protocol

import numpy as np

from fivefold.core.errors import ContractError

MAX_DEPTH = 64
"""Deeper than any legal value: a field has at most eight dimensions."""

_EXACT = 2.0**53


class Literal(float):
    """A JSON number whose binary64 value is not the whole truth: at least 2^53 in magnitude, or beyond binary64."""

    __slots__ = ("text",)
    text: str

    @classmethod
    def parse(cls, text: str) -> float:
        """The number that `text` (JSON grammar, with a fraction or an exponent) denotes."""
        value = float(text)
        if -_EXACT < value < _EXACT:
            return value
        out = cls(value)
        out.text = text
        return out

    def exact(self) -> int | None:
        """The integer that the text denotes, or None when it is not one (finite values only)."""
        number = Decimal(self.text)
        return int(number) if number == number.to_integral_value() else None


def _integer(text: str) -> int | float:
    # Past 400 digits the value is beyond binary64 and beyond every dtype; Python's own limit on digits never speaks.
    return int(text) if len(text) < 400 else Literal.parse(text)


def _constant(token: str) -> Any:
    raise ValueError(f"{token} is not JSON")


_DECODER = json.JSONDecoder(parse_float=Literal.parse, parse_int=_integer, parse_constant=_constant)


class Watch(Protocol):
    """Who waits for a reading: asked where it may become long, and again and again while it is."""

    def begin(self, seconds: float, /) -> None:
        """The next step takes about so long; raises where it must not, here or any more."""
        ...

    def look(self) -> None:
        """Raises where nobody waits any more."""
        ...


SECONDS_PER_BYTE = 5e-8
"""What reading exactly takes a byte (measured: numbers of two characters, 60 ns; of eighteen, 12 ns)."""

FEW_CONTAINERS = 65_536
BYTES_PER_CONTAINER = 16
"""An array or an object is parsed into some hundred bytes, and `[],` spells it in three: text holds at most one for so
many bytes, beyond the few that any may hold and those that its contract gives a reason for."""


@dataclass(frozen=True, slots=True)
class Extent:
    """How much JSON text holds: its deepest nesting, its arrays and objects, and the elements of its longest array two
    levels deep, which are a request's rows."""

    depth: int
    containers: int
    longest: int


def loads(
    body: bytes | memoryview,
    *,
    max_depth: int = MAX_DEPTH,
    max_rows: int | None = None,
    per_row: int = 0,
    containers: int = 0,
    watch: Watch | None = None,
) -> Any:
    """Parse JSON text (RFC 8259, UTF-8, no BOM); raises `ContractError` `malformed` or `too_large`.

    `max_rows` limits arrays two levels deep. `per_row` is how many arrays and objects each of their elements may well
    hold, `containers` how many the text may hold beside them.
    """
    raw = bytes(body)
    if watch is not None:
        watch.begin(len(raw) * SECONDS_PER_BYTE)
    # Few brackets and commas, wherever they stand, are not too many.
    if raw.count(b"[") + raw.count(b"{") > max_depth or (
        max_rows is not None and len(raw) > max_rows and raw.count(b",") >= max_rows
    ):
        _refuse(measure(raw), len(raw), max_depth, max_rows, per_row, containers)
    if raw.startswith(b"\xef\xbb\xbf"):
        raise ContractError("malformed", "expected JSON, got a byte order mark first")
    if raw[:2] in (b"\xff\xfe", b"\xfe\xff") or b"\0" in raw[:4]:
        raise ContractError("malformed", "expected JSON in UTF-8, got UTF-16 or UTF-32")
    try:
        text = raw.decode("utf-8")
    except UnicodeDecodeError as err:
        raise ContractError("malformed", f"expected UTF-8, got another byte at offset {err.start}") from None
    if not text or text.isspace():
        raise ContractError("malformed", "expected JSON, got an empty body")
    try:
        return _DECODER.decode(text)
    except json.JSONDecodeError as err:
        raise ContractError("malformed", f"not JSON: {err.msg} at line {err.lineno}, column {err.colno}") from None
    except ValueError as err:
        raise ContractError("malformed", f"not JSON: {err}") from None


def _refuse(extent: Extent, size: int, max_depth: int, max_rows: int | None, per_row: int, containers: int) -> None:
    """Raise `too_large` for JSON that holds more than it may."""
    if extent.depth > max_depth:
        raise ContractError("too_large", f"expected JSON nested at most {max_depth} deep, got {extent.depth}")
    if max_rows is not None and extent.longest > max_rows:
        raise ContractError("too_large", f"expected at most {max_rows} rows, got {extent.longest}", path="inputs")
    most = FEW_CONTAINERS + max(size // BYTES_PER_CONTAINER, containers + per_row * extent.longest)
    if extent.containers > most:
        raise ContractError(
            "too_large",
            f"expected at most {most} arrays and objects in {size} bytes, got {extent.containers}",
            help="send fewer rows at once",
        )


_BLOCK = 1 << 18
_STEPS = np.zeros(256, np.int8)
_STEPS[[0x5B, 0x7B]] = 1
_STEPS[[0x5D, 0x7D]] = -1


def measure(raw: bytes) -> Extent:
    """Count without recursion, in bounded memory: a hostile body must not reach the parser's own stack."""
    bare = raw.replace(b"\\\\", b"").replace(b'\\"', b"") if b"\\" in raw else raw
    depth = containers = longest = run = 0
    deepest = 0
    quoted = in_array = False
    for start in range(0, len(bare), _BLOCK):
        block = np.frombuffer(bare, np.uint8, min(_BLOCK, len(bare) - start), start)
        steps = _STEPS[block]
        commas = block == 0x2C
        quotes = block == 0x22
        if quoted or quotes.any():
            inside = (np.cumsum(quotes, dtype=np.uint8) & 1).astype(np.bool_) ^ quoted
            quoted = bool(inside[-1])
            steps[inside] = 0
            commas &= ~inside
        levels = np.cumsum(steps, dtype=np.int32)
        levels += depth
        depth = int(levels[-1])
        deepest = max(deepest, int(levels.max()))
        opening = steps == 1
        containers += int(np.count_nonzero(opening))
        second = levels == 2
        opened = np.flatnonzero(opening & second)
        commas &= second
        if not opened.size:
            run += int(np.count_nonzero(commas))
        else:
            run += int(np.count_nonzero(commas[: opened[0]]))
            longest = max(longest, run if in_array else 0)
            runs = np.add.reduceat(commas, opened, dtype=np.int64)
            arrays = block[opened] == 0x5B
            longest = max(longest, int((runs * arrays).max()))
            run, in_array = int(runs[-1]), bool(arrays[-1])
    # One more than its commas; an empty one counts as one.
    return Extent(deepest, containers, max(longest, run if in_array else 0) + 1)
