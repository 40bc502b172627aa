"""ONNX files as sources: weights inlined, ZipMap taken off, checked against a plain session of ONNX Runtime."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import onnxruntime

from fivefold.core.bundle.binding import Binding
from fivefold.core.columns import Array, Columns
from fivefold.core.contract.contract import Contract
from fivefold.core.errors import BundleInvalid, ContractInvalid, first_line
from fivefold.core.fields.field import DTYPES, FLOATS, Field
from fivefold.packing import graph
from fivefold.packing.bind import Bind, infer
from fivefold.packing.frames import Seen
from fivefold.packing.graph import Port
from fivefold.packing.libraries import require, versions
from fivefold.packing.measure import Mask
from fivefold.packing.source_model import Conversion, ConversionPlan


class OnnxSource:
    """A model that is ONNX already; its answers are those of a session of its own, fed without the bundle's runner."""

    kind: ClassVar[str] = "onnx"

    def __init__(self, raw: bytes, name: str) -> None:
        self._model = graph.load(raw, name)
        # A dimension of 0 is a free one to its exporter, and to the runtime a size.
        self._raw = self._model.SerializeToString() if graph.free_dimensions(self._model) else raw
        self._zipmap = graph.without_zipmap(self._model)
        self.facts = versions("onnxruntime")

    @classmethod
    def load(cls, path: Path) -> OnnxSource:
        """Read a file; weights beside it become part of the model. Raises `BundleInvalid`."""
        onnx = require("onnx")
        try:
            raw = path.read_bytes()
            if _external(onnx.load_model_from_string(raw)):
                raw = onnx.load(path).SerializeToString()
        except OSError as err:
            place = err.filename or path
            raise BundleInvalid(
                f"cannot read {place}: {err.strerror or err}", help="keep the files of the weights beside the model"
            ) from err
        except Exception as err:  # protobuf's own errors, and onnx's about the files beside the model
            raise BundleInvalid(f"{path.name} is not a valid ONNX model: {first_line(err)}") from err
        return cls(raw, path.name)

    def features(self) -> tuple[str, ...] | None:
        """One name an input, where every input is one value a row."""
        inputs, _ = graph.ports(self._model)
        scalars = all(port.shape is not None and port.shape[1:] in ((), (1,)) for port in inputs)
        return tuple(port.name for port in inputs) if scalars else None

    def outputs(self, inputs: Sequence[Field], sample: Columns, _seen: Mapping[str, Seen]) -> tuple[Field, ...]:
        """Every output that is a tensor with a row for each of the sample's, as the model answers it."""
        contract = Contract("draft", "0", tuple(inputs), ())
        ports, outputs = graph.ports(self._model)
        tensors = [port for port in outputs if port.shape is not None]
        answers = self.answers(sample, infer(contract, ports, [], Bind()), tensors)
        fields = []
        for port in tensors:
            answer = answers[port.name]
            if answer.ndim and answer.shape[0] == sample.rows and port.dtype in DTYPES:
                shape = tuple(int(size) for size in answer.shape[1:] if size != 1)
                fields.append(Field(_name(port.name), port.dtype, shape))
        if not fields:
            raise ContractInvalid(
                f"none of the model's outputs is a tensor with one row for each of the input's: "
                f"{', '.join(map(str, outputs))}",
                path="outputs",
                help="export the model with tensors as outputs and a dynamic first axis",
            )
        return tuple(fields)

    def plans(
        self, _contract: Contract, _order: Mapping[str, Sequence[str]], _seen: Mapping[str, Seen], _sample: Columns
    ) -> Sequence[ConversionPlan]:
        """One: the model itself, or the model without its ZipMap."""
        return (ConversionPlan("without its ZipMap" if self._zipmap else "as it is"),)

    def convert(self, _plan: ConversionPlan) -> Conversion:
        """Nothing is left to convert."""
        notes = ("ZipMap taken off: probabilities are a tensor, not a sequence of maps",) if self._zipmap else ()
        return Conversion(self._model if self._zipmap else self._raw, notes=notes)

    def answers(self, columns: Columns, binding: Binding, outputs: Sequence[Port]) -> Mapping[str, Array]:
        """Feed a session as written, ZipMap and all, input by input; null is NaN in a float and else `null_value`."""
        ranks = {port.name: len(port.shape or ()) for port in graph.ports(self._model)[0]}
        feed = {}
        for item in binding.inputs:
            parts = [self._part(columns, name, item.dtype) for name in item.fields]
            array = np.stack(parts, axis=1) if item.stack else parts[0]
            missing = ranks[item.model_input] - array.ndim
            feed[item.model_input] = array.reshape(array.shape + (1,) * missing) if missing > 0 else array
        options = onnxruntime.SessionOptions()
        options.log_severity_level = 4
        names = [port.name for port in outputs]
        try:
            session = onnxruntime.InferenceSession(self._raw, options, providers=["CPUExecutionProvider"])
            return {name: _tensor(value) for name, value in zip(names, session.run(names, feed), strict=True)}
        except Exception as err:  # the runtime raises a dozen unrelated classes
            raise BundleInvalid(f"ONNX Runtime cannot run the model: {first_line(err)}") from err

    def _part(self, columns: Columns, name: str, dtype: str) -> Array:
        field = next(field for field in columns.fields if field.name == name)
        array = columns[name].astype(object if dtype == "string" else dtype)
        if dtype in FLOATS and field.nullable:
            array[columns.nulls(name)] = np.nan
        return array

    def felt(self, _columns: Columns) -> Array | None:
        """Nothing: the graph is packed as it is."""
        return None

    def undecided(self, _columns: Columns, _tolerance: float) -> Mask | None:
        """The same arithmetic decides the same way."""
        return None


def _external(model: Any) -> bool:
    """Whether weights lie in files beside the model, those of branches, bodies and constants among them."""
    tensors = list(model.graph.initializer)
    for node in graph.nodes(model.graph):
        for attribute in node.attribute:
            tensors += [attribute.t, *attribute.tensors, *attribute.g.initializer]
    return any(tensor.data_location for tensor in tensors)


def _name(port: str) -> str:
    """An output's name as a contract allows it."""
    text = re.sub(r"[^A-Za-z0-9_.\-]+", "_", port).strip("_")[:100] or "output"
    return text if text[0].isalpha() or text[0] == "_" else f"output_{text}"


def _tensor(value: Any) -> Array:
    """A ZipMap's list of dictionaries as the tensor that it was made from."""
    if isinstance(value, list) and all(isinstance(row, dict) for row in value):
        return np.array([list(row.values()) for row in value], np.float32)
    return np.asarray(value)
