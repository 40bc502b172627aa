"""The application where it really runs: under uvicorn, below a Starlette mount, behind httpx's transport."""

from __future__ import annotations

import asyncio
import contextlib
import json
import socket
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import httpx
import pytest
import uvicorn
from starlette.applications import Starlette
from starlette.routing import Mount
from tests.support.grpc_calls import gate_bundle
from tests.support.http_calls import SECONDS, client, dumps, world

BODY = {"instances": [{"x": 2}]}
PREDICT = "/v1/models/gate:predict"


@contextlib.asynccontextmanager
async def running(application: Any, http: str) -> AsyncIterator[int]:
    """The port of a real server."""
    with socket.socket() as listening:
        listening.bind(("127.0.0.1", 0))
        config = uvicorn.Config(
            application, http=http, lifespan="off", log_level="critical", ws="none", server_header=False
        )
        server = uvicorn.Server(config)
        serving = asyncio.ensure_future(server.serve([listening]))
        async with asyncio.timeout(SECONDS):
            while not server.started:
                await asyncio.sleep(0.01)
        try:
            yield listening.getsockname()[1]
        finally:
            server.should_exit = True
            await serving


async def talk(port: int, *parts: bytes) -> bytes:
    """Send the parts as they are and read until the server closes."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    for part in parts:
        writer.write(part)
        await writer.drain()
    try:
        return await asyncio.wait_for(reader.read(), SECONDS)
    finally:
        writer.close()
        await writer.wait_closed()


@pytest.mark.parametrize("http", ["h11", "httptools"])
def test_under_uvicorn(tmp_path: Path, http: str) -> None:
    """Many requests on one connection, HEAD, an error, and a body that stops halfway."""
    with world([gate_bundle(tmp_path / "gate")], body_timeout=0.1, max_body_bytes=1000) as out:

        async def converse() -> None:
            async with running(out.app, http) as port:
                async with httpx.AsyncClient(base_url=f"http://127.0.0.1:{port}", timeout=SECONDS) as asking:
                    for _ in range(3):
                        reply = await asking.post(PREDICT, json=BODY)
                        assert reply.json()["predictions"] == [{"y": 4.0}]
                    assert (await asking.head("/v2")).status_code == 200
                    assert (await asking.get("/nothing")).json()["code"] == "not_found"
                    assert (await asking.post(PREDICT, content=b" " * 1001)).json()["code"] == "too_large"
                    assert (await asking.post(PREDICT, json=BODY)).status_code == 200
                head = f"POST {PREDICT} HTTP/1.1\r\nhost: x\r\ncontent-length: 50\r\n\r\n".encode()
                said = await talk(port, head, b'{"inst')
                assert said.startswith(b"HTTP/1.1 408 ")
                assert json.loads(said.partition(b"\r\n\r\n")[2])["code"] == "request_timeout"

        out.run(converse())


def test_below_a_mount(tmp_path: Path) -> None:
    """A Starlette application may mount it anywhere."""
    with (
        world([gate_bundle(tmp_path / "gate")]) as out,
        client(Starlette(routes=[Mount("/models", out.app)])) as asking,
    ):
        assert asking.post(f"/models{PREDICT}", json=BODY).json()["predictions"] == [{"y": 4.0}]
        assert asking.get("/models/v2/models/gate").json()["name"] == "gate"
        assert asking.get("/models/nothing").json()["code"] == "not_found"


def test_behind_httpx(tmp_path: Path) -> None:
    """A test of a reader's needs no server."""
    with world([gate_bundle(tmp_path / "gate")]) as out:

        async def converse() -> Any:
            transport = httpx.ASGITransport(out.app)
            async with httpx.AsyncClient(transport=transport, base_url="http://here") as asking:
                return (await asking.post(PREDICT, content=dumps(BODY))).json()

        assert out.run(converse())["predictions"] == [{"y": 4.0}]
