"""What the servers are asked: the same rows in each server's own form, and how to read its answer.

Rows are a bundle's golden ones, and answers are compared with its own before anything is measured. Which bundle is left
to `contenders` and `tensors`, sending many requests to `tools`.
"""

from __future__ import annotations

import http.client
import json
import urllib.error
import urllib.request
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import grpc
import numpy as np

from fivefold.core.bundle.bundle import Bundle
from fivefold.packing import demo, pack
from fivefold.serving.grpc.proto import inference_pb2 as wire
from loadtest.machine.measurement import Differs

ONE_FIELD, NAMED = "row", "named"
"""The bundles: one field X of shape [30], and the same thirty numbers as named fields; the model is the same file."""

ROWS: Final = 64
"""The rows of the larger requests."""

TOLERANCE: Final = 1e-4
SECONDS: Final = 120.0

Values = Sequence[Sequence[float]]
Read = Callable[[bytes, Mapping[str, str]], Any]


@dataclass(frozen=True)
class HttpRequest:
    """One request over HTTP, and how the model's answer is read from its own."""

    path: str
    body: bytes
    read: Read
    headers: Mapping[str, str] = field(default_factory=lambda: {"content-type": "application/json"})


@dataclass(frozen=True)
class Question:
    """Rows for a model of one field, `X`, and what the model says to them.

    `rows` are little-endian float32 of shape [n, *shape], `truth` is the answer, of shape [n, numbers]. `names` are the
    fields of the model that takes the same rows as named numbers, where there is one.
    """

    model: str
    rows: np.ndarray[Any, Any]
    truth: np.ndarray[Any, Any]
    names: tuple[str, ...] = ()

    def block(self, count: int) -> bytes:
        """The first rows, raw."""
        return self.rows[:count].tobytes()

    def tensor(self, count: int) -> dict[str, Any]:
        """What V2 calls them, without their data."""
        return {"name": "X", "shape": [count, *self.rows.shape[1:]], "datatype": "FP32"}


class Refuses(Differs):
    """It answers with an error, as one does that has not finished starting."""


def make_bundles(directory: Path) -> None:
    """Train gradient boosting with 100 trees once and pack it under both contracts."""
    from sklearn.datasets import load_breast_cancer
    from sklearn.ensemble import GradientBoostingClassifier

    data = load_breast_cancer()
    block = data.data.astype(np.float32)
    model = GradientBoostingClassifier(n_estimators=demo.TREES, random_state=0).fit(block, data.target)
    outputs = [{"name": "probability", "dtype": "float32", "shape": [2], "minimum": 0, "maximum": 1}]
    limits = {"dtype": "float32", "minimum": 0, "maximum": 10_000}
    names = [name.replace(" ", "_") for name in data.feature_names]
    for bundle, inputs, golden in (
        (ONE_FIELD, [{"name": "X", "shape": [30], **limits}], [{"X": row} for row in block[:ROWS].tolist()]),
        (NAMED, [{"name": name, **limits} for name in names], [dict(zip(names, row)) for row in block[:ROWS].tolist()]),
    ):
        contract = {"format": 1, "name": bundle, "version": "1.0.0", "inputs": inputs, "outputs": outputs}
        pack(model, contract, directory / bundle, golden_from=golden, force=True)


def question(directory: Path) -> Question:
    """The rows and answers of the bundles in `directory`; raises `Differs` where the two hold different models."""
    one, named = Bundle.open(directory / ONE_FIELD), Bundle.open(directory / NAMED)
    if one.read("model.onnx") != named.read("model.onnx"):
        raise Differs("the two bundles hold different models")
    return golden(one, ROWS, tuple(item.name for item in named.contract.inputs))


def golden(bundle: Bundle, count: int, names: tuple[str, ...] = ()) -> Question:
    """So many of a bundle's golden rows, over again from the first where it has fewer, and its answers to them."""
    inputs, outputs = bundle.golden()
    (output,) = bundle.contract.outputs
    picked = np.arange(count) % inputs.rows
    rows = np.asarray(inputs["X"], "<f4")[picked]
    return Question(bundle.name, rows, np.asarray(outputs[output.name])[picked], names)


def plain(path: str, asked: Question, count: int) -> HttpRequest:
    """{"X": rows} to {"probability": rows}: the form of the servers that leave it to their user."""
    return HttpRequest(path, _json({"X": _numbers(asked, count)}), lambda body, _: json.loads(body)["probability"])


def v1_named(asked: Question, count: int) -> HttpRequest:
    """Records of thirty named fields to `fivefold`."""
    records = [dict(zip(asked.names, row)) for row in _numbers(asked, count)]
    return HttpRequest(
        f"/v1/models/{NAMED}:predict",
        _json({"instances": records}),
        lambda body, _: [item["probability"] for item in json.loads(body)["predictions"]],
    )


