"""What an application says becomes bytes as under uvicorn's own connection class; what it must not say ends in step."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable, Iterator
from typing import Any

import pytest
from tests.support.grpc_calls import gate_bundle
from tests.support.http_calls import SECONDS, World, world
from tests.unit.serving.http.test_protocol import line, request, until
from tests.unit.serving.http.test_servers import running, talk
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from fivefold.serving.http.framing import Framed

Application = Callable[[Any, Any, Any], Awaitable[None]]
GET = request(b"", "/", "connection: close", method="GET", length=False)
HEAD = request(b"", "/", "connection: close", method="HEAD", length=False)
POST = request(b"a body", "/", "connection: close")


@pytest.fixture(scope="module")
def out(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    with world([gate_bundle(tmp_path_factory.mktemp("gate") / "gate")]) as made:
        yield made


def framed(out: World) -> Any:
    return type("ProtocolOfTest", (Framed,), {"dataplane": out.serving})


def start(status: int = 200, *headers: tuple[bytes, bytes]) -> dict[str, Any]:
    return {"type": "http.response.start", "status": status, "headers": headers}


def part(body: bytes = b"", *, more: bool = False) -> dict[str, Any]:
    return {"type": "http.response.body", "body": body, "more_body": more}


def saying(*messages: dict[str, Any]) -> Application:
    async def application(_scope: Any, _receive: Any, send: Any) -> None:
        for message in messages:
            await send(message)

    return application


async def telling(scope: Any, receive: Any, send: Any) -> None:
    """Answers what it has been told of the request."""
    told = {key: value for key, value in scope.items() if key not in ("client", "server", "state")}
    ends = [(host, type(port)) for host, port in (scope["client"], scope["server"])]
    body = b""
    while True:
        message = await receive()
        body += message["body"]
        if not message["more_body"]:
            break
    shown = repr(sorted({**told, "body": body, "ends": ends}.items())).encode()
    await send(start(200, (b"content-length", b"%d" % len(shown))))
    await send(part(shown))


def without_date(said: bytes) -> bytes:
    head, end, body = said.partition(b"\r\n\r\n")
    return b"\r\n".join(each for each in head.split(b"\r\n") if not each.startswith(b"date: ")) + end + body


SAID = {
    "whole": saying(start(200, (b"content-length", b"5")), part(b"hello")),
    "in parts": saying(start(200, (b"content-length", b"5")), part(b"he", more=True), part(b"llo")),
    "an empty end": saying(start(200, (b"content-length", b"5")), part(b"hello", more=True), part()),
    "of no known length": saying(start(200, (b"content-type", b"text/plain")), part(b"he", more=True), part(b"llo")),
    "chunked by its own wish": saying(start(200, (b"transfer-encoding", b"chunked")), part(b"hello")),
    "empty parts": saying(start(), part(more=True), part(b"hello", more=True), part(more=True), part()),
    "nothing": saying(start(204), part()),
    "not changed": saying(start(304, (b"etag", b'"x"')), part()),
    "no phrase": saying(start(299, (b"content-length", b"0")), part()),
    "closing": saying(start(200, (b"Connection", b"Close"), (b"content-length", b"0")), part()),
    "told": telling,
}  # fmt: skip


@pytest.mark.parametrize("what", SAID)
@pytest.mark.parametrize("asked", [GET, HEAD, POST], ids=["GET", "HEAD", "POST"])
def test_answers_are_written_as_uvicorn_writes_them(out: World, what: str, asked: bytes) -> None:
    """Byte by byte, but for the time of day."""

    async def both() -> list[bytes]:
        got = []
        for http in (framed(out), HttpToolsProtocol):
            async with running(SAID[what], http) as port:
                got.append(without_date(await talk(port, asked)))
        return got

    ours, uvicorns = out.run(both())

    assert ours == uvicorns
    assert ours.startswith(b"HTTP/1.1 ")


async def failing(_scope: Any, _receive: Any, _send: Any) -> None:
    raise ZeroDivisionError("a secret")


@pytest.mark.parametrize(
    "application",
    [
        failing,
        saying(),
        saying(part(b"no head")),
        saying(start(200, (b"x", b"1\r\nset-cookie: stolen"))),
        saying(start(200, (b"x\n", b"1"))),
        saying(start(200, (b"x", b"\0"))),
        saying(start(1000)),
    ],
    ids=["raises", "says nothing", "body first", "value", "name", "NUL", "status"],
)
@pytest.mark.parametrize("method", ["GET", "HEAD"])
def test_what_has_not_begun_to_be_an_answer_becomes_one(out: World, application: Application, method: str) -> None:
    """The product's own, of an error of the server, which says nothing of the cause."""
    asked = request(b"", "/", method=method, length=False)

    async def ask() -> bytes:
        async with running(application, framed(out)) as port:
            return await talk(port, asked)

    before = out.count("internal")
    head, _, body = out.run(ask()).partition(b"\r\n\r\n")

    assert head.startswith(b"HTTP/1.1 500 ")
    assert head.count(b"HTTP/1.1") == 1
    assert b"connection: close" in head
    assert b"stolen" not in head
    assert out.count("internal") == before + 1
    if method == "HEAD":
        assert body == b""
    else:
        assert json.loads(body)["code"] == "internal"
        assert b"secret" not in body


