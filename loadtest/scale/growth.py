"""How fast something grows: the slope between two points on logarithmic axes, and the word for it."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Final

Points = Sequence[tuple[float, float]]

LEVEL: Final = 0.15
STRAIGHT: Final = 1.15
"""Slopes below the one are none, above the other worse than linear: what a shared machine adds is less than that."""


def slope(points: Points) -> float:
    """The exponent of growth between the last two points: 0 stays as it is, 1 is linear, 2 is square."""
    (x0, y0), (x1, y1) = points[-2:]
    return math.log(y1 / y0) / math.log(x1 / x0)


def steepest(points: Points) -> float:
    """The largest exponent between two points that follow each other."""
    return max(slope(points[at : at + 2]) for at in range(len(points) - 1))


def word(points: Points) -> str:
    """What the steepest part is called."""
    most = steepest(points)
    kind = "level" if most < LEVEL else "below linear" if most < 1 else "linear" if most <= STRAIGHT else "above linear"
    return f"{kind} ({slope(points):.2f} at the end, {most:.2f} at most)"
