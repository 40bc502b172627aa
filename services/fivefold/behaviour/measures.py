"""Disagreement of categories and change of numbers: of all rows, and of each slice of them.

A row is one observation: of an output with a shape, it disagrees where any element does, and its change is the largest
of its elements'. Only counting is done here; which rows and outputs they are is left to `contrast`.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from fivefold.behaviour.intervals import mean_interval, rate_interval
from fivefold.core.columns import Array, Nulls
from fivefold.core.outcome import showable

Mask = npt.NDArray[np.bool_]
Codes = npt.NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class Disagreement:
    """Categories that are not the same."""

    rows: int
    differ: int
    interval: tuple[float, float] | None
    """Of the rate, 95 %; None without rows."""

    @property
    def rate(self) -> float | None:
        """The share of rows that differ; None without rows."""
        return self.differ / self.rows if self.rows else None

    def to_json(self) -> dict[str, Any]:
        return {"rows": self.rows, "differ": self.differ, "rate": self.rate, "interval": self.interval}


@dataclass(frozen=True, slots=True)
class Change:
    """How far numbers have moved, in their own unit, without sign."""

    rows: int
    changed: int
    """Rows that moved at all, or of which one side alone has a number."""
    unlike: int
    """Rows where one side has a number and the other null or NaN: no distance says how far that is."""
    largest: float | None
    """Of the other rows, as are `mean` and `interval`; None where there are none."""
    mean: float | None
    interval: tuple[float, float] | None
    """Of the mean, 95 %."""

    def to_json(self) -> dict[str, Any]:
        return {
            "rows": self.rows,
            "changed": self.changed,
            "unlike": self.unlike,
            "largest": showable(self.largest),
            "mean": showable(self.mean),
            "interval": showable(self.interval),
        }


def differing(old: Array, old_nulls: Nulls, new: Array, new_nulls: Nulls) -> Mask:
    """Which rows are not the same category: bool of shape [rows]. Null is a category, and so is NaN."""
    old_nulls, new_nulls = old_nulls | _nan(old), new_nulls | _nan(new)
    apart = np.asarray(old != new, np.bool_)
    apart = np.where(old_nulls | new_nulls, old_nulls != new_nulls, apart)
    return np.asarray(apart.any(axis=_elements(apart)), np.bool_)


def distances(old: Array, old_nulls: Nulls, new: Array, new_nulls: Nulls) -> tuple[npt.NDArray[np.float64], Mask]:
    """How far each row's numbers are apart (float64, shape [rows]), and where one side alone has a number.

    Both arrays are of numbers and of one shape. The difference of integers is exact before it is rounded to float64.
    """
    none_old, none_new = old_nulls | _nan(old), new_nulls | _nan(new)
    both = ~(none_old | none_new)
    apart = np.zeros(old.shape, np.float64)
    apart[both] = _distance(old[both], new[both])
    unlike = (none_old != none_new).any(axis=_elements(apart))
    largest = apart.max(axis=_elements(apart), initial=0.0)
    return np.asarray(largest, np.float64), np.asarray(unlike, np.bool_)


def _elements(array: Array) -> tuple[int, ...]:
    """The axes of a row's elements."""
    return tuple(range(1, array.ndim))


def _nan(array: Array) -> Mask:
    return np.isnan(array) if array.dtype.kind == "f" else np.zeros(array.shape, np.bool_)


def _distance(old: Array, new: Array) -> npt.NDArray[np.float64]:
    if old.dtype.kind in "iu" and new.dtype.kind in "iu":
        above = old > new
        if old.dtype.kind == new.dtype.kind:
            wide = np.int64 if old.dtype.kind == "i" else np.uint64
            # Modulo 2^64 the larger minus the smaller is exact, whatever the signs.
            high = np.where(above, old, new).astype(wide).view(np.uint64)
            low = np.where(above, new, old).astype(wide).view(np.uint64)
            return (high - low).astype(np.float64)
        return np.array([float(abs(int(mine) - int(other))) for mine, other in zip(old, new)], np.float64)
    wide_old, wide_new = old.astype(np.float64), new.astype(np.float64)
    # The same infinity on both sides is no distance, two finite numbers may be farther apart than float64 reaches.
    with np.errstate(invalid="ignore", over="ignore"):
        return np.where(wide_old == wide_new, 0.0, np.abs(wide_old - wide_new))


def disagreement(differ: Mask) -> Disagreement:
    """Of rows of which each differs or not."""
    rows, count = len(differ), int(differ.sum())
    return Disagreement(rows, count, rate_interval(count, rows) if rows else None)


def change(apart: npt.NDArray[np.float64], unlike: Mask) -> Change:
    """Of rows that are so far apart, `unlike` ones counted by themselves."""
    alike = apart[~unlike]
    moved = int((alike != 0).sum()) + int(unlike.sum())
    if not len(alike):
        return Change(len(apart), moved, int(unlike.sum()), None, None, None)
    finite = bool(np.isfinite(alike).all())
    interval = mean_interval(alike) if finite else (math.inf, math.inf)
    mean = _mean(alike) if finite else math.inf
    return Change(len(apart), moved, int(unlike.sum()), float(alike.max()), mean, interval)


def _mean(values: npt.NDArray[np.float64]) -> float:
    """Rounded once from the exact sum; divided first where that is beyond float64."""
    try:
        return math.fsum(values.tolist()) / len(values)
    except OverflowError:
        return math.fsum((values / len(values)).tolist())
