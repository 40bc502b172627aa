"""SimpleImputer and MissingIndicator as plain ONNX operators.

ONNX Runtime has no `Imputer` for float64 and none for text, and that operator knows neither an indicator nor columns
that were empty in training. Here missing is IsNaN (or Equal), filling is Where, and every constant is the estimator's
own in full precision.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from fivefold.core.errors import BundleInvalid
from fivefold.packing import nulls
from fivefold.packing.libraries import require
from fivefold.packing.operators import ML, Writer, dtype_of, register, set_shape


def register_imputers() -> None:
    """Teach skl2onnx this module's estimators."""
    impute = require("sklearn.impute")
    register(impute.SimpleImputer, _imputed_shape, _imputed)
    register(impute.MissingIndicator, _indicated_shape, _indicated)


def _text(operator: Any) -> bool:
    kinds = {dtype_of(variable) == "string" for variable in operator.inputs}
    if len(kinds) > 1:
        name = type(operator.raw_operator).__name__
        raise BundleInvalid(
            f"a {name} over text and numbers together has no form in ONNX",
            help="give numbers and text an imputer each, or pack it with --as python",
        )
    return kinds == {True}


def _kept(imputer: Any) -> list[int]:
    """The columns that the imputer gives back: one that was empty in training falls away."""
    if getattr(imputer, "keep_empty_features", False):
        return list(range(len(imputer.statistics_)))
    return [index for index, value in enumerate(imputer.statistics_) if not nulls.is_missing(value)]


def _imputed_shape(operator: Any) -> None:
    imputer = operator.raw_operator
    flags = len(imputer.indicator_.features_) if imputer.add_indicator else 0
    text = _text(operator)
    if text and flags:
        raise BundleInvalid(
            "a SimpleImputer over text with add_indicator gives text and numbers in one array, which ONNX has not",
            help="take the indicator in a step of its own (MissingIndicator), or pack it with --as python",
        )
    set_shape(operator, len(_kept(imputer)) + flags, "string" if text else None)


def _imputed(scope: Any, operator: Any, container: Any) -> None:
    imputer, write = operator.raw_operator, Writer(scope, operator, container)
    if _text(operator):
        _imputed_text(imputer, write)
        return
    given = write.numbers()
    missing = _mask(write, given, imputer.missing_values)
    fill = np.array([np.nan if nulls.is_missing(value) else value for value in imputer.statistics_], np.float64)
    kept = _kept(imputer)
    # What is filled in has the dtype that the imputer was fitted with: float32, or integers that drop a fraction.
    fill[kept] = fill[kept].astype(getattr(imputer, "_fill_dtype", np.float64))
    filled = write.node("Where", [missing, write.constant(fill.reshape(1, -1)), given])
    if len(kept) < len(fill):
        filled = write.columns(filled, kept)
    if imputer.add_indicator:
        filled = write.node("Concat", [filled, flags(write, given, imputer.indicator_)], axis=1)
    write.finish(filled)


def _imputed_text(imputer: Any, write: Writer) -> None:
    given = write.texts()
    kept = _kept(imputer)
    if any(not isinstance(value, str) for value in np.asarray(imputer.statistics_, object)[kept]):
        raise BundleInvalid(
            "a SimpleImputer over text fills in something other than a text",
            help="fill in a text (fill_value='missing'), or pack it with --as python",
        )
    word = _missing_text(imputer.missing_values)
    if word is not None:
        code = write.node("LabelEncoder", [given], domain=ML, keys_strings=[word], values_int64s=[1], default_int64=0)
        fill = write.constant(np.array([[str(value) for value in imputer.statistics_]], object), "string")
        given = write.node("Where", [write.cast(code, "bool"), fill, given])
    write.finish(write.columns(given, kept) if len(kept) < len(imputer.statistics_) else given)


def _missing_text(missing: Any) -> str | None:
    """The text at the model's input that the imputer takes for missing; None where no row can hold it."""
    if isinstance(missing, str):
        return missing
    null = nulls.current()
    if null is None or null.none != (missing is None):
        return None
    return null.text


def _indicated_shape(operator: Any) -> None:
    set_shape(operator, len(operator.raw_operator.features_))


def _indicated(scope: Any, operator: Any, container: Any) -> None:
    indicator, write = operator.raw_operator, Writer(scope, operator, container)
    if _text(operator):
        word = _missing_text(indicator.missing_values)
        keys = [word] if word is not None else []
        if not keys:
            raise BundleInvalid(
                "a MissingIndicator over text that is never null has nothing to indicate",
                help="make the text nullable in the contract, or pack it with --as python",
            )
        code = write.node(
            "LabelEncoder", [write.texts()], domain=ML, keys_strings=keys, values_int64s=[1], default_int64=0
        )
        found = write.cast(write.columns(code, [int(index) for index in indicator.features_]), write.floats)
    else:
        found = flags(write, write.numbers(), indicator)
    write.finish(found)


def _mask(write: Writer, given: str, missing: Any) -> str:
    if nulls.is_missing(missing):
        return write.node("IsNaN", [given])
    return write.node("Equal", [given, write.constant([missing])])


def flags(write: Writer, given: str, indicator: Any) -> str:
    """[rows, flagged features]: 1 where the value is missing, in the writer's float type."""
    mask = write.cast(_mask(write, given, indicator.missing_values), write.floats)
    return write.columns(mask, [int(index) for index in indicator.features_])
