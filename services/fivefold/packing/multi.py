"""Models whose form is not one estimator with one answer: several outputs, one class alone, a transformed target.

Each becomes graphs that the converters know, put together here; which model that is, is left to `sklearn_source`.
"""

from __future__ import annotations

import copy
from collections.abc import Sequence
from types import SimpleNamespace
from typing import Any

import numpy as np

from fivefold.core.errors import BundleInvalid
from fivefold.packing.graph import OPSETS
from fivefold.packing.libraries import require


def last(model: Any) -> Any:
    """The estimator that answers: the last step of a pipeline, the winner of a search."""
    while True:
        if hasattr(model, "best_estimator_"):
            model = model.best_estimator_
        elif hasattr(model, "steps"):
            model = model.steps[-1][1]
        else:
            return model


def replaced(model: Any, final: Any) -> Any:
    """The model with another last step; nothing of the original is touched."""
    if hasattr(model, "best_estimator_"):
        return replaced(model.best_estimator_, final)
    if hasattr(model, "steps"):
        made = copy.copy(model)
        made.steps = [*model.steps[:-1], (model.steps[-1][0], replaced(model.steps[-1][1], final))]
        return made
    return final


def parts(model: Any) -> list[Any] | None:
    """Classifiers of one output each that together are the model's several; None for any other model."""
    final = last(model)
    known = getattr(final, "classes_", None)
    if not isinstance(known, list):
        return None
    if type(final).__name__ == "MultiOutputClassifier":
        found: list[Any] = list(final.estimators_)
    elif hasattr(final, "tree_") or (hasattr(final, "estimators_") and hasattr(final.estimators_[0], "tree_")):
        found = [_tree_part(final, index) for index in range(len(known))]
    elif type(final).__name__ == "KNeighborsClassifier":
        found = [_neighbours_part(final, index) for index in range(len(known))]
    else:
        raise RuntimeError(f"no converter knows a {type(final).__name__} of several outputs")
    return [replaced(model, part) for part in found]


def _tree_part(model: Any, index: int) -> Any:
    part = copy.copy(model)
    part.classes_ = np.asarray(model.classes_[index])
    part.n_classes_ = len(part.classes_)
    part.n_outputs_ = 1
    if hasattr(model, "estimators_"):
        part.estimators_ = [_tree_part_of(tree, part, index) for tree in model.estimators_]
        return part
    return _tree_part_of(model, part, index)


def _tree_part_of(model: Any, whole: Any, index: int) -> Any:
    part, tree = copy.copy(model), model.tree_
    part.classes_, part.n_classes_, part.n_outputs_ = whole.classes_, whole.n_classes_, 1
    names = ("children_left", "children_right", "feature", "threshold", "missing_go_to_left", "node_count")
    own = {name: getattr(tree, name) for name in names if hasattr(tree, name)}
    part.tree_ = SimpleNamespace(value=tree.value[:, index : index + 1, : whole.n_classes_], **own)
    return part


def _neighbours_part(model: Any, index: int) -> Any:
    part = copy.copy(model)
    part.classes_ = np.asarray(model.classes_[index])
    part._y = np.asarray(model._y)[:, index]
    part.outputs_2d_ = False
    return part


def side_by_side(models: Sequence[Any]) -> Any:
    """Classifiers over the same inputs as one graph: `label` is [rows, outputs], `probabilities_0`, … are as they were.

    Each model has the outputs label and, possibly, probabilities, in this order.
    """
    onnx = require("onnx")
    compose, helper = require("onnx.compose"), onnx.helper
    nodes, constants, outputs, labels = [], [], [], []
    axis = onnx.numpy_helper.from_array(np.array([-1, 1], np.int64), "one_column")
    for index, one in enumerate(models):
        made = compose.add_prefix(one, f"output_{index}_", rename_inputs=False)
        nodes += made.graph.node
        constants += made.graph.initializer
        label, *rest = made.graph.output
        column = f"label_{index}"
        nodes.append(helper.make_node("Reshape", [label.name, axis.name], [column], name=column))
        labels.append(column)
        kind = label.type.tensor_type.elem_type
        for value in rest[:1]:
            name = f"probabilities_{index}"
            nodes.append(helper.make_node("Identity", [value.name], [name], name=name))
            output = onnx.ValueInfoProto()
            output.CopyFrom(value)
            output.name = name
            outputs.append(output)
    nodes.append(helper.make_node("Concat", labels, ["label"], name="label", axis=1))
    outputs.insert(0, helper.make_tensor_value_info("label", kind, ["rows", len(models)]))
    return _over_the_inputs(models, nodes, outputs, [*constants, axis])


def labelled_by(model: Any, scored: Any) -> Any:
    """The classifier `model` with the label of `scored`, one over the same inputs; both give the label first."""
    onnx = require("onnx")
    compose, helper = require("onnx.compose"), onnx.helper
    outputs = list(model.graph.output)
    both = [
        compose.add_prefix(one, prefix, rename_inputs=False) for one, prefix in ((model, "plain_"), (scored, "scored_"))
    ]
    nodes = [node for one in both for node in one.graph.node]
    for value in outputs:
        source = both[value is outputs[0]].graph.output[outputs.index(value)].name
        nodes.append(helper.make_node("Identity", [source], [value.name], name=value.name))
    return _over_the_inputs(both, nodes, outputs, [value for one in both for value in one.graph.initializer])