@pytest.mark.parametrize(
    "application",
    [
        saying(start(200, (b"content-length", b"5")), part(b"hell")),
        saying(start(200, (b"content-length", b"5")), part(b"hello and more")),
        saying(start(200, (b"content-length", b"5")), part(b"hell", more=True)),
        saying(start(), part(b"hello", more=True)),
        saying(start(), part(b"hello", more=True), start()),
    ],
    ids=["too short", "too long", "without an end", "chunks without an end", "a second head"],
)
def test_an_answer_that_is_cut_off_is_not_whole(out: World, application: Application) -> None:
    """The connection ends in the middle of it, so that nobody takes it for whole, or what follows for its rest."""
    before = out.count("internal")

    async def ask() -> bytes:
        async with running(application, framed(out)) as port:
            return await talk(port, request(b"", "/", method="GET", length=False) * 2)

    said = out.run(ask())

    head, _, body = said.partition(b"\r\n\r\n")
    assert said.count(b"HTTP/1.1") == 1
    if b"content-length: 5" in head:
        assert len(body) < 5
    else:
        assert b"\r\n0\r\n" not in body
    assert out.count("internal") == before + 1
    assert "RuntimeError" in out.lines[-1]["exception"]


def test_who_hangs_up_in_the_middle_of_an_answer_is_told_of(out: World) -> None:
    """`receive` says so; what is said to nobody is dropped, and no error."""
    seen: list[str] = []
    before = out.count("internal")

    async def streaming(_scope: Any, receive: Any, send: Any) -> None:
        assert (await receive())["type"] == "http.request"
        await send(start())
        await send(part(b"hello", more=True))
        seen.append((await receive())["type"])
        await send(part(b"hello", more=True))
        await send(part())
        seen.append("over")

    async def converse() -> None:
        async with running(streaming, framed(out)) as port:
            reader, writer = await asyncio.open_connection("127.0.0.1", port)
            writer.write(request(b"", "/", method="GET", length=False))
            await reader.readuntil(b"hello")
            writer.close()
            await until(lambda: "over" in seen)

    out.run(converse())

    assert seen == ["http.disconnect", "over"]
    assert out.count("internal") == before


def test_a_slow_reader_is_waited_for(out: World) -> None:
    """What is said to a client that does not read is not heaped up, and nothing of it is lost."""
    size, parts = 100_000, 400
    said = 0
    full = asyncio.Event()

    class Full(framed(out)):  # type: ignore[misc]
        def pause_writing(self) -> None:
            super().pause_writing()
            full.set()

    async def much(_scope: Any, _receive: Any, send: Any) -> None:
        nonlocal said
        await send(start())
        for number in range(parts):
            await send(part(b"%c" % (number % 256) * size, more=True))
            said += 1
        await send(part())

    async def converse() -> int:
        async with running(much, Full) as port:
            reader, writer = await asyncio.open_connection("127.0.0.1", port, limit=1000)
            writer.write(request(b"", "/", "connection: close", method="GET", length=False))
            await asyncio.wait_for(full.wait(), SECONDS)
            before = said
            await reader.readuntil(b"\r\n\r\n")
            async with asyncio.timeout(SECONDS):
                rest = await reader.read()
            writer.close()
            assert len(rest) == parts * (size + len(b"%x\r\n\r\n" % size)) + len(b"0\r\n\r\n")
            return before

    assert out.run(converse()) < parts


def test_a_slow_application_is_waited_for(out: World) -> None:
    """What a client sends and nobody receives stays with the client."""
    go, full = asyncio.Event(), asyncio.Event()
    held: list[int] = []

    class Full(framed(out)):  # type: ignore[misc]
        def pause_reading(self) -> None:
            super().pause_reading()
            full.set()

    async def late(_scope: Any, receive: Any, send: Any) -> None:
        await go.wait()
        whole, more = 0, True
        while more:
            message = await receive()
            held.append(len(message["body"]))
            whole, more = whole + len(message["body"]), message["more_body"]
        await send(start(200, (b"content-length", b"8")))
        await send(part(b"%8d" % whole))

    async def converse() -> bytes:
        async with running(late, Full) as port, line(port) as asking:
            asking.say(request(b"x" * 20_000_000, "/"))
            await asyncio.wait_for(full.wait(), SECONDS)
            go.set()
            return (await asking.answer()).body

    assert out.run(converse()) == b"20000000"
    assert max(held) < 1_000_000


def test_connections_beyond_the_limit_are_told_so(out: World) -> None:
    """In the product's words, and closed; there is room again when one has gone."""

    class Few(framed(out)):  # type: ignore[misc]
        def __init__(self, *args: Any, **kwargs: Any) -> None:
            super().__init__(*args, **kwargs)
            self.limit = 2

    async def converse() -> None:
        asked = request(b"", "/", method="GET", length=False)
        async with running(SAID["whole"], Few) as port, line(port) as first:
            assert (await first.ask(asked)).body == b"hello"
            async with line(port) as second:
                reply = await second.ask(asked)
                assert (reply.status, reply.code) == (503, "overloaded")
                assert "retry-after" in reply.headers
                assert await second.ended()
            assert (await first.ask(asked)).body == b"hello"

    out.run(converse())
