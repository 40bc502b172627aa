"""Drivers over HTTP and gRPC: the same two for a server inside this process and for one behind real sockets.

They speak the wire by themselves, without the product's client, so that a mistake of ours cannot cancel itself out.
What a transport cannot express is left out of `asks`; README.md lists it.
"""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence
from typing import Any, TypeVar
from urllib.parse import quote

import grpc
import httpx
import numpy as np
from google.rpc import error_details_pb2, status_pb2

from fivefold.core.contract.contract import Contract
from fivefold.core.fields.field import Field
from fivefold.serving.grpc.grpc_errors import GRPC_STATUS
from fivefold.serving.grpc.proto import inference_pb2 as wire
from fivefold.serving.http.http_errors import HTTP_STATUS
from tests.conformance.asking import request_id
from tests.conformance.cases import Case, Limits, RawTensor, canonical, from_array, load_contract
from tests.conformance.drivers import Outcome, Refusal, refusal_of_body

T = TypeVar("T")
Run = Callable[[Awaitable[T]], T]

DATATYPES = {
    "bool": "BOOL",
    "float16": "FP16",
    "float32": "FP32",
    "float64": "FP64",
    "string": "BYTES",
    "bytes": "BYTES",
} | {f"{sign}int{bits}": f"{sign.upper()}INT{bits}" for sign in ("", "u") for bits in (8, 16, 32, 64)}
DTYPES = {datatype: dtype for dtype, datatype in DATATYPES.items()} | {"BYTES": "bytes"}
LISTS = {
    "BOOL": "bool_contents",
    "INT8": "int_contents",
    "INT16": "int_contents",
    "INT32": "int_contents",
    "INT64": "int64_contents",
    "UINT8": "uint_contents",
    "UINT16": "uint_contents",
    "UINT32": "uint_contents",
    "UINT64": "uint64_contents",
    "FP32": "fp32_contents",
    "FP64": "fp64_contents",
    "BYTES": "bytes_contents",
}
SERVICE = "/inference.GRPCInferenceService"


class Http:
    """Records as V1, tensors as V2 JSON, binary as the binary tensor extension. Every spelling can be asked."""

    transport = "http"

    def __init__(self, client: Callable[[Limits], httpx.AsyncClient | None], run: Run[Any]) -> None:
        """`client` gives the client of a server with those limits, or None where there is none."""
        self.client = client
        self.run = run

    def asks(self, case: Case) -> Iterator[str]:
        return case.spellings() if self.client(case.limits) else iter(())

    def ask(self, case: Case, spelling: str) -> Outcome | Refusal:
        client = self.client(case.limits)
        assert client is not None
        headers = {"x-request-id": request_id(case, spelling), "content-type": "application/json"}
        model = quote(case.contract)
        body = getattr(case, spelling)
        url = f"/v1/models/{model}:predict" if spelling == "records" else f"/v2/models/{model}/infer"
        if spelling == "binary":
            head = json.dumps({"inputs": [_described(t) for t in body], "parameters": {"binary_data_output": True}})
            headers["inference-header-content-length"] = str(len(head))
            headers["content-type"] = "application/octet-stream"
            body = head.encode() + b"".join(t.raw for t in body)
        response = self.run(client.post(url, content=body, headers=headers))
        assert response.headers["x-request-id"] == headers["x-request-id"]
        if response.status_code != 200:
            answer = response.json()
            assert response.status_code == HTTP_STATUS[answer["code"]], answer
            assert answer["request_id"] == headers["x-request-id"]
            return refusal_of_body(answer)
        contract = load_contract(case.contract)
        return _records(contract, response) if spelling == "records" else _tensors(contract, response)


def _described(tensor: RawTensor) -> dict[str, Any]:
    return {
        "name": tensor.name,
        "datatype": DATATYPES[tensor.dtype],
        "shape": tensor.shape,
        "parameters": {"binary_data_size": len(tensor.raw)},
    }


def _records(contract: Contract, response: httpx.Response) -> Outcome:
    answer = response.json()
    names = [f.name for f in contract.outputs]
    assert set(answer) == {"predictions", "metadata"}
    assert all(list(record) == names for record in answer["predictions"]), answer
    outputs = {f.name: [canonical(f, record[f.name]) for record in answer["predictions"]] for f in contract.outputs}
    return Outcome(outputs, None, answer["metadata"])


