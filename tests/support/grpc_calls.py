"""A real gRPC server on loopback with small models, and a client that sees everything an answer carries."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from contextlib import ExitStack, asynccontextmanager, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import grpc
from google.rpc import status_pb2

from fivefold.core.bundle.bundle import Bundle
from fivefold.core.contract.contract import Contract
from fivefold.core.runtime.scorer import Scorer
from fivefold.core.telemetry import Telemetry
from fivefold.guard import Guard
from fivefold.serving.dataplane import Dataplane
from fivefold.serving.grpc.grpc_server import GrpcServer
from fivefold.serving.grpc.http1.connection import Methods, taking_over
from fivefold.serving.grpc.proto import inference_pb2 as wire
from fivefold.serving.http import app
from fivefold.serving.http.protocol import protocol_of
from fivefold.serving.limits import ServingLimits
from fivefold.serving.origins import Origins
from fivefold.serving.repository import Model, Repository

T = TypeVar("T")

SECONDS = 20.0
"""The longest that a test waits for anything."""

DTYPES = (
    "bool",
    *(f"{sign}int{bits}" for sign in ("", "u") for bits in (8, 16, 32, 64)),
    "float16",
    "float32",
    "float64",
    "string",
    "bytes",
)

_ECHO = b"class Echo:\n    def predict(self, columns):\n        return columns\n"

_GATE = b"""
from tests.support import grpc_gate

class Gate:
    def predict(self, columns):
        x = columns["x"]
        if (x == 13).any():
            raise RuntimeError("a secret of the model")
        if (x < 0).any():
            grpc_gate.pass_through()
        return {"y": x * 2}
