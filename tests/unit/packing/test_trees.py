"""Trees as tree ensembles: the branch of a missing value, infinite thresholds, and float32 as they compare it."""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.compose import make_column_transformer
from sklearn.ensemble import (
    ExtraTreesRegressor,
    GradientBoostingClassifier,
    HistGradientBoostingClassifier,
    HistGradientBoostingRegressor,
    RandomForestClassifier,
    RandomForestRegressor,
)
from sklearn.impute import SimpleImputer
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.tree import DecisionTreeClassifier, DecisionTreeRegressor

import fivefold
from fivefold.core.contract.contract import Contract
from fivefold.packing import golden, trees

finite = st.floats(-3e38, 3e38, allow_nan=False)


@given(finite, st.floats(width=32, allow_nan=False, allow_infinity=False))
def test_a_float32_threshold_decides_as_the_float64_one(threshold: float, value: float) -> None:
    """For every float32 number: it is at most one where it is at most the other."""
    (below,) = trees.below32(np.array([threshold]))

    assert np.float32(below) == below
    assert (value <= threshold) == (value <= below)


def contract_of(names: str, output: dict[str, Any], **more: Any) -> Contract:
    inputs = [{"name": name, "dtype": "float64", "nullable": True, **more} for name in names]
    return Contract.from_json({"format": 1, "name": "t", "version": "1.0.0", "inputs": inputs, "outputs": [output]})


NUMBER = {"name": "y", "dtype": "float64"}


@pytest.mark.parametrize(
    "model",
    [
        DecisionTreeRegressor(random_state=0),
        RandomForestRegressor(5, random_state=0),
        ExtraTreesRegressor(5, random_state=0),
        HistGradientBoostingRegressor(max_iter=5, min_samples_leaf=3, random_state=0),
    ],
    ids=lambda model: type(model).__name__,
)
def test_a_split_on_missing_sends_missing_where_training_did(model: Any, tmp_path: Path) -> None:
    """Missing is the only thing that the target hangs on, so that a threshold is infinite; no converter may hang."""
    random = np.random.default_rng(1)
    inputs = random.normal(size=(80, 2))
    inputs[::3, 0] = np.nan
    model.fit(inputs, np.isnan(inputs[:, 0]) * 10.0 + (inputs[:, 1] > 0))
    contract = contract_of("ab", NUMBER, minimum=-5, maximum=5)

    fivefold.pack(model, contract, tmp_path / "b")

    asked = np.array([[np.nan, 1.0], [np.nan, -1], [5, 1], [-5, -1]])
    with fivefold.open(tmp_path / "b") as scorer:
        rows = golden.from_data(pd.DataFrame(asked, columns=["a", "b"]), contract).columns
        got = scorer.score(rows)["y"]
    assert got == pytest.approx(model.predict(asked), rel=1e-6)


@pytest.mark.parametrize(
    "last",
    [
        RandomForestClassifier(10, random_state=0),
        GradientBoostingClassifier(n_estimators=5, random_state=0),
        HistGradientBoostingClassifier(max_iter=5, random_state=0),
        LogisticRegression(),
        DecisionTreeClassifier(random_state=0),
    ],
    ids=lambda model: type(model).__name__,
)
@pytest.mark.parametrize("by_column", [False, True])
def test_rows_on_thresholds_are_decided_as_in_training(last: Any, by_column: bool, tmp_path: Path) -> None:
    """Numbers of one digit, imputed and scaled: whole groups of rows sit on thresholds of the trees."""
    random = np.random.default_rng(2)
    data = pd.DataFrame(random.normal(size=(400, 3)).round(1) * 1000.1, columns=list("abc"))
    wanted = (data.a + data.b > 300).astype(int)
    data = data.mask(random.random(data.shape) < 0.1)
    prepared = (SimpleImputer(), StandardScaler())
    steps = (make_column_transformer((make_pipeline(*prepared), list("abc"))),) if by_column else prepared
    model = make_pipeline(*steps, last).fit(data, wanted)
    contract = contract_of("abc", {"name": "p", "dtype": "float32", "shape": [2], "minimum": 0, "maximum": 1})

    report = fivefold.pack(model, contract, tmp_path / "b", golden_from=data)

    with fivefold.open(tmp_path / "b") as scorer:
        got = scorer.score(golden.from_data(data, contract).columns)["p"]
    assert report.difference <= 1e-5
    assert np.abs(got - model.predict_proba(data)).max() <= 1e-5


@pytest.mark.parametrize("classes", [["only"], [3], [True]])
def test_a_classifier_of_one_class_is_sure_of_it(classes: list[Any], tmp_path: Path) -> None:
    """In a forest, and at the end of a pipeline; a bool stays one."""
    data = pd.DataFrame(np.random.default_rng(0).normal(size=(32, 2)), columns=["a", "b"])
    for index, model in enumerate(
        (RandomForestClassifier(2), make_pipeline(StandardScaler(), DecisionTreeClassifier()))
    ):
        place = tmp_path / f"b{index}"

        fivefold.pack(model.fit(data, classes * 32), output=place, draft_from=data)

        with fivefold.open(place) as scorer:
            got = scorer.score(golden.from_data(data, scorer.bundle.contract).columns)
        assert got["label"].tolist() == classes * 32
        assert got["probability"].ravel().tolist() == [1.0] * 32


@pytest.mark.full
def test_splits_by_categories_are_their_codes(tmp_path: Path) -> None:
    """A histogram forest that was fitted on pandas categories takes the texts, and null, as it did."""
    random = np.random.default_rng(4)
    kinds = [f"k{index}" for index in range(40)]
    data = pd.DataFrame(
        {"c": pd.Categorical(random.choice(kinds, 600), categories=kinds), "n": random.normal(size=600)}
    )
    data.loc[::9, "c"] = np.nan
    wanted = data.c.cat.codes % 3 * 5.0 + data.n
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        model = HistGradientBoostingRegressor(max_iter=10, random_state=0).fit(data, wanted)

    fivefold.pack(model, output=tmp_path / "b", draft_from=data)

    with fivefold.open(tmp_path / "b") as scorer:
        got = scorer.score(golden.from_data(data, scorer.bundle.contract).columns)["prediction"]
    assert got == pytest.approx(model.predict(data), rel=1e-5, abs=1e-5)