def _over_the_inputs(models: Sequence[Any], nodes: Sequence[Any], outputs: Sequence[Any], constants: Any) -> Any:
    """A model of these nodes over the inputs of the first of `models`, with all operator sets that these need."""
    helper = require("onnx").helper
    versions = {"": OPSETS[""]}
    for one in models:
        for opset in one.opset_import:
            versions[opset.domain] = max(versions.get(opset.domain, 1), opset.version)
    body = helper.make_graph(nodes, "model", list(models[0].graph.input), outputs, constants)
    opsets = [helper.make_opsetid(*item) for item in sorted(versions.items())]
    return helper.make_model(body, opset_imports=opsets, ir_version=max(one.ir_version for one in models))


def constant(inputs: Sequence[tuple[str, int, int]], label: Any) -> Any:
    """A classifier that has only ever seen one class, over `inputs` (name, element type, columns)."""
    onnx = require("onnx")
    helper, from_array = onnx.helper, onnx.numpy_helper.from_array
    text = isinstance(label, str)
    value = from_array(np.array([label], object) if text else np.array([int(label)], np.int64), "class")
    nodes = [
        helper.make_node("Shape", [inputs[0][0]], ["size"], start=0, end=1),
        helper.make_node("Expand", ["class", "size"], ["label"]),
        helper.make_node("Concat", ["size", "one"], ["wide"], axis=0),
        helper.make_node("Expand", ["certain", "wide"], ["probabilities"]),
    ]
    constants = [
        value,
        from_array(np.array([1], np.int64), "one"),
        from_array(np.array([[1]], np.float32), "certain"),
    ]
    kind = onnx.TensorProto.STRING if text else onnx.TensorProto.INT64
    body = helper.make_graph(
        nodes,
        "model",
        [helper.make_tensor_value_info(name, dtype, ["rows", columns]) for name, dtype, columns in inputs],
        [
            helper.make_tensor_value_info("label", kind, ["rows"]),
            helper.make_tensor_value_info("probabilities", onnx.TensorProto.FLOAT, ["rows", 1]),
        ],
        constants,
    )
    return helper.make_model(body, opset_imports=[helper.make_opsetid("", OPSETS[""])], ir_version=8)


def inverse(model: Any, regressor: Any) -> None:
    """Append the inverse of a TransformedTargetRegressor's transformer to the graph of its regressor."""
    steps = _steps(regressor)
    onnx = require("onnx")
    output = model.graph.output[0]
    final, kind = output.name, output.type.tensor_type.elem_type
    current = f"{final}_transformed"
    for node in model.graph.node:
        node.input[:] = [current if name == final else name for name in node.input]
        node.output[:] = [current if name == final else name for name in node.output]
    floats = np.float64 if kind == onnx.TensorProto.DOUBLE else np.float32
    for index, (operator, value) in enumerate(steps):
        name = final if index == len(steps) - 1 else f"{final}_{index}"
        inputs = [current]
        if value is not None:
            place = f"{final}_constant_{index}"
            model.graph.initializer.append(onnx.numpy_helper.from_array(np.asarray(value, floats), place))
            inputs.append(place)
        model.graph.node.append(onnx.helper.make_node(operator, inputs, [name], name=f"{name}_{operator}"))
        current = name


def _steps(regressor: Any) -> list[tuple[str, Any]]:
    """The inverse as (operator, constant) pairs."""
    transformer = regressor.transformer_
    kind = type(transformer).__name__
    if kind == "StandardScaler":
        scale = np.ones(1) if transformer.scale_ is None else transformer.scale_
        mean = np.zeros(1) if transformer.mean_ is None else transformer.mean_
        return [("Mul", scale.reshape(1, -1)), ("Add", mean.reshape(1, -1))]
    if kind == "MinMaxScaler":
        return [("Sub", transformer.min_.reshape(1, -1)), ("Div", transformer.scale_.reshape(1, -1))]
    if kind == "FunctionTransformer":
        functions: dict[Any, list[tuple[str, Any]]] = {
            None: [("Identity", None)],
            np.exp: [("Exp", None)],
            np.expm1: [("Exp", None), ("Sub", [[1.0]])],
            np.log: [("Log", None)],
            np.log1p: [("Add", [[1.0]]), ("Log", None)],
            np.sqrt: [("Sqrt", None)],
            np.square: [("Pow", [[2.0]])],
            np.negative: [("Neg", None)],
        }
        found = functions.get(transformer.inverse_func)
        if found is not None:
            return found
    raise BundleInvalid(
        f"the inverse of the target's {kind} has no form in ONNX",
        help="transform the target by np.log1p and np.expm1, a StandardScaler or a MinMaxScaler, or pack it with "
        "--as python",
    )
