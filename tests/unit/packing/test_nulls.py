"""Null reaches a packed model as its training knew it: the answers are the model's own, computed here."""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from sklearn.compose import make_column_transformer
from sklearn.ensemble import HistGradientBoostingRegressor, RandomForestRegressor
from sklearn.impute import KNNImputer, MissingIndicator, SimpleImputer
from sklearn.linear_model import LinearRegression
from sklearn.pipeline import make_pipeline, make_union
from sklearn.preprocessing import OneHotEncoder, OrdinalEncoder, StandardScaler, TargetEncoder
from sklearn.tree import DecisionTreeRegressor

import fivefold
from fivefold.core.contract.contract import Contract
from fivefold.core.errors import BundleInvalid
from fivefold.core.readers.records import Records

NUMBER = {"name": "a", "dtype": "int32", "minimum": 0, "maximum": 50, "nullable": True, "null_value": -1}
FLAG = {"name": "b", "dtype": "bool", "nullable": True, "null_value": False}
WORD = {"name": "t", "dtype": "string", "enum": ["x", "y", "z"], "nullable": True, "null_value": ""}


def contract(*inputs: Mapping[str, Any]) -> Contract:
    outputs = [{"name": "y", "dtype": "float64"}]
    return Contract.from_json(
        {"format": 1, "name": "n", "version": "1.0.0", "inputs": list(inputs), "outputs": outputs}
    )


def frame(rows: int = 120) -> pd.DataFrame:
    """An integer, a boolean and a text, each with missing values in pandas' own dtypes."""
    random = np.random.default_rng(5)
    out = pd.DataFrame(
        {
            "a": pd.array(random.integers(0, 51, rows), "Int64"),
            "b": pd.array(random.random(rows) < 0.5, "boolean"),
            "t": pd.Series(random.choice(["x", "y", "z"], rows), dtype=object),
        }
    )
    for column, missing in (("a", pd.NA), ("b", pd.NA), ("t", np.nan)):
        out.loc[random.random(rows) < 0.2, column] = missing
    return out


def target(data: pd.DataFrame) -> Any:
    number = data["a"].astype("Float64").fillna(70).to_numpy(float)
    return number + 9.0 * (data["t"] == "y").to_numpy() - 30.0 * data["t"].isna().to_numpy()


def fit(model: Any, data: Any, wanted: Any) -> Any:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return model.fit(data, wanted)


def answer(path: Path, made: Contract, *rows: Mapping[str, Any]) -> list[float]:
    columns = Records(made.inputs).read([dict(row) for row in rows]).accept()
    with fivefold.open(path) as scorer:
        return [float(value) for value in scorer.score(columns)["y"]]


def own(model: Any, data: Any) -> list[float]:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return [float(value) for value in np.asarray(model.predict(data)).ravel()]


@pytest.mark.parametrize(
    "steps",
    [
        (SimpleImputer(), LinearRegression()),
        (SimpleImputer(strategy="median", add_indicator=True), LinearRegression()),
        (make_union(SimpleImputer(strategy="constant", fill_value=7), MissingIndicator()), LinearRegression()),
        (SimpleImputer(), StandardScaler(), RandomForestRegressor(5, random_state=0)),
        (HistGradientBoostingRegressor(max_iter=10, random_state=0),),
        (DecisionTreeRegressor(random_state=0),),
    ],
    ids=lambda steps: "-".join(type(step).__name__ for step in steps),
)
@pytest.mark.parametrize("given", ["frame", "contract"])
def test_a_null_integer_and_a_null_boolean_are_what_they_were_in_training(
    steps: Any, given: str, tmp_path: Path
) -> None:
    """With the training frame at hand, and with nothing but the contract; and -1 is never what the model sees."""
    data = frame()[["a", "b"]]
    model = fit(make_pipeline(*steps), data, target(frame()))
    made = contract(NUMBER, FLAG)

    fivefold.pack(model, made, tmp_path / "b", golden_from=data if given == "frame" else None)

    asked = pd.DataFrame({"a": pd.array([None, 3, None], "Int64"), "b": pd.array([True, None, None], "boolean")})
    rows = [{"a": None, "b": True}, {"a": 3, "b": None}, {"a": None, "b": None}]
    assert answer(tmp_path / "b", made, *rows) == pytest.approx(own(model, asked), rel=1e-5)


