"""Boosters that were fitted on pandas categories: text becomes the category's code, then the booster's own converter.

A value outside of the categories, and null, is NaN, as both libraries read it.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

from fivefold.core.errors import BundleInvalid
from fivefold.packing import encoders
from fivefold.packing.booster_features import described
from fivefold.packing.libraries import require
from fivefold.packing.operators import Writer, dtype_of

_XGBOOST = ("reg:logistic", "binary:logitraw", "binary:hinge")
_LIGHTGBM = ("multiclassova",)

Convert = Callable[[Any, Any, Any], None]


def coded(convert: Convert) -> Convert:
    """The converter of a booster, in front of it the codes of its categorical features."""

    def converted(scope: Any, operator: Any, container: Any) -> None:
        model = operator.raw_operator
        _convertible(model)
        names, known = described(model)
        single = len(operator.inputs) == 1 and dtype_of(operator.inputs[0]) != "string"
        if single and not known:
            convert(scope, operator, container)
            return
        write = Writer(scope, operator, container)
        places = encoders.places(operator, len(names))
        parts = []
        for name, place in zip(names, places, strict=True):
            if name in known:
                parts.append(encoders.code(write, place, list(known[name])))
            elif place[1] == "string":
                raise BundleInvalid(
                    f"the feature {name!r} is a number to the {type(model).__name__}, and a text in the contract",
                    help="give that field a number's dtype, or pack it with --as python",
                )
            else:
                parts.append(encoders.number(write, place))
        block = parts[0] if len(parts) == 1 else write.node("Concat", parts, axis=1)
        convert(scope, _Fed(operator, block, len(parts), write.floats), container)

    return converted


def _convertible(model: Any) -> None:
    """Refuse, by name, what the converters of the boosters are known to get wrong."""
    why = None
    if hasattr(model, "get_booster"):
        learner = json.loads(model.get_booster().save_config())["learner"]
        objective, kind = learner["objective"]["name"], learner["gradient_booster"]["name"]
        if kind != "gbtree":
            why = f"the booster {kind!r}"
        elif int(learner["learner_model_param"].get("num_target", 1)) > 1:
            why = "a model of several targets"
        elif objective.startswith("survival:") or objective in _XGBOOST:
            why = f"the objective {objective!r}"
    elif getattr(model, "objective_", None) in _LIGHTGBM:
        why = f"the objective {model.objective_!r}"
    if why is not None:
        raise BundleInvalid(
            f"the converter of {type(model).__name__} does not know {why}", help="pack it with --as python"
        )


class _Fed:
    """An operator as it is, but for its input."""

    def __init__(self, operator: Any, name: str, width: int, floats: str) -> None:
        types = require("skl2onnx.common.data_types")
        kind = (types.DoubleTensorType if floats == "float64" else types.FloatTensorType)([None, width])
        self._operator = operator
        self.inputs = [SimpleNamespace(full_name=name, onnx_name=name, raw_name=name, type=kind)]
        self.input_full_names = [name]

    def __getattr__(self, name: str) -> Any:
        return getattr(self._operator, name)
