"""The Open Inference Protocol over HTTP: JSON tensors, and the binary tensor extension.

Datatypes and raw forms are `fivefold.serving.oip.metadata`'s, shared with gRPC; reading tensors under the contract is
core's; everything about the connection is left to `inference`. Members of a request that the protocol does not know are
ignored, as its other servers do; names of tensors are not.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import msgspec

from fivefold.core.check.findings import describe, elements, shown_name, sizes
from fivefold.core.columns import json_values
from fivefold.core.errors import ContractError
from fivefold.core.readers.records import SECONDS_PER_TEXT
from fivefold.core.readers.tensors import MANY_TENSORS, SECONDS_PER_TENSOR, JsonText, Tensor
from fivefold.serving.http.http_errors import JSON, HttpReply
from fivefold.serving.http.v2_request import (
    HEADER_LENGTH,
    NOTHING,
    Input,
    Parameter,
    Parameters,
    Plain,
    Request,
    header_length,
    parse,
    parse_plain,
)
from fivefold.serving.limits import ServingLimits
from fivefold.serving.messages import Answer, Call, InferRequest
from fivefold.serving.oip.metadata import DATATYPES, NAMES, RAW_ONLY, dtype_of, pack, unpack
from fivefold.serving.oip.selection import refuse_elsewhere, select

if TYPE_CHECKING:
    from fivefold.core.fields.field import Field
    from fivefold.core.view import View
    from fivefold.serving.http.asgi import Headers
    from fivefold.serving.http.request_body import Body

BINARY = (b"content-type", b"application/octet-stream")

_NULL = b"null"


class V2:
    """The protocol's `infer`, with JSON and binary tensors in any mixture."""

    consumes: tuple[str, ...] = ("application/json", "application/octet-stream")
    produces: tuple[str, ...] = ("application/json", "application/octet-stream")

    def __init__(self, settings: ServingLimits) -> None:
        self._max_rows = settings.max_rows
        self._max_depth = settings.max_json_depth

    def raw_bytes(self, headers: Headers, size: int) -> int:
        """See `HttpCodec`."""
        length = headers.get(HEADER_LENGTH)
        if length is None or not length.isdigit():
            return 0
        return max(size - int(length[:19]), 0)

    def decode(self, body: Body, view: View, call: Call) -> InferRequest:
        """See `Codec`."""
        length = header_length(body.headers.get(HEADER_LENGTH))
        whole = body.whole()
        if length is None and view.tensors.plain:
            plain = self._plain(whole, view)
            if plain is not None:
                return plain
        if length == 0:
            request, tensors = _raw_only(view, whole)
        else:
            request, tensors = self._read(whole, length, call)
        outputs, raw = _outputs(view, request)
        reading = view.tensors.read(tensors, max_rows=self._max_rows, max_depth=self._max_depth, watch=call)
        return InferRequest(reading, outputs, raw, request.id)

    def _plain(self, whole: bytes, view: View) -> InferRequest | None:
        """The most common request in one pass: one tensor of numbers, nothing raw. None where it is another one."""
        request = parse_plain(whole)
        if request is None:
            return None
        refuse_elsewhere("outputs", request.outputs)
        (item,) = request.inputs
        dtype = dtype_of(item.datatype, f"inputs.{shown_name(item.name)}")
        if item.datatype in RAW_ONLY:
            return None
        tensors = view.tensors
        reading = tensors.read_numbers(item.name, dtype, tuple(item.shape), item.data, max_rows=self._max_rows)
        if reading is None:
            return None
        outputs, raw = _outputs(view, request)
        return InferRequest(reading, outputs, raw, request.id)

    def encode(self, answer: Answer, request: InferRequest) -> HttpReply:
        """See `Codec`."""
        outputs: list[dict[str, Any]] = []
        tail: list[bytes] = []
        for field, raw in zip(request.outputs, request.raw, strict=True):
            array = answer.columns[field.name]
            tensor: dict[str, Any] = {"name": field.name, "datatype": NAMES[field.dtype], "shape": array.shape}
            if raw:
                data = pack(array)
                tensor["parameters"] = {"binary_data_size": len(data)}
                tail.append(data)
            else:
                tensor["data"] = json_values(field, array.reshape(-1))
            outputs.append(tensor)
        model = answer.model
        head: dict[str, Any] = {"model_name": model.name, "model_version": model.version}
        if request.id is not None:
            head["id"] = request.id
        head["parameters"] = answer.metadata
        head["outputs"] = outputs
        text = msgspec.json.encode(head)
        if not tail:
            return HttpReply(200, [JSON], text)
        return HttpReply(200, [BINARY, (HEADER_LENGTH, str(len(text)).encode())], b"".join((text, *tail)))

    def _read(self, whole: bytes, length: int | None, call: Call) -> tuple[Request, list[Tensor]]:
        if length is not None and length > len(whole):
            raise ContractError("malformed", f"expected {length} bytes of JSON, got a body of {len(whole)}")
        text = whole if length is None else whole[:length]
        request = parse(text, self._max_depth, call)
        if len(request.inputs) > MANY_TENSORS:
            call.begin(len(request.inputs) * SECONDS_PER_TENSOR)
        # First: a tensor that lies in shared memory has no data here, which is not what is wrong with it.
        refuse_elsewhere("inputs", request.inputs)
        refuse_elsewhere("outputs", request.outputs)
        raw = memoryview(whole)[len(text) :]
        at = 0
        tensors = []
        for item in request.inputs:
            dtype = DATATYPES.get(item.datatype, "")
            if dtype and not item.parameters and item.datatype not in RAW_ONLY and not _absent(item.data):
                tensors.append(_json_tensor(item, dtype))
                continue
            path = f"inputs.{shown_name(item.name)}"
            dtype = dtype_of(item.datatype, path)
            size = _given(item.parameters, "binary_data_size")
            if size is None:
                _refuse_json(item, path)
                tensors.append(_json_tensor(item, dtype))
                continue
            if isinstance(size, bool) or not isinstance(size, int) or size < 0:
                raise ContractError(
                    "malformed", f"expected a binary_data_size in bytes, got {describe(size)}", path=path
                )
            if length is None or not _absent(item.data):
                why = "without the header Inference-Header-Content-Length" if length is None else "beside data"
                raise ContractError("malformed", f"binary_data_size {why}", path=path)
            if size > len(raw) - at:
                raise ContractError("malformed", f"expected {size} more bytes, got {len(raw) - at}", path=path)
            shape = tuple(item.shape)
            if item.datatype == "BYTES":
                call.begin(size / 4 * SECONDS_PER_TEXT)
            data = unpack(item.datatype, raw[at : at + size], _elements(shape, path), path)
            tensors.append(Tensor(item.name, dtype, shape, data))
            at += size
        if at != len(raw):
            raise ContractError("malformed", f"{len(raw) - at} bytes follow the last tensor")
        return request, tensors


