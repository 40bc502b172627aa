"""Tensors of the wire to tensors of the core, and a model's columns back to the wire.

A request spells its tensors raw (`raw_input_contents`, one entry for each input) or typed (`contents`), and is answered
in the form that it used. What the values may be is left to the core's reader; datatypes and raw forms are `oip`'s.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final
from weakref import WeakKeyDictionary

import numpy as np

from fivefold.core.check.findings import elements, shown_name, sizes
from fivefold.core.errors import ContractError
from fivefold.core.readers.exact_json import Watch
from fivefold.core.readers.records import SECONDS_PER_TEXT
from fivefold.core.readers.tensors import MANY_TENSORS, SECONDS_PER_TENSOR, Tensor
from fivefold.serving.grpc.proto import inference_pb2 as wire
from fivefold.serving.oip import metadata
from fivefold.serving.oip.selection import refuse_elsewhere

if TYPE_CHECKING:
    from fivefold.core.columns import Array
    from fivefold.serving.messages import Answer, InferRequest
    from fivefold.serving.repository import Model

_ARRAYS: Final[dict[str, Any]] = {
    "bool_contents": np.bool_,
    "int_contents": np.int32,
    "int64_contents": np.int64,
    "uint_contents": np.uint32,
    "uint64_contents": np.uint64,
    "fp32_contents": np.float32,
    "fp64_contents": np.float64,
}


def read(request: wire.ModelInferRequest, watch: Watch | None = None) -> list[Tensor]:
    """The request's tensors; raises `ContractError(malformed)` where they are not what they say they are.

    `watch` is asked first where they are many.
    """
    raw = request.raw_input_contents
    if watch is not None and len(request.inputs) > MANY_TENSORS:
        watch.begin(len(request.inputs) * SECONDS_PER_TENSOR)
    if raw and len(raw) != len(request.inputs):
        raise ContractError(
            "malformed",
            f"expected {len(request.inputs)} raw_input_contents, one for each input, got {len(raw)}",
            path="inputs",
        )
    refuse_elsewhere("inputs", request.inputs)
    out = []
    for index, tensor in enumerate(request.inputs):
        path = f"inputs.{shown_name(tensor.name)}"
        dtype = metadata.dtype_of(tensor.datatype, path)
        shape = tuple(tensor.shape)
        if shape and min(shape) < 0:
            raise ContractError("malformed", f"expected sizes of at least 0, got shape {sizes(shape)}", path=path)
        if watch is not None and dtype == "bytes":
            items = len(raw[index]) / 4 if raw else len(tensor.contents.bytes_contents)
            watch.begin(items * SECONDS_PER_TEXT)
        if not raw:
            out.append(Tensor(tensor.name, dtype, shape, _typed(tensor, path)))
        elif tensor.HasField("contents"):
            raise ContractError("malformed", "expected either raw_input_contents or contents, got both", path=path)
        else:
            out.append(
                Tensor(tensor.name, dtype, shape, metadata.unpack(tensor.datatype, raw[index], elements(shape), path))
            )
    return out


def _typed(tensor: wire.ModelInferRequest.InferInputTensor, path: str) -> Array:
    name = metadata.CONTENTS.get(tensor.datatype)
    if name is None:
        raise ContractError(
            "malformed", f"{tensor.datatype} has no typed contents", path=path, help="send it in raw_input_contents"
        )
    for field, _ in tensor.contents.ListFields():
        if field.name != name:
            raise ContractError("malformed", f"expected {tensor.datatype} in {name}, got {field.name}", path=path)
    values = getattr(tensor.contents, name)
    if name != "bytes_contents":
        return np.fromiter(values, _ARRAYS[name], len(values))
    array = np.empty(len(values), object)
    array[:] = list(values)
    return array


_HEADS: WeakKeyDictionary[Model, bytes] = WeakKeyDictionary()


def _head(model: Model) -> bytes:
    """What every answer of a model begins with, serialised once: parsing it costs less than setting it anew."""
    found = _HEADS.get(model)
    if found is not None:
        return found
    out = wire.ModelInferResponse(model_name=model.name, model_version=model.version)
    for key, value in model.metadata.items():
        out.parameters[key].string_param = value
    _HEADS[model] = made = out.SerializeToString()
    return made


def write(answer: Answer, request: InferRequest, out: wire.ModelInferResponse) -> None:
    """Fill a response with an answer's outputs and metadata.

    FP16 has no typed form, so an answer that holds one is raw as a whole.
    """
    out.MergeFromString(_head(answer.model))
    out.id = request.id or ""
    known = answer.model.metadata
    for key, value in answer.metadata.items():
        # The contract is another where the caller has named its version.
        if known.get(key) != value:
            out.parameters[key].string_param = value
    outputs = request.outputs
    raw = any(request.raw) or any(metadata.NAMES[field.dtype] not in metadata.CONTENTS for field in outputs)
    for field in outputs:
        array = answer.columns[field.name]
        datatype = metadata.NAMES[field.dtype]
        tensor = out.outputs.add(name=field.name, datatype=datatype, shape=array.shape)
        if raw:
            out.raw_output_contents.append(metadata.pack(array))
        elif datatype == "BYTES":
            flat = (item.encode() if isinstance(item, str) else item for item in array.ravel())
            tensor.contents.bytes_contents.extend(flat)
        else:
            getattr(tensor.contents, metadata.CONTENTS[datatype]).extend(array.ravel().tolist())
