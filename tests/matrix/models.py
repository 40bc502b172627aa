"""The matrix: how each model is made, on which data, and what its bundle must hold.

A `Case` builds a fitted model and its contract; `tests/matrix/test_matrix.py` packs it and holds the bundle against the
model. Trees come with `exact=True`: their bundle gives the very bits of their own ONNX session, and every label.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from typing import Any

import numpy as np
import pandas as pd
from sklearn import (
    calibration,
    compose,
    datasets,
    decomposition,
    ensemble,
    feature_extraction,
    feature_selection,
    impute,
    linear_model,
    naive_bayes,
    neighbors,
    neural_network,
    preprocessing,
    svm,
    tree,
)
from sklearn.pipeline import make_pipeline, make_union

from fivefold import Contract


@dataclass(frozen=True)
class Case:
    """One combination: `make()` gives the unfitted model, `data` names the set it is fitted on."""

    name: str
    data: str
    make: Callable[[], Any]
    exact: bool = False
    outputs: str = ""
    tolerance: float = 1e-5
    sample: bool = False


@cache
def data(name: str) -> tuple[Any, Any]:
    """Inputs (a frame or an array) and targets of a real or made-up set."""
    random = np.random.default_rng(7)
    if name == "cancer":
        found = datasets.load_breast_cancer(as_frame=True)
        return found.data, found.target_names[found.target]
    if name == "cancer-array":
        found = datasets.load_breast_cancer()
        return found.data, found.target
    if name == "iris":
        found = datasets.load_iris()
        return found.data, found.target
    if name == "iris-words":
        found = datasets.load_iris(as_frame=True)
        return found.data.rename(columns=lambda column: column.replace(" (cm)", "")), found.target_names[found.target]
    if name == "diabetes":
        found = datasets.load_diabetes()
        return found.data, found.target
    if name == "two-targets":
        inputs = random.normal(size=(300, 6))
        return inputs, np.stack([inputs @ np.arange(6.0), inputs[:, 0] ** 2], axis=1)
    if name == "gaps":
        inputs = random.normal(50, 10, size=(400, 5))
        target = inputs[:, 0] + inputs[:, 1] * 0.5
        inputs[random.random(inputs.shape) < 0.1] = np.nan
        return inputs, target
    if name == "messy":
        rows = 400
        frame = pd.DataFrame(
            {
                "visits": pd.array(random.integers(0, 30, rows), "Int64"),
                "income": random.normal(50_000, 12_000, rows).round(-2),
                "city": pd.Series(
                    random.choice(["Athens", "Berlin", "Cádiz"], rows, p=[0.7, 0.27, 0.03]), dtype=object
                ),
            }
        )
        score = frame.visits / 10 + frame.income / 50_000 + (frame.city == "Berlin")
        for column, missing in (("visits", pd.NA), ("income", np.nan), ("city", np.nan)):
            frame.loc[random.random(rows) < 0.15, column] = missing
        score += frame.city.isna() * 0.8
        return frame, np.where(score > score.median(), "yes", "no")
    if name == "texts":
        words = np.array(["cheap", "offer", "meeting", "report", "win", "prize", "minutes", "budget"])
        spam = random.random(300) < 0.5
        picks = [random.choice(words[:4] if one else words[4:], 5) for one in spam]
        return pd.DataFrame({"text": [" ".join(row) for row in picks]}), np.where(spam, "spam", "ham")
    assert name == "mixed"
    rows = 400
    frame = pd.DataFrame(
        {
            "age": random.integers(18, 90, rows),
            "income": random.normal(50_000, 12_000, rows).round(2),
            "city": random.choice(["Athens", "Berlin", "Cádiz"], rows),
            "rooms": random.integers(1, 6, rows),
        }
    )
    score = frame.age / 50 + frame.income / 50_000 + (frame.city == "Berlin") + random.normal(0, 0.3, rows)
    return frame, np.where(score > score.median(), "yes", "no")


def fitted(case: Case) -> tuple[Any, Any, Any]:
    """The fitted model, its inputs and its targets."""
    inputs, target = data(case.data)
    model = case.make()
    if case.data == "texts":
        return model.fit(inputs["text"], target), inputs, target
    return model.fit(inputs, target), inputs, target


def frame_of(inputs: Any) -> pd.DataFrame:
    """The inputs under the contract's field names."""
    if isinstance(inputs, pd.DataFrame):
        return inputs.rename(columns=lambda name: name.replace(" ", "_"))
    return pd.DataFrame(inputs, columns=[f"f{index}" for index in range(inputs.shape[1])])


