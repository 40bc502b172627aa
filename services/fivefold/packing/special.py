"""The values of a field that a contract allows and data seldom holds.

Null, each value of an enumeration, bounds, zero, integers that no float holds, infinities, and odd text. Every value
given here has passed core's check. Putting them into rows is left to `fivefold.packing.cover`.
"""

from __future__ import annotations

import contextlib
import math
import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, AnyStr

import numpy as np

from fivefold.core.columns import Array
from fivefold.core.errors import ContractInvalid
from fivefold.core.fields.field import Field
from fivefold.core.readers.records import Records
from fivefold.packing.generated import legal, texts

ENUM_MOST = 64
"""Values of one field's enumeration that get a row each; more are spread evenly."""
FEW_INTEGERS = 32
"""An integer range of at most so many values is asked whole: it may well be a category."""
TEXT_MOST = 4096
"""Characters (or bytes) of the longest text that is asked, unless minLength asks for more."""
EXAMPLES = 16
"""Texts made from a pattern."""

_SAMPLES = 6
_ODD = (
    *("", " ", "   ", "\t", "\n", "\x00", " a", "a ", "a b", "a  b", "a   b", "a\tb", "a\nb", "a\r\nb", "a\x00b"),
    *("a\u00a0b", "a\u3000b", "a\u200bb", "\ufeffa", "a\u2028b"),
    *("A", "ABC DEF", "aBc DeF", "Abc Def", "stra\u00dfe STRASSE", "\u0130stanbul \u0131", "\u1f48\u03b4\u03c5\u03c3"),
    *(
        "caf\u00e9",
        "cafe\u0301",
        "\u00c5ngstr\u00f6m na\u00efve",
        "\ufb01ne",
        "\u65e5\u672c\u8a9e",
        "\u041f\u0440\u0438",
    ),
    *(
        "\u05e9\u05dc\u05d5\u05dd",
        "\u0645\u0631\u062d\u0628\u0627",
        "\U0001f600",
        "\U0001f468\u200d\U0001f469",
        "\uff11\uff12",
    ),
    *("0", "1", "-1", "1.0", "1e5", "12345678901234567890", "1 2 3", "!", "a,b;c", "it's", '"a"', "a-b_c", "<b>&</b>"),
    *("nan", "NaN", "None", "null", "NULL", "NA", "N/A", "<NA>", "true", "False", "inf", "?"),
)
_BYTES = (b"", b"\x00", b"\xff", b"\x00\x00", b"a\x00b", b"\xff\xfe", bytes(range(256)))
_EXACT = {"zero": (1, -1), "large": (2**24 + 1, -(2**24) - 1, 2**53 + 1, -(2**53) - 1, 2**63, 2**63 + 1)}


@dataclass(frozen=True, eq=False)
class Special:
    """One rare value: an element of the field's dtype, a whole cell of the field's shape, or null.

    `sort` is the kind of row that it makes, `end` says which end of the field it is: `low`, `high` or nothing.
    """

    sort: str
    value: Any = None
    null: bool = False
    end: str = ""


NULL = Special("null", null=True)


def specials(field: Field, seen: Array, seed: str) -> tuple[Special, ...]:
    """The field's rare values, most telling first and none twice, for one element of it.

    `seen` holds values that the field has in typical rows, nulls left out: any shape, the field's dtype. Values of
    ranges that are open and texts are made from them.
    """
    found: list[Special] = []
    known: set[str] = set()
    for sort, end, values in _groups(field, seen, seed):
        for value in legal(field, _fitting(field, values)):
            spelled = repr(value)
            if spelled not in known:
                known.add(spelled)
                found.append(Special(sort, value, end=end))
    return (NULL, *found) if field.nullable else tuple(found)


def default(field: Field) -> Special | None:
    """The cell that stands for an absent field, of the field's shape; None where there is none or it holds null."""
    if field.required:
        return None
    columns = Records((field,)).read([{}]).columns
    if columns.nulls(field.name).any():
        return None
    return Special("default", columns[field.name][0])


def low_and_high(field: Field) -> tuple[Any, Any]:
    """The least and the largest number of a field, None for an end that is open.

    Small integer dtypes and the zero of unsigned ones are ends too; those of wide dtypes are only representations.
    """
    low, high = field.limits.low, field.limits.high
    if field.kind == "int":
        info = np.iinfo(field.dtype)
        if info.bits <= 16 or not info.min:
            low = int(info.min) if low is None else low
        if info.bits <= 16:
            high = int(info.max) if high is None else high
    return low, high


def spread(values: Sequence[Any], most: int) -> list[Any]:
    """At most `most` of the values, evenly spaced, the first and the last among them."""
    if len(values) <= most:
        return list(values)
    return [values[index] for index in np.linspace(0, len(values) - 1, most).round().astype(np.int64)]


def most_length(field: Field) -> int:
    """Characters or bytes of the longest value that is asked."""
    allowed = TEXT_MOST if field.max_length is None else min(field.max_length, TEXT_MOST)
    return max(allowed, field.min_length or 0)


_Group = tuple[str, str, Sequence[Any]]


def _groups(field: Field, seen: Array, seed: str) -> list[_Group]:
    """Sort, end and values: candidates, which may yet break the contract."""
    # The value that stands for null may be written out, too.
    stand_in: list[_Group] = [("value", "", (field.null,))] if field.nullable and field.kind != "float" else []
    return [*_family(field, seen, seed), *stand_in]


