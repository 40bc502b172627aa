"""Bundles of any number and width, the same on every machine: a model adds up its fields, so nearly all is ours.

A small one is the sum of ten numbers. Rows are whole numbers, so every sum is exact.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any, Final

import numpy as np
from onnx import TensorProto, helper, numpy_helper

from fivefold.core.bundle.bundle import Binding, Bundle, InputBinding, OutputBinding
from fivefold.core.contract.contract import Contract

SMALL: Final = 10
"""The fields of a small model."""

GOLDEN_ROWS: Final = 16


def record(fields: int, row: int = 0) -> dict[str, float]:
    """A record of so many fields."""
    return {f"f{at}": float((at + row) % 10) for at in range(fields)}


def write(directory: Path, name: str, fields: int = SMALL) -> Bundle:
    """The sum of so many fields as a bundle."""
    contract = Contract.from_json(
        {
            "format": 1,
            "name": name,
            "version": "1.0.0",
            "inputs": [{"name": f"f{at}", "dtype": "float32", "minimum": 0, "maximum": 10} for at in range(fields)],
            "outputs": [{"name": "total", "dtype": "float32"}],
        }
    )
    given = [record(fields, row) for row in range(GOLDEN_ROWS)]
    return Bundle.write(
        directory,
        contract=contract,
        model={"model.onnx": _sum(fields)},
        runtime="onnx",
        binding=Binding(
            (InputBinding("X", tuple(f"f{at}" for at in range(fields)), "float32", stack=True),),
            (OutputBinding("total", "total"),),
        ),
        golden=(given, [{"total": sum(row.values())} for row in given]),
        tolerance=0.0,
        facts={"kind": "onnx"},
    )


def write_many(directory: Path, count: int) -> list[Path]:
    """So many small bundles, each with a name of its own."""
    return [write(directory / name, name).path for name in (f"model-{at}" for at in range(count))]


def _sum(fields: int) -> bytes:
    def value(name: str, width: int) -> Any:
        return helper.make_tensor_value_info(name, TensorProto.FLOAT, ["N", width])

    graph = helper.make_graph(
        [helper.make_node("ReduceSum", ["X", "axes"], ["total"], keepdims=1)],
        "sum",
        [value("X", fields)],
        [value("total", 1)],
        [numpy_helper.from_array(np.array([1], np.int64), "axes")],
    )
    made = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    return bytes(made.SerializeToString())
