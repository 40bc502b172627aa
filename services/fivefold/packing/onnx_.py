"""ONNX files as sources: weights inlined, ZipMap taken off, checked against a plain session of ONNX Runtime."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import onnxruntime

from fivefold.core.binding import Binding
from fivefold.core.columns import Array, Columns
from fivefold.core.contract import Contract, Field
from fivefold.core.errors import BundleInvalid
from fivefold.packing import graph
from fivefold.packing.graph import Port
from fivefold.packing.measure import Mask
from fivefold.packing.needs import need, versions
from fivefold.packing.source import Conversion, Plan


class OnnxSource:
    """A model that is ONNX already; its answers are those of a session of its own, fed without the bundle's runner."""

    kind: ClassVar[str] = "onnx"

    def __init__(self, raw: bytes, name: str) -> None:
        self._raw = raw
        self._model = graph.load(raw, name)
        self._zipmap = graph.without_zipmap(self._model)
        self.facts = versions("onnxruntime")

    @classmethod
    def load(cls, path: Path) -> OnnxSource:
        """Read a file; weights beside it become part of the model. Raises `BundleInvalid`."""
        onnx = need("onnx")
        try:
            raw = path.read_bytes()
            if any(tensor.data_location for tensor in onnx.load_model_from_string(raw).graph.initializer):
                raw = onnx.load(path).SerializeToString()
        except OSError as err:
            raise BundleInvalid(f"cannot read {path}: {err.strerror or err}") from err
        except Exception as err:  # protobuf's own errors
            raise BundleInvalid(f"{path.name} is not a valid ONNX model: {str(err).splitlines()[0]}") from err
        return cls(raw, path.name)

    def features(self) -> tuple[str, ...] | None:
        """One name an input, where every input is one value a row."""
        inputs, _ = graph.ports(self._model)
        scalars = all(port.shape is not None and port.shape[1:] in ((), (1,)) for port in inputs)
        return tuple(port.name for port in inputs) if scalars else None

    def outputs(self) -> tuple[Field, ...]:
        """Every output that is a tensor of fixed width."""
        _, outputs = graph.ports(self._model)
        return tuple(
            Field(port.name, port.dtype, tuple(size for size in port.shape[1:] if size is not None and size != 1))
            for port in outputs
            if port.shape is not None and None not in port.shape[1:]
        )

    def plans(self, _contract: Contract, _order: Mapping[str, Sequence[str]]) -> Sequence[Plan]:
        """One: the model itself, or the model without its ZipMap."""
        return (Plan("without its ZipMap" if self._zipmap else "as it is"),)

    def convert(self, _plan: Plan) -> Conversion:
        """Nothing is left to convert."""
        notes = ("ZipMap taken off: probabilities are a tensor, not a sequence of maps",) if self._zipmap else ()
        return Conversion(self._model if self._zipmap else self._raw, notes=notes)

    def answers(self, columns: Columns, binding: Binding, outputs: Sequence[Port]) -> Mapping[str, Array]:
        """Feed a session as written, ZipMap and all, input by input."""
        ranks = {port.name: len(port.shape or ()) for port in graph.ports(self._model)[0]}
        feed = {}
        for item in binding.inputs:
            kind = object if item.dtype == "string" else item.dtype
            parts = [columns[name].astype(kind) for name in item.fields]
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
            raise BundleInvalid(f"ONNX Runtime cannot run the model: {str(err).splitlines()[0][:300]}") from err

    def undecided(self, _columns: Columns, _tolerance: float) -> Mask | None:
        """The same arithmetic decides the same way."""
        return None


def _tensor(value: Any) -> Array:
    """A ZipMap's list of dictionaries as the tensor that it was made from."""
    if isinstance(value, list):
        return np.array([list(row.values()) for row in value], np.float32)
    return np.asarray(value)
