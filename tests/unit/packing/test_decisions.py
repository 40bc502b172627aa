"""Rows beside a model's decisions: found by asking it, and right in what is packed."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.ensemble import HistGradientBoostingRegressor
from sklearn.linear_model import Ridge
from sklearn.neighbors import KNeighborsClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder, StandardScaler
from sklearn.tree import DecisionTreeRegressor
from tests.support.bundles import contract, field

import fivefold
from fivefold.core.columns import Array, Columns
from fivefold.core.readers.records import Records
from fivefold.packing.decisions import GAP, near_decisions

FIELDS = contract([field("x", "float64"), field("n", "int64"), field("small", "float32")], [field("y")]).inputs
AMOUNTS = np.round(np.random.default_rng(3).lognormal(13, 1, 300), 2)


def rows_of(*values: tuple[float, int]) -> Columns:
    return Records(FIELDS).read([{"x": x, "n": n, "small": 0} for x, n in values]).accept()


@settings(max_examples=40, deadline=None)
@given(
    st.lists(st.floats(-1e6, 1e6), min_size=2, max_size=6, unique=True),
    st.integers(-(2**40), 2**40),
    st.floats(0.01, 0.99),
)
def test_a_jump_is_found_to_within_the_gap(values: list[float], whole: int, share: float) -> None:
    """Of a float on both sides at the gap's distance, of an integer at the integers themselves."""
    low, high = min(values), max(values)
    edge = low + (high - low) * share

    def felt(columns: Columns) -> Array:
        return np.stack([columns["x"] > edge, columns["n"] > whole], axis=1).astype(float)

    found = near_decisions(rows_of(*((x, whole + at) for at, x in enumerate(values))), felt, 1e-5)

    assert found is not None
    assert {whole, whole + 1} <= set(found["n"].tolist())
    if low < edge < high:
        near = GAP * 2 * max(abs(edge), 1e-30)
        assert ((found["x"] > edge) & (found["x"] <= edge + near)).any()
        assert ((found["x"] <= edge) & (found["x"] >= edge - near)).any()


def test_a_slope_is_no_jump_and_a_value_that_repeats_is_a_category() -> None:
    """What a model does at one number alone is asked beside that number."""
    smooth = near_decisions(rows_of((1.0, 1), (2.0, 2), (5.0, 9)), lambda columns: columns["x"][:, None] * 2, 1e-5)
    assert smooth is None

    repeated = near_decisions(
        rows_of((0.1, 1), (0.1, 1), (0.0, 1), (0.0, 1)), lambda rows: rows["x"][:, None] * 0, 1e-5
    )
    assert repeated is not None
    assert sorted(repeated["x"].tolist()) == [-1e-46, 1e-46, 0.1 - 1e-10, 0.1 + 1e-10]


def _lightgbm() -> Any:
    return pytest.importorskip("lightgbm").LGBMRegressor(n_estimators=4, verbose=-1)


@pytest.mark.parametrize(
    "model",
    [
        pytest.param(HistGradientBoostingRegressor(max_iter=4), marks=pytest.mark.full),
        pytest.param(_lightgbm, marks=pytest.mark.full),
        make_pipeline(StandardScaler(), DecisionTreeRegressor(max_depth=5)),
        make_pipeline(OneHotEncoder(handle_unknown="ignore"), Ridge()),
    ],
    ids=["histogram", "lightgbm", "scaled tree", "categories"],
)
def test_amounts_that_float32_does_not_tell_apart_are_answered_as_by_the_model(tmp_path: Path, model: Any) -> None:
    """A million has its cents; the answer is the one of the amount itself, not of the float32 number next to it."""
    model = model() if callable(model) else model
    one_hot = "onehotencoder" in getattr(model, "named_steps", {})
    known = np.tile([1000000.07, 2.5], 150) if one_hot else AMOUNTS
    model.fit(known.reshape(-1, 1), np.log(known))
    described = contract([field("amount", "float64", minimum=0)], [field("prediction", "float64")])
    data = [{"amount": float(value)} for value in known]

    report = fivefold.pack(model, described, tmp_path / "b", golden_from=data)
    assert report.floats.startswith("float64")
    asked = np.concatenate([known + cents for cents in (-0.02, -0.01, 0, 0.01, 0.02)])
    got = [one["prediction"] for one in fivefold.open(tmp_path / "b").predict([{"amount": float(x)} for x in asked])]
    np.testing.assert_allclose(got, model.predict(asked.reshape(-1, 1)), rtol=1e-6)


@pytest.mark.full
def test_several_targets_that_are_not_as_many_as_rows_are_packed_as_they_are(tmp_path: Path) -> None:
    """A classifier of several targets gives a list of probabilities, whose ties are those of any of them."""
    rows = np.arange(80.0).reshape(40, 2)
    model = KNeighborsClassifier(4).fit(rows, np.stack([np.arange(40) % 2, np.arange(40) // 20], axis=1))
    data = [{"a": a, "b": b} for a, b in rows.tolist()]

    fivefold.pack(model, output=tmp_path / "b", draft_from=data, as_="python")
    answers = fivefold.open(tmp_path / "b").predict(data[:5])
    assert [answer["label"] for answer in answers] == model.predict(rows[:5]).tolist()
