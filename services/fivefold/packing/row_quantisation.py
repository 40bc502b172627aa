"""Activations quantised a row at a time, where ONNX Runtime's dynamic quantisation does it a batch at a time.

`DynamicQuantizeLinear` takes one scale from all rows that are asked together, so that a row's answer would depend on
its neighbours: alone over REST, with thousands in a file, it would not be the same. Here each row has a scale of its
own, and a zero point that is a constant: 128, or 0 behind a node that answers nothing negative.

Products of `uint8` with `uint8` are added in 32 bits on every processor and in WASM, and scales are IEEE divisions, so
what is left to differ between runtimes is what differs in the original. NaN and infinity pass through, as NaN.
"""

from __future__ import annotations

from typing import Any, Final

import numpy as np

from fivefold.packing.libraries import require

_NOT_NEGATIVE: Final = ("Relu", "Sigmoid", "Softmax", "Clip")
_TINY: Final = 1e-30
"""The scale of a row of zeros, which is not divided by zero."""


def quantise_rows(model: Any) -> None:
    """Replace each `DynamicQuantizeLinear` of an onnx model in place; opset 11 or newer."""
    helper, numpy_helper = require("onnx.helper"), require("onnx.numpy_helper")
    opset = next(each.version for each in model.opset_import if each.domain in ("", "ai.onnx"))
    made = {name: node.op_type for node in model.graph.node for name in node.output}
    lows = _lowest(model.graph, numpy_helper)
    weights: dict[str, Any] = {}
    nodes: list[Any] = []
    scaled: set[str] = set()

    def constant(value: float, dtype: Any) -> str:
        name = f"fivefold_row_{np.dtype(dtype).name}_{value:g}".replace("-", "m").replace(".", "_")
        weights[name] = numpy_helper.from_array(np.array(value, dtype), name)
        return name

    axes = "fivefold_row_axes"
    for index, node in enumerate(model.graph.node):
        if node.op_type != "DynamicQuantizeLinear":
            nodes.append(node)
            continue
        given, (quantised, scale, zero) = node.input[0], node.output
        positive = made.get(given) in _NOT_NEGATIVE and (made.get(given) != "Clip" or lows.get(given, -1.0) >= 0)
        offset, levels = (0, 255) if positive else (128, 127)
        here = f"{given}_row{index}_"

        def add(
            kind: str, inputs: list[str], output: str, /, here: str = here, into: list[Any] = nodes, **more: Any
        ) -> str:
            into.append(helper.make_node(kind, inputs, [output], name=f"{here}{kind}_{len(into)}", **more))
            return output

        def reduced(kind: str, source: str, output: str, by_input: int, add: Any = add) -> str:
            if opset >= by_input:
                weights[axes] = numpy_helper.from_array(np.array([-1], np.int64), axes)
                return str(add(kind, [source, axes], output, keepdims=1))
            return str(add(kind, [source], output, keepdims=1, axes=[-1]))

        size = reduced("ReduceMax", add("Abs", [given], f"{here}abs"), f"{here}max", 18)
        size = add("Max", [size, constant(_TINY, np.float32)], f"{here}size")
        step = add("Div", [size, constant(levels, np.float32)], f"{here}step")
        # Zero for finite rows, else NaN: what is none of the numbers must not become one.
        fault = add("Mul", [reduced("ReduceSum", given, f"{here}sum", 13), constant(0, np.float32)], f"{here}fault")
        add("Add", [step, fault], scale)
        whole = add("Round", [add("Div", [given, step], f"{here}ratio")], f"{here}round")
        moved = add("Add", [whole, constant(offset, np.float32)], f"{here}moved")
        held = add("Clip", [moved, constant(0, np.float32), constant(255, np.float32)], f"{here}held")
        add("Cast", [held], quantised, to=require("onnx").TensorProto.UINT8)
        add("Identity", [constant(offset, np.uint8)], zero)
        scaled.add(scale)
    nodes = _unfused(nodes, scaled, helper)
    del model.graph.node[:]
    model.graph.node.extend(nodes)
    model.graph.initializer.extend(weights.values())


def _unfused(nodes: list[Any], scales: set[str], helper: Any) -> list[Any]:
    """The nodes with sums multiplied by a row's scale first and by the weights' behind it.

    ONNX Runtime fuses a product with both scales multiplied beforehand (`MatMulIntegerToFloat`), also where one of them
    has a value a row, for which that kernel answers wrongly (1.32).
    """
    both = {
        node.output[0]: node for node in nodes if node.op_type == "Mul" and any(name in scales for name in node.input)
    }
    out = []
    for node in nodes:
        if node.output[0] in both:
            continue
        product = next((name for name in node.input if name in both), None) if node.op_type == "Mul" else None
        if product is None:
            out.append(node)
            continue
        row, weights = sorted(both[product].input, key=lambda name: name not in scales)
        sums = next(name for name in node.input if name != product)
        between = f"{node.output[0]}_rows"
        out.append(helper.make_node("Mul", [sums, row], [between], name=between))
        out.append(helper.make_node("Mul", [between, weights], list(node.output), name=f"{between}_weights"))
    return out


def _lowest(graph: Any, numpy_helper: Any) -> dict[str, float]:
    """The lower bound of each `Clip` that has one among the weights."""
    known = {each.name: each for each in graph.initializer}
    out = {}
    for node in graph.node:
        if node.op_type == "Clip" and len(node.input) > 1 and node.input[1] in known:
            out[node.output[0]] = float(numpy_helper.to_array(known[node.input[1]]))
    return out
