"""The bundles behind the contracts: tiny models whose answers are exact, so that transports can be compared bit by bit.

Most contracts have an echo: each input is answered under its own name. It is an ONNX graph of `Identity` nodes, or a
Python class where a field is bytes, which no ONNX tensor holds. The others are drawn below with `onnx.helper`.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from fivefold.core.bundle.bundle import Binding, Bundle, InputBinding, OutputBinding
from fivefold.core.contract.contract import Contract
from fivefold.core.fields.field import FLOATS, INTEGERS, Field
from fivefold.core.readers.records import Records
from tests.conformance import cases

OPSET = 18
ELEMENTS = {"string": TensorProto.STRING, "bool": TensorProto.BOOL} | {
    name: helper.np_dtype_to_tensor_dtype(np.dtype(name)) for name in (*INTEGERS, *FLOATS)
}

ECHO = b'''"""Answers each column under its own name."""


class Echo:
    def predict(self, columns):
        return columns
'''

NULLS = b'''"""Answers which rows of each column are null."""


class Nulls:
    def predict(self, columns):
        return {f"{name}_null": mask for name, mask in columns.nulls.items()}
'''


def bundle(name: str, directory: Path, *, version: str = "1") -> Bundle:
    """Write the bundle of a shared contract below `directory`."""
    contract = cases.load_contract(name)
    special = {
        "linear": _linear,
        "classifier": _classifier,
        "not-a-number": _not_a_number,
        "null-or-value": _null_or_value,
    }
    given, answers = _golden(name, contract)
    common: dict[str, Any] = {"contract": contract, "golden": (given, answers), "tolerance": 0.0, "version": version}
    target = directory / f"{name}-{version}"
    if name == "null-or-bytes":
        return Bundle.write(target, model={"model/nulls.py": NULLS}, runtime="python", entry="nulls:Nulls", **common)
    if name not in special and any(field.kind == "bytes" for field in contract.inputs):
        return Bundle.write(target, model={"model/echo.py": ECHO}, runtime="python", entry="echo:Echo", **common)
    model, binding = special.get(name, _echo)(contract)
    return Bundle.write(
        target,
        model={"model.onnx": model.SerializeToString(deterministic=True)},
        runtime="onnx",
        binding=binding,
        **common,
    )


def _golden(name: str, contract: Contract) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
    """The first accepted records of the contract's cases, with the outputs that the case expects."""
    case = next(c for c in cases.load() if c.contract == name and c.records and c.refused is None and c.rows)
    assert case.records is not None
    given = Records(contract.inputs).read_json(case.records).accept().to_records()
    columns = case.columns if case.outputs is None else case.outputs
    if case.outputs is None:
        answers = [{f.name: row[f.name] for f in contract.outputs} for row in given]
    else:
        answers = [{f.name: columns[f.name][row] for f in contract.outputs} for row in range(case.rows)]
    return given, answers


def _input(field: Field) -> onnx.ValueInfoProto:
    return helper.make_tensor_value_info(field.name, ELEMENTS[field.dtype], ["rows", *field.shape])


