"""Rows, and the ways in which a row can be broken: what every format shares.

How lines and columns are written is in `injected_text` and `injected_parquet`.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Final

KEY: Final = "id"
"""A column beside the contract: each row's own number."""

FIELDS: Final[tuple[Mapping[str, Any], ...]] = (
    {"name": "amount", "dtype": "float64", "minimum": 0, "maximum": 1000},
    {"name": "count", "dtype": "int32", "minimum": 0, "maximum": 100},
    {"name": "active", "dtype": "bool"},
    {"name": "site", "dtype": "string", "enum": ["left", "right"]},
    {"name": "code", "dtype": "string", "pattern": "^[A-Z]{3}$"},
    {"name": "note", "dtype": "string", "maxLength": 40, "nullable": True, "null_value": ""},
)
NAMES: Final = tuple(str(field["name"]) for field in FIELDS)
NOTES: Final = (None, "", "plain", "one, two", 'a "quoted" word', "two\nlines", "größer 😀")

SHARE: Final = 100
"""One row in so many is broken."""


@dataclass(frozen=True)
class Row:
    """A good row."""

    id: int
    amount: float
    count: int
    active: bool
    site: str
    code: str
    note: str | None

    @property
    def score(self) -> float:
        """What the model answers."""
        return self.amount + self.count

    def record(self) -> dict[str, Any]:
        """Its values by name, its number too."""
        return dict(vars(self))


@dataclass(frozen=True)
class RowFault:
    """One fault: `rows` rows from `row` (from 0) of a file on. `line` (from 1) and `offset` (bytes behind the
    compression) are those of the record's beginning, None in Parquet; `field` is empty where it is nobody's."""

    kind: str
    file: str
    row: int
    code: str
    field: str = ""
    rows: int = 1
    line: int | None = None
    offset: int | None = None


@dataclass(frozen=True)
class Kind:
    """One way to break a row: the code and the field of the fault that must be found. `apply` is the format's own."""

    name: str
    code: str
    field: str
    apply: Callable[..., Any]

    def fault(self, file: str, row: int, **more: int) -> RowFault:
        """Its fault in a row of a file."""
        return RowFault(self.name, file, row, self.code, self.field, **more)


@dataclass(frozen=True)
class FaultyFiles:
    """Files below a directory: all of their rows, the faults among them, and the good rows' answers by number."""

    format: str
    directory: Path
    rows: int
    injected: Sequence[RowFault]
    answers: Mapping[int, float]

    @property
    def bad(self) -> int:
        """The rows that must not be scored."""
        return sum(each.rows for each in self.injected)


def draw(index: int, rng: random.Random) -> Row:
    """A good row of that number."""
    return Row(
        index,
        round(rng.uniform(0, 1000), 2),
        rng.randrange(101),
        rng.random() < 0.5,
        rng.choice(("left", "right")),
        "".join(rng.choices("ABCDEFGHIJKLMNOPQRSTUVWXYZ", k=3)),
        rng.choice(NOTES),
    )


def plain(row: Row) -> Row:
    """The row without what would make a second fault of one: line ends and quotes."""
    return replace(row, note="plain")


def deal(rows: int, kinds: Sequence[Kind], rng: random.Random) -> dict[int, Kind]:
    """Which rows are broken, and how: one in a hundred, every kind equally often."""
    places = sorted(rng.sample(range(rows), rows // SHARE))
    each = [kinds[index % len(kinds)] for index in range(len(places))]
    rng.shuffle(each)
    return dict(zip(places, each))