def contract(case: Case, model: Any, inputs: Any, target: Any) -> Contract:
    """A contract as a person would write it for the model."""
    frame = frame_of(inputs)
    fields: list[dict[str, Any]] = []
    for name in frame.columns:
        column = frame[name]
        nulls = {"nullable": True} if column.isna().any() else {}
        if column.dtype.kind in "iu":
            more = {**nulls, "null_value": -1} if nulls else {}
            ends = {"minimum": int(column.min()), "maximum": int(column.max())}
            fields.append({"name": name, "dtype": "int32", **ends, **more})
        elif column.dtype.kind == "f":
            fields.append({"name": name, "dtype": "float64", "nullable": bool(column.isna().any())})
        elif case.data == "texts":
            fields.append({"name": name, "dtype": "string", "maxLength": 200})
        else:
            more = {**nulls, "null_value": ""} if nulls else {}
            fields.append({"name": name, "dtype": "string", "enum": sorted(column.dropna().unique()), **more})
    outputs: list[dict[str, Any]] = []
    if case.outputs == "score":
        outputs = [{"name": "label", "dtype": "int64", "enum": [-1, 1]}, {"name": "score", "dtype": "float32"}]
    elif hasattr(model, "classes_") or case.outputs == "label":
        classes = np.unique(target).tolist()
        words = isinstance(classes[0], str)
        outputs = [{"name": "label", "dtype": "string" if words else "int64", "enum": classes}]
        if case.outputs != "label":
            shape = {"shape": [len(classes)], "minimum": 0, "maximum": 1}
            outputs.append({"name": "probability", "dtype": "float32", **shape})
    elif np.ndim(target) == 2:
        outputs = [{"name": "a", "dtype": "float64"}, {"name": "b", "dtype": "float64"}]
    else:
        outputs = [{"name": "prediction", "dtype": "float64"}]
    return Contract.from_json({"format": 1, "name": "case", "version": "1.0.0", "inputs": fields, "outputs": outputs})


def _columns(*, scale: bool = True) -> Any:
    numbers = preprocessing.StandardScaler() if scale else "passthrough"
    return compose.make_column_transformer(
        (preprocessing.OneHotEncoder(handle_unknown="ignore"), ["city"]), (numbers, ["age", "income", "rooms"])
    )


def _messy(encoder: Any, *, scale: bool = True) -> Any:
    steps = (impute.SimpleImputer(), preprocessing.StandardScaler()) if scale else (impute.SimpleImputer(),)
    return compose.make_column_transformer(
        (make_pipeline(*steps), ["visits", "income"]), (encoder, ["city"]), sparse_threshold=0
    )


def _xgboost(kind: str, **named: Any) -> Any:
    import xgboost

    return getattr(xgboost, kind)(n_estimators=20, max_depth=4, random_state=0, n_jobs=1, **named)


def _lightgbm(kind: str, **named: Any) -> Any:
    import lightgbm

    return getattr(lightgbm, kind)(n_estimators=20, random_state=0, verbose=-1, n_jobs=1, **named)


def _standard(model: Any) -> Any:
    return make_pipeline(preprocessing.StandardScaler(), model)