def _raw_only(view: View, whole: bytes) -> tuple[Request, list[Tensor]]:
    """The whole body is the one input's one row; every output comes back raw. BYTES is one element without a length."""
    if len(view.inputs) != 1:
        raise ContractError("malformed", f"a raw request needs a model with one input, not {len(view.inputs)}")
    field = view.inputs[0]
    name = NAMES[field.dtype]
    if name == "BYTES":
        whole = len(whole).to_bytes(4, "little") + whole
    path = f"inputs.{field.name}"
    tensor = Tensor(field.name, dtype_of(name, path), (1, *field.shape), unpack(name, whole, field.size, path))
    return Request(inputs=[], parameters={"binary_data_output": True}), [tensor]


def _refuse_json(item: Input, path: str) -> None:
    """Raise for a tensor that must have its data in the JSON, and cannot."""
    if _absent(item.data):
        raise ContractError("malformed", "expected data, or a binary_data_size, got neither", path=path)
    if item.datatype in RAW_ONLY:
        raise ContractError("malformed", f"{item.datatype} has no form in JSON", path=path, help="send it as FP32")


def _json_tensor(item: Input, dtype: str) -> Tensor:
    data: Any = item.data
    if isinstance(data, msgspec.Raw):
        data = JsonText(memoryview(data))
    return Tensor(item.name, dtype, tuple(item.shape), data)


def _absent(data: Any) -> bool:
    """Whether a tensor has no data in the JSON: none was given, or null."""
    return data is NOTHING or (isinstance(data, msgspec.Raw) and len(data) == len(_NULL) and bytes(data) == _NULL)


def _elements(shape: tuple[int, ...], path: str) -> int:
    if shape and min(shape) < 0:
        raise ContractError("malformed", f"expected sizes of at least 0, got shape {sizes(shape)}", path=path)
    return elements(shape)


def _outputs(view: View, request: Request | Plain) -> tuple[Sequence[Field], Sequence[bool]]:
    """The outputs that a request wants, all of them where it names none; and whether each goes raw."""
    default = _flag(request.parameters, "binary_data_output", "parameters", False)
    if not request.outputs:
        return view.outputs, (default,) * len(view.outputs)
    chosen = select(view.outputs, request.outputs)
    raw = [_flag(part.parameters, "binary_data", f"outputs.{shown_name(part.name)}", default) for _, part in chosen]
    return [field for field, _ in chosen], raw


def _flag(parameters: Parameters, name: str, path: str, default: bool) -> bool:
    """A parameter that is true or false; `default` where it is absent or null."""
    value = _given(parameters, name)
    if value is None:
        return default
    if not isinstance(value, bool):
        raise ContractError("malformed", f"expected true or false, got {describe(value)}", path=f"{path}.{name}")
    return value


def _given(parameters: Parameters, name: str) -> Parameter | None:
    """A parameter's value; None where it is absent or null."""
    return parameters.get(name) if parameters else None
