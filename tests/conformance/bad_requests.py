"""Requests that are wrong before any row is read, with the code and path of each answer."""

from __future__ import annotations

import gzip
import json
import struct
from dataclasses import dataclass, field
from typing import Any

from fivefold.serving.grpc.proto import inference_pb2 as wire

PREDICT = "/v1/models/linear:predict"
INFER = "/v2/models/linear/infer"
ROW = '{"instances": [{"a": 1, "b": 1}]}'


def v2(*tensors: dict[str, Any], **members: Any) -> str:
    """A V2 body."""
    return json.dumps({"inputs": list(tensors), **members})


A = {"name": "a", "shape": [1], "datatype": "FP32", "data": [1]}
B = {"name": "b", "shape": [1], "datatype": "FP32", "data": [1]}
RAW = {"name": "a", "shape": [1], "datatype": "FP32", "parameters": {"binary_data_size": 4}}


def binary(head: str, tail: bytes, length: int | str | None = None) -> tuple[bytes, dict[str, str]]:
    """A body of the binary extension and its header."""
    size = len(head) if length is None else length
    return head.encode() + tail, {"inference-header-content-length": str(size)}


def changed(tensor: dict[str, Any], **members: Any) -> dict[str, Any]:
    """A tensor with members replaced; None takes one away."""
    return {key: value for key, value in (tensor | members).items() if value is not None}


@dataclass(frozen=True)
class Request:
    """A request, and the code and path of its answer."""

    method: str
    url: str
    body: str | bytes
    code: str
    path: str
    headers: dict[str, str] = field(hash=False)


def post(
    url: str,
    body: str | bytes | tuple[bytes, dict[str, str]],
    code: str,
    path: str = "",
    *,
    headers: dict[str, str] | None = None,
    method: str = "POST",
) -> Request:
    """A request with a body of JSON, or of the binary extension."""
    content, more = body if isinstance(body, tuple) else (body, {"content-type": "application/json"})
    return Request(method, url, content, code, path, more | (headers or {}))


def get(url: str, code: str) -> Request:
    """A request without a body."""
    return Request("GET", url, "", code, "", {})


def sized(size: int | str) -> dict[str, Any]:
    """The raw tensor with another size."""
    return RAW | {"parameters": {"binary_data_size": size}}


