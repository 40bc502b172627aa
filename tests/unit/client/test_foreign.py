"""Answers that are not ours: every one is an error of the product, with the address, the status and the words."""

from __future__ import annotations

import asyncio
import contextlib
import gzip
import json
import socket
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import grpc
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fivefold.client import AsyncClient, Client
from fivefold.client import grpc_client as over_grpc
from fivefold.client.foreign import MOST, summary
from fivefold.client.grpc_client import message
from fivefold.client.http_client import error, read_tensors
from fivefold.client.retry import Retries, ServerReply, seconds
from fivefold.core.errors import ContractInvalid, FivefoldError, InternalError, NotFound, ProtocolError, Unavailable

ONCE = Retries(attempts=1)
PAGE = b"<!DOCTYPE html><html><head><title>Sign in</title><style>p{}</style></head><body><p>Welcome to Acme</p></body>"
JSON = {"content-type": "application/json"}


class Scripted:
    """A listening socket that gives every connection the same bytes, once it has read a request's first part."""

    def __init__(self, answer: bytes) -> None:
        self._answer = answer
        self._socket = socket.create_server(("127.0.0.1", 0))
        self.port = self._socket.getsockname()[1]
        self.requests: list[bytes] = []
        self._thread = threading.Thread(target=self._run)
        self._thread.start()

    def _run(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                connection, _ = self._socket.accept()
                with connection, contextlib.suppress(OSError):
                    self.requests.append(connection.recv(65536))
                    connection.sendall(self._answer)
                    connection.shutdown(socket.SHUT_WR)
                    while connection.recv(65536):
                        pass

    def close(self) -> None:
        with contextlib.suppress(OSError):
            self._socket.shutdown(socket.SHUT_RDWR)
        self._socket.close()
        self._thread.join(10)


@pytest.fixture
def serve() -> Iterator[Callable[..., Scripted]]:
    """Makes servers of one answer each."""
    running: list[Scripted] = []

    def make(status: str | None, body: bytes = b"", headers: dict[str, str] | None = None) -> Scripted:
        head = {"content-length": str(len(body)), "connection": "close", **(headers or {})}
        text = f"HTTP/1.1 {status}\r\n" + "".join(f"{key}: {value}\r\n" for key, value in head.items()) + "\r\n"
        running.append(Scripted(body if status is None else text.encode() + body))
        return running[-1]

    yield make
    for server in running:
        server.close()


CALLS: dict[str, Callable[[Any], Any]] = {
    "predict": lambda client: client.predict([{}], model="m"),
    "infer": lambda client: client.infer({"x": [1.0]}, model="m"),
    "contract": lambda client: client.contract("m"),
    "models": lambda client: client.models(),
}


@pytest.mark.parametrize("call", CALLS)
@pytest.mark.parametrize(
    ("status", "body", "headers"),
    [
        ("302 Found", b"", {"location": "https://login.example/?next=secret"}),
        ("301 Moved Permanently", b"", {}),
        ("308 Permanent Redirect", PAGE, {"location": "/elsewhere"}),
        ("304 Not Modified", b"", {}),
        ("200 OK", PAGE, {"content-type": "text/html"}),
        ("200 OK", b"{}", JSON),
        ("200 OK", b"[1]", JSON),
        ("200 OK", b"null", JSON),
        ("200 OK", b"", JSON),
        ("200 OK", b"pong", {"content-type": "text/plain"}),
        ("200 OK", b'{"predictions": [{"y"', JSON),
        ("200 OK", b'{"predictions": {}, "outputs": {}}', JSON),
        ("200 OK", b'{"predictions": [], "outputs": [{}]}', JSON),
        ("200 OK", b"\xff\xfe\x00\x01" * 40, {}),
        ("201 Created", b'{"predictions": [{"y": 1}], "outputs": []}', JSON),
        ("204 No Content", b"", {}),
        ("200 OK", b"not gzip", JSON | {"content-encoding": "gzip"}),
    ],
)
def test_what_is_no_answer_of_ours_is_an_error(
    serve: Callable[..., Scripted], call: str, status: str, body: bytes, headers: dict[str, str]
) -> None:
    """In the blocking client and the async one, whatever was asked: address and status, and nothing of a query."""
    server = serve(status, body, headers)
    url = f"http://127.0.0.1:{server.port}"

    async def ask() -> None:
        async with AsyncClient(url, retries=ONCE) as client:
            await CALLS[call](client)

    with Client(url, retries=ONCE) as client, pytest.raises(FivefoldError) as blocking:
        CALLS[call](client)
    with pytest.raises(FivefoldError) as awaited:
        asyncio.run(ask())

    error = blocking.value
    assert (awaited.value.code, str(awaited.value)) == (error.code, str(error))
    assert f"{url}/v" in str(error)
    assert "secret" not in f"{error}{error.help}"
    if headers.get("content-encoding") != "gzip" and error.code != "contract_invalid":
        assert status.partition(" ")[0] in str(error)
    assert len(str(error)) < 1000


def test_readiness_is_what_a_body_says(serve: Callable[..., Scripted]) -> None:
    """A page with status 200 is no yes; the protocol's empty 200 is."""
    for status, body, headers, ready in (
        ("200 OK", b'{"ready": true}', JSON, True),
        ("200 OK", b'{"name": "m", "ready": true}', JSON, True),
        ("200 OK", b"", {}, True),
        ("200 OK", b'{"ready": false}', JSON, False),
        ("200 OK", PAGE, {"content-type": "text/html"}, False),
        ("200 OK", b"", {"content-type": "text/html"}, False),
        ("200 OK", b"{}", JSON, False),
        ("302 Found", b"", {"location": "/login"}, False),
        ("204 No Content", b"", {}, False),
    ):
        with Client(f"http://127.0.0.1:{serve(status, body, headers).port}") as client:
            assert client.ready() is ready, (status, body)


@pytest.mark.parametrize(
    ("status", "body", "words", "code"),
    [
        (
            "400 Bad Request",
            b'{"error": "unexpected shape for input \'x\'"}',
            "unexpected shape for input 'x'",
            "malformed",
        ),
        ("422 Unprocessable Entity", b'{"detail": "wrong"}', "wrong", "malformed"),
        (
            "422 Unprocessable Entity",
            b'{"detail": [{"loc": ["body", "inputs", 0], "msg": "field required", "type": "missing"}]}',
            "body.inputs.0: field required",
            "malformed",
        ),
        (
            "404 Not Found",
            b'{"error": "Model with name m does not exist."}',
            "Model with name m does not exist",
            "not_found",
        ),
        ("500 Server Error", b'{"error": {"code": 13, "message": "boom", "status": "INTERNAL"}}', "boom", "internal"),
        ("403 Forbidden", b'{"message": "Forbidden by policy"}', "Forbidden by policy", "forbidden"),
        (
            "400 Bad Request",
            b'{"title": "Bad", "detail": "no such thing", "status": 400}',
            "no such thing",
            "malformed",
        ),
        ("500 Server Error", b'{"status": {"info": "kaputt", "code": -1}}', "kaputt", "internal"),
        ("400 Bad Request", b'{"errors": [{"message": "first"}, {"message": "second"}]}', "first; second", "malformed"),
        ("400 Bad Request", b'"only a string"', "only a string", "malformed"),
        ("418 I'm a teapot", b'{"odd": true}', '{"odd": true}', "malformed"),
        ("502 Bad Gateway", b"<html><title>502 Bad Gateway</title><h1>nginx</h1></html>", "nginx", "internal"),
        ("503 Service Unavailable", b"upstream connect error", "upstream connect error", "not_ready"),
        ("401 Unauthorized", b"", "without a word", "unauthenticated"),
        ("400 Bad Request", b'{"error": "e", "code": "brand_new", "details": 5}', "e (brand_new)", "malformed"),
        ("400 Bad Request", b'{"error": null, "code": 7, "path": [], "help": {}}', '"code": 7', "malformed"),
        (
            "400 Bad Request",
            b'{"error": "e", "code": "out_of_range", "path": 5, "help": [], "details": {"a": 1}}',
            "e",
            "out_of_range",
        ),
    ],
)
def test_the_words_of_other_servers_survive(
    serve: Callable[..., Scripted], status: str, body: bytes, words: str, code: str
) -> None:
    """Triton, FastAPI, KServe, gateways and pages: their sentence stands in ours."""
    server = serve(status, body)
    with Client(f"http://127.0.0.1:{server.port}", retries=ONCE) as client, pytest.raises(FivefoldError) as caught:
        client.predict([{}], model="m")

    assert words in str(caught.value)
    assert caught.value.code == code


@pytest.mark.parametrize(
    "answer",
    [
        b'HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n40\r\n{"predictions": [',
        b'HTTP/1.1 200 OK\r\ncontent-length: 100\r\n\r\n{"predictions": [',
        b"HTTP/1.1 200 OK\r\ncontent-le",
        b"",
        b"SSH-2.0-OpenSSH_9.6\r\n",
        b"\x15\x03\x01\x00\x02\x02\x46",
        b"\x00\x00\x12\x04\x00\x00\x00\x00\x00\x00\x03\x00\x00\x00\x64",
    ],
)
def test_an_answer_that_breaks_off_is_unavailable(serve: Callable[..., Scripted], answer: bytes) -> None:
    """Cut in the middle, or of another protocol: as if nobody had answered, and asked again as often as wanted."""
    server = serve(None, answer)
    url = f"http://127.0.0.1:{server.port}"
    with Client(url, retries=Retries(attempts=2, first=0.001)) as client, pytest.raises(Unavailable) as caught:
        client.predict([{}], model="m")

    assert caught.value.code == "not_ready"
    assert f"{url}/v1/models/m:predict" in str(caught.value)
    assert len(server.requests) == 2


def test_no_secret_of_an_address_is_shown(serve: Callable[..., Scripted]) -> None:
    """Neither user nor password nor query, in errors of calls and of the constructor."""
    server = serve("302 Found", b"", {"location": "https://u:hush@there.example/login?token=hush#hush"})
    at = f"127.0.0.1:{server.port}"
    with Client(f"http://me:hush@{at}", retries=ONCE) as client, pytest.raises(NotFound) as caught:
        client.predict([{}], model="m")
    with pytest.raises(ValueError, match="not encrypted") as refused:
        Client("http://me:hush@there.example/?q=hush", key="k")
    with Client(f"grpc://me:hush@{at}", retries=ONCE) as client, pytest.raises(FivefoldError) as spoken:
        client.infer({"x": [1.0]}, model="m")

    for text in (f"{caught.value}{caught.value.help}", str(refused.value), f"{spoken.value}{spoken.value.help}"):
        assert "hush" not in text
    assert "there.example/login" in str(caught.value)


def test_tls_and_clear_text_that_meet(serve: Callable[..., Scripted]) -> None:
    """Each way round the sentence or its help says what to do; asking again is not tried."""
    plain = serve("200 OK", b"{}", JSON)
    with Client(f"https://127.0.0.1:{plain.port}") as client, pytest.raises(Unavailable) as http:
        client.predict([{}], model="m")
    with Client(f"grpc://127.0.0.1:{plain.port}", timeout=10) as client, pytest.raises(Unavailable) as rpc:
        client.infer({"x": [1.0]}, model="m")

    assert "speaks no TLS" in str(http.value.help)
    assert "HTTP/1" in str(rpc.value.help)
    assert f"127.0.0.1:{plain.port}" in str(http.value)
    assert f"127.0.0.1:{plain.port}" in str(rpc.value)


@pytest.fixture
def rpc() -> Iterator[tuple[str, dict[str, Callable[[bytes, Any], bytes]]]]:
    """A gRPC server whose methods the test writes."""
    methods: dict[str, Callable[[bytes, Any], bytes]] = {}

    class Any_(grpc.GenericRpcHandler):
        def service(self, details: Any) -> Any:
            name = details.method.rpartition("/")[2]
            return grpc.unary_unary_rpc_method_handler(methods[name]) if name in methods else None

    server = grpc.server(ThreadPoolExecutor(2), handlers=(Any_(),))
    port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    yield f"grpc://127.0.0.1:{port}", methods
    server.stop(None).wait()


@pytest.mark.parametrize(
    ("status", "code"),
    [
        (grpc.StatusCode.NOT_FOUND, "model_not_found"),
        (grpc.StatusCode.INVALID_ARGUMENT, "malformed"),
        (grpc.StatusCode.UNKNOWN, "internal"),
        (grpc.StatusCode.UNIMPLEMENTED, "not_implemented"),
        (grpc.StatusCode.UNAVAILABLE, "not_ready"),
        (grpc.StatusCode.PERMISSION_DENIED, "forbidden"),
        (grpc.StatusCode.FAILED_PRECONDITION, "internal"),
        (grpc.StatusCode.DATA_LOSS, "internal"),
    ],
)
def test_the_status_of_another_grpc_server(rpc: Any, status: grpc.StatusCode, code: str) -> None:
    """Its message stands in the sentence, beside the address; details that are none do not matter."""
    url, methods = rpc

    def refuse(_: bytes, context: Any) -> bytes:
        context.set_trailing_metadata((("grpc-status-details-bin", b"\xff\xff"),))
        context.abort(status, "Request for unknown model: 'm' is not found")

    methods["ModelInfer"] = refuse
    with Client(url, retries=ONCE) as client, pytest.raises(FivefoldError) as caught:
        client.infer({"x": [1.0]}, model="m")

    assert caught.value.code == code
    assert "unknown model: 'm'" in str(caught.value)
    assert url in str(caught.value)


def test_spoilt_details_leave_the_sentence_and_the_code(rpc: Any) -> None:
    """Of an error of ours on which something on the way has laid hands."""
    url, methods = rpc

    def refuse(_: bytes, context: Any) -> bytes:
        context.set_trailing_metadata((("grpc-status-details-bin", b"\xff"), ("fivefold-code", "too_long")))
        context.abort(grpc.StatusCode.INVALID_ARGUMENT, "inputs.x[0]: long")

    methods["ModelInfer"] = refuse
    with Client(url, retries=ONCE) as client, pytest.raises(FivefoldError, match="long") as caught:
        client.infer({"x": [1.0]}, model="m")

    assert caught.value.code == "too_long"


def _answer(**members: Any) -> bytes:
    return bytes(message("ModelInferResponse")(**members).SerializeToString())


@pytest.mark.parametrize(
    "answer",
    [
        b"\xff\xff",
        b"<html>",
        _answer(outputs=[{"name": "y", "datatype": "FP64", "shape": [1]}], raw_output_contents=[b"1234"]),
        _answer(outputs=[{"name": "y", "datatype": "FP64", "shape": [1]}], raw_output_contents=[b"", b""]),
        _answer(outputs=[{"name": "y", "datatype": "WHAT", "shape": [1]}], raw_output_contents=[b""]),
        _answer(outputs=[{"name": "y", "datatype": "FP64", "shape": [3]}]),
        _answer(),
    ],
)
def test_a_grpc_answer_that_cannot_be_read(rpc: Any, answer: bytes) -> None:
    """No message, lengths that disagree, unknown datatypes, an asked output that is not there."""
    url, methods = rpc
    methods["ModelInfer"] = lambda _raw, _context: answer
    with Client(url) as client, pytest.raises(FivefoldError) as caught:
        client.infer({"x": [1.0]}, model="m", outputs=["y"])

    assert url in str(caught.value)
    assert caught.value.code in ("internal", "not_found")


def test_other_grpc_answers_that_are_no_ours(rpc: Any) -> None:
    """Typed contents are read; readiness, contracts and lists that cannot be are no crash."""
    url, methods = rpc
    typed = {"name": "y", "datatype": "FP32", "shape": [2], "contents": {"fp32_contents": [1, 2]}}
    words = {"name": "s", "datatype": "BYTES", "shape": [1], "contents": {"bytes_contents": [b"a"]}}
    methods["ModelInfer"] = lambda _raw, _context: _answer(outputs=[typed, words])
    methods["ServerReady"] = methods["ModelConfig"] = methods["RepositoryIndex"] = lambda _raw, _context: b"\xff"
    with Client(url) as client:
        found = client.infer({"x": [1.0]}, model="m").outputs
        ready = client.ready()
        for call in (client.models, lambda: client.contract("m"), lambda: client.predict([{}], model="m")):
            with pytest.raises(InternalError, match="cannot be read"):
                call()

    assert (found["y"].tolist(), found["y"].dtype, found["s"].tolist()) == ([1.0, 2.0], np.float32, [b"a"])
    assert ready is False


def test_tensors_of_another_http_server() -> None:
    """JSON data, text too, and tensors whose sizes do not add up."""
    outputs = [
        {"name": "y", "datatype": "FP32", "shape": [2], "data": [1, 2], "parameters": None},
        {"name": "s", "datatype": "BYTES", "shape": [1, 2], "data": ["a", "b"]},
    ]
    good = ServerReply(200, {}, json.dumps({"outputs": outputs}).encode(), "http://here")
    arrays, parameters = read_tensors(good)

    assert (arrays["y"].tolist(), arrays["s"].tolist(), parameters) == ([1, 2], [[b"a", b"b"]], {})
    for spoilt in (
        [outputs[0] | {"shape": [3]}],
        [outputs[0] | {"data": ["no"]}],
        [{"name": "y", "datatype": "FP32", "shape": [1], "parameters": {"binary_data_size": 8}}],
        [{"name": "y", "datatype": "FP32", "shape": [1], "parameters": {"binary_data_size": "4"}}],
    ):
        with pytest.raises(InternalError, match="http://here"):
            read_tensors(ServerReply(200, {}, json.dumps({"outputs": spoilt}).encode(), "http://here"))
    cut = {"inference-header-content-length": "many"}
    with pytest.raises(InternalError):
        read_tensors(ServerReply(200, cut, good.body, "http://here"))


def test_a_contract_that_is_none(serve: Callable[..., Scripted]) -> None:
    """JSON, and no contract."""
    with (
        Client(f"http://127.0.0.1:{serve('200 OK', b'{}', JSON).port}") as client,
        pytest.raises((ContractInvalid, InternalError)),
    ):
        client.contract("m")


@pytest.mark.parametrize(("status", "body"), [("404 Not Found", b"no such page"), ("200 OK", b'{"name": "m"}')])
def test_a_table_needs_a_contract(serve: Callable[..., Scripted], status: str, body: bytes) -> None:
    """A server of another make has none: which is said, with what it does take."""
    url = f"http://127.0.0.1:{serve(status, body, JSON).port}"
    with Client(url) as client, pytest.raises(ProtocolError, match=r"gives no contract for 'm'") as caught:
        client.predict({"x": [1.0]}, model="m")

    assert caught.value.code == "not_implemented"
    assert "JSON records" in str(caught.value.help)


def test_compressed_answers_are_read(serve: Callable[..., Scripted]) -> None:
    """As the server sends large ones."""
    body = gzip.compress(b'{"predictions": [{"y": 1}], "metadata": {}}')
    server = serve("200 OK", body, JSON | {"content-encoding": "gzip"})
    with Client(f"http://127.0.0.1:{server.port}") as client:
        assert client.predict([{}], model="m").predictions == [{"y": 1}]


def test_when_to_ask_again() -> None:
    """Seconds, or a date; nothing that no clock knows."""
    assert seconds("2.5") == 2.5
    assert seconds("-1") == 0.0
    assert seconds("Wed, 21 Oct 2015 07:28:00 GMT") == 0.0
    assert [seconds(text) for text in (None, "", "soon", "nan", "inf", "1e999")] == [None] * 6


@settings(max_examples=200, deadline=None)
@given(
    st.integers(201, 599),
    st.dictionaries(st.sampled_from(["retry-after", "location", "content-type"]), st.text(max_size=20)),
    st.one_of(
        st.binary(max_size=400),
        st.recursive(
            st.none() | st.booleans() | st.integers() | st.text(max_size=10),
            lambda inner: (
                st.lists(inner, max_size=3)
                | st.dictionaries(
                    st.sampled_from(["error", "detail", "code", "details", "path", "help", "message", "loc", "errors"]),
                    inner,
                    max_size=4,
                )
            ),
            max_leaves=12,
        ).map(lambda value: json.dumps(value).encode()),
    ),
)
def test_any_answer_is_some_error(status: int, headers: dict[str, str], body: bytes) -> None:
    """Whatever a server sends, nothing but an error of the product comes out, in a sentence of bearable length."""
    reply = ServerReply(status, headers, body, "http://here/v1")
    if status >= 300:
        assert len(str(error(reply))) < 4000
    else:
        with pytest.raises(FivefoldError, match="http://here/v1"):
            read_tensors(reply)
    assert len(summary(body)) <= MOST


@given(
    st.integers(1, 20),
    st.text(max_size=50),
    st.dictionaries(st.just("grpc-status-details-bin"), st.binary(max_size=30)),
)
def test_any_grpc_status_is_some_error(status: int, text: str, headers: dict[str, bytes]) -> None:
    """With and without a code of ours."""
    assert isinstance(over_grpc.error(ServerReply(status, headers, text, "grpc://here")), FivefoldError)
    ours: dict[str, Any] = {**headers, "fivefold-code": "too_long"}
    assert over_grpc.error(ServerReply(status, ours, text, "grpc://here")).code == "too_long"
