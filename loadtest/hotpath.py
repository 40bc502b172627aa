"""The hot path as a program: the same requests for whichever version of the package PYTHONPATH names.

    python -P loadtest/hotpath.py count BUNDLES        every path, in batches between marks for callgrind
    python -P loadtest/hotpath.py serve BUNDLES        under uvicorn, until standard input ends; prints its port

`count` calls the ASGI application, connections of HTTP and the gRPC servicer in process, on one thread. Below
`valgrind --tool=callgrind --instr-atstart=no` it counts between the marks alone; elsewhere the marks do nothing.
`serve` is what the paired timing asks. BUNDLES is a directory that `gate.bundles` has filled. `--inject 0.1`
handles every tenth request twice: a slowdown of 10 %, added outside the product, for the gate's proof of itself.

This file stands alone, since it also runs against an older package; comparing is left to `loadtest.gate`.
"""

from __future__ import annotations

import argparse
import asyncio
import ctypes
import gc
import json
import mmap
import os
import platform
import socket
import sys
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

ROWS = 64
"""The rows of the larger requests."""

WARM = 60
"""Calls of each path before it counts: the interpreter has specialised its code by then, and caches are filled."""

ONE_FIELD, THIRTY_FIELDS = "row", "breast-cancer"
"""The bundles' directories and models: one field X of shape [30], and the same numbers as thirty named fields."""

Message = dict[str, Any]
Send = Callable[[Message], Awaitable[None]]
Receive = Callable[[], Awaitable[Message]]
App = Callable[[Message, Receive, Send], Awaitable[None]]


@dataclass(frozen=True)
class HotpathRequest:
    """One request. Over HTTP `target` is a path; over gRPC it is empty and `body` is the message."""

    name: str
    target: str
    headers: tuple[tuple[str, str], ...]
    body: bytes
    good: bool = True


def asks(directory: Path) -> list[HotpathRequest]:
    """The requests: each transport, one row and many, one field and thirty, valid and not."""
    from fivefold.core.bundle.bundle import Bundle
    from fivefold.serving.grpc.proto import inference_pb2 as wire

    rows = [record["X"] for record in Bundle.open(directory / ONE_FIELD).golden()[0].to_records()]
    rows = [rows[index % len(rows)] for index in range(ROWS)]
    named = Bundle.open(directory / THIRTY_FIELDS).golden()[0].slice(0, 1).to_records()[0]
    wrong = [["much", *rows[0][1:]]]
    json_type = (("content-type", "application/json"),)
    v1, v2 = f"/v1/models/{ONE_FIELD}:predict", f"/v2/models/{ONE_FIELD}/infer"

    def records(values: list[Any]) -> bytes:
        return json.dumps({"instances": [{"X": value} for value in values]}).encode()

    def tensor(values: list[Any]) -> Message:
        flat = [number for row in values for number in row]
        return {"name": "X", "shape": [len(values), 30], "datatype": "FP32", "data": flat}

    def tensors(values: list[Any]) -> bytes:
        return json.dumps({"inputs": [tensor(values)]}).encode()

    def raw(values: list[Any]) -> bytes:
        import numpy as np

        return np.asarray(values, "<f4").tobytes()

    def binary(name: str, values: list[Any]) -> HotpathRequest:
        block = raw(values)
        size = {"binary_data_size": len(block)}
        described = {"name": "X", "shape": [len(values), 30], "datatype": "FP32", "parameters": size}
        head = json.dumps({"inputs": [described], "parameters": {"binary_data_output": True}}).encode()
        headers = (("content-type", "application/octet-stream"), ("inference-header-content-length", str(len(head))))
        return HotpathRequest(name, v2, headers, head + block)

    def message(values: list[Any], shape: list[int]) -> bytes:
        request = wire.ModelInferRequest(model_name=ONE_FIELD, raw_input_contents=[raw(values)])
        request.inputs.add(name="X", datatype="FP32", shape=shape)
        return request.SerializeToString()

    apart = [{"name": name, "shape": [1], "datatype": "FP64", "data": [value]} for name, value in named.items()]
    return [
        HotpathRequest("V1", v1, json_type, records(rows[:1])),
        HotpathRequest(
            "V1, thirty fields", f"/v1/models/{THIRTY_FIELDS}:predict", json_type, _json({"instances": [named]})
        ),
        HotpathRequest("V1, refused", v1, json_type, records(wrong), good=False),
        HotpathRequest("V2 JSON", v2, json_type, tensors(rows[:1])),
        HotpathRequest(
            "V2 JSON, thirty fields", f"/v2/models/{THIRTY_FIELDS}/infer", json_type, _json({"inputs": apart})
        ),
        HotpathRequest("V2 JSON, 64 rows", v2, json_type, tensors(rows)),
        HotpathRequest("V2 JSON, refused", v2, json_type, tensors(wrong), good=False),
        binary("V2 binary", rows[:1]),
        binary("V2 binary, 64 rows", rows),
        HotpathRequest("gRPC", "", (), message(rows[:1], [1, 30])),
        HotpathRequest("gRPC, 64 rows", "", (), message(rows, [ROWS, 30])),
        HotpathRequest("gRPC, refused", "", (), message(rows[:1], [1, 29]), good=False),
    ]


