"""Rows on both sides of where a model decides: a tree's threshold, the edge of a bin, a category among numbers.

A model that compares float64 numbers jumps between two that float32 cannot tell apart, and rows of data seldom lie
there. The places are found by asking the original alone: between two values with different answers there is a jump or
a slope, and halving the distance again and again leaves the jump.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from fivefold.core.columns import Array, Columns
from fivefold.core.fields.field import Field
from fivefold.packing.generated import Mask, checked
from fivefold.packing.special import spread

MOST_JUMPS = 64
"""Jumps that are looked for, over all fields; each becomes two rows."""
GAP = 1e-9
"""How far from a jump its rows are, of the value's size: a sixtieth of what float32 tells apart, and a million times of
what float64 does, so that arithmetic in float64 in another order is not taken for a mistake."""

_WIDE = ("int32", "int64", "uint32", "uint64")
_EXACT = 2.0**53
_FIELDS = 16
_VALUES = 9
"""Values of one field that are asked in one row: the jumps between neighbouring ones are looked for."""
_HALVINGS = 64
_REPEATED = 4
"""Values of one field that are taken for categories, the most frequent ones."""
_NEXT_TO_ZERO = 1e-46
"""A number that is zero in float32."""

Felt = Callable[[Columns], Array]
"""The original's answers as numbers or texts, [rows, answers]."""


@dataclass(frozen=True)
class _Number:
    """A number of a row: a field, and which element of it (row-major)."""

    field: Field
    element: int


def near_decisions(base: Columns, felt: Felt, tolerance: float) -> Columns | None:
    """Rows beside the jumps of a model, and beside numbers that come again and again; None where there are none.

    `base` holds legal rows, some of which are changed in one number each. `tolerance` is what answers may differ by,
    of their size, without a jump.
    """
    found = [_beside_jumps(base, felt, tolerance), _beside_repeated(base)]
    kept = [rows for rows in found if rows is not None]
    return Columns.concat(kept) if kept else None


def _beside_jumps(base: Columns, felt: Felt, tolerance: float) -> Columns | None:
    rows, slots, low, high = _apart(base, felt, tolerance)
    if not len(rows):
        return None
    first = felt(_with(base, rows, slots, low))
    for _ in range(_HALVINGS):
        if not _wide(slots, low, high).any():
            break
        middle = _middle(slots, low, high)
        left = _same(felt(_with(base, rows, slots, middle)), first, tolerance)
        low, high = np.where(left, middle, low), np.where(left, high, middle)
    jumps = ~_same(felt(_with(base, rows, slots, high)), felt(_with(base, rows, slots, low)), tolerance)
    kept = np.flatnonzero(jumps)
    if not len(kept):
        return None
    chosen = [slots[at] for at in kept]
    gap = np.where([slot.field.kind == "float" for slot in chosen], GAP, 0.0)
    below, above = low[kept] - gap * np.abs(low[kept]), high[kept] + gap * np.abs(high[kept])
    return _legal(base, np.tile(rows[kept], 2), chosen * 2, np.concatenate([below, above]))


def _beside_repeated(base: Columns) -> Columns | None:
    """Rows beside values that come again and again: a category, or a number that stands for something.

    What the model does at one number alone shows in no jump between others.
    """
    rows: list[int] = []
    slots: list[_Number] = []
    values: list[float] = []
    for place, slot in enumerate(_slots(base.fields)):
        if slot.field.kind != "float":
            continue
        numbers, counts = np.unique(_column(base, slot), return_counts=True)
        for index in np.argsort(-counts, kind="stable")[:_REPEATED].tolist():
            value = float(numbers[index])
            if counts[index] > 1 and np.isfinite(value):
                step = GAP * abs(value) or _NEXT_TO_ZERO
                rows += [place % base.rows] * 2
                slots += [slot] * 2
                values += [value - step, value + step]
    return _legal(base, np.array(rows, np.int64), slots, np.array(values)) if rows else None


def _slots(fields: Sequence[Field]) -> list[_Number]:
    """Numbers that float32 may not hold: those of float64, and of integers of more than 16 bits."""
    wide = [field for field in fields if field.dtype == "float64" or field.dtype in _WIDE]
    all_ = [_Number(field, element) for field in wide if field.enum is None for element in range(field.size)]
    return spread(all_, _FIELDS)


