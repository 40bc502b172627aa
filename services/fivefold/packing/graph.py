"""The ONNX graph before it enters a bundle: what it takes and gives, what is put right, what is only warned about.

Repairs keep every number as it is, but for `clip`, which ends a probability of 1.0000001 (float32 sums of votes) at 1.
Each holds for every operator set, and for branches and bodies inside the graph.
Which contract field meets which input is left to `fivefold.packing.bind`.
"""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import onnxruntime

from fivefold.core.errors import BundleInvalid, first_line
from fivefold.packing.libraries import require

OPSETS = {"": 18, "ai.onnx.ml": 3}
"""Operator sets that converters aim at: known to ONNX Runtime from 1.15 on, on servers, ARM and WASM alike."""

_DTYPES = {
    1: "float32",
    2: "uint8",
    3: "int8",
    4: "uint16",
    5: "int16",
    6: "int32",
    7: "int64",
    8: "string",
    9: "bool",
    10: "float16",
    11: "float64",
    12: "uint32",
    13: "uint64",
}
"""onnx.TensorProto's element types by their contract name."""

_lock = threading.Lock()


@dataclass(frozen=True)
class Port:
    """An input or output of the model: its element type under its contract name (or a description of what is no
    tensor), and its shape with None where a dimension is free or unknown."""

    name: str
    dtype: str
    shape: tuple[int | None, ...] | None

    def __str__(self) -> str:
        if self.shape is None:
            return f"{self.name}: {self.dtype}"
        return f"{self.name}: {self.dtype} [{', '.join('?' if size is None else str(size) for size in self.shape)}]"


def encoded(model: Any) -> bytes:
    """The bytes of a converted model, the same whenever it is converted: converters list the operator sets as they come
    out of a Python set, and one that hashes by address gives another order now and then. Sorts them in the model."""
    onnx = require("onnx")
    versions = sorted((opset.domain, opset.version) for opset in model.opset_import)
    del model.opset_import[:]
    model.opset_import.extend(onnx.helper.make_opsetid(*version) for version in versions)
    raw: bytes = model.SerializeToString(deterministic=True)
    return raw


@contextlib.contextmanager
def plain_numbers() -> Iterator[None]:
    """While it holds, numpy scalars in node attributes become Python's own.

    Converters copy class labels, axes and flags out of fitted models, where they are numpy scalars; since numpy 2 these
    are neither printed nor always accepted as numbers (`numpy.bool_` is not), and the conversion fails in
    `make_attribute`.
    """
    helper = require("onnx.helper")
    original: Callable[..., Any] = helper.make_attribute

    def make_attribute(key: str, value: Any, *rest: Any, **named: Any) -> Any:
        return original(key, plain(value), *rest, **named)

    with _lock:
        helper.make_attribute = make_attribute
        try:
            yield
        finally:
            helper.make_attribute = original


def plain(value: Any) -> Any:
    """`value` with numpy scalars (and booleans, which ONNX spells as integers) replaced by Python numbers and text."""
    if isinstance(value, np.ndarray):
        return plain(value.tolist())
    if isinstance(value, np.generic):
        value = value.item()
    if isinstance(value, bool):
        return int(value)
    if isinstance(value, list | tuple):
        return [plain(item) for item in value]
    return value


def load(raw: bytes, name: str) -> Any:
    """Parse and check an ONNX model; raises `BundleInvalid`."""
    onnx = require("onnx")
    try:
        model = onnx.load_model_from_string(raw)
        onnx.checker.check_model(model)
    except Exception as err:  # protobuf and the checker raise types of their own, which change between versions
        raise BundleInvalid(f"{name} is not a valid ONNX model: {first_line(err)}") from err
    return model


def ports(model: Any) -> tuple[list[Port], list[Port]]:
    """The model's inputs (initialisers left out) and outputs."""
    constants = {tensor.name for tensor in model.graph.initializer}
    inputs = [_port(value) for value in model.graph.input if value.name not in constants]
    return inputs, [_port(value) for value in model.graph.output]


def _port(value: Any) -> Port:
    kind = value.type.WhichOneof("value")
    if kind != "tensor_type":
        return Port(value.name, str(kind).removesuffix("_type"), None)
    tensor = value.type.tensor_type
    dtype = _DTYPES.get(tensor.elem_type, f"element type {tensor.elem_type}")
    if not tensor.HasField("shape"):
        return Port(value.name, dtype, ())
    # Some exporters write a free dimension as -1 or 0.
    sizes = (dim.dim_value if dim.dim_value > 0 else None for dim in tensor.shape.dim)
    return Port(value.name, dtype, tuple(sizes))


def nodes(graph: Any) -> Iterator[Any]:
    """Every node of a graph or a function, those of the branches and bodies inside it among them."""
    for node in graph.node:
        yield node
        for attribute in node.attribute:
            for inner in (attribute.g, *attribute.graphs) if attribute.type in (5, 10) else ():
                yield from nodes(inner)


def _everywhere(model: Any) -> Iterator[Any]:
    yield from nodes(model.graph)
    for function in model.functions:
        yield from nodes(function)


