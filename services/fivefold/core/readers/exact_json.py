"""The exact JSON reader: slower than the typed decoders, and the one that explains.

The typed decoders only ever accept; whatever they refuse is read again here, where numbers keep what binary64 would
lose and the error says where. A body that is not JSON is `malformed`; one nested too deeply is `too_large`.
"""

from __future__ import annotations

import json
import re
from decimal import Decimal
from typing import Any

import numpy as np

from fivefold.core.errors import ContractError

MAX_DEPTH = 64
"""Deeper than any legal value: a field has at most eight dimensions."""

_STRINGS = re.compile(rb'"(?:[^"\\]|\\.)*"?', re.DOTALL)
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


def loads(body: bytes | memoryview, *, max_depth: int = MAX_DEPTH) -> Any:
    """Parse JSON text (RFC 8259, UTF-8, no BOM); raises `ContractError` `malformed` or `too_large`."""
    raw = bytes(body)
    depth = _depth(raw)
    if depth > max_depth:
        raise ContractError("too_large", f"expected JSON nested at most {max_depth} deep, got {depth}")
    if raw.startswith(b"\xef\xbb\xbf"):
        raise ContractError("malformed", "expected JSON, got a byte order mark first")
    if raw[:2] in (b"\xff\xfe", b"\xfe\xff") or b"\0" in raw[:4]:
        raise ContractError("malformed", "expected JSON in UTF-8, got UTF-16 or UTF-32")
    try:
        text = raw.decode("utf-8")
    except UnicodeDecodeError as err:
        raise ContractError("malformed", f"expected UTF-8, got another byte at offset {err.start}") from None
    if not text.strip():
        raise ContractError("malformed", "expected JSON, got an empty body")
    try:
        return json.loads(text, parse_float=Literal.parse, parse_int=_integer, parse_constant=_constant)
    except json.JSONDecodeError as err:
        raise ContractError("malformed", f"not JSON: {err.msg} at line {err.lineno}, column {err.colno}") from None
    except ValueError as err:
        raise ContractError("malformed", f"not JSON: {err}") from None


def _depth(raw: bytes) -> int:
    """The deepest nesting, counted without recursion: a hostile body must not reach the parser's own stack."""
    bare = np.frombuffer(_STRINGS.sub(b"", raw), np.uint8)
    steps = np.zeros(len(bare), np.int32)
    steps[(bare == 0x5B) | (bare == 0x7B)] = 1
    steps[(bare == 0x5D) | (bare == 0x7D)] = -1
    return int(np.cumsum(steps, dtype=np.int32).max(initial=0))
