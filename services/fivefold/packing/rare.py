"""Which rows of data stand for all of it: evenly spaced ones, and those that hold what is rare in it."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import numpy.typing as npt

from fivefold.core.columns import Array, Columns
from fivefold.core.fields.field import Field
from fivefold.packing.cover import EACH_ELEMENT
from fivefold.packing.generated import Mask
from fivefold.packing.golden import LegalRows
from fivefold.packing.special import ENUM_MOST, spread

RARE_MOST = 1024
"""Rare rows of data beside the evenly spaced ones."""
_NULL_ROWS = 8
_COMBINATIONS = 256
"""Combinations of nulls that get a row."""
_CATEGORIES = 1024
"""A column of more distinct values is no category."""

Index = npt.NDArray[np.int64]


def chosen(data: LegalRows, usual: int, rare: int = RARE_MOST) -> Index:
    """Positions of `usual` evenly spaced rows and of at most `rare` rare ones, ascending.

    Rare are rows with nulls (of each field, and each combination), with values that a column holds seldom, and with a
    column's least and largest number.
    """
    columns = data.columns
    usually = data.index(usual)
    taken = set(usually.tolist())
    if len(taken) == columns.rows:
        return usually
    more: dict[int, None] = {}
    for row in _rare(columns, usually):
        if len(more) >= min(rare, RARE_MOST):
            break
        if row not in taken:
            more[row] = None
    return np.array(sorted([*taken, *more]), np.int64)


def few_nulls(columns: Columns, most: int) -> Columns:
    """At most `most` rows out of those with the fewest null fields, evenly spaced."""
    count = np.zeros(columns.rows, np.int64)
    for field in columns.fields:
        if field.nullable:
            count += columns.nulls(field.name).reshape(columns.rows, -1).any(axis=1)
    least = np.flatnonzero(count == count.min())
    return columns.take(np.array(spread(least.tolist(), most), np.int64))


def _rare(columns: Columns, usual: Index) -> Iterator[int]:
    held = [mask for field in columns.fields if field.nullable for mask in _nulls(columns, field) if mask.any()]
    for mask in held:
        yield from spread(np.flatnonzero(mask).tolist(), _NULL_ROWS)
    for mask in held:
        # The rare row may be one that is not null.
        yield from spread(np.flatnonzero(~mask).tolist(), 2)
    if len(held) > 1:
        packed = np.packbits(np.stack(held, axis=1), axis=1)
        _, first = np.unique(packed, axis=0, return_index=True)
        yield from spread(sorted(first.tolist()), _COMBINATIONS)
    for field in columns.fields:
        if field.kind != "bytes" and field.size <= EACH_ELEMENT:
            for values, nulls in zip(_elements(columns[field.name]), _nulls(columns, field), strict=True):
                yield from _seldom(field, values, nulls, usual)
    for field in columns.fields:
        if field.numeric and field.size <= EACH_ELEMENT:
            for values, nulls in zip(_elements(columns[field.name]), _nulls(columns, field), strict=True):
                live = np.flatnonzero(~nulls)
                if len(live):
                    yield from (int(live[values[live].argmin()]), int(live[values[live].argmax()]))


def _elements(array: Array) -> list[Array]:
    """The elements of a column as columns of their own, each of shape [rows]."""
    return list(array.reshape(len(array), -1).T)


def _nulls(columns: Columns, field: Field) -> list[Mask]:
    """Where each element is null, [rows] each; of a large field, where any element is."""
    nulls = columns.nulls(field.name).reshape(columns.rows, -1)
    return list(nulls.T) if field.size <= EACH_ELEMENT else [np.asarray(nulls.any(axis=1))]


def _seldom(field: Field, values: Array, nulls: Mask, usual: Index) -> list[int]:
    """A row for each value of a category that no usual row holds."""
    live = np.flatnonzero(~nulls)[::-1]
    first = dict(zip(values[live].tolist(), live.tolist(), strict=True))
    if len(first) > _CATEGORIES and field.enum is None:
        return []
    met = set(values[usual].tolist())
    return spread(sorted(row for value, row in first.items() if value not in met), ENUM_MOST)
