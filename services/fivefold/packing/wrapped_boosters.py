"""Boosters as they come, asked as their own libraries ask them: the witness's side of what the wrapper does."""

from __future__ import annotations

import json
from typing import Any

import numpy as np

from fivefold.core.columns import Array
from fivefold.core.errors import BundleInvalid
from fivefold.packing.libraries import require
from fivefold.packing.loading import Loaded

_ESTIMATORS = {"classifier": "XGBClassifier", "regressor": "XGBRegressor", "ranker": "XGBRanker"}


def estimator_of(loaded: Loaded) -> tuple[Any, str]:
    """The model in a booster's file as it was saved, and the class that loads it, or no class for a bare booster.

    A file that XGBoost's scikit-learn estimator has written is one again, with its own choice of trees; one that a
    booster has written answers with all of them.
    """
    if loaded.way == "catboost":
        return loaded.model, f"catboost.{type(loaded.model).__name__}"
    library = require(loaded.way)
    try:
        # XGBoost goes by the suffix of a path, which may be another's, and by the bytes where it gets those.
        xgboost = loaded.way == "xgboost"
        booster = library.Booster(model_file=bytearray(loaded.path.read_bytes()) if xgboost else str(loaded.path))
    except Exception as err:  # the library's own error, with a C++ stack
        who = {"xgboost": "XGBoost", "lightgbm": "LightGBM"}[loaded.way]
        raise BundleInvalid(f"{loaded.path.name} is not a model of {who}", help="save it with save_model") from err
    note = booster.attr("scikit_learn") if xgboost else None
    name = _ESTIMATORS.get(json.loads(note).get("_estimator_type", "")) if note else None
    if name is None:
        return booster, ""
    model = getattr(library, name)()
    model.load_model(bytearray(loaded.path.read_bytes()))
    return model, f"xgboost.{name}"


def witness_of(model: Any) -> tuple[Any, str]:
    """The model as something to ask, and which kind of booster it is, or nothing where it is none."""
    root = type(model).__module__.partition(".")[0]
    if type(model).__name__ != "Booster" or root not in ("xgboost", "lightgbm"):
        return model, ""
    if root == "xgboost":
        objective = json.loads(model.save_config())["learner"]["objective"]["name"]
        classes = objective in ("binary:logistic", "multi:softprob")
    else:
        objective = str(model.dump_model(num_iteration=1).get("objective", "")).partition(" ")[0]
        classes = objective in ("binary", "multiclass", "multiclassova", "cross_entropy")
    return (_Classes if classes else _BareBooster)(model, root), f"{root} classes" if classes else root


class _BareBooster:
    """A booster whose answer is its prediction."""

    def __init__(self, booster: Any, root: str) -> None:
        self.booster = booster
        self.root = root
        names = booster.feature_names if root == "xgboost" else booster.feature_name()
        anonymous = not names or (root == "lightgbm" and all(name.startswith("Column_") for name in names))
        if not anonymous:
            self.feature_names_in_ = list(names)
        self.n_features_in_ = int(booster.num_features() if root == "xgboost" else booster.num_feature())

    def predict(self, rows: Any) -> Array:
        """The booster's own answer."""
        if self.root == "lightgbm":
            return np.asarray(self.booster.predict(rows))
        names = self.booster.feature_names
        return np.asarray(self.booster.predict(require("xgboost").DMatrix(rows, feature_names=names)))

    def get_booster(self) -> Any:
        return self.booster


class _Classes(_BareBooster):
    """A booster whose answer is a probability of each class, or of the second of two."""

    def predict_proba(self, rows: Any) -> Array:
        """[rows, classes]."""
        given = super().predict(rows)
        return np.column_stack((1 - given, given)) if given.ndim == 1 else given

    def predict(self, rows: Any) -> Array:
        """The number of the likeliest class."""
        return np.asarray(np.argmax(self.predict_proba(rows), axis=1))

    @property
    def classes_(self) -> Array:
        """0, 1, …"""
        if self.root == "xgboost":
            learner = json.loads(self.booster.save_config())["learner"]["learner_model_param"]
            return np.arange(max(int(learner["num_class"]), 2))
        return np.arange(max(int(self.booster.dump_model(num_iteration=1)["num_class"]), 2))
