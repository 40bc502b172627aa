"""Disagreement, change and slices are what a plain loop over rows finds."""

from __future__ import annotations

import math
from fractions import Fraction
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fivefold.behaviour.intervals import BLOCKS, mean_interval, rate_interval
from fivefold.behaviour.measures import change, differing, disagreement, distances
from fivefold.behaviour.slices import MOST, REST, by_input, by_value
from fivefold.core.fields.field import Field

FLOATS = st.one_of(st.floats(allow_nan=True, allow_infinity=True), st.sampled_from([0.0, -0.0, 1.5, 1e308, -1e308]))
INTEGERS = st.one_of(st.integers(-(2**63), 2**63 - 1), st.sampled_from([0, 1, -(2**63), 2**63 - 1]))
CELLS = st.tuples(FLOATS, st.booleans(), FLOATS, st.booleans())
WHOLE = st.tuples(INTEGERS, st.booleans(), INTEGERS, st.booleans())


def columns(cells: list[Any], dtype: str) -> tuple[Any, ...]:
    """Cells (old, is null, new, is null) as four arrays."""
    old, old_null, new, new_null = zip(*cells, strict=True) if cells else ((), (), (), ())
    return (
        np.array(old, dtype),
        np.array(old_null, np.bool_),
        np.array(new, dtype),
        np.array(new_null, np.bool_),
    )


def value(number: Any, null: bool) -> Any:
    """A cell of a plain loop: None for null and NaN."""
    return None if null or number != number else number


def plain_change(cells: list[Any]) -> tuple[int, int, float | None, float | None]:
    """Changed, unlike, largest and mean, one row after the other, in exact arithmetic as far as numbers are finite."""
    changed = unlike = 0
    found: list[float] = []
    for old, old_null, new, new_null in cells:
        one, two = value(old, old_null), value(new, new_null)
        if (one is None) != (two is None):
            changed, unlike = changed + 1, unlike + 1
            continue
        if one is None or one == two:
            found.append(0.0)
        elif math.isinf(one) or math.isinf(two):
            found.append(math.inf)
        elif isinstance(one, int):
            found.append(float(abs(one - two)))
        else:
            found.append(abs(one - two))
        changed += found[-1] != 0
    if not found:
        return changed, unlike, None, None
    if math.inf in found:
        return changed, unlike, math.inf, math.inf
    return changed, unlike, max(found), float(sum(map(Fraction, found), Fraction(0)) / len(found))


@given(st.lists(CELLS, max_size=30))
def test_changes_of_floats(cells: list[Any]) -> None:
    """Nulls and NaN on one side are counted by themselves, infinities have no finite mean."""
    found = change(*distances(*columns(cells, "float64")))
    changed, unlike, largest, mean = plain_change(cells)

    assert (found.rows, found.changed, found.unlike, found.largest) == (len(cells), changed, unlike, largest)
    assert found.mean == (mean if mean is None else pytest.approx(mean, rel=1e-15))


@given(st.lists(WHOLE, max_size=30))
def test_changes_of_integers_are_exact(cells: list[Any]) -> None:
    """Also those that float64 does not hold."""
    found = change(*distances(*columns(cells, "int64")))

    changed, unlike, largest, mean = plain_change(cells)
    assert (found.changed, found.unlike, found.largest) == (changed, unlike, largest)
    assert found.mean == (mean if mean is None else pytest.approx(mean, rel=1e-15))


def test_integers_of_two_dtypes() -> None:
    """Signed beside unsigned, and beside floats."""
    none = np.zeros(2, np.bool_)
    signed, unsigned = np.array([-1, 5], np.int64), np.array([2**64 - 1, 3], np.uint64)

    assert distances(signed, none, unsigned, none)[0].tolist() == [2.0**64, 2.0]
    assert distances(signed, none, np.array([0.5, 5]), none)[0].tolist() == [1.5, 0.0]


@given(st.lists(st.tuples(st.sampled_from("abc"), st.booleans(), st.sampled_from("abc"), st.booleans()), max_size=30))
def test_disagreement_of_categories(cells: list[Any]) -> None:
    """Null agrees with null alone."""
    found = disagreement(differing(*columns(cells, "object")))

    wanted = sum(value(a, no_a) != value(b, no_b) for a, no_a, b, no_b in cells)
    assert (found.rows, found.differ) == (len(cells), wanted)
    assert found.rate == (wanted / len(cells) if cells else None)
    assert (found.interval is None) == (not cells)


