"""What pairs say: the estimate, the interval and the verdict."""

from __future__ import annotations

import math
from itertools import combinations_with_replacement
from statistics import median

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from loadtest.gate.decision import (
    FEWEST_PAIRS,
    LIMITS,
    Estimate,
    GateVerdict,
    above,
    estimate,
    hodges_lehmann,
    judge,
    more_instructions,
    overall,
)

some_cases = settings(max_examples=30, deadline=None)
"""A bootstrap takes milliseconds, more on a busy machine."""

numbers = st.floats(-1, 1, allow_nan=False)
some = st.lists(numbers, min_size=1, max_size=24)


@some_cases
@given(some)
def test_hodges_lehmann_is_the_median_of_the_means_of_all_pairs(values: list[float]) -> None:
    by_hand = median((a + b) / 2 for a, b in combinations_with_replacement(values, 2))

    assert hodges_lehmann(np.array(values)) == pytest.approx(by_hand, abs=1e-12)


@some_cases
@given(some, numbers)
def test_the_estimate_moves_with_its_values(values: list[float], shift: float) -> None:
    moved = hodges_lehmann(np.array(values) + shift)

    assert moved == pytest.approx(hodges_lehmann(np.array(values)) + shift, abs=1e-9)


@some_cases
@given(some)
def test_exchanging_base_and_head_inverts_the_estimate(values: list[float]) -> None:
    there, back = estimate(values), estimate([-value for value in values])

    assert there.ratio * back.ratio == pytest.approx(1)


@some_cases
@given(some)
def test_the_interval_holds_the_estimate_and_stays_within_the_values(values: list[float]) -> None:
    found = estimate(values)

    assert found.low <= found.ratio <= found.high
    assert math.exp(min(values)) - 1e-9 <= found.low
    assert found.high <= math.exp(max(values)) + 1e-9


def test_the_same_values_always_give_the_same_interval() -> None:
    values = np.random.default_rng(1).normal(0.05, 0.1, 30).tolist()

    assert estimate(values) == estimate(values)


def test_a_quarter_of_wild_values_hardly_moves_the_estimate() -> None:
    values = np.random.default_rng(2).normal(0, 0.02, 32)
    values[:8] += 3

    assert estimate(values.tolist()).ratio == pytest.approx(1, abs=0.06)


@pytest.mark.parametrize("values", [[], [math.nan], [0.1, math.inf]])
def test_what_is_no_number_gives_no_estimate(values: list[float]) -> None:
    with pytest.raises(ValueError, match="finite"):
        estimate(values)


@pytest.mark.parametrize(
    ("low", "high", "verdict"),
    [
        (0.97, 1.03, GateVerdict.PASSES),
        (0.97, 1.05, GateVerdict.PASSES),
        (1.01, 1.04, GateVerdict.PASSES),
        (0.99, 1.06, GateVerdict.INCONCLUSIVE),
        (1.05, 1.08, GateVerdict.INCONCLUSIVE),
        (1.051, 1.08, GateVerdict.SLOWER),
        (0.8, 0.9, GateVerdict.PASSES),
    ],
)
def test_slower_needs_the_whole_interval_beyond_the_limit_and_passing_the_whole_within(
    low: float, high: float, verdict: GateVerdict
) -> None:
    found = Estimate((low + high) / 2, low, high)

    assert judge(found, 1.05, FEWEST_PAIRS) is verdict


def test_too_few_pairs_decide_nothing() -> None:
    assert judge(Estimate(2, 2, 2), 1.05, FEWEST_PAIRS - 1) is GateVerdict.INCONCLUSIVE


def test_throughput_is_shown_and_does_not_gate() -> None:
    assert judge(Estimate(2, 2, 2), LIMITS["seconds"], 100) is GateVerdict.SHOWN


def test_slower_beats_inconclusive_beats_passing() -> None:
    passes, inconclusive, slower = GateVerdict.PASSES, GateVerdict.INCONCLUSIVE, GateVerdict.SLOWER

    assert overall([passes, inconclusive, slower, GateVerdict.SHOWN]) is slower
    assert overall([passes, inconclusive]) is inconclusive
    assert overall([passes, GateVerdict.SHOWN]) is passes


def test_paths_are_compared_by_name_and_those_beyond_the_limit_are_named() -> None:
    ratios = more_instructions({"a": 100, "b": 100, "gone": 5}, {"a": 102, "b": 103, "new": 7})

    assert ratios == {"a": 1.02, "b": 1.03}
    assert above(ratios) == {"b": 1.03}


def verdicts(slowdown: float, trials: int, pairs: int = 32, noise: float = 0.05) -> list[GateVerdict]:
    """What trials with normally distributed log-ratios end with; the noise is a busy two-core machine's."""
    generator = np.random.default_rng(3)
    samples = generator.normal(math.log1p(slowdown), noise, (trials, pairs))
    return [judge(estimate(sample.tolist()), LIMITS["cpu"], pairs) for sample in samples]


@pytest.mark.full
def test_no_slowdown_is_never_called_slower_in_a_hundred_trials() -> None:
    assert GateVerdict.SLOWER not in verdicts(0.0, 100)


@pytest.mark.parametrize("slowdown", [0.1, 0.3])
def test_a_slowdown_is_caught_nineteen_times_in_twenty(slowdown: float) -> None:
    found = verdicts(slowdown, 40)

    assert found.count(GateVerdict.SLOWER) >= 38
