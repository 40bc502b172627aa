"""The rows that packing measures with: data, rows made from the contract, and rows that cover what it allows.

Data shows what is usual, and its rare rows (nulls, categories, extremes) are always among those taken. What the
contract allows and no row here reaches is said in words. Which of the rows travel in the bundle is left to
`fivefold.packing.kept`.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import accumulate
from typing import Any

import numpy as np

from fivefold.core.columns import Array, Columns
from fivefold.core.contract.contract import Contract
from fivefold.core.errors import ContractInvalid
from fivefold.core.fields.field import Field
from fivefold.packing.cover import Cover, cover
from fivefold.packing.generated import generate, row_bytes
from fivefold.packing.golden import PROBE_MADE, PROBE_MOST, LegalRows
from fivefold.packing.rare import chosen, few_nulls
from fivefold.packing.special import TEXT_MOST, low_and_high

PROBE_BYTES = 64 << 20
"""Memory for the probe's rows; rows of large arrays are fewer."""
COVER_MOST = 2048
MADE_BESIDE_DATA = 64

_BASE_ROWS = 64
_NAMED = 4
_LEAST_ROWS = 4

DECISIONS = "decision"
"""The sort of rows that the original's own answers have led to (`fivefold.packing.decisions`)."""

_PHRASES = {
    "data": "of data",
    "made": "made inside the contract's limits",
    "null": "with one null",
    "value": "for single values of enumerations, booleans and short ranges",
    "bound": "at bounds",
    "zero": "at zero or next to it",
    "large": "with integers that floats do not hold exactly",
    "not finite": "with NaN or an infinity",
    "outside": "beyond the other rows where no bound is set",
    "default": "with a default",
    "text": "with odd text",
    "bytes": "with odd bytes",
    "all null": "with every nullable field null",
    "all zero": "with every number zero",
    "ends": "with every field at its least or at its most",
    "many": "with many of these at once",
    DECISIONS: "beside where the original decides",
}


@dataclass(frozen=True)
class Probe:
    """Legal rows to measure with, sort after sort, and what is known of them.

    `sorts` counts the rows of each sort in the order of the rows; `unreached` holds sentences on what the contract
    allows and no row holds. `data` is what the probe was made from.
    """

    columns: Columns
    sorts: Mapping[str, int]
    unreached: tuple[str, ...]
    data: LegalRows | None = None

    @property
    def rows(self) -> int:
        """How many rows there are."""
        return self.columns.rows

    def span(self, sort: str) -> range:
        """The positions of a sort's rows."""
        ends = dict(zip(self.sorts, accumulate(self.sorts.values()), strict=True))
        return range(ends[sort] - self.sorts[sort], ends[sort]) if sort in ends else range(0)

    def beside_decisions(self, rows: Columns) -> Probe:
        """The same probe with rows on both sides of the original's jumps behind its own."""
        return replace(self, columns=Columns.concat([self.columns, rows]), sorts={**self.sorts, DECISIONS: rows.rows})

    def sort_of(self, row: int) -> str:
        """The sort of one row, as the phrase of a message: `with one null`."""
        return next((_PHRASES[sort] for sort in self.sorts if row in self.span(sort)), "")

    def described(self) -> str:
        """The counts as one sentence: `asked 2,105 rows: 2,048 of data (6 with a null), 57 at bounds`."""
        parts = []
        for sort, count in self.sorts.items():
            held = _with_null(self.columns.take(np.array(self.span(sort)))) if sort in ("data", "made") else 0
            parts.append(f"{count:,} {_PHRASES[sort]}{f' ({held:,} with a null)' if held else ''}")
        return f"asked {self.rows:,} rows: {', '.join(parts)}"


