"""A replica's own HTTP endpoint: it answers on a socket that it was given, and leaves it in order."""

from __future__ import annotations

import asyncio
import contextlib
import socket
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from tests.support import grpc_gate
from tests.support.grpc_calls import gate_bundle
from tests.support.http_calls import SECONDS, World, world
from tests.unit.serving.http.test_protocol import SLOW, doubled, line, request

from fivefold.serving.http.http_server import HttpServer


@contextlib.asynccontextmanager
async def endpoint(out: World) -> AsyncIterator[tuple[int, HttpServer]]:
    """A port and the server that answers there."""
    listener = socket.socket()
    listener.bind(("127.0.0.1", 0))
    port = listener.getsockname()[1]
    server = HttpServer(out.app, listener)
    async with asyncio.timeout(SECONDS):
        await server.start()
    try:
        yield port, server
    finally:
        grpc_gate.opened.set()
        await server.stop()


def test_it_answers_as_soon_as_it_has_started(tmp_path: Path) -> None:
    with world([gate_bundle(tmp_path / "gate")]) as out:

        async def converse() -> None:
            async with endpoint(out) as (port, _), line(port) as asking:
                reply = await asking.ask(request())
                assert doubled(reply) == [4.0]
                assert "server" not in reply.headers

        out.run(converse())


def test_what_is_being_answered_is_finished_and_idle_connections_close(tmp_path: Path) -> None:
    """New connections are refused meanwhile."""
    with world([gate_bundle(tmp_path / "gate")], inline_seconds=0.0) as out:

        async def converse() -> None:
            async with endpoint(out) as (port, server), line(port) as idle, line(port) as slow:
                await idle.ask(request())
                grpc_gate.shut()
                slow.say(request(SLOW))
                await asyncio.to_thread(grpc_gate.wait_for_one)
                stopping = asyncio.ensure_future(server.stop(SECONDS))
                assert await idle.ended()
                with pytest.raises(ConnectionError):
                    await asyncio.open_connection("127.0.0.1", port)
                assert not stopping.done()
                grpc_gate.opened.set()
                reply = await slow.answer()
                assert doubled(reply) == [-2.0]
                assert reply.headers["connection"] == "close"
                await asyncio.wait_for(stopping, SECONDS)

        out.run(converse())


def test_a_socket_that_cannot_listen_is_an_error(tmp_path: Path) -> None:
    """The replica does not come up, instead of answering nobody."""
    with world([gate_bundle(tmp_path / "gate")]) as out, socket.socket() as first, socket.socket() as second:
        for each in (first, second):
            each.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        first.bind(("127.0.0.1", 0))
        second.bind(first.getsockname())
        first.listen()

        async def start() -> None:
            await HttpServer(out.app, second).start()

        with pytest.raises(OSError, match="in use"):
            out.run(start())


def test_a_server_that_was_never_started_stops(tmp_path: Path) -> None:
    with world([gate_bundle(tmp_path / "gate")]) as out, socket.socket() as listener:
        out.run(HttpServer(out.app, listener).stop())
