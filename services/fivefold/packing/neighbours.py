"""KNNImputer as plain ONNX operators, in float64: skl2onnx's own form fails on rows that are missing altogether.

A missing value is the mean of its column in the nearest training rows that hold one, by scikit-learn's Euclidean
distance over what both rows hold. Equally near rows are taken in the training data's order, which scikit-learn leaves
open.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from fivefold.core.errors import BundleInvalid
from fivefold.packing import nulls
from fivefold.packing.imputers import flags
from fivefold.packing.libraries import require
from fivefold.packing.operators import Writer, register, set_shape

_FAR = 1e300
"""The distance of two rows that hold no feature in common."""


def register_neighbours() -> None:
    """Teach skl2onnx this module's estimator."""
    register(require("sklearn.impute").KNNImputer, _shape, _convert)


def _kept(imputer: Any) -> list[int]:
    if getattr(imputer, "keep_empty_features", False):
        return list(range(len(imputer._valid_mask)))
    return np.flatnonzero(imputer._valid_mask).tolist()


def _shape(operator: Any) -> None:
    imputer = operator.raw_operator
    extra = len(imputer.indicator_.features_) if imputer.add_indicator else 0
    set_shape(operator, len(_kept(imputer)) + extra)


def _convert(scope: Any, operator: Any, container: Any) -> None:
    imputer, write = operator.raw_operator, Writer(scope, operator, container)
    plain = imputer.metric == "nan_euclidean" and imputer.weights in ("uniform", "distance")
    if not plain or not nulls.is_missing(imputer.missing_values):
        raise BundleInvalid(
            "a KNNImputer with a metric, weights or missing_values of its own has no form in ONNX",
            help="pack it with --as python",
        )
    given = write.numbers()
    wide = given if write.floats == "float64" else write.cast(given, "float64")
    missing = write.node("IsNaN", [wide])
    distances = _distances(write, imputer, wide, missing)
    valid = np.asarray(imputer._valid_mask, bool)
    parts = []
    for column in _kept(imputer):
        if not valid[column]:
            fill = write.constant([[0.0]], "float64")
            parts.append(write.node("Mul", [write.node("Cast", [write.columns(missing, [column])], to=11), fill]))
            continue
        value = _from_neighbours(write, imputer, distances, column)
        parts.append(write.node("Where", [write.columns(missing, [column]), value, write.columns(wide, [column])]))
    filled = parts[0] if len(parts) == 1 else write.node("Concat", parts, axis=1)
    if write.floats != "float64":
        filled = write.cast(filled, write.floats)
    if imputer.add_indicator:
        filled = write.node("Concat", [filled, flags(write, given, imputer.indicator_)], axis=1)
    write.finish(filled)


def _distances(write: Writer, imputer: Any, wide: str, missing: str) -> str:
    """[rows, training rows]: squared distances, scaled up for the features that one of both lacks."""
    known = np.asarray(imputer._fit_X, np.float64)
    lacks = np.asarray(imputer._mask_fit_X, bool)
    there, values = (~lacks).astype(np.float64), np.where(lacks, 0.0, known)
    zero = write.constant(0.0, "float64")
    own = write.node("Where", [missing, zero, wide])
    held = write.node("Sub", [write.constant(1.0, "float64"), write.cast(missing, "float64")])
    square = write.node("MatMul", [write.node("Mul", [own, own]), write.constant(there.T, "float64")])
    cross = write.node("MatMul", [own, write.constant(-2 * values.T, "float64")])
    others = write.node("MatMul", [held, write.constant((values**2).T, "float64")])
    total = write.node("Max", [write.node("Add", [write.node("Add", [square, cross]), others]), zero])
    count = write.node("MatMul", [held, write.constant(there.T, "float64")])
    scaled = write.node("Div", [write.node("Mul", [total, write.constant(float(known.shape[1]), "float64")]), count])
    return write.node("Where", [write.node("Greater", [count, zero]), scaled, write.constant(_FAR, "float64")])


def _from_neighbours(write: Writer, imputer: Any, distances: str, column: int) -> str:
    """[rows, 1]: the mean of the column over the nearest rows that hold it; its own mean where none is near."""
    donors = np.flatnonzero(~np.asarray(imputer._mask_fit_X, bool)[:, column])
    values = np.asarray(imputer._fit_X, np.float64)[donors, column]
    count = write.constant([min(imputer.n_neighbors, len(donors))], "int64")
    near, place = write.pair("TopK", [write.columns(distances, donors.tolist()), count], axis=1, largest=0)
    given = write.node("Gather", [write.constant(values, "float64"), place])
    weights = write.cast(write.node("Less", [near, write.constant(_FAR, "float64")]), "float64")
    if imputer.weights == "distance":
        weights = _inverse(write, near, weights)
    axis = write.constant([1], "int64")
    total = write.node("ReduceSum", [weights, axis], keepdims=1)
    summed = write.node("ReduceSum", [write.node("Mul", [given, weights]), axis], keepdims=1)
    some = write.node("Greater", [total, write.constant(0.0, "float64")])
    mean = write.constant([[values.mean()]], "float64")
    return write.node("Where", [some, write.node("Div", [summed, total]), mean])


def _inverse(write: Writer, near: str, weights: str) -> str:
    """Weights of one over the distance; where a row is at no distance at all, it and its equals count alone."""
    zero, one = write.constant(0.0, "float64"), write.constant(1.0, "float64")
    equal = write.cast(write.node("LessOrEqual", [near, zero]), "float64")
    safe = write.node("Sqrt", [write.node("Where", [write.node("LessOrEqual", [near, zero]), one, near])])
    inverse = write.node("Mul", [write.node("Div", [one, safe]), weights])
    any_equal = write.node("ReduceMax", [equal, write.constant([1], "int64")], keepdims=1)
    return write.node("Where", [write.cast(any_equal, "bool"), equal, inverse])
