"""Estimators of many shapes: each is drafted from what it answers, and packed to the same answers."""

from __future__ import annotations

import warnings
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pandas as pd
import pytest
from sklearn.cluster import DBSCAN, KMeans
from sklearn.compose import TransformedTargetRegressor
from sklearn.datasets import make_classification
from sklearn.decomposition import PCA
from sklearn.discriminant_analysis import LinearDiscriminantAnalysis, QuadraticDiscriminantAnalysis
from sklearn.ensemble import IsolationForest, RandomForestClassifier, RandomForestRegressor, VotingClassifier
from sklearn.linear_model import LogisticRegression, Ridge, SGDClassifier
from sklearn.mixture import GaussianMixture
from sklearn.model_selection import GridSearchCV
from sklearn.multiclass import OneVsRestClassifier
from sklearn.multioutput import ClassifierChain, MultiOutputClassifier, MultiOutputRegressor, RegressorChain
from sklearn.naive_bayes import GaussianNB
from sklearn.neighbors import KNeighborsClassifier, NearestCentroid
from sklearn.neural_network import MLPClassifier, MLPRegressor
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.svm import SVC, LinearSVC
from sklearn.tree import DecisionTreeClassifier, DecisionTreeRegressor

import fivefold
from fivefold.core.errors import BundleInvalid
from fivefold.packing import golden, measure
from fivefold.packing.sklearn_source import SklearnSource

X, KIND = make_classification(160, 5, n_informative=4, n_redundant=0, n_classes=3, random_state=0)
FRAME = pd.DataFrame(X, columns=list("abcde"))
SEVERAL = np.stack([KIND, KIND % 2], axis=1)
WORDS = np.stack([np.array(["a", "bb", "ccc"])[KIND], np.array(["x", "yy"])[KIND % 2]], axis=1)
NUMBERS = np.stack([X[:, 0], 2 * X[:, 1] + 1], axis=1)
VOTERS = [("a", LogisticRegression()), ("b", GaussianNB())]


def fitted(model: Any, target: Any) -> Any:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return model.fit(FRAME, target) if target is not None else model.fit(FRAME)


def packed(model: Any, tmp_path: Path) -> Any:
    """The answers to the training frame of the bundle that a draft gives."""
    fivefold.pack(model, output=tmp_path / "b", draft_from=FRAME)
    with fivefold.open(tmp_path / "b") as scorer:
        return scorer.score(golden.from_data(FRAME, scorer.bundle.contract).columns)


@pytest.mark.parametrize(
    ("model", "target"),
    [
        (QuadraticDiscriminantAnalysis(), KIND),
        (LinearDiscriminantAnalysis(), KIND),
        (LinearDiscriminantAnalysis(), KIND % 2),
        (make_pipeline(StandardScaler(), LinearDiscriminantAnalysis()), KIND % 2),
        (VotingClassifier(VOTERS, voting="soft"), KIND),
        (SVC(probability=True, random_state=0), KIND),
        (GridSearchCV(make_pipeline(StandardScaler(), LogisticRegression()), {"logisticregression__C": [1, 2]}), KIND),
        (RandomForestClassifier(3, random_state=0), KIND - 1),
        (LogisticRegression(), KIND.astype(float) + 1),
        (LogisticRegression(), KIND == 1),
        (LogisticRegression(), np.array(["a", "bbb", "cc cc"])[KIND]),
        (DecisionTreeClassifier(random_state=0), KIND.reshape(-1, 1)),
        (MLPClassifier((4,), max_iter=20, random_state=0), SEVERAL % 2),
    ],
    ids=lambda value: type(value).__name__ if hasattr(value, "fit") else str(value.dtype),
)
def test_a_classifier_s_label_and_probabilities_are_its_own(model: Any, target: Any, tmp_path: Path) -> None:
    """Of every type of label; a boolean stays a boolean."""
    fitted(model, target)

    got = packed(model, tmp_path)

    own = model.predict(FRAME)
    assert got["label"].tolist() == own.tolist()
    assert (got["label"].dtype == np.bool_) == (own.dtype == np.bool_)
    assert np.abs(got["probability"] - model.predict_proba(FRAME)).max() <= 1e-5


