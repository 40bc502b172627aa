"""How sure a rate or a mean is: 95 % intervals by the bootstrap (Efron, 1979), percentiles of resampled rows.

Everything is drawn from one fixed seed, so that the same rows give the same interval. Which values are resampled is
left to `measures`.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

SEED = 1979
RESAMPLES = 2000
LEVEL = 0.95

BLOCKS = 1024
"""Rows beyond which rows are first put together at random into so many blocks, which are resampled in their place: rows
have no order that matters, and the work stays bounded."""

_PERCENTILES = (100 * (1 - LEVEL) / 2, 100 * (1 + LEVEL) / 2)
_DRAWN = 1 << 20
"""Numbers that are drawn at once."""


def rate_interval(count: int, rows: int) -> tuple[float, float]:
    """Where the rate of which `count` of `rows` are a sample lies; `rows` is at least 1.

    Resampling rows that are 0 or 1 is drawing from a binomial distribution. Where all rows are alike every resample is
    too, and would claim certainty: there the exact one-sided bound stands (Clopper and Pearson, 1934).
    """
    if count in (0, rows):
        edge = 1 - ((1 - LEVEL) / 2) ** (1 / rows)
        return (0.0, edge) if count == 0 else (1 - edge, 1.0)
    drawn = np.random.default_rng(SEED).binomial(rows, count / rows, RESAMPLES) / rows
    low, high = np.percentile(drawn, _PERCENTILES)
    return float(low), float(high)


def mean_interval(values: npt.NDArray[np.float64]) -> tuple[float, float]:
    """Where the mean lies of which finite `values` (float64, shape [rows], at least one) are a sample."""
    if values.min() == values.max():
        return float(values[0]), float(values[0])
    random = np.random.default_rng(SEED)
    # Within ±1 no sum leaves float64, however large the values are.
    scale = float(np.abs(values).max())
    values = values / scale
    weights = np.ones(len(values))
    if len(values) > BLOCKS:
        starts = np.linspace(0, len(values), BLOCKS, endpoint=False).astype(np.int64)
        weights = np.diff(starts, append=len(values)).astype(np.float64)
        values = np.add.reduceat(random.permutation(values), starts) / weights
    rows = len(values)
    means = np.empty(RESAMPLES)
    step = max(1, _DRAWN // rows)
    for start in range(0, RESAMPLES, step):
        chosen = random.integers(0, rows, (min(step, RESAMPLES - start), rows))
        drawn = weights[chosen]
        means[start : start + step] = (values[chosen] * drawn).sum(axis=1) / drawn.sum(axis=1)
    low, high = np.percentile(means, _PERCENTILES) * scale
    return float(low), float(high)
