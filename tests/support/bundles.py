"""Small models and bundles for the tests of the core, made by hand so that each byte and each answer is known."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from onnx import TensorProto, helper, numpy_helper

from fivefold.core.bundle.bundle import Binding, Bundle, InputBinding, OutputBinding
from fivefold.core.contract.contract import Contract

TENSORS = {
    "bool": TensorProto.BOOL,
    "int32": TensorProto.INT32,
    "int64": TensorProto.INT64,
    "float16": TensorProto.FLOAT16,
    "float32": TensorProto.FLOAT,
    "float64": TensorProto.DOUBLE,
    "string": TensorProto.STRING,
}

Value = tuple[str, str, Sequence[Any]]


def graph(nodes: Sequence[Any], inputs: Sequence[Value], outputs: Sequence[Value], **weights: np.ndarray) -> bytes:
    """An ONNX model: nodes from `node`, inputs and outputs as (name, dtype, shape), weights by name."""
    made = helper.make_graph(
        list(nodes),
        "graph",
        [helper.make_tensor_value_info(name, TENSORS[dtype], list(shape)) for name, dtype, shape in inputs],
        [helper.make_tensor_value_info(name, TENSORS[dtype], list(shape)) for name, dtype, shape in outputs],
        [numpy_helper.from_array(array, name) for name, array in weights.items()],
    )
    return helper.make_model(made, opset_imports=[helper.make_opsetid("", 17)], ir_version=8).SerializeToString()


def node(kind: str, inputs: str, outputs: str, **attributes: Any) -> Any:
    """A node; names of inputs and outputs stand in one string, apart by spaces."""
    return helper.make_node(kind, inputs.split(), outputs.split(), **attributes)


def contract(inputs: Sequence[dict[str, Any]], outputs: Sequence[dict[str, Any]], name: str = "demo") -> Contract:
    """A contract of fields as they stand in contract.json."""
    return Contract.from_json({"format": 1, "name": name, "version": "1.0", "inputs": inputs, "outputs": outputs})


def field(name: str, dtype: str = "float32", **rules: Any) -> dict[str, Any]:
    """A field as it stands in contract.json."""
    return {"name": name, "dtype": dtype, **rules}


SUM_CONTRACT = contract(
    [field("a", minimum=-100, maximum=100), field("b", minimum=-100, maximum=100)],
    [field("total"), field("label", "int64", minimum=0, maximum=1)],
)
"""total = a + b; label = whether a + b is positive."""

SUM_MODEL = graph(
    [
        node("ReduceSum", "X one", "total", keepdims=1),
        node("Greater", "total zero", "positive"),
        node("Cast", "positive", "label", to=TensorProto.INT64),
    ],
    [("X", "float32", ["N", 2])],
    [("total", "float32", ["N", 1]), ("label", "int64", ["N", 1])],
    one=np.array([1], np.int64),
    zero=np.array([0], np.float32),
)
SUM_BINDING = Binding(
    (InputBinding("X", ("a", "b"), "float32", stack=True),),
    (OutputBinding("total", "total"), OutputBinding("label", "label")),
)
SUM_GOLDEN = (
    [{"a": float(row), "b": 0.5 - 2 * row} for row in range(-4, 4)],
    [{"total": 0.5 - row, "label": int(0.5 - row > 0)} for row in range(-4, 4)],
)


def write_sum(directory: Path, **changes: Any) -> Bundle:
    """The bundle of the sum; keyword arguments replace those of `Bundle.write`."""
    given: dict[str, Any] = {
        "contract": SUM_CONTRACT,
        "model": {"model.onnx": SUM_MODEL},
        "runtime": "onnx",
        "binding": SUM_BINDING,
        "golden": SUM_GOLDEN,
        "tolerance": 0.0,
        "facts": {"kind": "onnx"},
    }
    return Bundle.write(directory, **given | changes)


PYTHON_SUM = b'''
class Sum:
    """Adds two columns."""

    def predict(self, columns):
        total = columns["a"] + columns["b"]
        return {"total": total, "label": (total > 0).astype("int64")}
'''


def write_python(directory: Path, source: bytes = PYTHON_SUM, **changes: Any) -> Bundle:
    """The same model as a Python class `adder:Sum`."""
    given: dict[str, Any] = {
        "model": {"model/adder.py": source},
        "runtime": "python",
        "binding": None,
        "entry": "adder:Sum",
    }
    return write_sum(directory, **given | changes)


def manifest(directory: Path) -> dict[str, Any]:
    """bundle.json as values."""
    return json.loads((directory / "bundle.json").read_bytes())


def put_manifest(directory: Path, values: Any) -> None:
    """Write bundle.json with a seal that is right, as somebody would who knows the format."""
    if isinstance(values, dict):
        values.pop("seal", None)
    text = values if isinstance(values, str) else json.dumps(values, indent=2)
    (directory / "bundle.json").write_bytes(sealed(text))


def sealed(text: str) -> bytes:
    """The text of an object with the seal as its last member."""
    head = text.rstrip().removesuffix("}").rstrip().encode()
    return head + b',\n  "seal": "' + hashlib.sha256(head).hexdigest().encode() + b'"\n}\n'


def put_file(directory: Path, name: str, data: bytes) -> None:
    """Replace a file of the bundle and say so truly in bundle.json."""
    (directory / name).write_bytes(data)
    values = manifest(directory)
    for entry in values["files"]:
        if entry["path"] == name:
            entry.update(bytes=len(data), sha256=hashlib.sha256(data).hexdigest())
    if name == "contract.json":
        values["contract"]["sha256"] = hashlib.sha256(data).hexdigest()
    put_manifest(directory, values)
