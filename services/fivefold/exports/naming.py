"""Names and sentences that several formats share: legal identifiers without collisions, and a field's rules as text.

Contract names allow `.` and `-`; most languages do not. What a language calls a file or a type is left to its module.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterable
from typing import Any

from fivefold.core.fields.field import ABSENT, Field

_SHOWN = 12
"""Values of an enum that a comment lists."""
_IN_CELL = 6
"""Values of an enum, and labels, that a cell lists."""
_LONG = 60
"""Characters of a default that a comment shows."""


def snake(name: str) -> str:
    """A contract name as a lower-case identifier: `breast-cancer` is `breast_cancer`."""
    return identifier(name).lower()


def pascal(name: str) -> str:
    """A contract name as a type's name: `breast-cancer` is `BreastCancer`."""
    words = [word for word in re.split(r"[^A-Za-z0-9]+", name) if word]
    joined = "".join(word[0].upper() + word[1:] for word in words)
    return joined if joined[:1].isalpha() else f"M{joined}"


def identifier(name: str) -> str:
    """`name` with every character that identifiers do not have as `_`; it starts with a letter."""
    legal = re.sub(r"[^A-Za-z0-9_]", "_", name)
    return legal if legal[0].isalpha() else f"f{legal}"


def identifiers(names: Iterable[str], *, key: Callable[[str], str] = str) -> dict[str, str]:
    """Each name's identifier. A name that is legal as it stands keeps itself; among the others the later gets a number.

    Two identifiers collide when `key` makes them equal, as in formats that ignore case or underscores.
    """
    ordered = list(names)
    out = {}
    taken: set[str] = set()
    for name in sorted(ordered, key=lambda name: (identifier(name) != name, ordered.index(name))):
        base = candidate = identifier(name)
        count = 1
        while key(candidate) in taken:
            count += 1
            candidate = f"{base}_{count}"
        taken.add(key(candidate))
        out[name] = candidate
    return {name: out[name] for name in ordered}


def rules(field: Field) -> str:
    """The field's limits in one line: `float64, 0 to 60 mm, nullable`; for a comment, never to be parsed."""
    parts = [field.dtype + "".join(f"[{size}]" for size in field.shape)]
    unit = f" {field.unit}" if field.unit else ""
    low, high = field.minimum, field.maximum
    if low is not None and high is not None:
        parts.append(f"{low} to {high}{unit}")
    elif low is not None:
        parts.append(f"at least {low}{unit}")
    elif high is not None:
        parts.append(f"at most {high}{unit}")
    elif unit:
        parts.append(f"in{unit}")
    if field.enum is not None:
        more = ", …" if len(field.enum) > _SHOWN else ""
        parts.append("one of " + ", ".join(text(value) for value in field.enum[:_SHOWN]) + more)
    if field.min_length is not None or field.max_length is not None:
        noun = "characters" if field.kind == "string" else "bytes"
        most = "" if field.max_length is None else f" to {field.max_length}"
        parts.append(f"{field.min_length or 0}{most or ' or more'} {noun}")
    if field.pattern is not None:
        parts.append(f"matches {field.pattern}")
    if field.labels:
        parts.append("labels " + ", ".join(field.labels))
    if field.nullable:
        parts.append("nullable")
        if field.kind != "float" and not field.null_is_value:
            parts.append(f"{text(field.null_value)} is null too")
    if field.default is not ABSENT:
        spelt = text(field.default)
        parts.append(f"default {spelt if len(spelt) <= _LONG else spelt[:_LONG] + '…'}")
    if field.aliases:
        parts.append("also called " + ", ".join(field.aliases))
    return ", ".join(parts)


def rules_cell(field: Field) -> str:
    """What `rules` says beside dtype and unit, as short as a table's cell wants it: `0..60 nullable`."""
    parts = []
    low, high = field.minimum, field.maximum
    if low is not None or high is not None:
        parts.append(f"{'' if low is None else f'{low:g}'}..{'' if high is None else f'{high:g}'}")
    if field.enum is not None:
        parts.append("|".join(map(str, field.enum[:_IN_CELL])) + ("|…" if len(field.enum) > _IN_CELL else ""))
    if field.pattern is not None:
        parts.append(f"/{field.pattern}/")
    if field.labels:
        parts.append("[" + ", ".join(field.labels[:_IN_CELL]) + (", …" if len(field.labels) > _IN_CELL else "") + "]")
    parts += [word for word, holds in (("nullable", field.nullable), ("optional", not field.required)) if holds]
    return " ".join(parts)


def sentences(field: Field) -> list[str]:
    """The field's description, if any, and its rules, each without line breaks."""
    description = " ".join((field.description or "").split())
    return [line for line in (description, " ".join(rules(field).split())) if line]


def text(value: Any) -> str:
    """A JSON value as short text."""
    return json.dumps(value, ensure_ascii=False)


def document(value: Any) -> bytes:
    """A JSON document as every export writes it: UTF-8, two spaces, one newline at the end."""
    return (json.dumps(value, indent=2, ensure_ascii=False, allow_nan=False) + "\n").encode()
