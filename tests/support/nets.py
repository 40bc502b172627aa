"""A small net with known classes, as a bundle: two layers of weights, four inputs, three classes."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from onnx import TensorProto, helper, numpy_helper

from fivefold.core.bundle.binding import Binding, InputBinding, OutputBinding
from fivefold.core.bundle.bundle import Bundle
from tests.support.bundles import contract, field

CONTRACT = contract(
    [field("x", shape=[4], minimum=-1000, maximum=1000)],
    [field("label", "int64", minimum=0, maximum=2), field("probability", shape=[3], minimum=0, maximum=1)],
    name="net",
)


def net(*, gemm: bool = False, scale: float = 1.0) -> bytes:
    """Relu(x·A + a)·B + b, its softmax and its largest; `gemm` writes the layers as torch does."""
    random = np.random.default_rng(7)
    weights = {
        "A": (random.normal(size=(4, 32)) * scale).astype(np.float32),
        "a": random.normal(size=32).astype(np.float32),
        "B": random.normal(size=(32, 3)).astype(np.float32),
        "b": random.normal(size=3).astype(np.float32),
    }
    if gemm:
        first = [helper.make_node("Gemm", ["X", "A", "a"], ["one"])]
        second = [helper.make_node("Gemm", ["two", "B", "b"], ["score"])]
    else:
        first = [helper.make_node("MatMul", ["X", "A"], ["xa"]), helper.make_node("Add", ["xa", "a"], ["one"])]
        second = [helper.make_node("MatMul", ["two", "B"], ["tb"]), helper.make_node("Add", ["tb", "b"], ["score"])]
    nodes = [
        *first,
        helper.make_node("Relu", ["one"], ["two"]),
        *second,
        helper.make_node("Softmax", ["score"], ["probability"], axis=-1),
        helper.make_node("ArgMax", ["score"], ["label"], axis=-1, keepdims=0),
    ]
    graph = helper.make_graph(
        nodes,
        "net",
        [helper.make_tensor_value_info("X", TensorProto.FLOAT, ["N", 4])],
        [
            helper.make_tensor_value_info("label", TensorProto.INT64, ["N"]),
            helper.make_tensor_value_info("probability", TensorProto.FLOAT, ["N", 3]),
            helper.make_tensor_value_info("score", TensorProto.FLOAT, ["N", 3]),
        ],
        [numpy_helper.from_array(array, name) for name, array in weights.items()],
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8).SerializeToString()


def answers(model: bytes, rows: np.ndarray[Any, Any], *names: str) -> list[np.ndarray[Any, Any]]:
    import onnxruntime

    return list(onnxruntime.InferenceSession(model).run(list(names), {"X": rows.astype(np.float32)}))


def some_rows(count: int, seed: int = 3) -> np.ndarray[Any, Any]:
    """Rows whose sizes differ by up to a hundred times."""
    random = np.random.default_rng(seed)
    sizes = 10.0 ** random.uniform(0, 2, (count, 1))
    return (random.normal(size=(count, 4)) * sizes).clip(-1000, 1000).astype(np.float32)


def write_net(directory: Path, **changes: Any) -> Bundle:
    model, rows = net(**changes), some_rows(32)
    label, probability = answers(model, rows, "label", "probability")
    return Bundle.write(
        directory,
        contract=CONTRACT,
        model={"model.onnx": model},
        runtime="onnx",
        binding=Binding(
            (InputBinding("X", ("x",), "float32"),),
            (OutputBinding("label", "label"), OutputBinding("probability", "probability")),
        ),
        golden=(
            [{"x": row.tolist()} for row in rows],
            [{"label": int(a), "probability": b.tolist()} for a, b in zip(label, probability, strict=True)],
        ),
        tolerance=1e-5,
    )


def write_numbers(directory: Path) -> Bundle:
    """The same net, of which the contract takes the numbers before the softmax."""
    model, rows = net(), some_rows(8)
    (score,) = answers(model, rows, "score")
    contract_ = contract([field("x", shape=[4], minimum=-1000, maximum=1000)], [field("score")], name="number")
    return Bundle.write(
        directory,
        contract=contract_,
        model={"model.onnx": model},
        runtime="onnx",
        binding=Binding((InputBinding("X", ("x",), "float32"),), (OutputBinding("score", "score", column=0),)),
        golden=([{"x": row.tolist()} for row in rows], [{"score": float(one[0])} for one in score]),
        tolerance=1e-5,
    )
