"""Multi-layer perceptrons of several outputs, which skl2onnx folds into one column.

A regressor of one output and a classifier of classes that exclude each other are left to skl2onnx.
"""

from __future__ import annotations

from typing import Any

from fivefold.packing.libraries import require
from fivefold.packing.operators import Writer, classifier_shape, register, set_shape

_ACTIVATIONS = {
    "identity": None,
    "logistic": "Sigmoid",
    "tanh": "Tanh",
    "relu": "Relu",
    "softmax": "Softmax",
    "exp": "Exp",
}
_MODULE = "skl2onnx.operator_converters.multilayer_perceptron"


def register_nets() -> None:
    """Teach skl2onnx this module's estimators."""
    net = require("sklearn.neural_network")
    options = {"zipmap": [True, False, "columns"], "output_class_labels": [False, True], "nocl": [True, False]}
    register(net.MLPRegressor, _regressor_shape, _regressor)
    register(net.MLPClassifier, classifier_shape, _classifier, options=options)


def _regressor_shape(operator: Any) -> None:
    set_shape(operator, int(operator.raw_operator.n_outputs_))


def _regressor(scope: Any, operator: Any, container: Any) -> None:
    if operator.raw_operator.n_outputs_ == 1:
        require(_MODULE).convert_sklearn_mlp_regressor(scope, operator, container)
        return
    write = Writer(scope, operator, container)
    write.finish(_layers(write, operator.raw_operator))


def _classifier(scope: Any, operator: Any, container: Any) -> None:
    model = operator.raw_operator
    if model.out_activation_ == "softmax" or model.n_outputs_ == 1:
        require(_MODULE).convert_sklearn_mlp_classifier(scope, operator, container)
        return
    write = Writer(scope, operator, container)
    scores = _layers(write, model)
    write.finish(scores, 1)
    write.finish(write.cast(write.node("Greater", [scores, write.constant(0.5)]), "int64"))


def _layers(write: Writer, model: Any) -> str:
    current = write.numbers()
    for index, (weights, bias) in enumerate(zip(model.coefs_, model.intercepts_, strict=True)):
        current = write.node("MatMul", [current, write.constant(weights)])
        current = write.node("Add", [current, write.constant(bias.reshape(1, -1))])
        last = index == len(model.coefs_) - 1
        kind = _ACTIVATIONS[model.out_activation_ if last else model.activation]
        if kind == "Softmax":
            current = write.node(kind, [current], axis=1)
        elif kind is not None:
            current = write.node(kind, [current])
    return current