@pytest.mark.parametrize(
    ("model", "target"),
    [
        (RandomForestClassifier(4, random_state=0), SEVERAL),
        (RandomForestClassifier(4, random_state=0), np.stack([KIND % 2, KIND // 2, (X[:, 0] > 0) * 1], axis=1)),
        (RandomForestClassifier(4, random_state=0), WORDS),
        (DecisionTreeClassifier(max_depth=3, random_state=0), SEVERAL),
        (KNeighborsClassifier(3), SEVERAL),
        (make_pipeline(StandardScaler(), MultiOutputClassifier(LogisticRegression())), SEVERAL),
    ],
    ids=lambda value: type(value).__name__ if hasattr(value, "fit") else str(value.dtype),
)
def test_several_labels_come_with_the_probabilities_of_each(model: Any, target: Any, tmp_path: Path) -> None:
    """One field for the labels, one for each output's probabilities."""
    fitted(model, target)

    got = packed(model, tmp_path)

    assert got["label"].tolist() == model.predict(FRAME).tolist()
    for index, own in enumerate(model.predict_proba(FRAME)):
        assert np.abs(got[f"probability_{index}"] - own).max() <= 1e-5


@pytest.mark.parametrize(
    ("model", "target"),
    [
        (RandomForestRegressor(3, random_state=0), NUMBERS),
        (RandomForestRegressor(3, random_state=0), NUMBERS[:, :1]),
        (DecisionTreeRegressor(random_state=0), NUMBERS),
        (MLPRegressor(hidden_layer_sizes=(4,), max_iter=20, random_state=0), NUMBERS),
        (MultiOutputRegressor(Ridge()), NUMBERS),
        (TransformedTargetRegressor(Ridge(), func=np.log1p, inverse_func=np.expm1), np.abs(NUMBERS[:, 0])),
        (TransformedTargetRegressor(Ridge(), transformer=StandardScaler()), NUMBERS[:, 0]),
    ],
    ids=lambda value: type(value).__name__ if hasattr(value, "fit") else str(value.shape),
)
def test_a_regressor_of_any_width_answers_as_it_did(model: Any, target: Any, tmp_path: Path) -> None:
    """One column is a scalar, several are an array."""
    fitted(model, target)

    got = packed(model, tmp_path)["prediction"]

    own = model.predict(FRAME)
    assert got.shape == (own.reshape(-1) if own.shape[1:] == (1,) else own).shape
    assert got == pytest.approx(own.reshape(got.shape), rel=1e-5, abs=1e-5)


@pytest.mark.full
def test_clusters_mixtures_outliers_and_transformers_have_their_own_outputs(tmp_path: Path) -> None:
    """label and distances, label and probability, label and score, values; a vote and a margin have a label alone."""
    cases: list[tuple[Any, Any, dict[str, str]]] = [
        (KMeans(3, n_init=1, random_state=0), None, {"label": "predict", "distances": "transform"}),
        (GaussianMixture(2, random_state=0), None, {"label": "predict", "probability": "predict_proba"}),
        (IsolationForest(n_estimators=5, random_state=0), None, {"label": "predict", "score": "decision_function"}),
        (PCA(2), None, {"values": "transform"}),
        (StandardScaler(), None, {"values": "transform"}),
        (VotingClassifier(VOTERS), KIND, {"label": "predict"}),
        (LinearSVC(), KIND, {"label": "predict"}),
    ]
    for index, (model, target, outputs) in enumerate(cases):
        fitted(model, target)

        got = packed(model, tmp_path / str(index))

        assert tuple(got) == tuple(outputs)
        for name, method in outputs.items():
            assert got[name] == pytest.approx(getattr(model, method)(FRAME), rel=1e-4, abs=1e-4)


@pytest.mark.parametrize(
    ("model", "target", "message"),
    [
        (ClassifierChain(LogisticRegression()), SEVERAL % 2, "no converter knows a ClassifierChain"),
        (RegressorChain(Ridge()), NUMBERS, "no converter knows a RegressorChain"),
        (NearestCentroid(), KIND, "no converter knows a NearestCentroid"),
        (DBSCAN(), None, "answers no new rows"),
    ],
    ids=lambda value: type(value).__name__ if hasattr(value, "fit") else "",
)
def test_what_has_no_form_is_refused_in_one_sentence(model: Any, target: Any, message: str, tmp_path: Path) -> None:
    """With the way that is left, and nothing written."""
    fitted(model, target)

    with pytest.raises(BundleInvalid, match=message) as caught:
        fivefold.pack(model, output=tmp_path / "b", draft_from=FRAME)

    assert caught.value.help
    assert not (tmp_path / "b").exists()


CENTRES = np.array([[-9.0, 0.0], [0.0, 0.0], [4.0, 0.0]])
NEAR = pd.DataFrame(
    np.concatenate([centre + np.random.default_rng(0).normal(scale=0.2, size=(40, 2)) for centre in CENTRES]),
    columns=["a", "b"],
)
FAR = pd.DataFrame({"a": np.linspace(-4e3, 4e3, 81), "b": np.linspace(4e3, -4e3, 81)})


BY_SCORES = [
    SGDClassifier(loss="modified_huber", random_state=0),
    make_pipeline(StandardScaler(), SGDClassifier(loss="log_loss", random_state=0)),
    OneVsRestClassifier(LogisticRegression()),
]


@pytest.mark.parametrize("model", BY_SCORES, ids=["modified Huber loss", "logistic loss", "one against the rest"])
def test_a_label_of_scores_is_the_same_where_probabilities_are_equal(model: Any, tmp_path: Path) -> None:
    """The converter would take the first of the equal ones."""
    model.fit(NEAR, np.repeat([0, 1, 2], 40))
    asked = pd.concat([NEAR, FAR], ignore_index=True)
    equal = np.sort(model.predict_proba(asked), axis=1)
    assert (equal[:, -1] - equal[:, -2] < 1e-9).any()

    fivefold.pack(model, output=tmp_path / "b", draft_from=asked)

    with fivefold.open(tmp_path / "b") as scorer:
        got = scorer.score(golden.from_data(asked, scorer.bundle.contract).columns)
    assert got["label"].tolist() == model.predict(asked).tolist()
    assert np.abs(got["probability"] - model.predict_proba(asked)).max() <= 1e-5


def test_equal_probabilities_are_a_tie_only_where_the_label_is_theirs() -> None:
    """Of a model that takes its label from scores they are none while these differ."""

    def tied(model: Any, rows: Any) -> tuple[list[bool], list[bool]]:
        source = SklearnSource(model)
        witness: Any = SimpleNamespace(model=model, ask=lambda method, asked: getattr(model, method)(asked))
        source._witness = witness
        found = source.undecided(rows, 1e-5)
        assert found is not None
        return measure.undecided(model.predict_proba(rows), 1e-5).tolist(), found.tolist()

    by_scores = SGDClassifier(loss="modified_huber", random_state=0).fit(NEAR, np.repeat([0, 1, 2], 40))
    equal, ties = tied(by_scores, FAR)
    assert any(equal)
    assert not any(ties)
    by_chances = KNeighborsClassifier(2).fit([[0.0], [2.0]], [0, 1])
    assert tied(by_chances, [[0.0], [1.0]]) == ([True, True], [True, True])
    both = LogisticRegression().fit([[-1.0], [1.0]], [0, 1])
    assert tied(both, [[0.0], [5.0]]) == ([True, False], [True, False])


def test_a_search_that_kept_no_model_says_so(tmp_path: Path) -> None:
    """refit=False leaves nothing that could answer."""
    search = fitted(GridSearchCV(Ridge(), {"alpha": [1, 2]}, refit=False), NUMBERS[:, 0])

    with pytest.raises(BundleInvalid, match="kept no model") as caught:
        fivefold.pack(search, output=tmp_path / "b", draft_from=FRAME)

    assert "refit=True" in (caught.value.help or "")
