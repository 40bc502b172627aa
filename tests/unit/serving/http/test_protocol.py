"""The connection class under a real uvicorn: who is answered early gets what the ordinary way would have given."""

from __future__ import annotations

import asyncio
import contextlib
import gzip
import socket
from collections.abc import AsyncIterator, Callable, Coroutine, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from tests.support import grpc_gate
from tests.support.grpc_calls import gate_bundle
from tests.support.http_calls import SECONDS, Reply, World, dumps, world
from tests.unit.serving.http.test_servers import running, talk
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from fivefold.core.bundle.bundle import Bundle
from fivefold.core.columns import Columns
from fivefold.core.runtime.python_runner import PythonRunner
from fivefold.core.runtime.scorer import Scorer
from fivefold.serving.http.protocol import protocol_of

PREDICT = "/v1/models/gate:predict"
INFER = "/v2/models/gate/infer"
BODY = dumps({"instances": [{"x": 2}]})
SLOW = dumps({"instances": [{"x": -1}]})
OTHER = "/v1/models/gate/versions/2:predict"
"""Where the model that answers at `PREDICT` waits, this one goes on: it has threads of its own."""

TENSORS = dumps({"inputs": [{"name": "x", "shape": [1], "datatype": "FP64", "data": [2.0]}]})
QUICK = 10.0
"""As `inline_seconds`: whatever the model was measured to cost, it runs on the event loop."""


