"""A connection of unary calls, spoken to byte by byte: what is refused and how, and what never mixes with what."""

from __future__ import annotations

import asyncio
import contextlib
import gzip
import zlib
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path
from typing import Any, TypeVar

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from tests.support import grpc_gate
from tests.support.grpc_calls import gate_bundle, request_of
from tests.support.http_calls import SECONDS, World, world
from tests.unit.serving.grpc.http1.test_wire import Read
from tests.unit.serving.http.test_servers import running

from fivefold.guard import keys
from fivefold.serving.grpc.grpc_errors import GRPC_STATUS
from fivefold.serving.grpc.http1.connection import Methods, taking_over
from fivefold.serving.grpc.proto import inference_pb2 as wire
from fivefold.serving.grpc.servicer import Servicer
from fivefold.serving.http.protocol import protocol_of

T = TypeVar("T")

LIMIT = 64 * 1024
INFER = "/inference.GRPCInferenceService/ModelInfer"
MESSAGE = request_of(1.5, id="a").SerializeToString()
PLAIN = b"GET /livez HTTP/1.1\r\nhost: here\r\n\r\n"


def framed(message: bytes = MESSAGE, flag: int = 0) -> bytes:
    return bytes([flag]) + len(message).to_bytes(4) + message


def call(
    body: bytes | None = None,
    *headers: str,
    path: str = INFER,
    method: str = "POST",
    kind: str | None = "application/grpc",
    te: str | None = "trailers",
    length: int | None = None,
) -> bytes:
    """A request as a proxy sends it."""
    body = framed() if body is None else body
    lines = [f"{method} {path} HTTP/1.1", "host: here", *headers]
    lines += [f"content-type: {kind}"] * (kind is not None) + [f"te: {te}"] * (te is not None)
    lines.append(f"content-length: {len(body) if length is None else length}")
    return "\r\n".join([*lines, "", ""]).encode("latin-1") + body