def _json(value: Any) -> bytes:
    return json.dumps(value).encode()


class Slowdown:
    """The injected slowdown: of every 1/share requests one is handled twice, the first time for nobody."""

    def __init__(self, share: float) -> None:
        self._share, self._owed = share, 0.0

    def times(self) -> int:
        """How many times the next request is to be handled for nobody."""
        self._owed += self._share
        due = int(self._owed + 1e-9)
        self._owed -= due
        return due

    def app(self, app: App) -> App:
        """An ASGI application that does what `app` does, later."""

        async def slower(scope: Message, receive: Receive, send: Send) -> None:
            due = self.times() if scope["type"] == "http" else 0
            if not due:
                await app(scope, receive, send)
                return
            begun = [await receive()]
            while begun[-1].get("more_body"):
                begun.append(await receive())
            for _ in range(due):
                await app(dict(scope), _replay(begun, receive), _discard)
            await app(scope, _replay(begun, receive), send)

        return slower


def _replay(messages: Sequence[Message], then: Receive) -> Receive:
    left = iter(messages)

    async def receive() -> Message:
        message = next(left, None)
        return await then() if message is None else message

    return receive


async def _discard(_message: Message) -> None:
    return


class Refused(Exception):
    """How a gRPC call of ours ends that the servicer aborts."""


class Context:
    """The gRPC context of a call that comes from no network."""

    def invocation_metadata(self) -> tuple[tuple[str, str], ...]:
        """What a client sends along."""
        return (("user-agent", "hotpath"),)

    def peer(self) -> str:
        """The other end."""
        return "ipv4:127.0.0.1:50000"

    def time_remaining(self) -> float | None:
        """No deadline."""
        return None

    def set_trailing_metadata(self, trailers: object) -> None:
        """Taken, and dropped."""

    async def abort(self, *given: object) -> None:
        """End the call; given are the status, the sentence and the trailers."""
        raise Refused(given)


def open_serving(directory: Path, **settings: Any) -> Any:
    """The `Dataplane` of both bundles; log lines are made and go nowhere."""
    from fivefold.core import telemetry
    from fivefold.core.bundle.bundle import Bundle
    from fivefold.core.runtime.scorer import Scorer
    from fivefold.serving.dataplane import Dataplane
    from fivefold.serving.limits import ServingLimits
    from fivefold.serving.repository import Model, Repository

    # Open as long as the process lives.
    telemetry.log_to(Path(os.devnull).open("w"))  # noqa: SIM115
    bundles = [Bundle.open(directory / name) for name in (ONE_FIELD, THIRTY_FIELDS)]
    chosen = ServingLimits(**settings)
    models = Repository(Model(bundle, Scorer.open(bundle)) for bundle in bundles)
    return Dataplane(models, chosen, telemetry.Telemetry("online", log_sample=chosen.log_sample))