ENCODERS = {
    "one-hot": OneHotEncoder(handle_unknown="ignore"),
    "one-hot-drop": OneHotEncoder(drop="first"),
    "one-hot-infrequent": OneHotEncoder(min_frequency=35, handle_unknown="infrequent_if_exist"),
    "ordinal": OrdinalEncoder(handle_unknown="use_encoded_value", unknown_value=-5, encoded_missing_value=-9),
    "target": TargetEncoder(cv=2, random_state=0),
    "imputed": make_pipeline(SimpleImputer(strategy="most_frequent"), OneHotEncoder()),
    "filled": make_pipeline(SimpleImputer(strategy="constant", fill_value="none"), OneHotEncoder()),
}


@pytest.mark.parametrize("name", ENCODERS)
@pytest.mark.parametrize("kind", ["nan", "str"])
def test_a_null_text_gets_the_category_of_missing_values(name: str, kind: str, tmp_path: Path) -> None:
    """Whatever the encoder gave to them: a column, a code, a mean, or the text that was filled in."""
    data = frame()[["a", "t"]]
    if kind == "str":
        data = data.astype({"t": "str"})
    columns = make_column_transformer((SimpleImputer(), ["a"]), (ENCODERS[name], ["t"]), sparse_threshold=0)
    model = fit(make_pipeline(columns, LinearRegression()), data, target(frame()))
    made = contract(NUMBER, WORD)

    fivefold.pack(model, made, tmp_path / "b", golden_from=data)

    asked = pd.DataFrame({"a": pd.array([5, None, 5], "Int64"), "t": pd.Series([np.nan, np.nan, "y"], dtype=object)})
    rows = [{"a": 5, "t": None}, {"a": None, "t": None}, {"a": 5, "t": "y"}]
    got = answer(tmp_path / "b", made, *rows)
    assert got == pytest.approx(own(model, asked), rel=1e-5)
    assert got[0] != pytest.approx(got[2], rel=1e-3)


@pytest.mark.parametrize("name", ["one-hot", "ordinal"])
def test_none_is_told_apart_from_nan(name: str, tmp_path: Path) -> None:
    """A model that was fitted on None is asked with None, which its encoder remembers."""
    data = frame()[["t"]]
    data["t"] = [None if value != value else value for value in data["t"]]
    data["t"] = data["t"].astype(object)
    encoder = ENCODERS[name] if name == "one-hot" else OrdinalEncoder()
    data["t"] = data["t"].where(data["t"].notna(), None)
    model = fit(make_pipeline(encoder, RandomForestRegressor(5, random_state=0)), data, target(frame()))
    made = contract(WORD)

    fivefold.pack(model, made, tmp_path / "b")

    asked = pd.DataFrame({"t": pd.Series([None, "x"], dtype=object)})
    assert answer(tmp_path / "b", made, {"t": None}, {"t": "x"}) == pytest.approx(own(model, asked), rel=1e-5)


def test_a_text_that_may_be_anything_keeps_null_apart_from_every_text(tmp_path: Path) -> None:
    """The null_value is a legal text, so that null travels as a text that nobody sends; the binding says which."""
    data = frame()[["t"]]
    model = fit(make_pipeline(ENCODERS["one-hot"], LinearRegression()), data, target(frame()))
    made = contract({"name": "t", "dtype": "string", "maxLength": 3, "nullable": True, "null_value": ""})

    fivefold.pack(model, made, tmp_path / "b", golden_from=data)

    asked = pd.DataFrame({"t": pd.Series([np.nan, "", "y", "new"], dtype=object)})
    rows = [{"t": None}, {"t": ""}, {"t": "y"}, {"t": "new"}]
    got = answer(tmp_path / "b", made, *rows)
    assert got == pytest.approx(own(model, asked), rel=1e-5)
    assert got[0] != pytest.approx(got[1], rel=1e-3)
    binding = fivefold.Bundle.open(tmp_path / "b").manifest.binding
    assert binding is not None
    assert binding.inputs[0].null == "\ufdd0"