def _tensors(contract: Contract, response: httpx.Response) -> Outcome:
    length = response.headers.get("inference-header-content-length")
    raw = response.content
    head = json.loads(raw if length is None else raw[: int(length)])
    at = 0 if length is None else int(length)
    outputs = {}
    assert [output["name"] for output in head["outputs"]] == [f.name for f in contract.outputs]
    for f, output in zip(contract.outputs, head["outputs"], strict=True):
        assert output["datatype"] == DATATYPES[f.dtype]
        assert output["shape"][1:] == list(f.shape)
        if "data" in output:
            outputs[f.name] = [canonical(f, value) for value in _nested(output["data"], output["shape"])]
        else:
            size = output["parameters"]["binary_data_size"]
            outputs[f.name] = _column(
                f, output["shape"], RawTensor(f.name, _raw_dtype(f), (), raw[at : at + size]).array()
            )
            at += size
    assert length is None or at == len(raw)
    assert (head["model_name"], head["model_version"]) == (head["parameters"]["model"], head["parameters"]["version"])
    return Outcome(outputs, None, head["parameters"])


def _raw_dtype(f: Field) -> str:
    return "bytes" if f.kind == "string" else f.dtype


def _nested(flat: Sequence[Any], shape: Sequence[int]) -> list[Any]:
    items = np.empty(len(flat), object)
    items[:] = flat
    out: list[Any] = items.reshape(shape).tolist()
    return out


def _column(f: Field, shape: Sequence[int], flat: np.ndarray[Any, Any]) -> list[Any]:
    """Raw elements as canonical values: the null of a nullable field is NaN or its null_value."""
    if f.kind == "string":
        flat = np.array([*(value.decode() for value in flat), None], object)[:-1]
    return from_array(f, flat.reshape(shape))


class Grpc:
    """Binary as `raw_input_contents`, and as typed contents; the tensors spelling where typed contents can hold it.

    Records have no spelling in gRPC. Typed contents cannot hold a half-precision float, a null, a value of another kind
    than the tensor's, or a number that their element type would round or refuse; a shape is a list of its own, so data
    nested otherwise cannot be written down.
    """

    transport = "grpc"

    def __init__(self, channel: Callable[[Limits], grpc.aio.Channel | None], run: Run[Any]) -> None:
        """`channel` gives the channel to a server with those limits, or None where there is none."""
        self.channel = channel
        self.run = run

    def asks(self, case: Case) -> Iterator[str]:
        if self.channel(case.limits) is None:
            return
        if case.binary is not None:
            yield "binary"
            if all(tensor.dtype != "float16" for tensor in case.binary):
                yield "binary: typed"
        if case.tensors is not None and typed_contents(load_contract(case.contract), case.tensors) is not None:
            yield "tensors"

    def ask(self, case: Case, spelling: str) -> Outcome | Refusal:
        contract = load_contract(case.contract)
        request = wire.ModelInferRequest(model_name=case.contract, id=case.id)
        if spelling == "tensors":
            assert case.tensors is not None
            request.inputs.extend(typed_contents(contract, case.tensors) or ())
        for tensor in case.binary or () if spelling != "tensors" else ():
            message = request.inputs.add(name=tensor.name, datatype=DATATYPES[tensor.dtype], shape=tensor.shape)
            if spelling == "binary":
                request.raw_input_contents.append(tensor.raw)
            else:
                getattr(message.contents, LISTS[message.datatype]).extend(tensor.array().tolist())
        channel = self.channel(case.limits)
        assert channel is not None
        return self.run(self._infer(channel, contract, request, request_id(case, spelling)))

    async def _infer(
        self, channel: grpc.aio.Channel, contract: Contract, request: wire.ModelInferRequest, identity: str
    ) -> Outcome | Refusal:
        infer = channel.unary_unary(
            f"{SERVICE}/ModelInfer", wire.ModelInferRequest.SerializeToString, wire.ModelInferResponse.FromString
        )
        call = infer(request, metadata=(("x-request-id", identity),), timeout=60)
        try:
            response = await call
        except grpc.aio.AioRpcError as error:
            return refusal_of_status(error, identity)
        assert response.id == request.id
        return _answer(contract, response, raw=bool(request.raw_input_contents))


