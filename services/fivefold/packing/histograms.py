"""Histogram gradient boosting whose comparison needs float64, or that was fitted on categories.

It compares float64 with float64, and encodes its categorical features itself before it looks at them: both is written
here. Everything else of it is left to skl2onnx.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from fivefold.core.errors import BundleInvalid
from fivefold.packing import encoders, trees
from fivefold.packing.libraries import require
from fivefold.packing.operators import ML, Writer, classifier_shape, dtype_of, register, regressor_shape

_LINKS = {"IdentityLink": None, "LogLink": "Exp"}


def register_histograms() -> None:
    """Teach skl2onnx this module's estimators."""
    ensemble = require("sklearn.ensemble")
    both = [True, False]
    options = {"zipmap": [*both, "columns"], "output_class_labels": both, "raw_scores": both, "nocl": both}
    register(ensemble.HistGradientBoostingClassifier, classifier_shape, _classifier, options=options)
    register(ensemble.HistGradientBoostingRegressor, regressor_shape, _regressor)


def _plain(operator: Any) -> bool:
    """Whether skl2onnx's own converter is right: float32 in one piece, without categories."""
    single = len(operator.inputs) == 1 and dtype_of(operator.inputs[0]) != "float64"
    return single and getattr(operator.raw_operator, "_preprocessor", None) is None


def _regressor(scope: Any, operator: Any, container: Any) -> None:
    model = operator.raw_operator
    if _plain(operator) and type(model._loss.link).__name__ == "IdentityLink":
        require("skl2onnx.operator_converters.random_forest").convert_sklearn_random_forest_regressor_converter(
            scope, operator, container
        )
        return
    write = Writer(scope, operator, container)
    raw = _raw(write, operator)
    link = _LINKS.get(type(model._loss.link).__name__, "")
    if link == "":
        raise BundleInvalid(
            f"the loss {type(model._loss).__name__} has no form in ONNX", help="pack it with --as python"
        )
    write.finish(raw if link is None else write.node(link, [raw]))


def _classifier(scope: Any, operator: Any, container: Any) -> None:
    model = operator.raw_operator
    if container.get_options(model, {"raw_scores": False}).get("raw_scores") or _plain(operator):
        require("skl2onnx.operator_converters.random_forest").convert_sklearn_random_forest_classifier(
            scope, operator, container
        )
        return
    write = Writer(scope, operator, container)
    raw = _raw(write, operator)
    if model.n_trees_per_iteration_ == 1:
        raw = write.node("Concat", [write.node("Neg", [raw]), raw], axis=1)
        scores = write.node("Sigmoid", [raw])
    else:
        scores = write.node("Softmax", [raw], axis=1)
    write.finish(scores, 1)
    labels(write, write.node("ArgMax", [raw], axis=1, keepdims=0), model.classes_)


def labels(write: Writer, places: str, classes: Any) -> None:
    """The classes at these places as the operator's first output."""
    known = np.asarray(classes)
    kind = "string" if known.dtype.kind in "OUS" else "int64"
    values = write.constant([str(value) for value in known] if kind == "string" else known.astype(np.int64), kind)
    write.finish(write.node("Gather", [values, places]))


def _raw(write: Writer, operator: Any) -> str:
    """[rows, trees an iteration]: the sum of the leaves and the baseline."""
    model = operator.raw_operator
    pairs = require("skl2onnx.common.tree_ensemble").get_default_tree_regressor_attribute_pairs()
    del pairs["n_targets"]
    count = int(model.n_trees_per_iteration_)
    for round_, predictors in enumerate(model._predictors):
        for index, tree in enumerate(predictors):
            trees.add_histogram(
                pairs, False, tree, round_ * count + index, 1.0, index, False, dtype=np.dtype(write.floats)
            )
    pairs["base_values"] = np.asarray(model._baseline_prediction, np.float64).ravel().tolist()
    raw = write.node(
        "TreeEnsembleRegressor",
        [_encoded(write, operator)],
        domain=ML,
        n_targets=count,
        **_attributes(pairs, write.floats),
    )
    return raw if write.floats == "float32" else write.cast(raw, write.floats)


def _attributes(pairs: dict[str, Any], floats: str) -> dict[str, Any]:
    if floats == "float64":
        return trees.as_doubles(pairs)
    return {name: value for name, value in pairs.items() if name != "nodes_hitrates"}


def _encoded(write: Writer, operator: Any) -> str:
    """[rows, features] as the trees see them: categories first, as their codes, then the numbers."""
    model = operator.raw_operator
    if getattr(model, "_preprocessor", None) is None:
        return write.numbers()
    flags = np.asarray(model.is_categorical_, bool)
    encoder = model._preprocessor.named_transformers_["encoder"]
    places = encoders.places(operator, len(flags))
    own = np.flatnonzero(flags).tolist()
    parts = [encoders.encoded(write, encoder, index, places[place]) for index, place in enumerate(own)]
    parts += [encoders.number(write, places[place]) for place in np.flatnonzero(~flags).tolist()]
    return parts[0] if len(parts) == 1 else write.node("Concat", parts, axis=1)
