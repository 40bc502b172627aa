"""XGBoost and LightGBM: rankers, categories, and what their converters do not know."""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import Any

import lightgbm
import numpy as np
import pandas as pd
import pytest
import xgboost
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

import fivefold
from fivefold.core.errors import BundleInvalid
from fivefold.packing import golden

FEW: dict[str, Any] = {"n_estimators": 5, "n_jobs": 1}
RANDOM = np.random.default_rng(0)
FRAME = pd.DataFrame(RANDOM.normal(size=(200, 3)), columns=list("abc"))
GRADES = RANDOM.integers(0, 3, 200)


def packed(model: Any, tmp_path: Path, data: pd.DataFrame = FRAME) -> Any:
    fivefold.pack(model, output=tmp_path / "b", draft_from=data)
    with fivefold.open(tmp_path / "b") as scorer:
        return scorer.score(golden.from_data(data, scorer.bundle.contract).columns)


def test_rankers_answer_scores_from_objects_and_files(tmp_path: Path) -> None:
    """A ranker's file is no regressor's."""
    ranker = xgboost.XGBRanker(**FEW).fit(FRAME, GRADES, qid=np.repeat(np.arange(20), 10))
    ranker.save_model(tmp_path / "r.json")
    light = lightgbm.LGBMRanker(verbose=-1, **FEW).fit(FRAME, GRADES, group=[10] * 20)
    light.booster_.save_model(tmp_path / "r.txt")

    for index, (given, own) in enumerate(
        [(ranker, ranker), (tmp_path / "r.json", ranker), (light, light), (tmp_path / "r.txt", light)]
    ):
        got = packed(given, tmp_path / str(index))["prediction"]

        assert got == pytest.approx(own.predict(FRAME), rel=1e-5, abs=1e-5)


@pytest.mark.parametrize("library", ["lightgbm", "xgboost"])
def test_categories_become_their_codes(library: str, tmp_path: Path) -> None:
    """Text at the model's input, null among it; a nullable integer beside it."""
    data = FRAME.assign(
        kind=pd.Categorical(RANDOM.choice(["x", "y", "z"], 200)), count=pd.array(RANDOM.integers(0, 9, 200), "Int64")
    )
    data.loc[::7, "kind"] = np.nan
    data.loc[::5, "count"] = pd.NA
    target = data.a + (data.kind == "y") * 5.0 + (data.kind == "x") * 2.0
    made = {
        "lightgbm": lambda: lightgbm.LGBMRegressor(verbose=-1, min_child_samples=3, **FEW),
        "xgboost": lambda: xgboost.XGBRegressor(enable_categorical=True, **FEW),
    }
    model = made[library]().fit(data, target)

    got = packed(model, tmp_path, data)["prediction"]

    assert got == pytest.approx(model.predict(data), rel=1e-5, abs=1e-5)


def test_a_bare_booster_with_categories_names_them(tmp_path: Path) -> None:
    """And says what can be packed instead."""
    data = FRAME.assign(kind=pd.Categorical(RANDOM.choice(["x", "y"], 200)))
    model = lightgbm.LGBMRegressor(verbose=-1, min_child_samples=3, **FEW).fit(data, (data.kind == "x") * 2.0 + data.a)

    with pytest.raises(BundleInvalid, match="pandas categories in 'kind'") as caught:
        fivefold.pack(model.booster_, output=tmp_path / "b", draft_from=data)

    assert "--as python" in (caught.value.help or "")


@pytest.mark.parametrize(
    ("model", "target", "message"),
    [
        (xgboost.XGBRegressor(objective="survival:cox", **FEW), GRADES + 1.0, "objective 'survival:cox'"),
        (xgboost.XGBRegressor(objective="reg:logistic", **FEW), GRADES % 2, "objective 'reg:logistic'"),
        (xgboost.XGBRegressor(**FEW), np.stack([GRADES, GRADES % 2], axis=1), "several targets"),
        (xgboost.XGBClassifier(booster="dart", **FEW), GRADES % 2, "booster 'dart'"),
        (lightgbm.LGBMClassifier(objective="multiclassova", verbose=-1, **FEW), GRADES, "objective 'multiclassova'"),
    ],
    ids=["cox", "logistic", "targets", "dart", "one-versus-all"],
)
def test_what_a_converter_gets_wrong_is_refused_by_its_name(
    model: Any, target: Any, message: str, tmp_path: Path
) -> None:
    """Alone and at the end of a pipeline."""
    for index, one in enumerate((model, make_pipeline(StandardScaler(), model))):
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            one.fit(FRAME, target)

        with pytest.raises(BundleInvalid, match=message) as caught:
            fivefold.pack(one, output=tmp_path / f"b{index}", draft_from=FRAME)

        assert "--as python" in (caught.value.help or "")
