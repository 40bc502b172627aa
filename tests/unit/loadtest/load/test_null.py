"""The server that does nothing, asked by real clients."""

from __future__ import annotations

import base64
import http.client
from collections.abc import Iterator
from typing import Any

import grpc
import pytest
from loadtest.load import calibrate
from loadtest.load.calibrate import Null

ANSWERS = {
    "v1": {"path": "/v1/models/M:predict", "body": base64.b64encode(b'{"predictions": []}').decode()},
    "v2": {"path": "/v2/models/M/infer", "body": base64.b64encode(b"{}").decode()},
    "binary": {"path": "/v2/models/M/infer", "body": base64.b64encode(b"{}\0\1").decode(), "length": "2"},
    "grpc": {"body": base64.b64encode(b"unary").decode()},
    "stream": {"body": base64.b64encode(b"streamed").decode()},
}


@pytest.fixture(scope="module")
def server() -> Iterator[Null]:
    with calibrate.null(ANSWERS) as running:
        yield running


def test_each_rest_form_gets_its_own_recorded_answer(server: Null) -> None:
    """Over one connection: records, JSON tensors and the binary form, which shares its path with JSON."""
    connection = http.client.HTTPConnection("127.0.0.1", server.ports["http"], timeout=5)
    found = []
    for transport in ("v1", "v2", "binary", "v1"):
        extra = {"Inference-Header-Content-Length": "2"} if transport == "binary" else {}
        connection.request("POST", ANSWERS[transport]["path"], b"x" * 70_000, extra)
        response = connection.getresponse()
        found.append((response.status, response.read(), response.headers.get("inference-header-content-length")))
    connection.close()

    assert found == [
        (200, b'{"predictions": []}', None),
        (200, b"{}", None),
        (200, b"{}\0\1", "2"),
        (200, b'{"predictions": []}', None),
    ]


def test_an_unknown_path_is_not_found(server: Null) -> None:
    """So that a wrong request is seen while calibrating."""
    connection = http.client.HTTPConnection("127.0.0.1", server.ports["http"], timeout=5)
    connection.request("GET", "/nothing")

    assert connection.getresponse().status == 404
    connection.close()


def test_grpc_calls_are_answered_one_for_one(server: Null) -> None:
    """Unary calls many times over one connection, and each message of a stream, large ones too."""
    with grpc.insecure_channel(f"127.0.0.1:{server.ports['grpc']}") as channel:
        call: Any = channel.unary_unary("/inference.GRPCInferenceService/ModelInfer")
        unary = [call(b"q" * size, timeout=10) for size in (0, 10, 200_000, 10)]
    with grpc.insecure_channel(f"127.0.0.1:{server.ports['stream']}") as channel:
        stream: Any = channel.stream_stream("/inference.GRPCInferenceService/ModelStreamInfer")
        streamed = list(stream(iter([b"q"] * 5), timeout=10))

    assert unary == [b"unary"] * 4
    assert streamed == [b"streamed"] * 5