def opset(model: Any) -> int | None:
    """The version of the standard operators that the model is written in; None where it uses none of them."""
    return next((item.version for item in model.opset_import if item.domain in ("", "ai.onnx")), None)


def _fresh(model: Any, base: str) -> str:
    """A name that nothing in the graph has."""
    taken = {value.name for value in (*model.graph.input, *model.graph.output, *model.graph.initializer)}
    for node in nodes(model.graph):
        taken.update(node.input, node.output)
    name, count = base, 1
    while name in taken:
        count += 1
        name = f"{base}_{count}"
    return name


def _behind(model: Any, name: str, base: str) -> str:
    """Rename what the graph gives as `name`, so that another node can give it; the new name."""
    inner = _fresh(model, base)
    for node in nodes(model.graph):
        node.input[:] = [inner if value == name else value for value in node.input]
        node.output[:] = [inner if value == name else value for value in node.output]
    return inner


def without_zipmap(model: Any) -> bool:
    """Replace every ZipMap at the end of the graph by the tensor that it takes; whether there was one. One whose maps
    other operators take stays."""
    onnx = require("onnx")
    changed = False
    used = {name for node in nodes(model.graph) for name in node.input}
    for node in [node for node in model.graph.node if node.op_type == "ZipMap"]:
        places = [index for index, output in enumerate(model.graph.output) if output.name == node.output[0]]
        if not places or node.output[0] in used:
            continue
        classes = max(len(attribute.ints) + len(attribute.strings) for attribute in node.attribute)
        value = onnx.helper.make_tensor_value_info(node.output[0], onnx.TensorProto.FLOAT, ["rows", classes])
        model.graph.output[places[0]].CopyFrom(value)
        index = list(model.graph.node).index(node)
        identity = onnx.helper.make_node("Identity", [node.input[0]], [node.output[0]], name=node.name)
        model.graph.node.remove(node)
        model.graph.node.insert(index, identity)
        changed = True
    if changed and opset(model) is None:
        model.opset_import.append(onnx.helper.make_opsetid("", 13))
    return changed


def free_rows(model: Any) -> None:
    """Make the first dimension of every output free: some converters declare a label as one row."""
    for output in model.graph.output:
        if output.type.WhichOneof("value") == "tensor_type" and output.type.tensor_type.shape.dim:
            output.type.tensor_type.shape.dim[0].dim_param = "rows"


def free_dimensions(model: Any) -> bool:
    """Give every dimension of an input or output that is written -1 or 0 a name; whether there was one."""
    changed = False
    for side in (model.graph.input, model.graph.output):
        for value in side:
            for index, dim in enumerate(value.type.tensor_type.shape.dim):
                if dim.WhichOneof("value") == "dim_value" and dim.dim_value <= 0:
                    dim.dim_param = "rows" if index == 0 else f"{value.name}_{index}"
                    changed = True
    return changed


def learnt_shapes(model: Any, feed: Mapping[str, Any] | None = None) -> None:
    """Declare the outputs as the runtime gives them: a converter may declare another type, width or rank.

    Without a `feed` the model gets three rows of zeros and empty texts; one that does not run is left as it is.
    """
    onnx = require("onnx")
    bare = type(model)()
    bare.CopyFrom(model)
    for output in bare.graph.output:
        if output.type.WhichOneof("value") == "tensor_type":
            output.ClearField("type")
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 4
    try:
        session = onnxruntime.InferenceSession(encoded(bare), options, providers=["CPUExecutionProvider"])
        given = feed if feed is not None else _example(ports(model)[0])
        answers = session.run(None, dict(given))
        rows = len(next(iter(given.values())))
    except Exception:  # the runtime raises a dozen unrelated classes, and opening the model will tell again
        return
    for output, answer in zip(model.graph.output, answers, strict=True):
        if not isinstance(answer, np.ndarray) or not answer.ndim:
            continue
        kind = onnx.helper.np_dtype_to_tensor_dtype(answer.dtype) if answer.dtype != object else 8
        if answer.shape[0] == rows:
            shape = ["rows", *answer.shape[1:]]
        elif answer.size == rows and feed is None:
            # One value a row, laid out as one row of them.
            inner, size = _behind(model, output.name, f"{output.name}_row"), _fresh(model, f"{output.name}_rows")
            model.graph.initializer.append(onnx.numpy_helper.from_array(np.array([-1], np.int64), size))
            model.graph.node.append(onnx.helper.make_node("Reshape", [inner, size], [output.name]))
            shape = ["rows"]
        else:
            continue
        output.CopyFrom(onnx.helper.make_tensor_value_info(output.name, kind, shape))


EXAMPLE = 3
"""Rows of an example; one row might be taken for a constant."""


def _example(inputs: Sequence[Port]) -> dict[str, Any]:
    out = {}
    for port in inputs:
        shape = (EXAMPLE, *(size or 1 for size in (port.shape or ())[1:]))
        out[port.name] = np.full(shape, "", object) if port.dtype == "string" else np.zeros(shape, port.dtype)
    return out