def _finish(nodes: list[Any], inputs: list[Any], outputs: list[Any], constants: dict[str, Any]) -> onnx.ModelProto:
    graph = helper.make_graph(
        nodes,
        "conformance",
        inputs,
        outputs,
        [numpy_helper.from_array(value, name) for name, value in constants.items()],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", OPSET)], ir_version=8)
    onnx.checker.check_model(model)
    return model


def _fed(field: Field) -> InputBinding:
    return InputBinding(field.name, (field.name,), field.dtype)


def _echo(contract: Contract) -> tuple[onnx.ModelProto, Binding]:
    nodes = [helper.make_node("Identity", [f.name], [f"{f.name}:out"]) for f in contract.inputs]
    outputs = [
        helper.make_tensor_value_info(f"{f.name}:out", ELEMENTS[f.dtype], ["rows", *f.shape]) for f in contract.outputs
    ]
    model = _finish(nodes, [_input(f) for f in contract.inputs], outputs, {})
    answered = tuple(OutputBinding(f.name, f"{f.name}:out") for f in contract.outputs)
    return model, Binding(tuple(_fed(f) for f in contract.inputs), answered)


def _linear(contract: Contract) -> tuple[onnx.ModelProto, Binding]:
    constants = {
        "weights": np.array([[0.5], [-2], [4]], np.float32),
        "bias": np.array([1], np.float32),
    }
    nodes = [
        helper.make_node("MatMul", ["x", "weights"], ["product"]),
        helper.make_node("Add", ["product", "bias"], ["y"]),
    ]
    x = helper.make_tensor_value_info("x", TensorProto.FLOAT, ["rows", 3])
    y = helper.make_tensor_value_info("y", TensorProto.FLOAT, ["rows", 1])
    names = tuple(f.name for f in contract.inputs)
    return _finish(nodes, [x], [y], constants), Binding(
        (InputBinding("x", names, "float32", True),), (OutputBinding("y", "y", 0),)
    )


def _classifier(contract: Contract) -> tuple[onnx.ModelProto, Binding]:
    constants = {
        "one": np.array([1], np.int64),
        "names": np.array(["low", "middle", "high"], object),
    }
    nodes = [
        helper.make_node("ReduceSum", ["w", "one"], ["sum"], keepdims=1),
        helper.make_node("Div", ["w", "sum"], ["share"]),
        helper.make_node("ArgMax", ["w"], ["index"], axis=1, keepdims=0),
        helper.make_node("Gather", ["names", "index"], ["label"]),
    ]
    outputs = [
        helper.make_tensor_value_info("label", TensorProto.STRING, ["rows"]),
        helper.make_tensor_value_info("index", TensorProto.INT64, ["rows"]),
        helper.make_tensor_value_info("share", TensorProto.FLOAT, ["rows", 3]),
    ]
    model = _finish(nodes, [_input(f) for f in contract.inputs], outputs, constants)
    return model, Binding((_fed(contract.inputs[0]),), tuple(OutputBinding(f.name, f.name) for f in contract.outputs))


def _not_a_number(contract: Contract) -> tuple[onnx.ModelProto, Binding]:
    fields = {f.name: f for f in contract.inputs}
    nodes, outputs = [], []
    for answer in contract.outputs:
        name, what = answer.name.split("_")
        nodes.append(helper.make_node("IsNaN" if what == "nan" else "IsInf", [name], [answer.name]))
        outputs.append(helper.make_tensor_value_info(answer.name, TensorProto.BOOL, ["rows", *fields[name].shape]))
    model = _finish(nodes, [_input(f) for f in contract.inputs], outputs, {})
    return model, Binding(
        tuple(_fed(f) for f in contract.inputs), tuple(OutputBinding(f.name, f.name) for f in contract.outputs)
    )


def _null_or_value(contract: Contract) -> tuple[onnx.ModelProto, Binding]:
    """Whether each number reaches a float input as NaN, `i` and `r` stacked, the others alone; the text as it came."""
    nodes = [helper.make_node("IsNaN", [name], [f"{name}_nan"]) for name in ("b", "e", "a")]
    nodes += [helper.make_node("IsNaN", ["x"], ["x_nan"]), helper.make_node("Identity", ["w"], ["w_text"])]
    inputs = [helper.make_tensor_value_info(name, TensorProto.FLOAT, ["rows"]) for name in ("b", "e")]
    inputs += [
        helper.make_tensor_value_info("a", TensorProto.DOUBLE, ["rows", 2]),
        helper.make_tensor_value_info("x", TensorProto.FLOAT, ["rows", 2]),
        helper.make_tensor_value_info("w", TensorProto.STRING, ["rows"]),
    ]
    outputs = [helper.make_tensor_value_info(f"{name}_nan", TensorProto.BOOL, ["rows"]) for name in ("b", "e")]
    outputs += [
        helper.make_tensor_value_info("a_nan", TensorProto.BOOL, ["rows", 2]),
        helper.make_tensor_value_info("x_nan", TensorProto.BOOL, ["rows", 2]),
        helper.make_tensor_value_info("w_text", TensorProto.STRING, ["rows"]),
    ]
    binding = Binding(
        (
            InputBinding("b", ("b",), "float32"),
            InputBinding("e", ("e",), "float32"),
            InputBinding("a", ("a",), "float64"),
            InputBinding("x", ("i", "r"), "float32", stack=True),
            InputBinding("w", ("w",), "string", null="(none)"),
        ),
        (
            *(OutputBinding(f"{name}_nan", f"{name}_nan") for name in ("b", "e", "a")),
            *(OutputBinding(f"{name}_nan", "x_nan", column) for column, name in enumerate(("i", "r"))),
            OutputBinding("w_text", "w_text"),
        ),
    )
    return _finish(nodes, inputs, outputs, {}), binding
