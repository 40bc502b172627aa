"""What a connection does when its requests are not as they should be: in order, once, and to the end."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.support import grpc_gate
from tests.support.desync_corpus import CHUNKED, body, chunks, post, raw
from tests.support.desync_talking import answers, say
from tests.support.grpc_calls import gate_bundle
from tests.support.http_calls import SECONDS, World, world
from tests.unit.serving.http.test_servers import running

from fivefold.core.runtime.python_runner import PythonRunner
from fivefold.serving.http import http_connection
from fivefold.serving.http.protocol import protocol_of

SLOW = post(-1.0)
GARBAGE = b"GET /v2 HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n"


@pytest.fixture(autouse=True)
def _gate_is_open_again(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setattr(PythonRunner, "foreseeable", True)
    yield
    grpc_gate.opened.set()


@pytest.fixture
def slow(tmp_path: Path) -> Iterator[World]:
    """A model that runs in a thread, and waits at the gate when asked for -1."""
    with world([gate_bundle(tmp_path / "gate")], inline_seconds=0.0, max_wait=SECONDS) as out:
        yield out


@pytest.mark.parametrize(
    "behind",
    [
        GARBAGE,
        b"nothing\r\n\r\n",
        raw(CHUNKED, content=b"5\r\nhelloX"),
        raw(b"Connection: upgrade", b"Upgrade: x", CHUNKED, content=b"5\r\nhelloX"),
        post(3.0) + GARBAGE,
        post(3.0) + raw(CHUNKED, content=b"x"),
    ],
    ids=["head", "no HTTP", "chunks", "upgrade", "after another", "chunks after another"],
)
@pytest.mark.parametrize("apart", [False, True], ids=["one read", "two reads"])
def test_an_error_waits_for_the_answers_before_it(slow: World, behind: bytes, apart: bool) -> None:
    """Whoever reads would take it for the first one's answer."""

    async def converse() -> None:
        grpc_gate.shut()
        async with running(slow.app, protocol_of(slow.app)) as port:
            reader, writer = await asyncio.open_connection("127.0.0.1", port)
            writer.write(SLOW if apart else SLOW + behind)
            await asyncio.to_thread(grpc_gate.wait_for_one)
            if apart:
                writer.write(behind)
                await asyncio.sleep(0.02)
            grpc_gate.opened.set()
            got = answers(await asyncio.wait_for(reader.read(), SECONDS))
            writer.close()
        expected = [(200, -2.0), (200, 6.0)] if behind.startswith(post(3.0)) else [(200, -2.0)]
        assert [(each.status, each.doubled) for each in got] == [*expected, (400, None)]

    slow.run(converse())


def test_an_answer_that_needs_no_body_reaches_a_client_that_is_still_sending(slow: World) -> None:
    """It says that it closes, and does: the rest of the body is nobody's request."""

    async def converse() -> None:
        async with running(slow.app, protocol_of(slow.app)) as port:
            for path, status in ((b"/nowhere", 404), (b"/v2", 405)):
                size = 3_000_000
                head = raw(b"Content-Length: %d" % size, start=b"POST %b HTTP/1.1" % path)
                got, closed = await say(port, head, b"x" * (size // 2), post(3.0) * 10_000)
                assert closed
                assert [(each.status, each.headers["connection"]) for each in got] == [(status, "close")]

    slow.run(converse())


async def send_on(writer: asyncio.StreamWriter) -> None:
    """Until there is nobody to send to."""
    while True:
        writer.write(b"x")
        await writer.drain()
        await asyncio.sleep(0.01)


def test_a_client_that_never_stops_sending_is_left(slow: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """After a time, whatever it sends."""
    monkeypatch.setattr(http_connection, "LEAVE_SECONDS", 0.2)

    async def converse() -> None:
        async with running(slow.app, protocol_of(slow.app)) as port:
            reader, writer = await asyncio.open_connection("127.0.0.1", port)
            writer.write(raw(b"Content-Length: 1000000000", start=b"POST /nowhere HTTP/1.1"))
            assert answers(await reader.read())[0].status == 404
            with pytest.raises(ConnectionError):
                await asyncio.wait_for(send_on(writer), SECONDS)
            writer.close()

    slow.run(converse())


def test_a_trailer_is_no_header(slow: World) -> None:
    """Neither a harmless one, which is passed over, nor in the next request."""

    async def converse() -> None:
        late = raw(CHUNKED, content=chunks(body(4.0), trailer=b"X-Request-Id: late\r\nAccept: text/csv\r\n"))
        async with running(slow.app, protocol_of(slow.app)) as port:
            got, _ = await say(port, late + post(5.0))
            assert [each.doubled for each in got] == [8.0, 10.0]
            assert all(each.headers["x-request-id"] != "late" for each in got)

    slow.run(converse())


@pytest.mark.parametrize("endless", [b"5;" + b"x" * 4096, b"0\r\nX: " + b"x" * 4096], ids=["extension", "trailer"])
def test_what_stands_around_chunks_is_bounded(slow: World, endless: bytes) -> None:
    """Nobody keeps a server reading what is no body."""

    async def converse() -> None:
        async with running(slow.app, protocol_of(slow.app)) as port:
            got, closed = await say(port, raw(CHUNKED) + endless, *[b"x" * 4096] * 500)
            assert closed
            assert [(each.status, json.loads(each.body)["code"]) for each in got] == [(400, "malformed")]

    slow.run(converse())


def test_the_smallest_chunks_are_a_body(slow: World) -> None:
    content = json.dumps({"instances": [{"x": 6.0}], "parameters": {"text": "x" * 100_000}}).encode()

    async def converse() -> None:
        async with running(slow.app, protocol_of(slow.app)) as port:
            whole = raw(CHUNKED, content=chunks(content, 1))
            got, _ = await say(port, *(whole[at : at + 5000] for at in range(0, len(whole), 5000)), until=1)
            assert got[0].status != 400, got[0].body

    slow.run(converse())