HTTP: dict[str, Request] = {
    "no-such-route": post("/v3/models/linear:predict", ROW, "not_found"),
    "no-such-route-get": get("/nothing", "not_found"),
    "no-such-model-v1": post("/v1/models/liner:predict", ROW, "model_not_found"),
    "no-such-model-v2": post("/v2/models/liner/infer", v2(A, B), "model_not_found"),
    "no-such-model-metadata": get("/v2/models/liner", "model_not_found"),
    "no-such-model-contract": get("/v1/models/liner/contract", "model_not_found"),
    "no-such-version-v1": post("/v1/models/linear/versions/2:predict", ROW, "version_not_found"),
    "no-such-version-v2": post("/v2/models/linear/versions/2/infer", v2(A, B), "version_not_found"),
    "method-get-predict": get(PREDICT, "method_not_allowed"),
    "method-put-infer": post(INFER, v2(A, B), "method_not_allowed", method="PUT"),
    "method-post-metadata": post("/v2/models/linear", "{}", "method_not_allowed"),
    "media-type-text": post(PREDICT, ROW, "unsupported_media_type", headers={"content-type": "text/plain"}),
    "media-type-form": post(
        INFER, "a=1", "unsupported_media_type", headers={"content-type": "application/x-www-form-urlencoded"}
    ),
    "media-type-charset": post(
        PREDICT, ROW, "unsupported_media_type", headers={"content-type": "application/json; charset=latin-1"}
    ),
    "content-encoding": post(PREDICT, ROW, "unsupported_media_type", headers={"content-encoding": "br"}),
    "accept-xml": post(PREDICT, ROW, "not_acceptable", headers={"accept": "application/xml"}),
    "gzip-that-is-none": post(PREDICT, ROW, "malformed", headers={"content-encoding": "gzip"}),
    "gzip-cut": post(PREDICT, gzip.compress(ROW.encode())[:-9], "malformed", headers={"content-encoding": "gzip"}),
    "timeout-no-number": post(PREDICT, ROW, "malformed", headers={"x-request-timeout": "soon"}),
    "timeout-zero": post(PREDICT, ROW, "deadline_exceeded", headers={"x-request-timeout": "0"}),
    "headers-too-large": post(PREDICT, ROW, "headers_too_large", headers={"x-filler": "x" * 40_000}),
    "empty-body-v1": post(PREDICT, "", "malformed"),
    "empty-body-v2": post(INFER, "", "malformed"),
    "v2-array": post(INFER, "[]", "malformed"),
    "v2-no-inputs": post(INFER, "{}", "malformed", "inputs"),
    "v2-inputs-object": post(INFER, '{"inputs": {}}', "malformed", "inputs"),
    "v2-inputs-of-numbers": post(INFER, '{"inputs": [1]}', "malformed", "inputs[0]"),
    "v2-tensor-no-name": post(INFER, v2(A, changed(B, name=None)), "malformed", "inputs[1].name"),
    "v2-tensor-name-number": post(INFER, v2(changed(A, name=1)), "malformed", "inputs[0].name"),
    "v2-tensor-no-shape": post(INFER, v2(changed(A, shape=None)), "malformed", "inputs.a"),
    "v2-tensor-shape-text": post(INFER, v2(changed(A, shape="1")), "malformed", "inputs.a"),
    "v2-tensor-shape-fraction": post(INFER, v2(changed(A, shape=[1.5])), "malformed", "inputs.a"),
    "v2-tensor-no-datatype": post(INFER, v2(changed(A, datatype=None)), "malformed", "inputs.a.datatype"),
    "v2-tensor-datatype": post(INFER, v2(changed(A, datatype="float32"), B), "malformed", "inputs.a"),
    "v2-tensor-no-data": post(INFER, v2(changed(A, data=None), B), "malformed", "inputs.a"),
    "v2-tensor-data-number": post(INFER, v2(changed(A, data=1), B), "malformed", "inputs.a"),
    "v2-tensor-half-in-json": post(INFER, v2(changed(A, datatype="FP16"), B), "malformed", "inputs.a"),
    "v2-tensor-bfloat-in-json": post(INFER, v2(changed(A, datatype="BF16"), B), "malformed", "inputs.a"),
    "v2-parameters-array": post(INFER, v2(A, B, parameters=[]), "malformed", "parameters"),
    "v2-parameters-nested": post(INFER, v2(A, B, parameters={"p": {}}), "malformed", "parameters"),
    "v2-id-number": post(INFER, v2(A, B, id=5), "malformed", "id"),
    "v2-outputs-object": post(INFER, v2(A, B, outputs={}), "malformed", "outputs"),
    "v2-output-no-name": post(INFER, v2(A, B, outputs=[{}]), "malformed", "outputs[0].name"),
    "v2-output-unknown": post(INFER, v2(A, B, outputs=[{"name": "z"}]), "unknown_field", "outputs.z"),
    "v2-shared-memory": post(
        INFER, v2(A | {"parameters": {"shared_memory_region": "r"}}, B), "not_implemented", "inputs.a"
    ),
    "v2-binary-without-header": post(INFER, v2(RAW, B), "malformed", "inputs.a"),
    "v2-binary-beside-data": post(INFER, binary(v2(RAW | {"data": [1]}, B), b"\0" * 4), "malformed", "inputs.a"),
    "v2-binary-too-short": post(INFER, binary(v2(RAW, B), b"\0" * 3), "malformed", "inputs.a"),
    "v2-binary-too-long": post(INFER, binary(v2(RAW, B), b"\0" * 5), "malformed"),
    "v2-binary-size-of-elements": post(INFER, binary(v2(sized(8), B), b"\0" * 8), "malformed", "inputs.a"),
    "v2-binary-size-negative": post(INFER, binary(v2(sized(-4), B), b""), "malformed", "inputs.a"),
    "v2-binary-size-text": post(INFER, binary(v2(sized("4"), B), b"\0" * 4), "malformed", "inputs.a"),
    "v2-binary-header-text": post(INFER, binary(v2(RAW, B), b"\0" * 4, "all"), "malformed"),
    "v2-binary-header-too-large": post(INFER, binary(v2(RAW, B), b"\0" * 4, 100_000), "malformed"),
    "v2-binary-header-cuts-json": post(INFER, binary(v2(RAW, B), b"\0" * 4, 20), "malformed"),
    "v2-raw-only-many-inputs": post(INFER, (b"\0" * 4, {"inference-header-content-length": "0"}), "malformed"),
    "v2-raw-only-size": post(
        "/v2/models/one-number/infer", (b"\0" * 7, {"inference-header-content-length": "0"}), "malformed", "inputs.x"
    ),
    "v2-bool-of-two": post(
        "/v2/models/kinds/infer",
        binary(v2({"name": "b", "shape": [1], "datatype": "BOOL", "parameters": {"binary_data_size": 1}}), b"\2"),
        "malformed",
        "inputs.b",
    ),
    "v2-bytes-past-the-end": post(
        "/v2/models/one-text/infer",
        binary(
            v2({"name": "t", "shape": [1], "datatype": "BYTES", "parameters": {"binary_data_size": 6}}), b"\3\0\0\0ab"
        ),
        "malformed",
        "inputs.t",
    ),
    "v2-load": post("/v2/repository/models/linear/load", "{}", "not_implemented"),
    "v2-unload": post("/v2/repository/models/linear/unload", "{}", "not_implemented"),
    "bundle-file": get("/v1/models/linear/bundle/secret", "not_found"),
}