def _apart(base: Columns, felt: Felt, tolerance: float) -> tuple[npt.NDArray[np.int64], list[_Number], Array, Array]:
    """Intervals with different answers at their ends: row of `base`, slot, low end, high end."""
    rows: list[int] = []
    slots: list[_Number] = []
    values: list[float] = []
    for place, slot in enumerate(_slots(base.fields)):
        known = _values(base, slot)
        if len(known) > 1:
            rows += [place % base.rows] * len(known)
            slots += [slot] * len(known)
            values += known
    if not rows:
        return np.empty(0, np.int64), [], np.empty(0), np.empty(0)
    at, asked = np.array(rows, np.int64), np.array(values)
    found = felt(_with(base, at, slots, asked))
    pairs = [index for index in range(len(rows) - 1) if slots[index] == slots[index + 1]]
    differ = ~_same(found[[index + 1 for index in pairs]], found[pairs], tolerance)
    taken = spread([index for index, one in zip(pairs, differ.tolist(), strict=True) if one], MOST_JUMPS)
    after = [index + 1 for index in taken]
    return at[taken], [slots[index] for index in taken], asked[taken], asked[after]


def _values(base: Columns, slot: _Number) -> list[float]:
    """A few of the slot's values in `base`, the least and the greatest among them, sorted."""
    numbers = np.unique(_column(base, slot))
    numbers = numbers[np.isfinite(numbers) & (np.abs(numbers) < _EXACT)]
    return spread([float(number) for number in numbers], _VALUES)


def _column(base: Columns, slot: _Number) -> Array:
    """All that the slot holds in `base`, as float64, without nulls."""
    flat, nulls = (part.reshape(base.rows, -1) for part in (base[slot.field.name], base.nulls(slot.field.name)))
    return np.asarray(flat[:, slot.element][~nulls[:, slot.element]].astype(np.float64))


def _with(base: Columns, rows: npt.NDArray[np.int64], slots: Sequence[_Number], values: Array) -> Columns:
    """The rows, each with one number changed; `values` are legal."""
    arrays = {field.name: base[field.name][rows].copy() for field in base.fields}
    nulls: dict[str, Mask] = {field.name: base.nulls(field.name)[rows].copy() for field in base.fields}
    for at, (slot, value) in enumerate(zip(slots, values.tolist(), strict=True)):
        name, shape = slot.field.name, slot.field.shape
        place = (at, *(int(step) for step in np.unravel_index(slot.element, shape))) if shape else (at,)
        arrays[name][place] = value if slot.field.kind == "float" else int(value)
        nulls[name][place] = False
    return checked(base.fields, arrays, len(rows), nulls).columns


def _legal(base: Columns, rows: npt.NDArray[np.int64], slots: Sequence[_Number], values: Array) -> Columns | None:
    """As `_with`, without the rows that a step outwards has made illegal."""
    fitting = np.array([_inside(slot.field, value) for slot, value in zip(slots, values.tolist(), strict=True)])
    kept = np.flatnonzero(fitting)
    if not len(kept):
        return None
    return _with(base, rows[kept], [slots[at] for at in kept.tolist()], values[kept])


def _inside(field: Field, value: float) -> bool:
    low, high = field.limits.low, field.limits.high
    return (low is None or value >= low) and (high is None or value <= high)


def _middle(slots: Sequence[_Number], low: Array, high: Array) -> Array:
    whole = np.array([slot.field.kind == "int" for slot in slots])
    middle = low + (high - low) / 2
    return np.where(whole, np.floor(middle), middle)


def _wide(slots: Sequence[_Number], low: Array, high: Array) -> Mask:
    """Where the ends are further apart than they have to be: integers by one, others by less than the gap."""
    whole = np.array([slot.field.kind == "int" for slot in slots])
    size = np.maximum(np.abs(low), np.abs(high))
    return np.where(whole, high - low > 1, high - low > size * (GAP / 16))


def _same(one: Array, other: Array, tolerance: float) -> Mask:
    """Rows whose answers are equal, or numbers that differ by no more than the tolerance."""
    if one.dtype.kind not in "fiub":
        return np.asarray((one == other).all(axis=1), np.bool_)
    left, right = one.astype(np.float64), other.astype(np.float64)
    with np.errstate(invalid="ignore"):
        near = np.abs(left - right) <= tolerance * np.maximum(1.0, np.abs(right))
    return np.asarray((near | (np.isnan(left) & np.isnan(right))).all(axis=1), np.bool_)
