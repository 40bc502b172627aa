"""The measure of difference is the bundle's own."""

from __future__ import annotations

import numpy as np

from fivefold.core.fields.field import Field
from fivefold.packing.measure import compare, undecided, undecided_scores

NUMBER = Field("p", "float32", (2,))
LABEL = Field("label", "string")


def test_the_difference_is_absolute_when_small_and_relative_when_large() -> None:
    """1e6 + 1 is as far from 1e6 as 1 + 1e-6 from 1; the place is said."""
    want = {"p": np.array([[0.5, 1e6]])}
    got = {"p": np.array([[0.5, 1e6 + 1]])}

    found = compare([NUMBER], want, got)

    assert found.largest == 1e-6
    assert found.where.startswith("p[0][1]: 1000000 became 1000001")
    assert found.within(1e-6)
    assert not found.within(1e-7)


def test_nan_equals_nan_and_nothing_else() -> None:
    """A null answer must stay null."""
    want = {"p": np.array([[np.nan, np.inf]])}

    assert compare([NUMBER], want, want).largest == 0
    assert compare([NUMBER], want, {"p": np.array([[0.0, np.inf]])}).largest == np.inf


def test_labels_are_equal_or_wrong_unless_the_original_is_undecided() -> None:
    """A tie of the original's two best classes is no mistake of the conversion."""
    want = {"label": np.array(["a", "b", "a"], object)}
    got = {"label": np.array(["b", "b", "b"], object)}
    tied = undecided(np.array([[0.5, 0.5], [0.1, 0.9], [0.6, 0.4]]), 1e-5)

    found = compare([LABEL], want, got, tied)

    assert (found.wrong, found.ties) == (1, 1)
    assert found.where == "label[2]: a became b"
    assert not found.within(1)


def test_scores_are_close_where_their_softmax_is_and_no_further() -> None:
    """Of any size: what lies apart by less than rounding is close, a row of infinities or of certain scores is not."""
    scores = np.array([[0.0, 1e-5, -9.0], [40.0, 50.0, -3.0], [1e9, 1e9 + 1, 0.0], [-np.inf, np.inf, 0.0]])

    assert undecided_scores(scores, 1e-5).tolist() == [True, False, True, False]
    for gap in (1e-6, 1e-5, 5e-5, 1e-3):
        pair = np.array([[0.0, gap, -40.0]])
        share = np.exp(pair) / np.exp(pair).sum()
        assert undecided_scores(pair, 1e-5)[0] or not undecided(share, 1e-5)[0]


def test_another_shape_is_infinitely_far() -> None:
    """It is said, not broadcast."""
    found = compare([NUMBER], {"p": np.zeros((1, 2))}, {"p": np.zeros((1, 3))})

    assert found.largest == np.inf
    assert "shape [1, 2] became [1, 3]" in found.where