Message = wire.ModelInferRequest


def message(
    *tensors: tuple[str, str, list[int]], raw: list[bytes] | None = None, **members: Any
) -> wire.ModelInferRequest:
    """A request of tensors as (name, datatype, shape), filled raw or by the caller."""
    out = Message(**({"model_name": "linear"} | members))
    for name, datatype, shape in tensors:
        out.inputs.add(name=name, datatype=datatype, shape=shape)
    out.raw_input_contents.extend(raw or [])
    return out


def typed(**contents: Any) -> wire.ModelInferRequest:
    """One tensor `a` of FP32 with those typed contents, and a good `b`."""
    out = message(("a", "FP32", [1]), ("b", "FP32", [1]))
    for name, values in contents.items():
        getattr(out.inputs[0].contents, name).extend(values)
    out.inputs[1].contents.fp32_contents.append(1)
    return out


FLOAT = struct.pack("<f", 1)
ONE, TWO = ("a", "FP32", [1]), ("b", "FP32", [1])
GRPC: dict[str, tuple[wire.ModelInferRequest | bytes, str, str]] = {
    "not-a-message": (b"\xff\xff\xff", "malformed", ""),
    "no-such-model": (message(ONE, TWO, raw=[FLOAT, FLOAT], model_name="liner"), "model_not_found", ""),
    "no-model": (message(ONE, TWO, raw=[FLOAT, FLOAT], model_name=""), "model_not_found", ""),
    "no-such-version": (message(ONE, TWO, raw=[FLOAT, FLOAT], model_version="7"), "version_not_found", ""),
    "no-tensors": (message(), "missing_field", "inputs.a"),
    "raw-too-few": (message(ONE, TWO, raw=[FLOAT]), "malformed", "inputs"),
    "raw-too-many": (message(ONE, raw=[FLOAT, FLOAT]), "malformed", "inputs"),
    "raw-too-short": (message(ONE, TWO, raw=[FLOAT[:3], FLOAT]), "malformed", "inputs.a"),
    "raw-too-long": (message(ONE, TWO, raw=[FLOAT * 2, FLOAT]), "malformed", "inputs.a"),
    "raw-empty": (message(ONE, TWO, raw=[b"", FLOAT]), "malformed", "inputs.a"),
    "datatype": (message(("a", "float32", [1]), TWO, raw=[FLOAT, FLOAT]), "malformed", "inputs.a"),
    "datatype-empty": (message(("a", "", [1]), TWO, raw=[FLOAT, FLOAT]), "malformed", "inputs.a"),
    "shape-negative": (message(("a", "FP32", [-1]), TWO, raw=[FLOAT, FLOAT]), "malformed", "inputs.a"),
    "shape-huge": (message(("a", "FP32", [2**62, 4]), TWO, raw=[FLOAT, FLOAT]), "malformed", "inputs.a"),
    "bool-of-two": (message(("b", "BOOL", [1]), raw=[b"\2"], model_name="kinds"), "malformed", "inputs.b"),
    "bytes-cut": (message(("t", "BYTES", [1]), raw=[b"\3\0\0\0ab"], model_name="one-text"), "malformed", "inputs.t"),
    "bytes-one-too-many": (
        message(("t", "BYTES", [1]), raw=[b"\0" * 8], model_name="one-text"),
        "malformed",
        "inputs.t",
    ),
    "typed-nothing": (typed(), "malformed", "inputs.a"),
    "typed-too-many": (typed(fp32_contents=[1, 2]), "malformed", "inputs.a"),
    "typed-other-list": (typed(int_contents=[1]), "malformed", "inputs.a"),
    "typed-two-lists": (typed(fp32_contents=[1], fp64_contents=[1]), "malformed", "inputs.a"),
    "typed-half": (message(("a", "FP16", [1]), TWO), "malformed", "inputs.a"),
    "output-unknown": (
        message(ONE, TWO, raw=[FLOAT, FLOAT], outputs=[Message.InferRequestedOutputTensor(name="z")]),
        "unknown_field",
        "outputs.z",
    ),
    "long-name": (
        message(("é" * 5000, "FP32", [1]), ONE, TWO, raw=[FLOAT] * 3),
        "unknown_field",
        f"inputs.{'é' * 128}…",
    ),
}


def _both() -> wire.ModelInferRequest:
    out = typed(fp32_contents=[1])
    out.raw_input_contents.extend([FLOAT, FLOAT])
    return out


GRPC["raw-beside-typed"] = (_both(), "malformed", "inputs.a")
