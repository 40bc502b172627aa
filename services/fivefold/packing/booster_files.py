"""XGBoost's and LightGBM's own files, opened as what they were saved from."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from fivefold.core.errors import BundleInvalid
from fivefold.packing.libraries import require


def load_xgboost(path: Path) -> Any:
    """A .json or .ubj file of XGBoost as its scikit-learn estimator. Raises `BundleInvalid`."""
    booster = require("xgboost").Booster()
    try:
        booster.load_model(path)
    except Exception as err:  # XGBoost's own error carries a C++ stack
        raise BundleInvalid(f"{path.name} is not a model of XGBoost", help="save it with model.save_model") from err
    return estimator_of(booster)


def estimator_of(booster: Any) -> Any:
    """A booster of XGBoost as the scikit-learn estimator that its objective belongs to."""
    xgboost = require("xgboost")
    objective = json.loads(booster.save_config())["learner"]["objective"]["name"]
    if objective.startswith("rank:"):
        model = xgboost.XGBRanker(objective=objective)
    else:
        model = xgboost.XGBClassifier() if objective.startswith(("binary:", "multi:")) else xgboost.XGBRegressor()
    model.load_model(booster.save_raw("ubj"))
    return model


def load_lightgbm(path: Path) -> Any:
    """A text file of LightGBM as its booster. Raises `BundleInvalid`."""
    lightgbm = require("lightgbm")
    try:
        return lightgbm.Booster(model_file=str(path))
    except Exception as err:  # LightGBM's own error
        raise BundleInvalid(f"{path.name} is not a model of LightGBM", help="save it with booster.save_model") from err
