"""A model with weights of eight bits: what can be quantised, how it is, and the bundle of it.

Only `MatMul` and `Gemm` with constant weights become integer kernels: by ONNX Runtime's dynamic quantisation, which
`row_quantisation` makes independent of the rows that are asked together. Trees and linear models have none. Weights are
`QUInt8`: with `QInt8` x86 processors without VNNI add u8·s8 products in 16 bits, which saturate, so that is only made
with `reduce_range`, of seven bits. Whether the result answers well enough is left to `quantisation_gate`.
"""

from __future__ import annotations

import logging
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, Literal

import numpy as np

from fivefold.core.bundle.bundle import Bundle
from fivefold.core.bundle.manifest import MODEL
from fivefold.core.errors import BundleInvalid, first_line
from fivefold.packing.libraries import require
from fivefold.packing.row_quantisation import quantise_rows

WeightType = Literal["QUInt8", "QInt8"]

QUANTISED: Final = ("MatMul", "Gemm")
KERNELS: Final = ("MatMulInteger", "DynamicQuantizeMatMul", "MatMulIntegerToFloat")
"""Where products of eight bits are added up."""

TOLERANCE: Final = 1e-4
"""Of a quantised bundle's golden answers: what the gate allows between a server and a browser."""


@dataclass(frozen=True, slots=True)
class QuantisationRecipe:
    """How weights are quantised; the default is what answers the same on every processor."""

    weight_type: WeightType = "QUInt8"
    reduce_range: bool = False
    per_channel: bool = False

    def __post_init__(self) -> None:
        if self.weight_type == "QInt8" and not self.reduce_range:
            raise BundleInvalid(
                "QInt8 weights of eight bits saturate on processors without VNNI",
                help="take the default, QUInt8, or --weight-type QInt8 --reduce-range",
            )

    def to_json(self) -> dict[str, Any]:
        return {"weights": self.weight_type, "reduce_range": self.reduce_range, "per_channel": self.per_channel}


def nothing_to_quantise(bundle: Bundle) -> str | None:
    """Why the bundle's model stays as it is; None where it has weights to quantise. Needs onnx."""
    if bundle.manifest.runtime != "onnx":
        return "a Python class has no weights that could be quantised here"
    model = require("onnx").load_from_string(bundle.read(MODEL))
    weights = {each.name for each in model.graph.initializer}
    weights |= {name for node in model.graph.node if node.op_type == "Constant" for name in node.output}
    if any(node.op_type in QUANTISED and weights & set(node.input) for node in model.graph.node):
        return None
    kinds = sorted({node.op_type for node in model.graph.node})
    what = "trees" if any("TreeEnsemble" in kind for kind in kinds) else "no matrix of weights"
    return f"nothing to quantise: the model is {what} ({', '.join(kinds[:6])})"


def quantised_model(model: bytes, recipe: QuantisationRecipe) -> bytes:
    """The model's bytes with quantised weights; raises `BundleInvalid` where ONNX Runtime cannot do that."""
    quantization = require("onnxruntime.quantization")
    with tempfile.TemporaryDirectory(prefix="fivefold-quantise-") as directory:
        given, made = Path(directory) / "given.onnx", Path(directory) / "made.onnx"
        given.write_bytes(model)
        # It advises steps that a model of matrices does not need, on the root logger.
        logging.disable(logging.WARNING)
        try:
            quantization.quantize_dynamic(
                given,
                made,
                weight_type=getattr(quantization.QuantType, recipe.weight_type),
                reduce_range=recipe.reduce_range,
                per_channel=recipe.per_channel,
                op_types_to_quantize=list(QUANTISED),
            )
        except Exception as err:  # the quantiser raises whatever its parts raise
            raise BundleInvalid(f"ONNX Runtime cannot quantise the model: {first_line(err)}", path=MODEL) from err
        finally:
            logging.disable(logging.NOTSET)
        found = require("onnx").load(made)
    quantise_rows(found)
    out: bytes = found.SerializeToString()
    if not kernels(out):
        raise BundleInvalid("ONNX Runtime quantised no part of the model", path=MODEL)
    return out


def kernels(model: bytes) -> list[tuple[str, str, str]]:
    """Kind, name and first output of the nodes in which products of eight bits are added up."""
    graph = require("onnx").load_from_string(model).graph
    return [(node.op_type, node.name, node.output[0]) for node in graph.node if node.op_type in KERNELS]


def write_quantised(
    bundle: Bundle,
    model: bytes,
    answers: Mapping[str, np.ndarray[Any, Any]],
    directory: str | Path,
    *,
    version: str,
    facts: Mapping[str, Any],
) -> Bundle:
    """Write the bundle with another model, its version and golden answers (by output, of the golden rows)."""
    from fivefold.core.columns import Columns

    manifest = bundle.manifest
    given, _ = bundle.golden()
    fields = bundle.contract.outputs
    typed = {field.name: np.asarray(answers[field.name], field.numpy_dtype) for field in fields}
    return Bundle.write(
        directory,
        contract=bundle.contract,
        model={MODEL: model},
        runtime=manifest.runtime,
        golden=(given.to_records(), Columns(fields, typed, given.rows).to_records()),
        tolerance=max(manifest.tolerance, TOLERANCE),
        binding=manifest.binding,
        name=bundle.name,
        version=version,
        facts={**manifest.created_from, "quantised": dict(facts)},
        targets=manifest.targets,
        carried=bundle.carried,
        default_contract=manifest.default_contract,
    )
