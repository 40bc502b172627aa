"""What pairs of measurements say: an estimate, an interval and a verdict.

The estimate of a slowdown is Hodges and Lehmann's (1963): the median of the means of all pairs of values, each with
itself too. Up to 29 % of the values may be arbitrarily wrong before it is, and with normal noise it is nearly as sharp
as the mean. The interval is the bootstrap's (percentiles, 95 %), with a fixed seed: the same measurements always give
the same verdict. Measuring, and what a verdict leads to, is left to the callers.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import Enum
from typing import Final

import numpy as np
import numpy.typing as npt

CONFIDENCE: Final = 0.95
RESAMPLES: Final = 1000
SEED: Final = 20_241

INSTRUCTIONS_LIMIT: Final = 1.02
"""Instructions of a path, head to base, beyond which head is slower. Counts repeat to a few parts in a thousand."""

LIMITS: Final[dict[str, float | None]] = {"p50": 1.05, "p99": 1.15, "cpu": 1.05, "seconds": None}
"""Measure -> the ratio, head to base, that the interval's lower end must not exceed; None is shown and does not gate.

`cpu` is CPU seconds a request, `seconds` wall seconds a request: the reciprocal of throughput."""

FEWEST_PAIRS: Final = 8
"""With fewer there is no verdict: an interval resampled from a handful of values is too narrow."""

Floats = npt.NDArray[np.float64]


class GateVerdict(Enum):
    """What the pairs so far say of one measure."""

    PASSES = "passes"
    SLOWER = "slower"
    INCONCLUSIVE = "inconclusive"
    SHOWN = "shown"


@dataclass(frozen=True)
class Estimate:
    """A ratio, head to base, with its interval."""

    ratio: float
    low: float
    high: float

    def __str__(self) -> str:
        return f"{self.ratio:.3f} [{self.low:.3f}, {self.high:.3f}]"


def hodges_lehmann(values: Floats) -> Floats:
    """The estimate of each row. `values` has the shape [..., n], n at least 1; the result the shape [...]."""
    first, second = np.triu_indices(values.shape[-1])
    means: Floats = (values[..., first] + values[..., second]) / 2
    return np.asarray(np.median(means, axis=-1), dtype=np.float64)


def estimate(log_ratios: Sequence[float]) -> Estimate:
    """The ratio that logarithms of pairs' ratios show; raises `ValueError` for none, or for one that is not finite."""
    values = np.asarray(log_ratios, dtype=np.float64)
    if not len(values) or not np.isfinite(values).all():
        raise ValueError(f"expected finite logarithms, at least one, got {values}")
    generator = np.random.default_rng(SEED)
    drawn = generator.integers(0, len(values), (RESAMPLES, len(values)))
    # A part at a time: the means of all pairs of a hundred values are five thousand for every resample.
    resampled = np.concatenate([hodges_lehmann(values[part]) for part in np.array_split(drawn, 20)])
    outside = (1 - CONFIDENCE) / 2
    low, high = np.quantile(resampled, (outside, 1 - outside))
    middle = float(hodges_lehmann(values))
    # With few values the middle may lie outside its own resamples' percentiles by a hair.
    return Estimate(math.exp(middle), math.exp(min(low, middle)), math.exp(max(high, middle)))


def judge(found: Estimate, limit: float | None, pairs: int) -> GateVerdict:
    """The verdict on one measure.

    Slower when the whole interval is beyond the limit; passing when the whole interval is within it; otherwise, or with
    too few pairs, inconclusive: more pairs are needed.
    """
    if limit is None:
        return GateVerdict.SHOWN
    if pairs < FEWEST_PAIRS:
        return GateVerdict.INCONCLUSIVE
    if found.low > limit:
        return GateVerdict.SLOWER
    return GateVerdict.PASSES if found.high <= limit else GateVerdict.INCONCLUSIVE


def overall(verdicts: Sequence[GateVerdict]) -> GateVerdict:
    """One verdict for several measures: slower beats inconclusive beats passing."""
    for verdict in (GateVerdict.SLOWER, GateVerdict.INCONCLUSIVE):
        if verdict in verdicts:
            return verdict
    return GateVerdict.PASSES


def more_instructions(base: Mapping[str, int], head: Mapping[str, int]) -> dict[str, float]:
    """Path -> ratio, head to base, of the paths that both have."""
    return {path: head[path] / base[path] for path in head if path in base}


def above(ratios: Mapping[str, float], limit: float = INSTRUCTIONS_LIMIT) -> dict[str, float]:
    """Those of the paths whose ratio is beyond the limit."""
    return {path: ratio for path, ratio in ratios.items() if ratio > limit}
