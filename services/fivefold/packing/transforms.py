"""PolynomialFeatures, PowerTransformer and FunctionTransformer in float32 and float64.

skl2onnx writes the first two for float32 alone, and knows no function of the third; a function that has no operator of
its own is refused by its name.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from fivefold.core.errors import BundleInvalid
from fivefold.packing.libraries import require
from fivefold.packing.operators import Writer, register, set_shape


def register_transforms() -> None:
    """Teach skl2onnx this module's estimators."""
    preprocessing = require("sklearn.preprocessing")
    register(preprocessing.PolynomialFeatures, _polynomial_shape, _polynomial)
    register(preprocessing.PowerTransformer, _same_shape, _power)
    parsed = require("skl2onnx._parse")
    register(preprocessing.FunctionTransformer, _same_shape, _function, parser=_one_output(parsed))


def _one_output(parsed: Any) -> Callable[..., Any]:
    def parse(scope: Any, model: Any, inputs: list[Any], custom_parsers: Any = None) -> Any:
        if model.func is None:
            return inputs
        return parsed._parse_sklearn_simple_model(scope, model, inputs, custom_parsers)

    return parse


def _polynomial_shape(operator: Any) -> None:
    set_shape(operator, int(operator.raw_operator.n_output_features_))


def _same_shape(operator: Any) -> None:
    width = sum(variable.type.shape[1] or 0 for variable in operator.inputs)
    set_shape(operator, int(getattr(operator.raw_operator, "n_features_in_", 0)) or width)


def _polynomial(scope: Any, operator: Any, container: Any) -> None:
    """Each product takes one factor after another; a column of ones stands for the factors that it has not."""
    model, write = operator.raw_operator, Writer(scope, operator, container)
    given = write.numbers()
    powers = np.asarray(model.powers_)
    first = write.columns(given, [0])
    ones = write.cast(write.node("Equal", [first, first]), write.floats)
    wide = write.node("Concat", [given, ones], axis=1)
    factors = [np.repeat(np.arange(powers.shape[1]), row).tolist() for row in powers]
    result = ""
    for place in range(max(1, *map(len, factors))):
        picked = [row[place] if place < len(row) else powers.shape[1] for row in factors]
        factor = write.columns(wide, picked)
        result = write.node("Mul", [result, factor]) if result else factor
    write.finish(result)


def _power(scope: Any, operator: Any, container: Any) -> None:
    model, write = operator.raw_operator, Writer(scope, operator, container)
    given = write.numbers()
    parts = []
    for index, exponent in enumerate(np.asarray(model.lambdas_, np.float64)):
        column = write.columns(given, [index])
        transform = _box_cox if model.method == "box-cox" else _yeo_johnson
        parts.append(column if np.isnan(exponent) else transform(write, column, float(exponent)))
    result = parts[0] if len(parts) == 1 else write.node("Concat", parts, axis=1)
    if model.standardize:
        scaler = model._scaler
        mean = np.zeros(len(parts)) if scaler.mean_ is None else scaler.mean_
        result = write.node("Sub", [result, write.constant(mean.reshape(1, -1))])
        result = write.node("Div", [result, write.constant(scaler.scale_.reshape(1, -1))])
    write.finish(result)


_NEAR_ZERO = float(np.spacing(1.0))


def _box_cox(write: Writer, given: str, exponent: float) -> str:
    if exponent == 0:
        return write.node("Log", [given])
    return _shifted_power(write, given, exponent)


def _shifted_power(write: Writer, given: str, exponent: float) -> str:
    """(given ** exponent - 1) / exponent."""
    power = write.node("Pow", [given, write.constant(exponent)])
    return write.node("Div", [write.node("Sub", [power, write.constant(1.0)]), write.constant(exponent)])


def _yeo_johnson(write: Writer, given: str, exponent: float) -> str:
    zero, one = write.constant(0.0), write.constant(1.0)
    above = write.node("Add", [write.node("Max", [given, zero]), one])
    below = write.node("Sub", [one, write.node("Min", [given, zero])])
    high = write.node("Log", [above]) if abs(exponent) < _NEAR_ZERO else _shifted_power(write, above, exponent)
    rest = 2 - exponent
    low = write.node("Log", [below]) if abs(rest) <= _NEAR_ZERO else _shifted_power(write, below, rest)
    picked = write.node("Where", [write.node("GreaterOrEqual", [given, zero]), high, write.node("Neg", [low])])
    return write.node("Where", [write.node("IsNaN", [given]), given, picked])


_FUNCTIONS: dict[str, tuple[tuple[str, float | None], ...]] = {
    "log": (("Log", None),),
    "log1p": (("Add", 1.0), ("Log", None)),
    "log2": (("Log", None), ("Mul", 1 / np.log(2))),
    "log10": (("Log", None), ("Mul", 1 / np.log(10))),
    "exp": (("Exp", None),),
    "expm1": (("Exp", None), ("Sub", 1.0)),
    "sqrt": (("Sqrt", None),),
    "square": (("Pow", 2.0),),
    "absolute": (("Abs", None),),
    "fabs": (("Abs", None),),
    "negative": (("Neg", None),),
    "reciprocal": (("Reciprocal", None),),
    "sign": (("Sign", None),),
    "sin": (("Sin", None),),
    "cos": (("Cos", None),),
    "tanh": (("Tanh", None),),
    "floor": (("Floor", None),),
    "ceil": (("Ceil", None),),
}


def _function(scope: Any, operator: Any, container: Any) -> None:
    model, write = operator.raw_operator, Writer(scope, operator, container)
    name = getattr(model.func, "__name__", type(model.func).__name__)
    steps = _FUNCTIONS.get(name) if isinstance(model.func, np.ufunc) and not model.kw_args else None
    if steps is None:
        raise BundleInvalid(
            f"the function {name!r} of a FunctionTransformer has no form in ONNX",
            help=f"known are numpy's {', '.join(_FUNCTIONS)}; or pack it with --as python",
        )
    current = write.numbers()
    for kind, constant in steps:
        current = write.node(kind, [current] if constant is None else [current, write.constant(constant)])
    write.finish(current)
