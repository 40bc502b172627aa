"""Rows that cover what a contract allows: typical rows, changed in one place or in many.

A row with one rare value shows what that value does; a row with many of them costs one row for many values. Both are
made, as many as there is room for. Which values are rare is left to `fivefold.packing.special`.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from fivefold.core.columns import Array, Columns
from fivefold.core.fields.field import Field
from fivefold.packing.generated import Mask, checked, generator
from fivefold.packing.special import Special, default, specials, spread

EACH_ELEMENT = 64
"""A shaped field of at most so many elements is covered element by element, as if each were a field."""
_SOME_ELEMENTS = 4
_NULL_ROWS = 3
"""Rows on which one field alone is null: a null in one of them may make no difference."""
_ALL_NULL_ROWS = 4

SINGLE = ("null", "value", "bound", "zero", "large", "not finite", "outside", "default", "text", "bytes")
"""Sorts of the rows that hold one rare value."""
SORTS = (*SINGLE, "all null", "all zero", "ends", "many")
"""Sorts of covering rows in the order of their rows."""


@dataclass(frozen=True)
class Cover:
    """Legal rows, the sort of each, and how many single values had to do without a row of their own."""

    columns: Columns
    sorts: tuple[str, ...]
    shared: int


@dataclass(frozen=True)
class _Slot:
    """A place for a value: a field, or one element of a shaped field (row-major)."""

    field: int
    element: int | None
    specials: tuple[Special, ...]


@dataclass(frozen=True)
class _Row:
    sort: str
    cells: tuple[tuple[_Slot, Special], ...]


def cover(base: Columns, seed: str, most: int) -> Cover:
    """At most `most` rows that cover the fields of `base`: its own rows (at least one), changed."""
    slots = [slot for index, field in enumerate(base.fields) for slot in _slots(index, field, base, seed)]
    singles = _singles(slots)
    together = _together(base.fields, slots)
    many = _many(slots) if len(slots) > 1 else []
    # Rows of many values first where there is little room: they reach every value, if not alone.
    room = max(most - len(singles), most // 2)
    few = together[:room]
    few += spread(many, room - len(few))
    taken = singles[: most - len(few)]
    plan = sorted([*taken, *few], key=lambda row: SORTS.index(row.sort))
    columns, sorts = _rows(base, plan, seed)
    return Cover(columns, sorts, len(singles) - len(taken))


def _slots(index: int, field: Field, base: Columns, seed: str) -> Iterator[_Slot]:
    values, nulls = base[field.name], base.nulls(field.name)
    given = default(field)
    found = specials(field, values[~nulls], seed)
    yield _Slot(index, None, found if given is None else (*found, given))
    if field.size == 1:
        return
    elements: Sequence[int] = range(field.size)
    if field.size > EACH_ELEMENT:
        elements = spread(elements, _SOME_ELEMENTS)
        found = tuple(special for special in found if special.null or special.end)
    for element in elements:
        yield _Slot(index, element, found)


def _singles(slots: Sequence[_Slot]) -> list[_Row]:
    """One value a row; the first of each slot's sorts first, so that a short list leaves no slot and no sort out."""
    ranked = []
    for place, slot in enumerate(slots):
        count: dict[str, int] = {}
        for special in slot.specials:
            for _ in range(_NULL_ROWS if special.null else 1):
                nth = count[special.sort] = count.get(special.sort, 0) + 1
                ranked.append(((nth, SINGLE.index(special.sort), place), _Row(special.sort, ((slot, special),))))
    return [row for _, row in sorted(ranked, key=lambda item: item[0])]


def _together(fields: Sequence[Field], slots: Sequence[_Slot]) -> list[_Row]:
    """Every field that can be null is null, every one that has an end is at it, every one that can be zero is zero."""
    whole = [slot for slot in slots if slot.element is None]
    groups = [
        ("all null", _ALL_NULL_ROWS, [(slot, one) for slot in whole for one in slot.specials if one.null]),
        ("ends", 2, [(slot, one) for slot in whole for one in slot.specials if one.end == "low"]),
        ("ends", 2, [(slot, one) for slot in whole for one in slot.specials if one.end == "high"]),
        ("all zero", 1, [(slot, one) for slot in whole for one in _zero(fields[slot.field], slot)]),
    ]
    groups = [group for group in groups if len(group[2]) > 1]
    # Each once before any of them again: there may be room for a few only.
    return [_Row(sort, tuple(cells)) for nth in range(_ALL_NULL_ROWS) for sort, times, cells in groups if nth < times]


def _zero(field: Field, slot: _Slot) -> tuple[Special, ...]:
    if not field.numeric:
        return ()
    return tuple(one for one in slot.specials if not one.null and one.sort != "default" and one.value == 0)[:1]


def _many(slots: Sequence[_Slot]) -> list[_Row]:
    """Rows in which every slot holds one of its values, until the slot with most values has shown each of them."""
    able = [slot for slot in slots if slot.specials]
    longest = max((len(slot.specials) for slot in able), default=0)
    return [
        _Row(
            "many", tuple((slot, slot.specials[(row + place) % len(slot.specials)]) for place, slot in enumerate(able))
        )
        for row in range(longest)
    ]


def _rows(base: Columns, plan: Sequence[_Row], seed: str) -> tuple[Columns, tuple[str, ...]]:
    fields = base.fields
    # Neighbours stand on different rows, so that the repeats of a value do.
    first = int(generator(seed, "\0base").integers(base.rows))
    rows = (first + np.arange(len(plan), dtype=np.int64)) % base.rows
    arrays: dict[str, Array] = {field.name: base[field.name][rows].copy() for field in fields}
    nulls: dict[str, Mask] = {field.name: base.nulls(field.name)[rows].copy() for field in fields}
    for number, row in enumerate(plan):
        for slot, special in row.cells:
            field = fields[slot.field]
            place = () if slot.element is None else np.unravel_index(slot.element, field.shape)
            at = (number, *(int(step) for step in place))
            arrays[field.name][at] = field.null if special.null else special.value
            nulls[field.name][at] = special.null
    reading = checked(fields, arrays, len(plan), nulls)
    return reading.columns, tuple(row.sort for row, bad in zip(plan, reading.bad.tolist(), strict=True) if not bad)