def callables(
    serving: Any, given: Sequence[HotpathRequest], slowdown: float
) -> dict[str, Callable[[], Awaitable[bool]]]:
    """Name -> a coroutine function that asks once and tells whether the answer was a good one."""
    from fivefold.serving.grpc.servicer import Servicer
    from fivefold.serving.http import app

    servicer: Any = Servicer(serving)
    infer = servicer.infer
    try:
        from fivefold.serving.grpc.call import over_aio
    except ImportError:
        # An older package, whose methods are grpc.aio's own.
        pass
    else:
        infer = over_aio(infer, serving.room)
    plain: Any = app(serving, serving.settings)

    def http(ask: HotpathRequest) -> Callable[[], Awaitable[bool]]:
        application = Slowdown(slowdown).app(plain) if slowdown else plain
        headers = [(name.encode(), value.encode()) for name, value in ask.headers]
        headers += [(b"host", b"localhost"), (b"content-length", b"%d" % len(ask.body))]
        body = {"type": "http.request", "body": ask.body, "more_body": False}
        status = 0

        async def receive() -> Message:
            return body

        async def send(message: Message) -> None:
            nonlocal status
            status = message.get("status", status)

        async def once() -> bool:
            scope = {
                "type": "http",
                "asgi": {"version": "3.0"},
                "http_version": "1.1",
                "method": "POST",
                "scheme": "http",
                "path": ask.target,
                "raw_path": ask.target.encode(),
                "query_string": b"",
                "root_path": "",
                "headers": list(headers),
                "client": ("127.0.0.1", 50000),
                "server": ("127.0.0.1", 8000),
            }
            await application(scope, receive, send)
            return status < 400

        return once

    def grpc(ask: HotpathRequest) -> Callable[[], Awaitable[bool]]:
        injected = Slowdown(slowdown)
        context: Any = Context()

        async def call() -> bool:
            try:
                await infer(ask.body, context)
            except Refused:
                return False
            return True

        async def once() -> bool:
            for _ in range(injected.times()):
                await call()
            return await call()

        return once

    return {ask.name: http(ask) if ask.target else grpc(ask) for ask in given}


class Wire(asyncio.Transport):
    """A transport without a network, which knows the last thing written."""

    def __init__(self) -> None:
        super().__init__({"peername": ("127.0.0.1", 50000), "sockname": ("127.0.0.1", 8000)})
        self.written = b""

    def write(self, data: Any) -> None:
        """Taken, and kept until the next."""
        self.written = data

    def is_closing(self) -> bool:
        """Never."""
        return False


ON_CONNECTION = ("V1", "V1, refused", "V2 binary")
"""The requests that are also counted as bytes on a connection of the product's own class."""


def on_wire(ask: HotpathRequest) -> bytes:
    """A request over HTTP/1.1, head and body."""
    lines = [f"POST {ask.target} HTTP/1.1", "host: localhost", f"content-length: {len(ask.body)}"]
    lines += [f"{name}: {value}" for name, value in ask.headers]
    return "\r\n".join((*lines, "", "")).encode() + ask.body


def on_connections(
    serving: Any, given: Sequence[HotpathRequest], slowdown: float
) -> dict[str, tuple[Callable[[], Awaitable[bool]], bool]]:
    """Name -> as `callables`, and whether the answer should be a good one: bytes in, bytes out."""
    connect = connector(serving, slowdown)
    return {f"{ask.name}, connection": (connect(ask), ask.good) for ask in given if ask.name in ON_CONNECTION}


def connector(serving: Any, slowdown: float) -> Callable[[HotpathRequest], Callable[[], Awaitable[bool]]]:
    """Makes, for a request, a connection of the product's own class on which to ask: as `callables`."""
    import uvicorn
    from uvicorn.server import ServerState

    from fivefold.serving.http import app
    from fivefold.serving.http.protocol import protocol_of

    application: Any = app(serving, serving.settings)
    kind: Any = protocol_of(application)
    config = uvicorn.Config(
        application,
        http=kind,
        ws="none",
        lifespan="off",
        access_log=False,
        log_config=None,
        server_header=False,
        # Below valgrind a request takes its time.
        timeout_keep_alive=1_000_000,
    )
    config.load()

    def bytes_of(ask: HotpathRequest) -> Callable[[], Awaitable[bool]]:
        data = on_wire(ask)
        injected = Slowdown(slowdown)
        wire = Wire()
        connection: Any = None

        async def once() -> bool:
            nonlocal connection
            if connection is None:
                state = ServerState()
                state.default_headers = [(b"date", b"Thu, 01 Jan 1970 00:00:00 GMT")]
                connection = kind(config, state, {})
                connection.connection_made(wire)
            for _ in range(1 + injected.times()):
                wire.written = b""
                connection.data_received(data)
                while not wire.written:
                    await asyncio.sleep(0)
            return wire.written.startswith(b"HTTP/1.1 200 ")

        return once

    return bytes_of