def test_arrays_of_texts_and_numbers_hold_nan_for_null(tmp_path: Path) -> None:
    """A model that was fitted on an array of objects is asked with one."""
    data = frame()[["a", "t"]].astype({"a": object}).to_numpy(object)
    data[:, 0] = [np.nan if value is pd.NA else value for value in data[:, 0]]
    columns = make_column_transformer((SimpleImputer(), [0]), (ENCODERS["one-hot"], [1]), sparse_threshold=0)
    model = fit(make_pipeline(columns, LinearRegression()), data, target(frame()))
    made = contract(NUMBER, WORD)

    fivefold.pack(model, made, tmp_path / "b")

    asked = np.array([[np.nan, "x"], [4, np.nan]], object)
    rows = [{"a": None, "t": "x"}, {"a": 4, "t": None}]
    assert answer(tmp_path / "b", made, *rows) == pytest.approx(own(model, asked), rel=1e-5)


def test_a_model_that_knows_no_null_is_refused_by_the_row(tmp_path: Path) -> None:
    """The original's own reason, and what to write into the contract."""
    data = frame()[["a"]].fillna(3).astype("int64")
    model = LinearRegression().fit(data, data["a"])

    with pytest.raises(BundleInvalid, match=r"original model fails on a row that the contract allows.*NaN") as caught:
        fivefold.pack(model, contract(NUMBER), tmp_path / "b")

    assert "nullable" in (caught.value.help or "")
    assert not (tmp_path / "b").exists()


@pytest.mark.parametrize("weights", ["uniform", "distance"])
def test_a_value_from_the_nearest_rows_is_the_imputer_s_own(weights: str, tmp_path: Path) -> None:
    """A row with nothing at all among them; no two distances are equal, so that there is one answer."""
    random = np.random.default_rng(3)
    data = pd.DataFrame(random.normal(size=(60, 3)), columns=list("abc"))
    data = data.mask(random.random(data.shape) < 0.2)
    steps = KNNImputer(n_neighbors=4, weights=weights, add_indicator=True), LinearRegression()
    model = fit(make_pipeline(*steps), data, np.arange(60.0))
    made = contract(*({"name": n, "dtype": "float64", "nullable": True, "minimum": -3, "maximum": 3} for n in "abc"))

    fivefold.pack(model, made, tmp_path / "b", golden_from=data)

    rows = [{"a": None, "b": None, "c": None}, {"a": 0.1, "b": None, "c": -1}, {"a": None, "b": 1.5, "c": None}]
    assert answer(tmp_path / "b", made, *rows) == pytest.approx(own(model, pd.DataFrame(rows, dtype=float)), rel=1e-5)


def test_a_missing_value_that_is_a_number_stays_one(tmp_path: Path) -> None:
    """`missing_values=-1` is a legal number of the contract and no null."""
    data = pd.DataFrame({"a": [-1.0, 2, 4, -1, 6] * 8})
    model = make_pipeline(SimpleImputer(missing_values=-1), LinearRegression()).fit(data, np.arange(40.0))
    made = contract({"name": "a", "dtype": "float64", "minimum": -1, "maximum": 10})

    fivefold.pack(model, made, tmp_path / "b", golden_from=data)

    asked = pd.DataFrame({"a": [-1.0, 4.0]})
    assert answer(tmp_path / "b", made, {"a": -1}, {"a": 4}) == pytest.approx(own(model, asked), rel=1e-5)


def test_a_column_that_was_empty_in_training_falls_away(tmp_path: Path) -> None:
    """As the imputer drops it, or keeps it when it was told to."""
    for keep in (False, True):
        data = pd.DataFrame({"a": [np.nan, 2.0, 4.0, 6.0] * 10, "e": [np.nan] * 40})
        steps = (SimpleImputer(keep_empty_features=keep, add_indicator=True), LinearRegression())
        model = fit(make_pipeline(*steps), data, np.arange(40.0))
        fields = [{"name": name, "dtype": "float64", "nullable": True} for name in "ae"]
        made = contract(*fields)

        fivefold.pack(model, made, tmp_path / f"b{keep}")

        asked = pd.DataFrame({"a": [np.nan, 3.0], "e": [1.0, np.nan]})
        got = answer(tmp_path / f"b{keep}", made, {"a": None, "e": 1}, {"a": 3, "e": None})
        assert got == pytest.approx(own(model, asked), rel=1e-5)