def test_an_output_with_a_shape_is_one_observation_a_row() -> None:
    """It disagrees where any element does; its change is the largest."""
    none = np.zeros((2, 3), np.bool_)
    old, new = np.zeros((2, 3)), np.array([[0.0, 1.0, -3.0], [0.0, 0.0, 0.0]])

    assert distances(old, none, new, none)[0].tolist() == [3.0, 0.0]
    assert differing(old, none, new, none).tolist() == [True, False]


@pytest.mark.parametrize(("count", "rows"), [(3, 40), (1, 1000), (499, 500), (20, 40)])
def test_the_interval_of_a_rate_is_that_of_resampled_rows(count: int, rows: int) -> None:
    """Held against the exact distribution of how many of `rows` resampled rows differ, summed term by term."""
    low, high = rate_interval(count, rows)

    below = [Fraction(0)]
    p = Fraction(count, rows)
    for hits in range(rows + 1):
        below.append(below[-1] + math.comb(rows, hits) * p**hits * (1 - p) ** (rows - hits))
    assert float(below[round(low * rows) + 1]) > 0.015
    assert float(below[round(low * rows)]) < 0.035
    assert float(below[round(high * rows)]) < 0.985
    assert float(below[round(high * rows) + 1]) > 0.965


def test_rows_that_are_all_alike_prove_little_when_they_are_few() -> None:
    """The interval is not empty: three rows of three that agree may well be luck."""
    low, high = rate_interval(0, 3)
    assert (low, high) == (0.0, pytest.approx(1 - 0.025 ** (1 / 3)))
    assert rate_interval(3, 3) == (pytest.approx(1 - high), 1.0)
    assert rate_interval(0, 100_000)[1] < 1e-4


@given(st.lists(st.floats(0, 1e300), min_size=1, max_size=60))
def test_the_interval_of_a_mean_holds_the_mean(values: list[float]) -> None:
    """It is repeatable, in order and within the values."""
    low, high = mean_interval(np.array(values))

    assert (low, high) == mean_interval(np.array(values))
    rounding = 1e-12 * max(values)
    assert min(values) - rounding <= low <= high <= max(values) + rounding


@pytest.mark.parametrize("rows", [300, 5 * BLOCKS + 3])
def test_the_interval_of_a_mean_has_the_width_of_theory(rows: int) -> None:
    """1.96 standard errors to each side of a mean of many rows, whether rows or blocks of them are resampled."""
    values = np.random.default_rng(1).exponential(size=rows)
    low, high = mean_interval(values)

    error = values.std() / math.sqrt(rows)
    assert low == pytest.approx(values.mean() - 1.96 * error, abs=0.3 * error)
    assert high == pytest.approx(values.mean() + 1.96 * error, abs=0.3 * error)


@given(st.lists(st.tuples(st.one_of(st.integers(-3, 3), st.integers(-100, 100)), st.booleans()), min_size=1))
def test_quarters_have_every_row_once(cells: list[tuple[int, bool]]) -> None:
    """In the slice whose name says so, and none of them has more than its share without equal values."""
    field = Field("age", "int32", nullable=True, null_value=-1000)
    array = np.array([-1000 if null else number for number, null in cells], np.int32)
    nulls = np.array([null for _, null in cells], np.bool_)
    found = by_input(field, array, nulls)

    for number, null, code in zip(array.tolist(), nulls.tolist(), found.codes.tolist(), strict=True):
        words = found.names[code].split()
        if null:
            assert words == ["null"]
        elif words != ["all"]:
            assert "up" not in words or number <= int(words[-1])
            assert "above" not in words or number > int(words[1])


def test_quarters_of_distinct_numbers_are_of_one_size() -> None:
    """As far as they can be."""
    found = by_input(Field("age", "int32"), np.arange(100), np.zeros(100, np.bool_))

    assert np.bincount(found.codes).tolist() == [25, 25, 25, 25]
    assert found.names == ("up to 24", "above 24 up to 49", "above 49 up to 74", "above 74")


def test_values_stand_in_the_enum_s_order_and_null_last() -> None:
    """Whatever comes first in the data."""
    array = np.array(["high", "low", "low", "?"], object)
    found = by_value("level", array, np.array([False, False, False, True]), ("low", "mid", "high"))

    assert found.names == ("low", "high", "null")
    assert found.codes.tolist() == [1, 0, 0, 2]


def test_of_many_values_the_rare_ones_are_one_slice() -> None:
    """No row is left out."""
    array = np.array([str(at) for at in range(100) for _ in range(1 + (at < 10))], object)
    found = by_value("word", array, np.zeros(len(array), np.bool_))

    assert len(found.names) == MOST
    assert found.names[-1] == REST
    assert np.bincount(found.codes).sum() == len(array)
    assert {str(at) for at in range(10)} <= set(found.names)
