"""Writing ONNX operators by hand, for estimators whose converter is missing, wrong or has no kernel in float64.

`Writer` adds nodes and constants to a graph that skl2onnx is converting; which estimators are written that way is left
to `imputers`, `encoders` and `trees`.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from contextvars import ContextVar
from typing import Any

import numpy as np

from fivefold.core.columns import Array
from fivefold.packing.graph import OPSETS
from fivefold.packing.libraries import require

_ELEMENTS = {"float32": 1, "int64": 7, "string": 8, "bool": 9, "float64": 11}
"""onnx.TensorProto's element types by their numpy name."""

ML = "ai.onnx.ml"


class Writer:
    """The operators of one estimator: `floats` is the float type that its results have."""

    def __init__(self, scope: Any, operator: Any, container: Any) -> None:
        self.scope = scope
        self.operator = operator
        self.container = container
        self.floats = floats(operator)

    def constant(self, values: Any, dtype: str | None = None) -> str:
        """An initialiser of the values, in the writer's own float type where no dtype is named."""
        kind = dtype or self.floats
        array = np.asarray(values, object if kind == "string" else kind)
        name = str(self.scope.get_unique_variable_name("constant"))
        flat = [str(value).encode() for value in array.ravel()] if kind == "string" else array.ravel().tolist()
        self.container.add_initializer(name, _ELEMENTS[kind], list(array.shape), flat)
        return name

    def node(self, kind: str, inputs: list[str], *, domain: str = "", out: str | None = None, **attributes: Any) -> str:
        """One operator with one output, by its name."""
        name = out or str(self.scope.get_unique_variable_name(kind.lower()))
        self.container.add_node(
            kind,
            inputs,
            name,
            op_domain=domain,
            op_version=OPSETS[domain],
            name=self.scope.get_unique_operator_name(kind),
            **attributes,
        )
        return name

    def pair(self, kind: str, inputs: list[str], **attributes: Any) -> tuple[str, str]:
        """One standard operator with two outputs, by their names."""
        names = [str(self.scope.get_unique_variable_name(f"{kind.lower()}_{part}")) for part in ("first", "second")]
        own = self.scope.get_unique_operator_name(kind)
        self.container.add_node(kind, inputs, names, op_version=OPSETS[""], name=own, **attributes)
        return names[0], names[1]

    def cast(self, name: str, dtype: str, out: str | None = None) -> str:
        """The tensor as another dtype."""
        return self.node("Cast", [name], to=_ELEMENTS[dtype], out=out)

    def columns(self, name: str, indices: list[int]) -> str:
        """Some columns of a 2-D tensor."""
        return self.node("Gather", [name, self.constant(indices, "int64")], axis=1)

    def numbers(self) -> str:
        """All inputs side by side as [rows, features] of the writer's float type."""
        parts = [
            variable.full_name if dtype_of(variable) == self.floats else self.cast(variable.full_name, self.floats)
            for variable in self.operator.inputs
        ]
        return parts[0] if len(parts) == 1 else self.node("Concat", parts, axis=1)

    def texts(self) -> str:
        """All inputs side by side as [rows, features] of strings."""
        parts = [variable.full_name for variable in self.operator.inputs]
        return parts[0] if len(parts) == 1 else self.node("Concat", parts, axis=1)

    def finish(self, name: str, index: int = 0) -> None:
        """Make the tensor the estimator's output."""
        self.node("Identity", [name], out=self.operator.outputs[index].full_name)


def dtype_of(variable: Any) -> str:
    """The numpy name of a variable's element type."""
    name = type(variable.type).__name__.removesuffix("TensorType")
    return {"Float": "float32", "Double": "float64", "String": "string", "Boolean": "bool"}.get(name, "int64")


_floats: ContextVar[str] = ContextVar("floats", default="float32")


@contextlib.contextmanager
def computing_in(floats: str) -> Iterator[None]:
    """While it holds, what is made of texts and integers has this float type."""
    token = _floats.set(floats)
    try:
        yield
    finally:
        _floats.reset(token)


def floats(operator: Any) -> str:
    """The float type of an operator's result: its inputs' own, or the conversion's where none of them is a float."""
    kinds = {dtype_of(item) for item in operator.inputs}
    if "float64" in kinds:
        return "float64"
    return "float32" if "float32" in kinds else _floats.get()


def set_shape(operator: Any, columns: int, kind: str | None = None, index: int = 0) -> None:
    """Declare an output as [rows, columns] of floats, or of the named dtype."""
    types = require("skl2onnx.common.data_types")
    made = {
        "float32": types.FloatTensorType,
        "float64": types.DoubleTensorType,
        "string": types.StringTensorType,
        "int64": types.Int64TensorType,
    }[kind or floats(operator)]
    operator.outputs[index].type = made([operator.inputs[0].get_first_dimension(), columns])


def classifier_shape(operator: Any) -> None:
    """Declare a label and a probability a class, over one input or several."""
    if len(operator.inputs) == 1:
        require("skl2onnx.common.shape_calculator").calculate_linear_classifier_output_shapes(operator)
        return
    known = np.asarray(operator.raw_operator.classes_)
    types = require("skl2onnx.common.data_types")
    text = known.dtype.kind in "OUS"
    rows = operator.inputs[0].get_first_dimension()
    operator.outputs[0].type = (types.StringTensorType if text else types.Int64TensorType)([rows])
    set_shape(operator, len(known), index=1)


def regressor_shape(operator: Any) -> None:
    """Declare one number, over one input or several."""
    set_shape(operator, 1)


def register(
    model: type,
    shape: Callable[[Any], None],
    convert: Callable[[Any, Any, Any], None],
    *,
    parser: Any = None,
    options: Any = None,
) -> None:
    """Let skl2onnx convert the class by our operators. Registering twice is harmless."""
    require("skl2onnx").update_registered_converter(
        model, f"Fivefold{model.__name__}", shape, convert, overwrite=True, parser=parser, options=options
    )


def rows_of(values: Array) -> Array:
    """A dense 2-D array of what a transformer answers."""
    return np.asarray(values.toarray() if hasattr(values, "toarray") else values)