def refusal_of_status(error: grpc.aio.AioRpcError, identity: str) -> Refusal:
    """What a failed call says, violation by violation; its trailers, its details and its status must agree."""
    trailers = dict(error.trailing_metadata())
    assert trailers["x-request-id"] == identity
    code = trailers["fivefold-code"]
    assert error.code() == GRPC_STATUS[code], error
    assert error.details(), error
    status = status_pb2.Status.FromString(trailers["grpc-status-details-bin"])
    info, bad = error_details_pb2.ErrorInfo(), error_details_pb2.BadRequest()
    for detail in status.details:
        detail.Unpack(info)
        detail.Unpack(bad)
    assert (info.domain, info.metadata["code"]) == ("fivefold", code)
    found = [(item.reason.lower(), item.field) for item in bad.field_violations]
    first = (code, info.metadata.get("path", ""))
    assert not found or found[0] == first, (found, first)
    return Refusal(tuple(found) or (first,))


def _answer(contract: Contract, response: wire.ModelInferResponse, *, raw: bool) -> Outcome:
    outputs = {}
    assert [output.name for output in response.outputs] == [f.name for f in contract.outputs]
    raw = raw or any(f.dtype == "float16" for f in contract.outputs)
    assert len(response.raw_output_contents) == (len(response.outputs) if raw else 0)
    for index, (f, output) in enumerate(zip(contract.outputs, response.outputs, strict=True)):
        assert output.datatype == DATATYPES[f.dtype]
        if raw:
            flat = RawTensor(f.name, _raw_dtype(f), (), response.raw_output_contents[index]).array()
        else:
            values = list(getattr(output.contents, LISTS[output.datatype]))
            flat = np.empty(len(values), object)
            flat[:] = values
            flat = flat if _raw_dtype(f) == "bytes" else flat.astype(f.dtype)
        outputs[f.name] = _column(f, output.shape, flat)
    metadata = {key: value.string_param for key, value in response.parameters.items()}
    assert (response.model_name, response.model_version) == (metadata["model"], metadata["version"])
    return Outcome(outputs, None, metadata)


def typed_contents(contract: Contract, body: bytes) -> list[wire.ModelInferRequest.InferInputTensor] | None:
    """The tensors of a V2 body as messages that mean exactly the same, or None where there are none."""
    try:
        parsed = json.loads(body.decode("utf-8"), parse_float=_Text, parse_int=_Text, parse_constant=_refuse)
        return [_typed(contract, tensor) for tensor in parsed["inputs"]]
    except (ValueError, TypeError, KeyError, OverflowError, AttributeError, IndexError):
        return None


class _Text(str):
    """A number as it was written."""


def _refuse(token: str) -> Any:
    raise ValueError(token)


def _typed(contract: Contract, tensor: Mapping[str, Any]) -> wire.ModelInferRequest.InferInputTensor:
    shape = [int(size) for size in tensor["shape"]]
    if min(shape, default=0) < 0:
        raise ValueError("a message may say so, but JSON alone is asked")
    names = {name: f for f in contract.inputs for name in (f.name, *f.aliases)}
    base64ed = tensor["name"] in names and names[tensor["name"]].kind == "bytes"
    message = wire.ModelInferRequest.InferInputTensor(name=tensor["name"], datatype=tensor["datatype"], shape=shape)
    values = [_element(tensor["datatype"], value, base64ed) for value in _flat(tensor["data"], shape)]
    getattr(message.contents, LISTS[tensor["datatype"]]).extend(values)
    return message


def _flat(data: Any, shape: Sequence[int]) -> list[Any]:
    """The elements of data that is flat, or nested exactly as its shape."""
    if not any(isinstance(item, list) for item in data):
        return list(data)
    level = [data]
    for size in shape:
        if any(len(part) != size for part in level):
            raise ValueError("ragged")
        level = [item for part in level for item in part]
    return level


def _element(datatype: str, value: Any, base64ed: bool) -> Any:
    number = isinstance(value, _Text)
    if datatype == "BYTES":
        if number or not isinstance(value, str) or base64ed:
            raise ValueError("base64 is a matter of JSON")
        return value.encode()
    if datatype == "BOOL":
        if not isinstance(value, bool):
            raise ValueError("no boolean")
        return value
    if not number:
        raise ValueError("no number")
    if not datatype.startswith("FP"):
        return int(value)
    # An integer literal has no negative zero.
    wide = float(value) if set(value) & set(".eE") else float(int(value))
    with np.errstate(over="ignore"):
        if not np.isfinite(wide) or (datatype == "FP32" and float(np.float32(wide)) != wide):
            raise ValueError("the element type cannot hold it")
    return wide