"""


class Loop:
    """One event loop in a thread, shared by all servers of the process, as gRPC wants it."""

    _shared: Loop | None = None

    def __init__(self) -> None:
        self.loop = asyncio.new_event_loop()
        threading.Thread(target=self.loop.run_forever, daemon=True).start()

    @classmethod
    def shared(cls) -> Loop:
        if cls._shared is None:
            cls._shared = cls()
        return cls._shared

    def run(self, make: Callable[[], Any]) -> Any:
        """The result of the coroutine that `make` makes on the loop."""

        async def on_loop() -> Any:
            return await make()

        return asyncio.run_coroutine_threadsafe(on_loop(), self.loop).result(SECONDS)

    def call(self, function: Callable[[], T]) -> T:
        """The result of a function called on the loop."""

        async def on_loop() -> T:
            return function()

        return asyncio.run_coroutine_threadsafe(on_loop(), self.loop).result(SECONDS)


def echo_bundle(directory: Path) -> Bundle:
    """A model that gives back what it gets: one field of every dtype, and one with a shape."""
    fields: list[dict[str, Any]] = [{"name": dtype, "dtype": dtype} for dtype in DTYPES]
    fields.append({"name": "matrix", "dtype": "float32", "shape": [2, 3]})
    contract = Contract.from_json(
        {"format": 1, "name": "echo", "version": "1.0.0", "inputs": fields, "outputs": fields}
    )
    row: dict[str, Any] = dict.fromkeys(DTYPES, 1)
    row |= {"bool": True, "string": "a", "bytes": "AQI=", "matrix": [[1, 2, 3], [4, 5, 6]]}
    return Bundle.write(
        directory,
        contract=contract,
        model={"model/echo.py": _ECHO},
        runtime="python",
        entry="echo:Echo",
        golden=([row], [row]),
        tolerance=0.0,
    )


def gate_bundle(directory: Path, version: str = "1") -> Bundle:
    """A model that doubles `x`; it raises at 13, and below 0 it waits for `grpc_gate`."""
    contract = Contract.from_json(
        {
            "format": 1,
            "name": "gate",
            "version": "1.0.0",
            "inputs": [{"name": "x", "dtype": "float64", "maximum": 1000, "aliases": ["ex"]}],
            "outputs": [{"name": "y", "dtype": "float64"}],
        }
    )
    return Bundle.write(
        directory,
        contract=contract,
        model={"model/gate.py": _GATE},
        runtime="python",
        entry="gate:Gate",
        golden=([{"x": 1.5}], [{"y": 3.0}]),
        tolerance=0.0,
        version=version,
    )


@dataclass
class Reply:
    """How a call ended: the answer or the error, and the trailers."""

    code: grpc.StatusCode
    answer: Any
    message: str
    trailers: dict[str, Any]

    @property
    def fivefold(self) -> str:
        return str(self.trailers["fivefold-code"])

    @property
    def status(self) -> Any:
        return status_pb2.Status.FromString(self.trailers["grpc-status-details-bin"])

    def detail(self, kind: Any) -> Any:
        """The detail of that type."""
        for packed in self.status.details:
            if packed.Is(kind.DESCRIPTOR):
                out = kind()
                packed.Unpack(out)
                return out
        raise AssertionError(f"no {kind.DESCRIPTOR.name}")


class World:
    """A running server with its models, and a channel to it."""

    def __init__(self, server: GrpcServer, serving: Dataplane, address: str = "") -> None:
        self.server = server
        self.serving = serving
        self.address = address or server.address
        options = [("grpc.max_receive_message_length", -1), ("grpc.max_send_message_length", -1)]
        self.channel = grpc.insecure_channel(self.address, options)

    def ask(
        self,
        method: str,
        request: Any,
        answer: Any,
        *,
        service: str = "inference.GRPCInferenceService",
        metadata: Sequence[tuple[str, str]] = (),
        timeout: float = SECONDS,
    ) -> Reply:
        """One unary call; `request` is a message, or bytes as they are."""
        send = (lambda raw: raw) if isinstance(request, bytes) else type(request).SerializeToString
        call = self.channel.unary_unary(f"/{service}/{method}", send, answer.FromString)
        try:
            got, done = call.with_call(request, timeout=timeout, metadata=tuple(metadata))
        except grpc.RpcError as error:
            trailing: dict[str, Any] = dict(error.trailing_metadata() or ())  # type: ignore[arg-type]
            return Reply(error.code(), None, error.details() or "", trailing)
        return Reply(grpc.StatusCode.OK, got, "", dict(done.trailing_metadata()))

    def infer(self, request: Any, **rest: Any) -> Reply:
        return self.ask("ModelInfer", request, wire.ModelInferResponse, **rest)

    def stream(self, requests: Iterator[Any], **rest: Any) -> Any:
        """An open ModelStreamInfer."""
        call = self.channel.stream_stream(
            "/inference.GRPCInferenceService/ModelStreamInfer",
            lambda message: message if isinstance(message, bytes) else message.SerializeToString(),
            wire.ModelStreamInferResponse.FromString,
        )
        return call(requests, timeout=rest.pop("timeout", SECONDS), **rest)

    def wait_for_inflight(self, count: int) -> None:
        """Return when so many requests are in work."""
        end = time.monotonic() + SECONDS
        while self.serving.inflight != count:
            assert time.monotonic() < end, f"{self.serving.inflight} requests in work, not {count}"
            time.sleep(0.005)

    def drain(self) -> None:
        """What a host does when it is told to go away."""

        def both() -> None:
            self.serving.drain()
            self.server.servicer.drain()

        Loop.shared().call(both)

    def stop(self) -> None:
        Loop.shared().run(self.server.stop)


@contextmanager
def world(bundles: Sequence[Bundle], *, behind: Path | None = None, **settings: Any) -> Iterator[World]:
    """Serve the bundles on a free port of loopback; `behind` is a directory for the HAProxy that is to be before them,
    which asks unary calls by HTTP/1.1."""
    loop = Loop.shared()
    chosen = ServingLimits(**settings)
    models = Repository([Model(bundle, Scorer.open(bundle)) for bundle in bundles])
    origins = Origins.of(chosen, local=True)
    serving = loop.call(
        lambda: Dataplane(models, chosen, Telemetry("online", log_sample=0.0), Guard.of(chosen), origins=origins)
    )
    server = loop.call(lambda: GrpcServer(serving, "127.0.0.1:0"))
    loop.run(server.start)
    with ExitStack() as stack:
        stack.callback(serving.close)
        stack.callback(lambda: loop.run(server.stop))
        address = server.address
        if behind is not None:
            proxy = proxied_unary(serving, server, behind)
            stack.callback(lambda: loop.run(lambda: proxy.__aexit__(None, None, None)))
            address = loop.run(proxy.__aenter__)
        out = World(server, serving, address)
        stack.callback(out.channel.close)
        yield out


@asynccontextmanager
async def proxied_unary(serving: Dataplane, server: GrpcServer, directory: Path) -> AsyncIterator[str]:
    """The gRPC address of a HAProxy before the server, and an HTTP server beside it that unary calls are asked of."""
    from tests.support.desync_proxy import Healthy, proxied
    from tests.unit.serving.http.test_servers import running

    directory.mkdir(parents=True, exist_ok=True)
    application = app(serving, serving.settings)
    connection = protocol_of(application, taking_over(Methods(serving, server.servicer.unary())))
    grpc_port = int(server.address.rpartition(":")[2])
    async with (
        running(Healthy(application), connection) as port,  # type: ignore[arg-type]  # uvicorn takes a class too
        proxied(directory, port, grpc_port) as ports,
    ):
        yield f"127.0.0.1:{ports[9000]}"


def request_of(*xs: float, name: str = "x", **rest: Any) -> wire.ModelInferRequest:
    """A typed request to `gate`."""
    request = wire.ModelInferRequest(model_name="gate", **rest)
    tensor = request.inputs.add(name=name, datatype="FP64", shape=[len(xs)])
    tensor.contents.fp64_contents.extend(xs)
    return request
