"""The corpus behind the real HAProxy, whose connections to the server are everybody's: no stranger gets an answer."""

from __future__ import annotations

import asyncio
import contextlib
import json
import socket
import ssl
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path
from typing import Any, TypeVar

import pytest
from hypothesis import HealthCheck, given, seed, settings
from tests.support.desync_corpus import ASKED, CASES, NEXT, post
from tests.support.desync_proxy import Healthy, proxied
from tests.support.desync_talking import beside, judge, say
from tests.support.grpc_calls import gate_bundle
from tests.support.http_calls import SECONDS, World, world
from tests.unit.serving.desync.test_direct import mutated
from tests.unit.serving.http.test_servers import running

from fivefold.cluster import certificate
from fivefold.core.runtime.python_runner import PythonRunner
from fivefold.serving.http.protocol import protocol_of

T = TypeVar("T")
FOLLOWING = post(NEXT)


@pytest.fixture(scope="module")
def out(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(PythonRunner, "foreseeable", True)
        bundle = gate_bundle(tmp_path_factory.mktemp("gate") / "gate")
        with world([bundle], inline_seconds=10.0, batching=False) as made:
            yield made


@pytest.fixture
def behind(out: World, tmp_path: Path) -> Callable[[Callable[[dict[int, int]], Awaitable[T]]], T]:
    """Runs a conversation with HAProxy, which it gives the ports of."""

    def run(conversation: Callable[[dict[int, int]], Awaitable[T]], **environment: str) -> T:
        async def one() -> T:
            async with (
                running(Healthy(out.app), protocol_of(out.app)) as replica,
                proxied(tmp_path, replica, **environment) as ports,
            ):
                return await conversation(ports)

        return out.run(one())

    return run


@pytest.mark.full
def test_the_corpus_beside_others(behind: Any) -> None:
    async def conversation(ports: dict[int, int]) -> int:
        port = ports[8000]

        async def corpus() -> None:
            for case in CASES:
                for parts in ((case.data + FOLLOWING,), (case.data, FOLLOWING)):
                    got, closed = await say(port, *parts, pause=0.001 if len(parts) > 1 else 0.0)
                    judge(case, case.statuses, got, closed, strict=False)

        return await beside(port, corpus())

    assert behind(conversation) > 100


@pytest.mark.parametrize("examples", [75, pytest.param(300, marks=pytest.mark.full)])
def test_mutations_of_it_beside_others(behind: Any, examples: int) -> None:
    """Whatever becomes of them, and without waiting for it, strangers get their own answers."""
    tried: list[bytes] = []

    @seed(9112)
    @settings(max_examples=examples, suppress_health_check=list(HealthCheck), database=None)
    @given(mutated())
    def collect(data: bytes) -> None:
        tried.append(data)

    collect()

    async def conversation(ports: dict[int, int]) -> int:
        async def one(data: bytes) -> None:
            _, writer = await asyncio.open_connection("127.0.0.1", ports[8000])
            writer.write(data + FOLLOWING)
            await asyncio.sleep(0.005)
            writer.close()

        async def all_of_them() -> None:
            for at in range(0, len(tried), 10):
                await asyncio.gather(*map(one, tried[at : at + 10]))

        return await beside(ports[8000], all_of_them())

    assert behind(conversation) > 100


@pytest.mark.parametrize(
    ("asked", "status", "code"),
    [
        (b"GET /v2 HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n", 400, "malformed"),
        (b"nothing\r\n\r\n", 400, "malformed"),
        (b"GET /v2 HTTP/1.1\r\nHost: a\r\nX: %b\r\n\r\n" % (b"x" * 100_000), 400, "malformed"),
        (b"POST /v2 HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n", 400, "malformed"),
        (b"CONNECT a:1 HTTP/1.1\r\nHost: a:1\r\n\r\n", 405, "method_not_allowed"),
        (b"OPTIONS * HTTP/1.1\r\nHost: a\r\n\r\n", 404, "not_found"),
        (b"GET /v2 HTTP/1.1\r\nHost: a\r\n", 408, "request_timeout"),
    ],
    ids=["two hosts", "no HTTP", "headers", "coding", "tunnel", "everything", "half"],
)
def test_what_haproxy_says_is_of_the_table(behind: Any, asked: bytes, status: int, code: str) -> None:
    async def conversation(ports: dict[int, int]) -> Any:
        return await say(ports[8000], asked)

    (answer,), closed = behind(conversation, FIVEFOLD_BODY_SECONDS="1")

    assert closed
    assert answer.status == status
    assert answer.headers["content-type"] == "application/json"
    assert json.loads(answer.body)["code"] == code
    assert "server" not in answer.headers


def test_with_a_certificate_both_endpoints_speak_tls_and_nothing_else(behind: Any, tmp_path: Path) -> None:
    """A client that trusts the authority is answered, one in clear text is not."""
    made = certificate.make(["localhost"])
    (tmp_path / "tls.pem").write_bytes(made.chain)
    (tmp_path / "tls.pem.key").write_bytes(made.key)
    trusting = ssl.create_default_context(cadata=made.authority.decode())

    async def conversation(ports: dict[int, int]) -> None:
        for port, protocol in ((ports[8000], "http/1.1"), (ports[9000], "h2")):
            trusting.set_alpn_protocols([protocol])
            reader, writer = await asyncio.open_connection("127.0.0.1", port, ssl=trusting, server_hostname="localhost")
            assert writer.get_extra_info("ssl_object").selected_alpn_protocol() == protocol
            if protocol == "http/1.1":
                writer.write(post(ASKED))
                assert (await reader.readline()).split()[1] == b"200"
            writer.transport.abort()
            plain, writer = await asyncio.open_connection("127.0.0.1", port)
            writer.write(post(ASKED))
            with contextlib.suppress(ConnectionError):
                assert b" 200 " not in await plain.read()
            writer.transport.abort()

    behind(conversation, FIVEFOLD_TLS_CERT=str(tmp_path / "tls.pem"))


PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + b"\0\0\0\x04\0\0\0\0\0"


async def ended(connection: socket.socket, said: bytes) -> None:
    """Return when the other side has closed a connection on which nothing more is said."""
    reader, writer = await asyncio.open_connection(sock=connection)
    writer.write(said)
    async with asyncio.timeout(SECONDS):
        while await reader.read(65536):
            pass
    writer.close()


def test_idle_connections_to_one_endpoint_leave_the_other_open(behind: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """More than an endpoint holds are open at gRPC's and say nothing: REST answers, and after a time those are gone."""

    async def conversation(ports: dict[int, int]) -> None:
        idle = [socket.create_connection(("127.0.0.1", ports[9000])) for _ in range(300)]
        try:
            got, _ = await say(ports[8000], post(ASKED), until=1)
            assert got[0].doubled == 2 * ASKED
            await asyncio.gather(ended(idle.pop(0), b""), ended(idle.pop(0), PREFACE), ended(idle.pop(0), PREFACE[:9]))
        finally:
            for each in idle:
                each.close()

    monkeypatch.setattr("tests.support.desync_proxy.written", _small)
    behind(conversation, FIVEFOLD_BODY_SECONDS="1")


def _small(directory: Path, replicas: list[str], grpc: int, http: int) -> Path:
    """Ray's configuration for 200 connections."""
    from tests.support.rays_haproxy import written

    path = written(directory, replicas, grpc, http)
    path.write_text(path.read_text().replace("maxconn 4096", "maxconn 200"))
    return path