@pytest.fixture(scope="module")
def out(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    bundle = gate_bundle(tmp_path_factory.mktemp("gate") / "gate")
    with world([bundle], max_body_bytes=LIMIT, body_timeout=0.3, inline_seconds=0.0) as made:
        yield made


@pytest.fixture(autouse=True)
def _gate_is_open_again() -> Iterator[None]:
    yield
    grpc_gate.opened.set()


Run = Callable[[Callable[[int], Awaitable[Any]]], Any]


@pytest.fixture
def run(out: World) -> Run:
    """Runs a conversation with a server of HTTP and of these calls, whose port it is given."""

    def run(conversation: Callable[[int], Awaitable[T]]) -> T:
        async def one() -> T:
            servicer = Servicer(out.serving)
            connection: Any = protocol_of(out.app, taking_over(Methods(out.serving, servicer.unary())))
            async with running(out.app, connection) as port:
                return await conversation(port)

        return out.run(one())

    return run


class Talk:
    """One connection."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader, self.writer = reader, writer

    @classmethod
    async def open(cls, port: int) -> Talk:
        return cls(*await asyncio.open_connection("127.0.0.1", port))

    async def say(self, *parts: bytes) -> None:
        for part in parts:
            self.writer.write(part)
            await self.writer.drain()
            if len(parts) > 1:
                # The other side reads each by itself.
                await asyncio.sleep(0.001)

    async def answer(self) -> Read:
        """One answer; more than one is a failure of the test."""
        data = b""
        async with asyncio.timeout(SECONDS):
            while True:
                part = await self.reader.read(65536)
                data += part
                read = Read(data)
                if read.whole or not part:
                    assert read.whole, data
                    return read

    async def rest(self) -> bytes:
        """What comes until the other side closes."""
        async with asyncio.timeout(SECONDS):
            try:
                return await self.reader.read()
            except ConnectionResetError:
                return b""

    async def __aenter__(self) -> Talk:
        return self

    async def __aexit__(self, *_: object) -> None:
        self.writer.close()


def outcome(read: Read) -> tuple[str, str]:
    """gRPC's status and our code."""
    fields = read.fields()
    status = next(each.name for each in GRPC_STATUS.values() if each.value[0] == int(fields["grpc-status"]))
    return status, fields.get("fivefold-code", b"").decode()


def good(read: Read) -> bool:
    """Whether it is the answer to `MESSAGE`."""
    assert read.fields()["grpc-status"] == b"0"
    answer = wire.ModelInferResponse.FromString(read.body[5:])
    return (answer.id, list(answer.outputs[0].contents.fp64_contents)) == ("a", [3.0])


async def asked(port: int, *parts: bytes) -> Read:
    async with await Talk.open(port) as talk:
        await talk.say(*parts)
        return await talk.answer()


def test_one_connection_answers_one_call_after_the_other(run: Run) -> None:
    async def conversation(port: int) -> None:
        async with await Talk.open(port) as talk:
            for _ in range(3):
                await talk.say(call())
                read = await talk.answer()
                assert good(read)
                assert read.keep_alive
            await talk.say(call(path="/grpc.health.v1.Health/Check", body=framed(b"")))
            assert (await talk.answer()).body == framed(b"\x08\x01")

    run(conversation)


REFUSED: dict[str, tuple[bytes, str, str]] = {
    "no such method": (call(path="/inference.GRPCInferenceService/Nope"), "UNIMPLEMENTED", "not_found"),
    "another spelling": (call(path="/inference.GRPCInferenceService/modelinfer"), "UNIMPLEMENTED", "not_found"),
    "a query": (call(path=f"{INFER}?a=1"), "UNIMPLEMENTED", "not_found"),
    "a stream": (call(path="/inference.GRPCInferenceService/ModelStreamInfer"), "UNIMPLEMENTED", "not_found"),
    "no te": (call(te=None), "INVALID_ARGUMENT", "malformed"),
    "another te": (call(te="gzip"), "INVALID_ARGUMENT", "malformed"),
    "no body": (call(b""), "INVALID_ARGUMENT", "malformed"),
    "half a prefix": (call(b"\0\0\0"), "INVALID_ARGUMENT", "malformed"),
    "a message that is short": (call(framed()[:-3]), "INVALID_ARGUMENT", "malformed"),
    "two messages": (call(framed() * 2), "INVALID_ARGUMENT", "malformed"),
    "bytes behind it": (call(framed() + b"\0"), "INVALID_ARGUMENT", "malformed"),
    "another flag": (call(framed(flag=2)), "INVALID_ARGUMENT", "malformed"),
    "compressed, not said how": (call(framed(gzip.compress(MESSAGE), 1)), "INVALID_ARGUMENT", "malformed"),
    "another encoding": (call(framed(flag=1), "grpc-encoding: snappy"), "UNIMPLEMENTED", "unsupported_media_type"),
    "no gzip": (call(framed(b"123456789", 1), "grpc-encoding: gzip"), "INVALID_ARGUMENT", "malformed"),
    "half a gzip": (
        call(framed(gzip.compress(MESSAGE)[:-9], 1), "grpc-encoding: gzip"),
        "INVALID_ARGUMENT",
        "malformed",
    ),
    "a bomb": (
        call(framed(gzip.compress(bytes(100 * LIMIT)), 1), "grpc-encoding: gzip"),
        "RESOURCE_EXHAUSTED",
        "too_large",
    ),
    "no message of the method": (call(framed(b"\xff\xff")), "INVALID_ARGUMENT", "malformed"),
    "a timeout that is none": (call(None, "grpc-timeout: soon"), "INVALID_ARGUMENT", "malformed"),
    "a time that is up": (call(None, "grpc-timeout: 0n"), "DEADLINE_EXCEEDED", "deadline_exceeded"),
    "metadata that is no base64": (call(None, "x-bin: !"), "INVALID_ARGUMENT", "malformed"),
    "too much metadata": (call(None, "x: " + "a" * 40_000), "RESOURCE_EXHAUSTED", "headers_too_large"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_what_is_refused_says_so_and_the_next_call_is_answered(run: Run, name: str) -> None:
    """On the same connection, where its body has been read to the end."""
    data, status, code = REFUSED[name]

    async def conversation(port: int) -> tuple[tuple[str, str], bool]:
        async with await Talk.open(port) as talk:
            await talk.say(data)
            read = await talk.answer()
            assert (read.status, read.body, read.keep_alive) == (200, b"", True)
            await talk.say(call())
            return outcome(read), good(await talk.answer())

    assert run(conversation) == ((status, code), True)


@pytest.mark.parametrize("kind", [None, "application/json", "text/plain"])
def test_what_is_not_grpc_is_told_by_http(run: Run, kind: str | None) -> None:
    read = run(lambda port: asked(port, call(kind=kind)))

    assert (read.status, outcome(read)) == (415, ("UNIMPLEMENTED", "unsupported_media_type"))


@pytest.mark.parametrize(
    ("encoding", "body"),
    [
        ("gzip", framed(gzip.compress(MESSAGE, mtime=0), 1)),
        ("deflate", framed(zlib.compress(MESSAGE), 1)),
        ("gzip", framed()),
        ("identity", framed()),
        ("identity", framed(flag=1)),
    ],
)
def test_compressed_messages(run: Run, encoding: str, body: bytes) -> None:
    """The flag says whether this message is; what is compressed by nothing is itself."""
    assert good(run(lambda port: asked(port, call(body, f"grpc-encoding: {encoding}"))))


@settings(max_examples=25, suppress_health_check=list(HealthCheck), database=None, deadline=None)
@given(st.lists(st.integers(1, len(call()) - 1), max_size=4, unique=True).map(sorted))
def test_however_it_is_cut(run: Run, cuts: list[int]) -> None:
    """The first piece has to show whose connection it is."""
    data = call(None, "x-bin: AQI", "x-request-id: mine")
    first = len("POST /inference.GRPCInferenceService/")
    ends = [cut for cut in cuts if cut >= first]
    parts = [data[a:b] for a, b in zip([0, *ends], [*ends, len(data)], strict=True)]
    read = run(lambda port: asked(port, *parts))

    assert good(read)
    assert read.fields()["x-request-id"] == b"mine"


def test_a_chunked_body_with_trailers(run: Run) -> None:
    """Which say nothing here."""
    head = call(b"", length=0).replace(b"content-length: 0", b"transfer-encoding: chunked")
    body = b"%x\r\n%b\r\n0\r\nx-bin: !\r\ngrpc-timeout: 0n\r\n\r\n" % (len(framed()), framed())

    assert good(run(lambda port: asked(port, head + body)))


@pytest.mark.parametrize(
    "data",
    [
        PLAIN,
        call(path="/v1/models/gate:predict"),
        call(method="GET"),
        call().replace(b"HTTP/1.1", b"HTTP/1.0"),
        call(None, "transfer-encoding: chunked"),
        call(None, "content-length: 3"),
        b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
        b"\0\0\0",
        call(None, "upgrade: h2c", "connection: upgrade")[:-1],
    ],
)
def test_what_is_no_such_call_ends_the_connection_without_an_answer(run: Run, data: bytes) -> None:
    """Behind the answers to the calls before it: no caller of REST may get an answer of this kind, or the other way."""

    async def conversation(port: int) -> bytes:
        async with await Talk.open(port) as talk:
            await talk.say(call())
            assert good(await talk.answer())
            await talk.say(data)
            return await talk.rest()

    assert run(conversation) == b""


def test_a_connection_that_begins_with_rest_stays_rests(run: Run) -> None:
    async def conversation(port: int) -> tuple[int, int]:
        async with await Talk.open(port) as talk:
            await talk.say(PLAIN)
            first = await talk.answer()
            await talk.say(call())
            second = await talk.answer()
            assert b"not_found" in second.body
            return first.status, second.status

    assert run(conversation) == (200, 404)


def test_a_call_that_comes_before_the_answer_to_the_one_before_it_gets_none(run: Run) -> None:
    async def conversation(port: int) -> None:
        grpc_gate.shut()
        async with await Talk.open(port) as talk:
            await talk.say(call(framed(request_of(-1.0).SerializeToString())))
            await asyncio.to_thread(grpc_gate.wait_for_one)
            await talk.say(call())
            grpc_gate.opened.set()
            read = await talk.answer()
            assert wire.ModelInferResponse.FromString(read.body[5:]).outputs[0].contents.fp64_contents[0] == -2.0
            assert not read.keep_alive
            assert await talk.rest() == b""

    run(conversation)


def test_a_proxy_that_hangs_up_cancels_the_call(run: Run, out: World) -> None:
    async def conversation(port: int) -> None:
        grpc_gate.shut()
        async with await Talk.open(port) as talk:
            await talk.say(call(framed(request_of(-1.0).SerializeToString())))
            await asyncio.to_thread(grpc_gate.wait_for_one)
        async with asyncio.timeout(SECONDS):
            while b'code="cancelled",model="gate"' not in out.serving.telemetry.expose()[0]:
                await asyncio.sleep(0.005)
            grpc_gate.opened.set()
            while out.serving.inflight:
                await asyncio.sleep(0.005)

    run(conversation)


def test_a_message_beyond_the_limit_is_refused_before_its_end(run: Run, out: World) -> None:
    """With the connection's last answer, which is there to be read although more was sent; and what it held is free."""

    async def conversation(port: int) -> tuple[str, str]:
        async with await Talk.open(port) as talk:
            await talk.say(call(b"\0" * (LIMIT + 6), length=1024 * LIMIT))
            await talk.say(bytes(LIMIT))
            read = await talk.answer()
            assert not read.keep_alive
            return outcome(read)

    assert run(conversation) == ("RESOURCE_EXHAUSTED", "too_large")
    assert out.serving.room.held == 0


@pytest.mark.parametrize("rows", [LIMIT // 8 - 50])
def test_a_message_just_below_the_limit_is_answered(run: Run, rows: int) -> None:
    message = request_of(*[2.0] * rows).SerializeToString()
    assert LIMIT - 600 < len(message) <= LIMIT
    read = run(lambda port: asked(port, call(framed(message))))

    assert len(wire.ModelInferResponse.FromString(read.body[5:]).outputs[0].contents.fp64_contents) == rows


@pytest.mark.parametrize("kept", [1, len(call()) - 1, len(call()) - len(framed()) - 3])
def test_what_never_comes_to_its_end_is_given_up(run: Run, kept: int) -> None:
    """A body with an answer, a head without."""
    first = call()

    async def conversation(port: int) -> bytes:
        async with await Talk.open(port) as talk:
            await talk.say(first)
            assert good(await talk.answer())
            await talk.say(first[:kept])
            return await talk.rest()

    said = run(conversation)
    if kept < len(first) - len(framed()):
        assert said == b""
    else:
        assert outcome(Read(said)) == ("DEADLINE_EXCEEDED", "request_timeout")


def test_a_head_without_end_is_bounded(run: Run) -> None:
    async def conversation(port: int) -> bytes:
        async with await Talk.open(port) as talk:
            head = f"POST {INFER} HTTP/1.1\r\n".encode() + (b"x: " + b"a" * 1000 + b"\r\n") * 10_000
            with contextlib.suppress(ConnectionError):
                await talk.say(head)
            return await talk.rest()

    assert run(conversation) == b""


def test_nobody_unknown_makes_us_hold_a_message(tmp_path: Path) -> None:
    """The answer comes before the message does; two credentials are none; what a proxy says of the address counts."""
    key, entry = keys.make("test")
    keys.add(tmp_path / "keys.json", entry)
    with world([gate_bundle(tmp_path / "gate")], keys=str(tmp_path / "keys.json"), body_timeout=SECONDS) as guarded:

        async def conversation() -> list[tuple[str, str]]:
            connection: Any = protocol_of(
                guarded.app, taking_over(Methods(guarded.serving, Servicer(guarded.serving).unary()))
            )
            bearer, other = f"authorization: Bearer {key}", f"x-api-key: {key}"
            async with running(guarded.app, connection) as port:
                found = [outcome(await asked(port, call(b"", length=1024 * 1024)))]
                found.append(outcome(await asked(port, call(None, bearer, other))))
                found.append(outcome(await asked(port, call(None, bearer, bearer))))
                assert good(await asked(port, call(None, bearer)))
                assert good(await asked(port, call(None, other)))
                for _ in range(60):
                    wrong = call(None, "authorization: Bearer ff_x", "x-forwarded-for: 198.51.100.7")
                    last = outcome(await asked(port, wrong))
                    if last[1] == "rate_limited":
                        break
                found.append(last)
                wrong = call(None, "authorization: Bearer ff_x", "x-forwarded-for: 198.51.100.8")
                found.append(outcome(await asked(port, wrong)))
                return found

        refused = ("UNAUTHENTICATED", "unauthenticated")
        assert guarded.run(conversation()) == [refused] * 3 + [("RESOURCE_EXHAUSTED", "rate_limited"), refused]


@settings(max_examples=60, suppress_health_check=list(HealthCheck), database=None, deadline=None)
@given(st.integers(0, len(call()) - 1), st.binary(max_size=3), st.integers(0, 3))
def test_mutations_break_nothing(run: Run, at: int, new: bytes, removed: int) -> None:
    """Whatever becomes of one: an answer of the right kind or the connection's end, and the next one is answered."""
    data = call(None, "grpc-timeout: 10S", "x-bin: AQI")
    mutated = data[:at] + new + data[at + removed :]

    async def conversation(port: int) -> bool:
        async with await Talk.open(port) as talk:
            await talk.say(mutated)
            talk.writer.write_eof()
            said = await talk.rest()
            if said.startswith(b"HTTP/1.1 200 "):
                assert Read(said).fields()["grpc-status"].isdigit()
        return good(await asked(port, call()))

    assert run(conversation)