def _family(field: Field, seen: Array, seed: str) -> list[_Group]:
    if field.enum is not None:
        return [("value", "", spread(legal(field, field.enum), ENUM_MOST))]
    if field.kind == "bool":
        return [("value", "", (False, True))]
    if field.kind == "bytes":
        return _byte_groups(field, seed)
    return _numbers(field, seen) if field.numeric else _text_groups(field, seen, seed)


def _numbers(field: Field, seen: Array) -> list[_Group]:
    low, high = low_and_high(field)
    out: list[_Group] = []
    if field.kind == "int" and low is not None and high is not None and high - low < FEW_INTEGERS:
        out = [("value", "low", (low,)), ("value", "high", (high,)), ("value", "", range(int(low), int(high) + 1))]
    else:
        out = [("bound", "low", () if low is None else (low,)), ("bound", "high", () if high is None else (high,))]
    out.append(("zero", "", (0,)))
    below, above = _outside(field, seen)
    if field.kind == "int":
        out += [(sort, "", values) for sort, values in _EXACT.items()]
    else:
        tiny = float(np.finfo("float16" if field.dtype == "float16" else "float32").tiny)
        # A step that every model's float type holds: smaller ones are flushed to zero by some processors.
        out.append(("zero", "", (-0.0, tiny, -tiny)))
        if field.allow_nan:
            out.append(("not finite", "", (math.inf, -math.inf) if field.nullable else (math.nan, math.inf, -math.inf)))
    out.append(("outside", "low", () if below is None or low is not None else (below,)))
    out.append(("outside", "high", () if above is None or high is not None else (above,)))
    return out


def _outside(field: Field, seen: Array) -> tuple[Any, Any]:
    """A number as far below, and one as far above what was seen as it is wide."""
    numbers = seen[np.isfinite(seen)] if field.kind == "float" else seen.reshape(-1)
    if not numbers.size:
        return None, None
    number: Callable[[Any], Any] = float if field.kind == "float" else int
    least, most = number(numbers.min()), number(numbers.max())
    width = most - least or max(abs(most), 1)
    return least - width, most + width


def _fitting(field: Field, values: Sequence[Any]) -> Sequence[Any]:
    """The values that an array of the field's dtype can hold at all."""
    if field.kind == "int":
        info = np.iinfo(field.dtype)
        return [int(value) for value in values if int(info.min) <= int(value) <= int(info.max)]
    if field.kind == "float":
        edge = float(np.finfo(field.dtype).max)
        return [value for value in map(float, values) if not math.isfinite(value) or abs(value) <= edge]
    return values


def _text_groups(field: Field, seen: Array, seed: str) -> list[_Group]:
    source = random.Random(f"{seed}\0{field.name}")  # noqa: S311 - rows to test with, no secret
    samples = spread(sorted({text for text in seen.reshape(-1).tolist() if text}), _SAMPLES) or ["a word"]
    longest = most_length(field)
    ends = [_sized(samples[0], field.min_length or 0), *(_sized(text, longest) for text in samples[:2])]
    changed = [changed for text in samples for changed in _changed(text)]
    fitting = [_fit(field, text) for text in (*_ODD, *changed)]
    out: list[_Group] = [("text", "low", ends[:1]), ("text", "high", ends[1:])]
    if field.pattern is not None:
        with contextlib.suppress(ContractInvalid):  # data may hold what no walk through the pattern finds
            out.append(("text", "", texts(field, EXAMPLES, source)))
    return [*out, ("text", "", fitting)]


def _changed(text: str) -> list[str]:
    """A text as other hands would write it: other case, other blanks, accents, marks."""
    vowel = next((index for index, letter in enumerate(text) if letter in "aeiouAEIOU"), None)
    accented = [] if vowel is None else [f"{text[: vowel + 1]}\u0301{text[vowel + 1 :]}"]
    composed = [] if vowel is None else [f"{text[:vowel]}\u00e9{text[vowel + 1 :]}"]
    middle = len(text) // 2
    blank = text.replace(" ", "  ") if " " in text else f"{text[:middle]}  {text[middle:]}"
    return [
        *(text.upper(), text.lower(), text.title(), text.swapcase()),
        *(blank, f"  {text}", f"{text} ", text.replace(" ", "\t"), text.replace(" ", "\n"), f"{text}  {text}"),
        *(f"{text}!", f"({text})", f"{text},{text}", text.replace(" ", ""), text[:-1], text[::-1]),
        *accented,
        *composed,
    ]


def _sized(text: str, length: int) -> str:
    unit = f"{text} "
    return (unit * (length // len(unit) + 1))[:length]


def _fit(field: Field, value: AnyStr) -> AnyStr:
    """The value cut or repeated to the field's lengths."""
    least, most = field.min_length or 0, field.max_length
    if value and len(value) < least:
        value = (value * (least // len(value) + 1))[:least]
    return value if most is None else value[:most]


def _byte_groups(field: Field, seed: str) -> list[_Group]:
    source = random.Random(f"{seed}\0{field.name}")  # noqa: S311 - rows to test with, no secret
    least, most = field.min_length or 0, most_length(field)
    fitting = [_fit(field, value) for value in _BYTES]
    ends = source.randbytes(least), source.randbytes(most)
    return [("bytes", "low", ends[:1]), ("bytes", "high", ends[1:]), ("bytes", "", fitting)]