class CallgrindMarks:
    """Callgrind's client requests, made without a compiler: valgrind acts on a sequence of no-ops that it knows.

    The sequence is the one that valgrind.h documents for x86-64; `active` is false on other processors and when the
    program runs by itself.
    """

    _RUNNING, _CALLGRIND = 0x1001, (ord("C") << 24) | (ord("T") << 16)
    _ZERO, _DUMP, _START, _STOP = _CALLGRIND + 1, _CALLGRIND + 3, _CALLGRIND + 4, _CALLGRIND + 5
    _CODE = bytes.fromhex(
        "4889f8"  # mov rax, rdi: the request and its arguments
        "31d2"  # xor edx, edx: the answer without valgrind
        "48c1c703 48c1c70d 48c1c73d 48c1c733"  # rol rdi, 3, 13, 61 and 51: nothing, after 128 bits
        "4887db"  # xchg rbx, rbx
        "4889d0 c3"  # mov rax, rdx; ret
    )

    def __init__(self) -> None:
        self.active = False
        if platform.machine() in ("x86_64", "AMD64"):
            self._memory = mmap.mmap(-1, mmap.PAGESIZE, prot=mmap.PROT_READ | mmap.PROT_WRITE | mmap.PROT_EXEC)
            self._memory.write(self._CODE)
            start = ctypes.addressof(ctypes.c_char.from_buffer(self._memory))
            self._call = ctypes.CFUNCTYPE(ctypes.c_uint64, ctypes.c_void_p)(start)
            self.active = self._ask(self._RUNNING) > 0

    def begin(self) -> None:
        """Count from here."""
        if self.active:
            self._ask(self._START)
            self._ask(self._ZERO)

    def write(self, name: str) -> None:
        """Write down what there is under this name, and go on from nothing."""
        if self.active:
            text = ctypes.create_string_buffer(name.encode())
            self._ask(self._DUMP, ctypes.addressof(text))

    def end(self) -> None:
        """Count no more."""
        if self.active:
            self._ask(self._STOP)

    def _ask(self, request: int, argument: int = 0) -> int:
        words = (ctypes.c_uint64 * 6)(request, argument)
        return int(self._call(ctypes.addressof(words)))


def count(directory: Path, batches: int, requests: int, slowdown: float) -> None:
    """Ask everything, in batches that are counted apart; wrong answers end the program.

    Everything runs on this thread, whatever valgrind makes of the time it takes.
    """
    marks = CallgrindMarks()
    serving = open_serving(directory, inline_seconds=3600.0, inline_bytes=1 << 30, log_sample=0.0)
    given = asks(directory)
    calls = callables(serving, given, slowdown)
    paths = {ask.name: (calls[ask.name], ask.good) for ask in given} | on_connections(serving, given, slowdown)

    async def drive(once: Callable[[], Awaitable[bool]], times: int) -> int:
        return sum([await once() for _ in range(times)])

    with asyncio.Runner() as runner:
        for name, (once, right) in paths.items():
            runner.run(drive(once, WARM))
            # Objects of the start are looked at no more: what is left to collect is what requests leave.
            gc.collect()
            gc.freeze()
            marks.begin()
            good = 0
            for _ in range(batches):
                good += runner.run(drive(once, requests))
                marks.write(name)
            marks.end()
            if good != (batches * requests if right else 0):
                sys.exit(f"{name}: {good} of {batches * requests} requests had a good answer")
    serving.close()


def serve(directory: Path, slowdown: float) -> None:
    """Serve on a free port of loopback until standard input ends; the first line printed is the port."""
    import uvicorn

    from fivefold.serving.http import app

    serving = open_serving(directory)
    application: Any = app(serving, serving.settings)
    if slowdown:
        application = Slowdown(slowdown).app(application)
    listening = socket.create_server(("127.0.0.1", 0), backlog=256)
    server = uvicorn.Server(uvicorn.Config(application, access_log=False, log_level="warning", lifespan="off"))

    async def run() -> None:
        def ended() -> None:
            if not os.read(0, 4096):
                server.should_exit = True

        asyncio.get_running_loop().add_reader(0, ended)
        await server.serve(sockets=[listening])

    print(json.dumps({"port": listening.getsockname()[1]}), flush=True)
    factory = server.config.get_loop_factory()
    with asyncio.Runner(loop_factory=factory) as runner:
        runner.run(run())
    serving.close()


def main() -> None:
    """Run one of the two."""
    assert __doc__ is not None
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("what", choices=("count", "serve"))
    parser.add_argument("bundles", type=Path)
    parser.add_argument("--batches", type=int, default=5)
    parser.add_argument("--requests", type=int, default=10, help="in each batch")
    parser.add_argument("--inject", type=float, default=0.0, metavar="SHARE")
    parser.add_argument("--package", type=Path, help="where the package must come from, to be sure")
    given = parser.parse_args()
    if given.package:
        import fivefold

        if given.package.resolve() not in Path(fivefold.__file__).resolve().parents:
            sys.exit(f"fivefold came from {fivefold.__file__}, not from {given.package}")
    if given.what == "count":
        count(given.bundles, given.batches, given.requests, given.inject)
    else:
        serve(given.bundles, given.inject)


if __name__ == "__main__":
    main()