def label_as_bool(model: Any) -> None:
    """Give the label, 0 or 1, as a boolean."""
    onnx = require("onnx")
    output = next(value for value in model.graph.output if value.name in ("label", "output_label"))
    inner = _behind(model, output.name, f"{output.name}_number")
    model.graph.node.append(onnx.helper.make_node("Cast", [inner], [output.name], to=onnx.TensorProto.BOOL))
    output.type.tensor_type.elem_type = onnx.TensorProto.BOOL
    if opset(model) is None:
        model.opset_import.append(onnx.helper.make_opsetid("", 13))


def clip(model: Any, name: str) -> None:
    """End the output `name` (float32 or float64) at 0 and 1: the sum of a hundred votes in float32 may be 1.0000001."""
    onnx = require("onnx")
    output = next(value for value in model.graph.output if value.name == name)
    maker = next((node for node in model.graph.node if name in node.output), None)
    if maker is None:
        return
    posts = [attribute.s for attribute in maker.attribute if attribute.name == "post_transform"]
    if maker.op_type in ("Softmax", "Sigmoid") or posts in ([b"LOGISTIC"], [b"SOFTMAX"]):
        return
    version = opset(model)
    if version is None:
        version = 13
        model.opset_import.append(onnx.helper.make_opsetid("", version))
    inner = _behind(model, name, f"{name}_unclipped")
    if version < 8:
        model.graph.node.append(onnx.helper.make_node("Clip", [inner], [name], min=0.0, max=1.0))
        return
    kind = np.float64 if output.type.tensor_type.elem_type == onnx.TensorProto.DOUBLE else np.float32
    bounds = [_fresh(model, f"{name}_zero"), _fresh(model, f"{name}_one")]
    for bound, value in zip(bounds, (0, 1), strict=True):
        model.graph.initializer.append(onnx.numpy_helper.from_array(np.array(value, kind), bound))
    if version >= 12:
        model.graph.node.append(onnx.helper.make_node("Clip", [inner, *bounds], [name]))
        return
    # Clip takes its bounds as inputs, and float64, only from operator set 12 on.
    floored = _fresh(model, f"{name}_floored")
    model.graph.node.append(onnx.helper.make_node("Max", [inner, bounds[0]], [floored]))
    model.graph.node.append(onnx.helper.make_node("Min", [floored, bounds[1]], [name]))


def joined(first: Any, second: Any) -> Any:
    """Two models as one: the only output of `first`, as float32, is the only input of `second`. Both come from one
    converter with one target, so that the newer of two operator sets holds for both."""
    onnx = require("onnx")
    compose = require("onnx.compose")
    first = compose.add_prefix(first, "prepare_", rename_inputs=False)
    second = compose.add_prefix(second, "model_", rename_outputs=False)
    (source,) = first.graph.output
    (target,) = second.graph.input
    cast = onnx.helper.make_node("Cast", [source.name], [target.name], to=onnx.TensorProto.FLOAT)
    body = onnx.helper.make_graph(
        [*first.graph.node, cast, *second.graph.node],
        "model",
        list(first.graph.input),
        list(second.graph.output),
        [*first.graph.initializer, *second.graph.initializer],
    )
    versions = {"": 13}
    for opset in (*first.opset_import, *second.opset_import):
        versions[opset.domain] = max(versions.get(opset.domain, 1), opset.version)
    model = onnx.helper.make_model(
        body, opset_imports=[onnx.helper.make_opsetid(*item) for item in sorted(versions.items())]
    )
    model.ir_version = max(first.ir_version, second.ir_version)
    return model


def portable_case(model: Any) -> bool:
    """Let every StringNormalizer change case by ASCII's rules; whether there was one that changes case.

    By default it asks for the locale en_US, which slim containers and browsers do not have: the model would not open.
    """
    changed = False
    for node in _everywhere(model):
        if node.op_type == "StringNormalizer" and _case(node) != "NONE":
            kept = [attribute for attribute in node.attribute if attribute.name != "locale"]
            del node.attribute[:]
            node.attribute.extend([*kept, require("onnx").helper.make_attribute("locale", "C")])
            changed = True
    return changed


def _case(node: Any) -> str:
    return next(
        (attribute.s.decode() for attribute in node.attribute if attribute.name == "case_change_action"), "NONE"
    )


def lints(model: Any) -> list[str]:
    """What runs here and may not run, or not run alike, elsewhere; each with its fix."""
    out = []
    for node in _everywhere(model):
        locale = next((attribute.s.decode() for attribute in node.attribute if attribute.name == "locale"), "en_US")
        if node.op_type == "StringNormalizer" and _case(node) != "NONE" and locale != "C":
            out.append(
                f"the StringNormalizer {node.name!r} changes case under the locale {locale!r}, which containers and "
                f'browsers may lack; export it with the locale "C", or lower-case the text before it reaches the model'
            )
    known = {"", "ai.onnx", "ai.onnx.ml"}
    own = {function.domain for function in model.functions}
    strange = sorted({node.domain for node in _everywhere(model)} - known - own)
    out += [
        f"operators of {name!r} do not run in browsers; export without a runtime's optimisation" for name in strange
    ]
    return out