CASES = (
    # linear
    Case("linear", "diabetes", linear_model.LinearRegression, sample=True),
    Case("linear-two-targets", "two-targets", linear_model.LinearRegression),
    Case("ridge-poly", "diabetes", lambda: make_pipeline(preprocessing.PolynomialFeatures(2), linear_model.Ridge())),
    Case("lasso", "diabetes", linear_model.Lasso),
    Case(
        "elastic-net-minmax", "diabetes", lambda: make_pipeline(preprocessing.MinMaxScaler(), linear_model.ElasticNet())
    ),
    Case(
        "huber-robust", "diabetes", lambda: make_pipeline(preprocessing.RobustScaler(), linear_model.HuberRegressor())
    ),
    Case("poisson", "diabetes", linear_model.PoissonRegressor),
    Case("logistic", "cancer", lambda: linear_model.LogisticRegression(max_iter=5000)),
    Case("logistic-scaled", "cancer", lambda: _standard(linear_model.LogisticRegression()), sample=True),
    Case("logistic-multi", "iris-words", lambda: linear_model.LogisticRegression(max_iter=1000)),
    Case(
        "logistic-pca",
        "cancer",
        lambda: make_pipeline(preprocessing.StandardScaler(), decomposition.PCA(5), linear_model.LogisticRegression()),
    ),
    Case(
        "logistic-kbest",
        "cancer",
        lambda: make_pipeline(
            preprocessing.StandardScaler(), feature_selection.SelectKBest(k=6), linear_model.LogisticRegression()
        ),
    ),
    Case(
        "logistic-union",
        "iris",
        lambda: make_pipeline(
            make_union(decomposition.PCA(2), preprocessing.StandardScaler()), linear_model.LogisticRegression()
        ),
    ),
    Case("sgd-label", "cancer", lambda: _standard(linear_model.SGDClassifier(random_state=0)), outputs="label"),
    # support vectors
    Case("svc", "cancer", lambda: _standard(svm.SVC()), outputs="label"),
    Case("linear-svc", "cancer", lambda: _standard(svm.LinearSVC()), outputs="label"),
    Case("svr", "diabetes", lambda: _standard(svm.SVR())),
    # trees
    Case("tree", "iris", lambda: tree.DecisionTreeClassifier(random_state=0), exact=True, sample=True),
    Case("tree-regression", "diabetes", lambda: tree.DecisionTreeRegressor(max_depth=6, random_state=0), exact=True),
    Case("forest", "cancer", lambda: ensemble.RandomForestClassifier(25, random_state=0), exact=True),
    Case("forest-multi", "iris-words", lambda: ensemble.RandomForestClassifier(21, random_state=0), exact=True),
    Case("forest-regression", "diabetes", lambda: ensemble.RandomForestRegressor(20, random_state=0), exact=True),
    Case("extra-trees", "cancer", lambda: ensemble.ExtraTreesClassifier(25, random_state=0), exact=True),
    Case("boosting", "cancer", lambda: ensemble.GradientBoostingClassifier(random_state=0), exact=True, sample=True),
    Case(
        "boosting-multi",
        "iris",
        lambda: ensemble.GradientBoostingClassifier(n_estimators=15, random_state=0),
        exact=True,
    ),
    Case("boosting-regression", "diabetes", lambda: ensemble.GradientBoostingRegressor(random_state=0), exact=True),
    Case(
        "hist-boosting",
        "cancer",
        lambda: ensemble.HistGradientBoostingClassifier(max_iter=30, random_state=0),
        exact=True,
    ),
    Case(
        "hist-boosting-regression-gaps",
        "gaps",
        lambda: ensemble.HistGradientBoostingRegressor(max_iter=30, random_state=0),
        exact=True,
    ),
    Case("adaboost", "cancer", lambda: ensemble.AdaBoostClassifier(n_estimators=10, random_state=0), exact=True),
    Case("bagging", "cancer", lambda: ensemble.BaggingClassifier(n_estimators=5, random_state=0), exact=True),
    Case(
        "isolation-forest",
        "cancer",
        lambda: ensemble.IsolationForest(n_estimators=20, random_state=0),
        exact=True,
        outputs="score",
    ),
    # neighbours, Bayes, nets
    Case("neighbours", "cancer", lambda: _standard(neighbors.KNeighborsClassifier(5))),
    Case("neighbours-regression", "diabetes", lambda: neighbors.KNeighborsRegressor(5)),
    Case("naive-bayes", "iris-words", naive_bayes.GaussianNB),
    Case("mlp", "cancer", lambda: _standard(neural_network.MLPClassifier((16,), max_iter=500, random_state=0))),
    Case(
        "mlp-regression",
        "diabetes",
        lambda: _standard(
            neural_network.MLPRegressor(hidden_layer_sizes=(16,), solver="lbfgs", max_iter=2000, random_state=0)
        ),
    ),
    # combined
    Case(
        "calibrated",
        "iris-words",
        lambda: calibration.CalibratedClassifierCV(linear_model.LogisticRegression(max_iter=1000), cv=3),
    ),
    Case(
        "voting",
        "iris-words",
        lambda: ensemble.VotingClassifier(
            [
                ("a", linear_model.LogisticRegression(max_iter=1000)),
                ("b", tree.DecisionTreeClassifier(max_depth=3, random_state=0)),
            ],
            voting="soft",
            flatten_transform=False,
        ),
    ),
    Case(
        "stacking",
        "cancer",
        lambda: ensemble.StackingClassifier([("a", tree.DecisionTreeClassifier(max_depth=3, random_state=0))]),
    ),
    # preprocessing
    Case(
        "imputed-forest",
        "gaps",
        lambda: make_pipeline(impute.SimpleImputer(), ensemble.RandomForestRegressor(10, random_state=0)),
        exact=True,
    ),
    Case(
        "imputed-ridge",
        "gaps",
        lambda: make_pipeline(
            impute.SimpleImputer(strategy="median"), preprocessing.StandardScaler(), linear_model.Ridge()
        ),
    ),
    Case("mixed-logistic", "mixed", lambda: make_pipeline(_columns(), linear_model.LogisticRegression()), sample=True),
    Case(
        "mixed-forest",
        "mixed",
        lambda: make_pipeline(_columns(scale=False), ensemble.RandomForestClassifier(15, random_state=0)),
        exact=True,
    ),
    Case(
        "mixed-ordinal-boosting",
        "mixed",
        lambda: make_pipeline(
            compose.make_column_transformer((preprocessing.OrdinalEncoder(), ["city"]), remainder="passthrough"),
            ensemble.GradientBoostingClassifier(n_estimators=20, random_state=0),
        ),
        exact=True,
    ),
    Case(
        "mixed-binned",
        "mixed",
        lambda: make_pipeline(
            compose.make_column_transformer(
                (
                    preprocessing.KBinsDiscretizer(4, encode="onehot-dense", quantile_method="averaged_inverted_cdf"),
                    ["income"],
                ),
                (preprocessing.OneHotEncoder(), ["city", "rooms"]),
            ),
            linear_model.LogisticRegression(),
        ),
    ),
    Case(
        "texts",
        "texts",
        lambda: make_pipeline(feature_extraction.text.CountVectorizer(), linear_model.LogisticRegression()),
    ),
    # missing values in every column
    Case(
        "messy-one-hot-logistic",
        "messy",
        lambda: make_pipeline(
            _messy(preprocessing.OneHotEncoder(handle_unknown="ignore")), linear_model.LogisticRegression()
        ),
        sample=True,
    ),
    Case(
        "messy-one-hot-forest",
        "messy",
        lambda: make_pipeline(
            _messy(preprocessing.OneHotEncoder(handle_unknown="ignore")),
            ensemble.RandomForestClassifier(15, random_state=0),
        ),
        sample=True,
    ),
    Case(
        "messy-infrequent-boosting",
        "messy",
        lambda: make_pipeline(
            _messy(preprocessing.OneHotEncoder(min_frequency=40, handle_unknown="infrequent_if_exist")),
            ensemble.GradientBoostingClassifier(n_estimators=20, random_state=0),
        ),
    ),
    Case(
        "messy-ordinal-histogram",
        "messy",
        lambda: make_pipeline(
            _messy(preprocessing.OrdinalEncoder(), scale=False),
            ensemble.HistGradientBoostingClassifier(max_iter=20, random_state=0),
        ),
    ),
    Case(
        "messy-target-forest",
        "messy",
        lambda: make_pipeline(
            _messy(preprocessing.TargetEncoder(random_state=0)), ensemble.ExtraTreesClassifier(15, random_state=0)
        ),
    ),
    Case(
        "messy-filled-logistic",
        "messy",
        lambda: make_pipeline(
            _messy(make_pipeline(impute.SimpleImputer(strategy="most_frequent"), preprocessing.OneHotEncoder())),
            linear_model.LogisticRegression(),
        ),
    ),
    Case(
        "imputed-scaled-forest",
        "gaps",
        lambda: make_pipeline(
            impute.SimpleImputer(), preprocessing.StandardScaler(), ensemble.RandomForestRegressor(10, random_state=0)
        ),
    ),
    Case("forest-gaps", "gaps", lambda: ensemble.RandomForestRegressor(10, random_state=0), exact=True),
    Case("tree-gaps", "gaps", lambda: tree.DecisionTreeRegressor(random_state=0), exact=True),
    Case("forest-two-targets", "two-targets", lambda: ensemble.RandomForestRegressor(10, random_state=0)),
    Case("mlp-two-targets", "two-targets", lambda: neural_network.MLPRegressor(max_iter=50, random_state=0)),
    # boosters
    Case("xgboost", "cancer-array", lambda: _xgboost("XGBClassifier"), exact=True, sample=True),
    Case("xgboost-multi", "iris", lambda: _xgboost("XGBClassifier"), exact=True),
    Case("xgboost-regression", "diabetes", lambda: _xgboost("XGBRegressor"), exact=True),
    Case("xgboost-gaps", "gaps", lambda: _xgboost("XGBRegressor"), exact=True),
    Case("xgboost-scaled", "iris", lambda: _standard(_xgboost("XGBClassifier")), exact=True),
    Case("lightgbm", "cancer-array", lambda: _lightgbm("LGBMClassifier"), exact=True, sample=True),
    Case("lightgbm-words", "cancer", lambda: _lightgbm("LGBMClassifier"), exact=True),
    Case("lightgbm-multi", "iris-words", lambda: _lightgbm("LGBMClassifier"), exact=True),
    Case("lightgbm-regression", "diabetes", lambda: _lightgbm("LGBMRegressor"), exact=True),
    Case("lightgbm-gaps", "gaps", lambda: _lightgbm("LGBMRegressor"), exact=True),
)
