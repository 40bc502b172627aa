"""The converters of XGBoost and LightGBM, as skl2onnx is taught them."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from typing import Any

from fivefold.packing.categories import coded
from fivefold.packing.libraries import require
from fivefold.packing.operators import classifier_shape, regressor_shape


def register() -> None:
    """Teach skl2onnx the boosters that are loaded. Registering twice is harmless."""
    options = {"zipmap": [True, False, "columns"], "nocl": [True, False]}
    if "xgboost" in sys.modules:
        xgboost = require("xgboost")
        convert = coded(require("onnxmltools.convert.xgboost.operator_converters.XGBoost").convert_xgboost)
        for model in (xgboost.XGBClassifier, xgboost.XGBRFClassifier):
            _register(model, f"XGBoost{model.__name__}", classifier_shape, convert, options)
        for model in (xgboost.XGBRegressor, xgboost.XGBRFRegressor, xgboost.XGBRanker):
            _register(model, f"XGBoost{model.__name__}", regressor_shape, convert, None)
    if "lightgbm" in sys.modules:
        lightgbm = require("lightgbm")
        convert = coded(require("onnxmltools.convert.lightgbm.operator_converters.LightGbm").convert_lightgbm)
        _register(lightgbm.LGBMClassifier, "LightGbmLGBMClassifier", classifier_shape, convert, options)
        for model in (lightgbm.LGBMRegressor, lightgbm.LGBMRanker):
            _register(model, f"LightGbm{model.__name__}", regressor_shape, convert, {"split": None})


def _register(model: type, alias: str, shape: Any, convert: Any, options: Mapping[str, Any] | None) -> None:
    require("skl2onnx").update_registered_converter(model, alias, shape, convert, overwrite=True, options=options)