def probe(contract: Contract, data: LegalRows | None, seed: str, most: int = PROBE_MOST) -> Probe:
    """The probe of a contract's inputs: at most `most` usual rows of `data`, its rare rows, and made ones.

    The same contract, data and seed give the same rows. Raises `ContractInvalid` where there is no data and no row can
    be made.
    """
    fields = contract.inputs
    room = max(PROBE_BYTES // row_bytes(fields), _LEAST_ROWS)
    made_most = PROBE_MADE if data is None else MADE_BESIDE_DATA
    usual_most = made_most if data is None else most + made_most
    if room < usual_most + COVER_MOST:
        usual_most = min(usual_most, max(room // 2, room - COVER_MOST))
    made_most = min(made_most, usual_most if data is None else max(usual_most // 4, 1))
    unreached = [] if room >= most else [_scarce(fields, room)]
    parts: list[tuple[str, Columns]] = []
    if data is not None:
        parts.append(("data", data.columns.take(chosen(data, max(min(most, usual_most - made_most), 1), room // 4))))
    base_most = min(_BASE_ROWS, max(room // 8, 1))
    try:
        parts.append(("made", generate(fields, made_most, seed)))
        base = generate(fields, base_most, f"{seed}\0base", nulls=0) if data is None else None
    except ContractInvalid as err:
        if data is None:
            raise
        base = None
        unreached.append(f"no row was made from the contract: {err}")
    if base is None:
        base = few_nulls(parts[0][1], base_most)
    covering = cover(base, seed, min(COVER_MOST, max(room - usual_most, room // 4, 2)))
    columns = Columns.concat([*(part for _, part in parts), covering.columns])
    sorts = {sort: part.rows for sort, part in parts if part.rows}
    for sort in covering.sorts:
        sorts[sort] = sorts.get(sort, 0) + 1
    return Probe(columns, sorts, (*unreached, *_unreached(columns, covering)), data)


def _with_null(columns: Columns) -> int:
    held = np.zeros(columns.rows, np.bool_)
    for field in columns.fields:
        if field.nullable:
            held |= columns.nulls(field.name).reshape(columns.rows, -1).any(axis=1)
    return int(held.sum())


def _scarce(fields: Sequence[Field], room: int) -> str:
    return f"a row takes {row_bytes(fields):,} bytes: asked about {room:,} rows only"


def _unreached(columns: Columns, covering: Cover) -> list[str]:
    """What the contract allows and no row holds, a few fields by name and the others by number."""
    out: list[str] = []
    out += _few(filter(None, (_open_range(field, columns) for field in columns.fields)))
    out += _few(filter(None, (_long(field) for field in columns.fields)))
    out += _few(filter(None, (_many_values(field, columns[field.name]) for field in columns.fields)))
    if covering.shared:
        out.append(f"{covering.shared:,} rare values were asked together with others only, for want of rows")
    return out


def _few(sentences: Iterable[str]) -> list[str]:
    found = list(sentences)
    more = len(found) - _NAMED
    return found if more <= 0 else [*found[:_NAMED], f"and so for {more:,} more field{'s' if more > 1 else ''}"]


def _open_range(field: Field, columns: Columns) -> str | None:
    if not field.numeric or field.enum is not None:
        return None
    low, high = low_and_high(field)
    if low is not None and high is not None:
        return None
    values = columns[field.name][~columns.nulls(field.name)]
    values = values[np.isfinite(values)] if field.kind == "float" else values
    missing = "bounds" if low is None and high is None else "minimum" if low is None else "maximum"
    asked = f"asked from {_shown(values.min())} to {_shown(values.max())}" if values.size else "asked null only"
    return f"inputs.{field.name} has no {missing}: {asked}"


def _shown(number: Any) -> str:
    return f"{number.item() + 0:,.6g}"  # no sign before a zero


def _long(field: Field) -> str | None:
    if field.kind not in ("string", "bytes") or field.enum is not None or field.pattern is not None:
        return None
    if field.max_length is not None and field.max_length <= TEXT_MOST:
        return None
    unit = "characters" if field.kind == "string" else "bytes"
    allowed = "any number of" if field.max_length is None else f"{field.max_length:,}"
    return f"inputs.{field.name} allows {allowed} {unit}: asked up to {max(TEXT_MOST, field.min_length or 0):,}"


def _many_values(field: Field, array: Array) -> str | None:
    if field.enum is None:
        return None
    if field.limits.enum is None:
        asked = len(set(array.reshape(-1).tolist()) & field.limits.known)
    else:
        asked = int(np.isin(np.unique(field.limits.enum), array).sum())
    if asked >= len(field.enum):
        return None
    return f"inputs.{field.name} allows {len(field.enum):,} values: asked {asked:,} of them"
