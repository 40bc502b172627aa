"""How far two answers lie apart, in the bundle's own measure.

The difference of two numbers is |converted - original| / max(1, |original|): absolute for small answers, relative for
large ones, as the bundle's self-test measures it. Labels are equal or not; where the original itself is undecided (its
two largest probabilities closer than the tolerance, and so the scores that its label is taken from) the other label is
a tie, not a mistake.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from fivefold.core.columns import Array
from fivefold.core.fields.field import Field

TOLERANCE = 1e-5
"""Allowed by default: float32 arithmetic in another order stays well below it, a wrong branch of a tree far above."""

Mask = npt.NDArray[np.bool_]


@dataclass(frozen=True)
class Difference:
    """The largest numeric difference, the count of wrong labels and of ties, and the worst place in words and as a row
    (-1 where there is none)."""

    largest: float
    wrong: int
    ties: int
    where: str
    row: int = -1

    def within(self, tolerance: float) -> bool:
        """Whether packing accepts it."""
        return self.wrong == 0 and self.largest <= tolerance


def compare(
    fields: Sequence[Field],
    expected: Mapping[str, Array],
    converted: Mapping[str, Array],
    undecided: Mask | None = None,
) -> Difference:
    """Compare answers of shape [rows, *field.shape]; `undecided` marks the rows on which labels may differ."""
    largest, wrong, ties, where, worst = 0.0, 0, 0, "", -1
    for field in fields:
        want, got = expected[field.name], converted[field.name]
        if want.shape != got.shape:
            return Difference(np.inf, 0, 0, f"{field.name}: shape {list(want.shape)} became {list(got.shape)}")
        if not want.size:
            continue
        if field.kind == "float":
            gap = _gaps(want, got)
            at = tuple(int(index) for index in np.unravel_index(int(np.argmax(gap)), gap.shape))
            if gap[at] > largest:
                largest = float(gap[at])
                if not wrong:
                    where, worst = f"{_place(field.name, at)}: {want[at]:.9g} became {got[at]:.9g}", at[0]
            continue
        unequal = np.asarray(want != got, np.bool_)
        tied = np.zeros_like(unequal)
        if undecided is not None:
            tied = unequal & undecided.reshape(-1, *(1,) * (unequal.ndim - 1))
        ties += int(tied.sum())
        unequal &= ~tied
        if unequal.any():
            at = tuple(int(index) for index in np.argwhere(unequal)[0])
            if not wrong:
                where, worst = f"{_place(field.name, at)}: {want[at]!s} became {got[at]!s}", at[0]
            wrong += int(unequal.sum())
    return Difference(largest, wrong, ties, where, worst)


def undecided(probabilities: Array, tolerance: float) -> Mask:
    """The rows, of [rows, classes], whose two largest values are closer than the tolerance."""
    if probabilities.ndim != 2 or probabilities.shape[1] < 2:
        return np.zeros(len(probabilities), np.bool_)
    top = np.sort(probabilities, axis=1)[:, -2:]
    return np.asarray(top[:, 1] - top[:, 0] <= 2 * tolerance)


def undecided_scores(scores: Array, tolerance: float) -> Mask:
    """The rows, of [rows, classes], whose two largest scores are closer than probabilities at the tolerance tell.

    A softmax over n classes has its largest value at 1/n or above, so probabilities that differ by `d` there are of
    scores that differ by up to `d * n`.
    """
    top = np.sort(scores.astype(np.float64), axis=1)[:, -2:]
    with np.errstate(invalid="ignore", over="ignore"):
        gap = top[:, 1] - top[:, 0]
        allowed = 2 * tolerance * scores.shape[1] * np.maximum(1.0, np.abs(top[:, 1]))
        return np.asarray(np.isfinite(gap) & (gap <= allowed))


def _gaps(want: Array, got: Array) -> npt.NDArray[np.float64]:
    wide, other = want.astype(np.float64), got.astype(np.float64)
    with np.errstate(invalid="ignore"):
        gap = np.abs(other - wide) / np.maximum(1.0, np.abs(wide))
    same = (wide == other) | (np.isnan(wide) & np.isnan(other))
    return np.where(same, 0.0, np.where(np.isnan(gap), np.inf, gap))


def _place(name: str, at: Sequence[int]) -> str:
    return name + "".join(f"[{int(index)}]" for index in at)