@pytest.fixture(autouse=True)
def _gate_is_quick_and_open_again(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Code that came with a bundle never runs on the event loop; here it stands for a model that may."""
    monkeypatch.setattr(PythonRunner, "foreseeable", True)
    yield
    grpc_gate.opened.set()


class Ordinary:
    """The application as uvicorn calls it: whom it answers, the connection class did not."""

    def __init__(self, application: Any) -> None:
        self.calls = 0
        self._application = application

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        self.calls += 1
        await self._application(scope, receive, send)


class Line:
    """A client's connection: says bytes as they are, and reads one answer after another."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader, self._writer = reader, writer

    def say(self, data: bytes) -> None:
        self._writer.write(data)

    async def answer(self, *, head: bool = False) -> Reply:
        """The next answer, the time of day left out. `head` says that it has no body, whatever its headers promise."""
        async with asyncio.timeout(SECONDS):
            start, *lines = (await self._reader.readuntil(b"\r\n\r\n")).decode("latin-1").split("\r\n")[:-2]
            headers = dict(line.lower().split(": ", 1) for line in lines)
            assert len(headers) == len(lines), "the same header twice"
            assert start.startswith("HTTP/1.1 ")
            body = b"" if head else await self._reader.readexactly(int(headers.get("content-length", "0")))
        headers.pop("date", None)
        return Reply(int(start.split(" ")[1]), headers, body)

    async def ask(self, data: bytes, *, head: bool = False) -> Reply:
        self.say(data)
        return await self.answer(head=head)

    async def ended(self) -> bool:
        """Wait for the server to close; whether nothing came before that."""
        return await asyncio.wait_for(self._reader.read(), SECONDS) == b""

    async def hang_up(self) -> None:
        self._writer.close()
        with contextlib.suppress(ConnectionError):
            await self._writer.wait_closed()


@contextlib.asynccontextmanager
async def line(port: int, over: socket.socket | None = None, limit: int = 2**16) -> AsyncIterator[Line]:
    """A connection, for the length of a `with`; it reads about `limit` bytes ahead of the test."""
    with over or socket.socket() as connection:
        connection.connect(("127.0.0.1", port))
        out = Line(*await asyncio.open_connection(sock=connection, limit=limit))
        try:
            yield out
        finally:
            await out.hang_up()


def request(
    body: bytes = BODY, path: str = PREDICT, *headers: str, method: str = "POST", http: str = "1.1", length: bool = True
) -> bytes:
    """A request as it goes over the wire; it has an id, so that two answers to it are equal."""
    lines = [f"{method} {path} HTTP/{http}", "host: here", "x-request-id: mine", *headers]
    if length:
        lines.append(f"content-length: {len(body)}")
    return "\r\n".join([*lines, "", ""]).encode("latin-1") + body


def rows(*xs: float, path: str = PREDICT) -> bytes:
    return request(dumps({"instances": [{"x": x} for x in xs]}), path)


def chunked(*parts: bytes) -> bytes:
    """A body of unknown length; with `request(…, length=False)`."""
    return b"".join(b"%x\r\n%b\r\n" % (len(part), part) for part in (*parts, b""))


def doubled(reply: Reply) -> list[float]:
    assert reply.status == 200, reply.body
    return [row["y"] for row in reply.json["predictions"]]


async def until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(SECONDS):
        while not condition():
            await asyncio.sleep(0.005)


def both(directory: Path) -> list[Bundle]:
    """The model at `PREDICT`, which has the higher version, and the one at `OTHER`."""
    return [gate_bundle(directory / version, version) for version in ("10", "2")]


def patient(kind: type[Any]) -> Any:
    """The connection class with a keep-alive that no test waits out: whom the server leaves, it leaves for a reason."""

    class Patient(kind):  # type: ignore[misc, valid-type]
        def __init__(self, *args: Any, **kwargs: Any) -> None:
            super().__init__(*args, **kwargs)
            self.timeout_keep_alive = 10 * SECONDS

    return Patient


@contextlib.asynccontextmanager
async def early(out: World) -> AsyncIterator[tuple[int, Ordinary]]:
    """The port of a server with the connection class, and the application behind it."""
    ordinary = Ordinary(out.app)
    async with running(ordinary, patient(protocol_of(out.app))) as port:
        yield port, ordinary


@dataclass
class EndpointPair:
    """Two servers with the same models, to compare: one with the connection class, one with uvicorn's own."""

    out: World
    early: int
    ordinary: Ordinary
    plain: int

    def both(self, conversation: Callable[[Line], Coroutine[Any, Any, Any]]) -> tuple[Any, Any, int]:
        """What comes of a conversation with each of them, and how often the first one called the application."""

        async def one(port: int) -> Any:
            async with line(port) as asking:
                return await conversation(asking)

        before = self.ordinary.calls
        got = self.out.run(one(self.early))
        return got, self.out.run(one(self.plain)), self.ordinary.calls - before


@pytest.fixture(scope="module", params=[0.0, QUICK], ids=["thread", "inline"])
def endpoints(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[EndpointPair]:
    """Small limits, and a model that always runs in a thread, or never."""
    limits: dict[str, Any] = {"max_body_bytes": 1000, "max_rows": 10, "max_header_bytes": 1024}
    bundle = gate_bundle(tmp_path_factory.mktemp("gate") / "gate")
    with world([bundle], inline_seconds=request.param, **limits) as out:
        servers = contextlib.AsyncExitStack()
        early_port, ordinary = out.run(servers.enter_async_context(early(out)))
        plain_port = out.run(servers.enter_async_context(running(out.app, patient(HttpToolsProtocol))))
        yield EndpointPair(out, early_port, ordinary, plain_port)
        out.run(servers.aclose())


@pytest.mark.parametrize(
    "asked",
    [
        request(),
        request(path="/v1/models/gate/versions/1:predict"),
        request(TENSORS, INFER),
        request(path=f"{PREDICT}?why=because"),
        request(path="/v1/models/g%61te:predict"),
        request(b"", PREDICT, "transfer-encoding: chunked", length=False) + chunked(BODY[:5], BODY[5:]),
        request(gzip.compress(BODY), PREDICT, "content-encoding: gzip"),
        request(b"", length=False),
    ],
    ids=["v1", "version", "v2", "query", "escaped", "chunked", "gzip", "no body"],
)
def test_a_request_in_one_piece_needs_no_asgi(endpoints: EndpointPair, asked: bytes) -> None:
    """uvicorn never calls the application, and the client cannot tell."""

    got, expected, calls = endpoints.both(lambda asking: asking.ask(asked))

    assert calls == 0
    assert got == expected


def test_many_requests_on_one_connection(tmp_path: Path) -> None:
    """One after another, each its own answer; an error in between ends nothing."""
    with world([gate_bundle(tmp_path / "gate")], inline_seconds=QUICK) as out:

        async def converse() -> None:
            async with early(out) as (port, ordinary), line(port) as asking:
                for x in range(100, 200):
                    assert doubled(await asking.ask(rows(x))) == [2.0 * x]
                    assert (await asking.ask(rows(x + 1000))).status == 422
                assert ordinary.calls == 0

        out.run(converse())

        assert out.count("ok", "gate", "1") == 100


@pytest.mark.parametrize("inline_seconds", [0.0, QUICK], ids=["thread", "inline"])
def test_pipelined_requests_are_answered_in_their_order(tmp_path: Path, inline_seconds: float) -> None:
    """All in one write, routes of both ways mixed: HTTP has nothing but the order to tell the answers apart."""
    with world([gate_bundle(tmp_path / "gate")], inline_seconds=inline_seconds, max_wait=SECONDS) as out:

        async def converse() -> None:
            async with early(out) as (port, _), line(port) as asking:
                every = [rows(*range(100, x)) if x % 5 else request(b"", "/v2", method="GET") for x in range(101, 160)]
                asking.say(b"".join(every))
                for x in range(101, 160):
                    reply = await asking.answer()
                    if x % 5:
                        assert doubled(reply) == [2.0 * each for each in range(100, x)]
                    else:
                        assert reply.json["name"] == "fivefold"
                assert doubled(await asking.ask(rows(7))) == [14.0]

        out.run(converse())


def test_a_slow_request_holds_the_pipeline_up(tmp_path: Path) -> None:
    """The quick one behind it on the connection waits; its answer must not overtake."""
    with world(both(tmp_path), inline_seconds=0.0) as out:

        async def converse() -> None:
            grpc_gate.shut()
            async with early(out) as (port, _), line(port) as asking, line(port) as other:
                asking.say(rows(-1) + rows(1, path=OTHER))
                await asyncio.to_thread(grpc_gate.wait_for_one)
                assert doubled(await other.ask(rows(3, path=OTHER))) == [6.0]
                grpc_gate.opened.set()
                assert doubled(await asking.answer()) == [-2.0]
                assert doubled(await asking.answer()) == [2.0]

        out.run(converse())


def test_a_client_that_reads_late_loses_nothing(tmp_path: Path) -> None:
    """Answers that the connection cannot take are not heaped up: from there on they go as tasks, which wait."""
    with world([gate_bundle(tmp_path / "gate")], inline_seconds=QUICK, batching=False) as out:
        heaped: list[int] = []

        class Narrow(patient(protocol_of(out.app))):  # type: ignore[misc]
            """Says at once that the connection takes no more."""

            def connection_made(self, transport: Any) -> None:
                super().connection_made(transport)
                transport.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 1)
                transport.set_write_buffer_limits(0)

            def pause_writing(self) -> None:
                super().pause_writing()
                heaped.append(self.transport.get_write_buffer_size())

        async def converse() -> None:
            ordinary = Ordinary(out.app)
            narrow = socket.socket()
            narrow.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
            async with running(ordinary, Narrow) as port, line(port, narrow, limit=1000) as asking:
                asking.say(b"".join(rows(x) for x in range(100, 200)))
                await until(lambda: ordinary.calls > 0)
                for x in range(100, 200):
                    assert doubled(await asking.answer()) == [2.0 * x]

        out.run(converse())

        assert max(heaped) < 1000, "one answer, not all of them"


@pytest.mark.parametrize("path", [PREDICT, INFER])
def test_a_body_in_two_pieces_goes_the_ordinary_way(tmp_path: Path, path: str) -> None:
    """To the same answer, wherever the cut is: what comes before the headers' end changes nothing at all."""
    body = BODY if path == PREDICT else TENSORS
    whole = request(body, path, "traceparent: 00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01")
    head = len(whole) - len(body)
    with world([gate_bundle(tmp_path / "gate")], inline_seconds=QUICK) as out:

        async def converse() -> None:
            async with early(out) as (port, ordinary), line(port) as asking:
                expected = await asking.ask(whole)
                assert expected.status == 200
                for cut in (1, 30, head - 2, head, head + 1, len(whole) - 1):
                    calls = ordinary.calls + int(cut >= head)
                    asking.say(whole[:cut])
                    await until(lambda: ordinary.calls == calls)  # noqa: B023  # awaited before the next round
                    assert await asking.ask(whole[cut:]) == expected, cut
                    assert await asking.ask(whole) == expected, "the connection goes on, early again"
                    assert ordinary.calls == calls

        out.run(converse())


@pytest.mark.full
def test_a_large_body_is_answered_as_a_small_one(tmp_path: Path) -> None:
    """It is read in many pieces, more than may pile up."""
    xs = [float(100 + x % 900) for x in range(50_000)]
    with world([gate_bundle(tmp_path / "gate")]) as out:

        async def converse() -> None:
            async with early(out) as (port, _), line(port) as asking:
                for _ in range(2):
                    assert doubled(await asking.ask(rows(*xs))) == [2.0 * x for x in xs]

        out.run(converse())


@pytest.mark.parametrize("begun", [b"", BODY[:5]], ids=["nothing", "a part"])
def test_a_body_that_stalls_times_out(tmp_path: Path, begun: bytes) -> None:
    """`request_timeout`, and the connection ends, because what comes next could be anything."""
    with world([gate_bundle(tmp_path / "gate")], body_timeout=0.05) as out:

        async def converse() -> None:
            async with early(out) as (port, ordinary), line(port) as asking:
                reply = await asking.ask(request(BODY)[: -len(BODY)] + begun)
                assert (reply.status, reply.code) == (408, "request_timeout")
                assert reply.headers["connection"] == "close"
                assert await asking.ended()
                assert ordinary.calls == 1

        out.run(converse())


def test_a_client_may_ask_whether_to_send_its_body(tmp_path: Path) -> None:
    """`Expect: 100-continue` is answered first, also where the client did not wait for it."""
    asked = request(BODY, PREDICT, "expect: 100-continue")
    with world([gate_bundle(tmp_path / "gate")]) as out:

        async def converse() -> None:
            async with early(out) as (port, _), line(port) as asking:
                assert (await asking.ask(asked[: -len(BODY)])).status == 100
                assert doubled(await asking.ask(BODY)) == [4.0]
                assert (await asking.ask(asked)).status == 100
                assert doubled(await asking.answer()) == [4.0]
                assert doubled(await asking.ask(request())) == [4.0]

        out.run(converse())


@pytest.mark.parametrize(
    "asked",
    [request(BODY, PREDICT, "connection: close"), request(http="1.0"), request(b"{", http="1.0")],
    ids=["close", "HTTP/1.0", "error"],
)
def test_who_asks_for_one_answer_gets_one(endpoints: EndpointPair, asked: bytes) -> None:
    """The answer says that the connection closes, and it does."""

    async def converse(asking: Line) -> Reply:
        reply = await asking.ask(asked)
        assert await asking.ended()
        return reply

    got, expected, calls = endpoints.both(converse)

    assert calls == 0
    assert got.headers["connection"] == "close"
    assert got == expected


OTHERS = {
    "ready": request(b"", "/readyz", method="GET"),
    "metadata": request(b"", "/v2/models/gate", method="GET"),
    "no body": request(b"", "/v2", method="HEAD"),
    "a model's head": request(b"", "/v1/models/gate", method="HEAD"),
    "index": request(b"{}", "/v2/repository/index"),
    "no route": request(b"", "/nothing", method="GET"),
    "no route to post to": request(BODY, "/nothing"),
    "no such model": request(BODY, "/v1/models/gat:predict"),
    "no such tensors": request(TENSORS, "/v2/models/gat/infer"),
    "no such version": request(BODY, "/v1/models/gate/versions/3:predict"),
    "another method": request(b"", PREDICT, method="GET"),
    "options": request(b"", PREDICT, method="OPTIONS"),
}
EARLY = {
    "no JSON": request(b"{"),
    "no object": request(b"[1]", INFER),
    "wrong rows": request(dumps({"instances": [{"x": 2}, {"x": 1001}, {"x": "a"}]})),
    "wrong tensor": request(TENSORS.replace(b'"x"', b'"z"'), INFER),
    "too large": request(b" " * 1001),
    "too large in chunks": request(b"", PREDICT, "transfer-encoding: chunked", length=False) + chunked(b" " * 1001),
    "too many rows": rows(*range(11)),
    "the model raises": rows(13),
    "media type": request(BODY, PREDICT, "content-type: text/csv"),
    "accept": request(BODY, PREDICT, "accept: text/csv"),
    "headers": request(BODY, PREDICT, f"x-long: {'x' * 1024}"),
    "no time": request(BODY, PREDICT, "x-request-timeout: 0"),
    "time that is no number": request(BODY, PREDICT, "x-request-timeout: soon"),
    "no gzip": request(BODY, PREDICT, "content-encoding: gzip"),
}


@pytest.mark.parametrize("what", [*OTHERS, *EARLY])
def test_routes_and_errors_are_the_ordinary_ones(endpoints: EndpointPair, what: str) -> None:
    """Status, headers, body and whether the connection goes on: those of plain uvicorn."""
    asked = (OTHERS | EARLY)[what]

    async def converse(asking: Line) -> tuple[Reply, Reply | None]:
        reply = await asking.ask(asked, head=asked.startswith(b"HEAD"))
        if reply.headers.get("connection") == "close":
            assert await asking.ended()
            return reply, None
        return reply, await asking.ask(request())

    got, expected, calls = endpoints.both(converse)

    assert calls == int(what in OTHERS)
    assert got == expected


def test_a_slow_model_answers_later(tmp_path: Path) -> None:
    """By the same way, while other connections and probes get theirs."""
    with world(both(tmp_path), inline_seconds=0.0) as out:

        async def converse() -> None:
            grpc_gate.shut()
            async with early(out) as (port, ordinary), line(port) as slow, line(port) as other:
                slow.say(request(SLOW))
                await asyncio.to_thread(grpc_gate.wait_for_one)
                for x in range(10):
                    assert doubled(await other.ask(rows(x, path=OTHER))) == [2.0 * x]
                assert ordinary.calls == 0
                assert (await other.ask(request(b"", "/readyz", method="GET"))).status == 200
                assert out.serving.inflight == 1
                grpc_gate.opened.set()
                assert doubled(await slow.answer()) == [-2.0]
                assert doubled(await slow.ask(rows(4))) == [8.0]
                assert ordinary.calls == 1

        out.run(converse())


def test_more_than_can_be_in_work_is_overloaded(tmp_path: Path) -> None:
    """With Retry-After, at once; the connection goes on, and is answered when there is room again."""
    with world([gate_bundle(tmp_path / "gate")], inline_seconds=0.0, max_inflight=1) as out:

        async def converse() -> None:
            grpc_gate.shut()
            async with early(out) as (port, ordinary), line(port) as slow, line(port) as other:
                slow.say(request(SLOW))
                await asyncio.to_thread(grpc_gate.wait_for_one)
                reply = await other.ask(rows(1))
                assert (reply.status, reply.code, reply.headers["retry-after"]) == (503, "overloaded", "1")
                grpc_gate.opened.set()
                assert doubled(await slow.answer()) == [-2.0]
                assert doubled(await other.ask(rows(1))) == [2.0]
                assert ordinary.calls == 0

        out.run(converse())


def test_a_client_that_hangs_up_during_the_work_is_counted(tmp_path: Path) -> None:
    """As `cancelled`; its place is free again when the model is done, and nobody else notices."""
    with world(both(tmp_path), inline_seconds=0.0) as out:

        async def converse() -> None:
            grpc_gate.shut()
            async with early(out) as (port, ordinary), line(port) as other:
                async with line(port) as slow:
                    slow.say(request(SLOW))
                    await asyncio.to_thread(grpc_gate.wait_for_one)
                await until(lambda: out.count("cancelled", "gate", "10") == 1)
                assert out.serving.inflight == 1
                assert doubled(await other.ask(rows(1, path=OTHER))) == [2.0]
                grpc_gate.opened.set()
                await until(lambda: out.serving.inflight == 0)
                assert doubled(await other.ask(rows(2))) == [4.0]
                assert ordinary.calls == 0

        out.run(converse())

        assert out.count("cancelled", "gate", "10") == 1
        assert out.count("ok", "gate", "10") == out.count("ok", "gate", "2") == 1


def test_a_client_that_hangs_up_before_its_body_is_there_is_counted(tmp_path: Path) -> None:
    """That request was never the connection class's to answer."""
    with world([gate_bundle(tmp_path / "gate")]) as out:

        async def converse() -> None:
            async with early(out) as (port, ordinary), line(port) as other:
                async with line(port) as half:
                    half.say(request()[:-1])
                    await until(lambda: ordinary.calls == 1)
                await until(lambda: out.count("cancelled") == 1)
                assert doubled(await other.ask(rows(1))) == [2.0]

        out.run(converse())


def together(port: int, asked: list[bytes]) -> list[socket.socket]:
    """As many connections, on each of which a request lies before the event loop can read any of them."""
    out = []
    for data in asked:
        connection = socket.create_connection(("127.0.0.1", port), SECONDS)
        connection.sendall(data)
        connection.setblocking(False)
        out.append(connection)
    return out


@pytest.mark.parametrize("inline_seconds", [0.0, QUICK], ids=["thread", "inline"])
def test_requests_that_are_scored_together_stay_apart(
    tmp_path: Path, inline_seconds: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    """32 connections with different rows, wrong ones and such that the model raises at: each gets its own answer."""
    scored: list[int] = []
    score = Scorer.score

    def counted(scorer: Scorer, columns: Columns) -> Columns:
        scored.append(columns.rows)
        return score(scorer, columns)

    def kind(index: int) -> str:
        return {7: "refused", 19: "raises"}.get(index, "right")

    def asked(index: int) -> bytes:
        last = {"refused": 1001.0, "raises": 13.0}.get(kind(index), 100.0 + index)
        return rows(*[500.0 + index] * (index % 4), last)

    grpc_gate.shut()
    with world([gate_bundle(tmp_path / "gate")], inline_seconds=inline_seconds, threads=1, max_wait=SECONDS) as out:
        # A call of the model costs the same for any number of rows, so that joining them pays.
        monkeypatch.setattr(Scorer, "seconds", lambda *_: 0.0001)
        monkeypatch.setattr(Scorer, "score", counted)

        async def converse() -> list[Reply]:
            async with early(out) as (port, ordinary), line(port) as slow:
                if not inline_seconds:
                    slow.say(request(SLOW))
                    await asyncio.to_thread(grpc_gate.wait_for_one)
                lines = [
                    Line(*await asyncio.open_connection(sock=each))
                    for each in together(port, [asked(index) for index in range(32)])
                ]
                if not inline_seconds:
                    await until(lambda: out.serving.inflight == 32)
                    grpc_gate.opened.set()
                    assert doubled(await slow.answer()) == [-2.0]
                replies = [await each.answer() for each in lines]
                assert ordinary.calls == 0
                for each in lines:
                    await each.hang_up()
                return replies

        replies = out.run(converse())

    assert max(scored) > 4, "none were scored together"
    for index, reply in enumerate(replies):
        if kind(index) == "right":
            assert doubled(reply) == [2 * (500.0 + index)] * (index % 4) + [2 * (100.0 + index)]
        else:
            assert (reply.status, reply.code) == {
                "refused": (422, "out_of_range"),
                "raises": (500, "model_failed"),
            }[kind(index)]


def test_a_server_that_stops_answers_what_it_has_begun(tmp_path: Path) -> None:
    """The listener closes at once; the slow request's answer still comes, says that this is the end, and it is."""
    with world([gate_bundle(tmp_path / "gate")], inline_seconds=0.0) as out:

        async def open_the_gate(port: int) -> None:
            refused = False
            while not refused:
                try:
                    async with line(port):
                        await asyncio.sleep(0.005)
                except ConnectionError:
                    refused = True
            grpc_gate.opened.set()

        async def converse() -> None:
            grpc_gate.shut()
            async with contextlib.AsyncExitStack() as server:
                port, ordinary = await server.enter_async_context(early(out))
                async with line(port) as slow:
                    slow.say(request(SLOW))
                    await asyncio.to_thread(grpc_gate.wait_for_one)
                    opening = asyncio.ensure_future(open_the_gate(port))
                    async with asyncio.timeout(SECONDS):
                        await server.aclose()
                        await opening
                    reply = await slow.answer()
                    assert doubled(reply) == [-2.0]
                    assert reply.headers["connection"] == "close"
                    assert await slow.ended()
                    assert ordinary.calls == 0

        out.run(converse())


def test_bytes_that_are_no_http_end_the_connection(tmp_path: Path) -> None:
    """After the answer to what came before them; nobody else is harmed."""
    with world([gate_bundle(tmp_path / "gate")], inline_seconds=QUICK) as out:

        async def converse() -> None:
            async with early(out) as (port, _):
                said = await talk(port, request() + b"\0\0\r\n\r\n")
                assert said.startswith(b"HTTP/1.1 200 ")
                head, _, body = said[said.index(b"HTTP/1.1 400 ") :].partition(b"\r\n\r\n")
                headers = dict(each.split(": ", 1) for each in head.decode().lower().split("\r\n")[1:])
                assert Reply(400, headers, body).code == "malformed"
                assert headers["connection"] == "close"
                async with line(port) as asking:
                    assert doubled(await asking.ask(request())) == [4.0]

        out.run(converse())

        assert out.count("malformed") == 1


@pytest.mark.parametrize("before", [b"", request()], ids=["first", "second"])
def test_headers_that_do_not_come_in_time_end_the_connection(before: bytes, tmp_path: Path) -> None:
    """With an answer: the client had begun. That it sends a little now and then helps it nothing."""
    with world([gate_bundle(tmp_path / "gate")], inline_seconds=QUICK, body_timeout=0.2) as out:

        async def dribble(to: Line) -> None:
            for _ in range(10_000):
                to.say(b"x: y\r\n")
                await asyncio.sleep(0.01)

        async def converse() -> None:
            async with early(out) as (port, _), line(port) as slow:
                if before:
                    assert doubled(await slow.ask(before)) == [4.0]
                slow.say(f"POST {PREDICT} HTTP/1.1\r\n".encode())
                dribbling = asyncio.ensure_future(dribble(slow))
                reply = await slow.answer()
                assert (reply.status, reply.code) == (408, "request_timeout")
                dribbling.cancel()

        out.run(converse())


def test_a_connection_that_asks_nothing_is_closed_without_a_word(tmp_path: Path) -> None:
    with world([gate_bundle(tmp_path / "gate")], inline_seconds=QUICK, body_timeout=0.05) as out:

        async def converse() -> None:
            async with early(out) as (port, _), line(port) as silent:
                assert await silent.ended()

        out.run(converse())


def test_headers_in_time_are_not_late(tmp_path: Path) -> None:
    """What takes its time afterwards, in the model, is no matter of theirs."""
    with world([gate_bundle(tmp_path / "gate")], inline_seconds=0.0, body_timeout=0.2) as out:

        async def converse() -> None:
            grpc_gate.shut()
            async with early(out) as (port, _), line(port) as asking, line(port) as other:
                whole = request(SLOW)
                asking.say(whole[:20])
                await asyncio.sleep(0.01)
                asking.say(whole[20:])
                await asyncio.to_thread(grpc_gate.wait_for_one)
                assert await other.ended(), "so the time is up"
                grpc_gate.opened.set()
                assert doubled(await asking.answer()) == [-2.0]

        out.run(converse())


def test_headers_without_end_are_not_kept(tmp_path: Path) -> None:
    """They are refused as soon as no honest request could have so many."""
    with world([gate_bundle(tmp_path / "gate")], inline_seconds=QUICK) as out:

        async def flood(to: Line) -> None:
            while True:
                to.say(b"x" * 4096)
                await asyncio.sleep(0)

        async def converse() -> None:
            async with early(out) as (port, _), line(port) as flooding:
                flooding.say(f"POST {PREDICT} HTTP/1.1\r\nx: ".encode())
                sending = asyncio.ensure_future(flood(flooding))
                reply = await flooding.answer()
                sending.cancel()
                assert (reply.status, reply.code) == (431, "headers_too_large")

        out.run(converse())


def test_a_head_that_is_not_read_on_is_not_late(tmp_path: Path) -> None:
    """Behind a slow request nothing is read, which is no fault of the client's."""
    with world(both(tmp_path), inline_seconds=0.0, body_timeout=0.1) as out:

        async def converse() -> None:
            grpc_gate.shut()
            async with early(out) as (port, _), line(port) as asking:
                last = rows(3, path=OTHER)
                asking.say(rows(-1) + rows(2, path=OTHER) + last[:20])
                await asyncio.to_thread(grpc_gate.wait_for_one)
                asking.say(last[20:])
                async with line(port) as later:
                    assert await later.ended(), "so the time is up"
                grpc_gate.opened.set()
                for expected in (-2.0, 4.0, 6.0):
                    assert doubled(await asking.answer()) == [expected]

        out.run(converse())


def test_every_server_answers_for_its_own_application(tmp_path: Path) -> None:
    """Two in one process do not share the class's application."""
    with (
        world([gate_bundle(tmp_path / "one", "1")], inline_seconds=QUICK) as one,
        world([gate_bundle(tmp_path / "two", "2")], inline_seconds=QUICK) as two,
    ):

        async def converse() -> list[str]:
            async with early(one) as (first, _), early(two) as (second, _), line(first) as here, line(second) as there:
                return [(await each.ask(request())).json["metadata"]["version"] for each in (here, there, here)]

        assert one.run(converse()) == ["1", "2", "1"]


def test_nothing_is_processed_behind_an_answer_that_closes(tmp_path: Path) -> None:
    """What comes after it in the same read is dropped, and not counted."""
    with world([gate_bundle(tmp_path / "gate")], inline_seconds=QUICK, batching=False, max_body_bytes=100) as out:

        async def converse() -> None:
            async with early(out) as (port, _), line(port) as asking:
                assert (await asking.ask(request(b" " * 101) + rows(100) * 3)).status == 413
                assert await asking.ended()

        out.run(converse())

        assert out.count("ok", "gate", "1") == 0
