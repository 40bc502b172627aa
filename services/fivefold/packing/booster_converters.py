"""The converters of XGBoost and LightGBM, as skl2onnx is taught them."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from typing import Any

from fivefold.packing import trees
from fivefold.packing.categories import Convert, coded
from fivefold.packing.libraries import require
from fivefold.packing.operators import classifier_shape, dtype_of, regressor_shape


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
        convert = coded(
            comparing_as_given(require("onnxmltools.convert.lightgbm.operator_converters.LightGbm").convert_lightgbm)
        )
        _register(lightgbm.LGBMClassifier, "LightGbmLGBMClassifier", classifier_shape, convert, options)
        for model in (lightgbm.LGBMRegressor, lightgbm.LGBMRanker):
            _register(model, f"LightGbm{model.__name__}", regressor_shape, convert, {"split": None})


def comparing_as_given(convert: Convert) -> Convert:
    """LightGBM compares float64 numbers with thresholds of float64, which its converter rounds to float32."""

    def converted(scope: Any, operator: Any, container: Any) -> None:
        double = dtype_of(operator.inputs[0]) == "float64"
        convert(scope, operator, _Doubles(container) if double else container)

    return converted


class _Doubles:
    """A container of nodes as it is, but for tree ensembles: their numbers are tensors of float64."""

    def __init__(self, container: Any) -> None:
        self._container = container

    def __getattr__(self, name: str) -> Any:
        return getattr(self._container, name)

    def add_node(self, op_type: str, inputs: Any, outputs: Any, op_domain: str = "", **attributes: Any) -> None:
        """Add a node."""
        if op_type.startswith("TreeEnsemble"):
            # The first version of the operator that takes tensors.
            attributes = {**trees.as_doubles(attributes), "op_version": 3}
        self._container.add_node(op_type, inputs, outputs, op_domain=op_domain, **attributes)


def _register(model: type, alias: str, shape: Any, convert: Any, options: Mapping[str, Any] | None) -> None:
    require("skl2onnx").update_registered_converter(model, alias, shape, convert, overwrite=True, options=options)