def v2(asked: Question, count: int) -> HttpRequest:
    """V2 in JSON: flat data."""
    tensor = asked.tensor(count) | {"data": np.ravel(_numbers(asked, count)).tolist()}
    return HttpRequest(f"/v2/models/{asked.model}/infer", _json({"inputs": [tensor]}), _read_v2)


def v2_binary(asked: Question, count: int) -> HttpRequest:
    """V2's binary extension: a JSON header, then raw tensors, both ways."""
    block = asked.block(count)
    described = asked.tensor(count) | {"parameters": {"binary_data_size": len(block)}}
    head = _json({"inputs": [described], "parameters": {"binary_data_output": True}})
    headers = {"content-type": "application/octet-stream", "inference-header-content-length": str(len(head))}
    return HttpRequest(f"/v2/models/{asked.model}/infer", head + block, _read_v2_binary, headers)


def raw(path: str, asked: Question, count: int) -> HttpRequest:
    """Nothing but the numbers, both ways."""
    return HttpRequest(
        path,
        asked.block(count),
        lambda body, _: np.frombuffer(body, "<f4").reshape(count, -1),
        {"content-type": "application/octet-stream"},
    )


def message(asked: Question, count: int) -> bytes:
    """ModelInferRequest with raw tensors, serialised."""
    request = wire.ModelInferRequest(model_name=asked.model, raw_input_contents=[asked.block(count)])
    request.inputs.add(**asked.tensor(count))
    return request.SerializeToString()


def check_http(name: str, port: int, ask: HttpRequest, truth: np.ndarray[Any, Any]) -> None:
    """Ask once; raises `Differs` on a wrong answer, `Refuses` on an error, `OSError` where nobody answers."""
    request = urllib.request.Request(f"http://127.0.0.1:{port}{ask.path}", ask.body, dict(ask.headers))
    try:
        with urllib.request.build_opener(urllib.request.ProxyHandler({})).open(request, timeout=SECONDS) as answer:
            body, headers = answer.read(), {key.lower(): value for key, value in answer.headers.items()}
    except http.client.HTTPException as error:
        raise Refuses(f"{name} does not speak HTTP: {error!r}") from error
    except urllib.error.HTTPError as error:
        raise Refuses(f"{name}: HTTP {error.code}: {error.read()[:500].decode(errors='replace')}") from error
    try:
        got = np.asarray(ask.read(body, headers), np.float64)
    except (ValueError, KeyError, IndexError, TypeError) as error:
        raise Differs(f"{name} cannot be understood: {error!r} in {body[:300]!r}") from error
    _compare(name, got, truth)


def check_grpc(name: str, port: int, request: bytes, truth: np.ndarray[Any, Any]) -> None:
    """Ask once over gRPC; raises `Differs`, `Refuses`, or `ConnectionError` where nobody answers."""
    # A client of this machine's own servers must not go through a proxy that the environment names.
    with grpc.insecure_channel(f"127.0.0.1:{port}", options=[("grpc.enable_http_proxy", 0)]) as channel:
        call: Callable[..., bytes] = channel.unary_unary("/inference.GRPCInferenceService/ModelInfer")
        try:
            answer = wire.ModelInferResponse.FromString(call(request, timeout=SECONDS))
        except grpc.RpcError as error:
            kind = ConnectionError if error.code() is grpc.StatusCode.UNAVAILABLE else Refuses
            raise kind(f"{name}: {error.code().name}: {error.details()}") from error
    if len(answer.raw_output_contents) != 1:
        raise Differs(f"{name} answers one raw tensor with {len(answer.raw_output_contents)}")
    _compare(name, np.frombuffer(answer.raw_output_contents[0], "<f4").reshape(len(truth), -1), truth)


def _compare(name: str, got: np.ndarray[Any, Any], truth: np.ndarray[Any, Any]) -> None:
    if got.shape != truth.shape or not np.allclose(got, truth, rtol=0, atol=TOLERANCE):
        raise Differs(f"{name} answers otherwise: {got.tolist()[:2]} where the bundle has {truth.tolist()[:2]}")


def _output(answer: Mapping[str, Any]) -> Any:
    """The answer's one output; its name is the server's own."""
    (output,) = answer["outputs"]
    return output


def _read_v2(body: bytes, _headers: Mapping[str, str]) -> Any:
    output = _output(json.loads(body))
    return np.reshape(output["data"], output["shape"])


def _read_v2_binary(body: bytes, headers: Mapping[str, str]) -> Any:
    if "inference-header-content-length" not in headers:
        raise ValueError("the answer is not binary")
    head = int(headers["inference-header-content-length"])
    output = _output(json.loads(body[:head]))
    if output["parameters"]["binary_data_size"] != len(body) - head:
        raise ValueError("binary_data_size is not the size")
    return np.frombuffer(body, "<f4", offset=head).reshape(output["shape"])


def _numbers(asked: Question, count: int) -> list[list[float]]:
    """The first rows as JSON's numbers."""
    numbers: list[list[float]] = asked.rows[:count].tolist()
    return numbers


def _json(value: Any) -> bytes:
    return json.dumps(value, separators=(",", ":")).encode()
