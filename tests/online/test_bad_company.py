"""Slow clients, huge bodies and a stuck model beside ordinary clients, who notice nothing."""

from __future__ import annotations

import asyncio
import contextlib
import json
import random
import socket
from collections.abc import AsyncIterator, Sequence
from pathlib import Path
from typing import Any

import pytest

from fivefold.core.bundle.bundle import Bundle
from tests.support import slow_model
from tests.support.questions import Question, questions
from tests.support.serve_process import Host, running
from tests.support.traffic import Account, Client

pytestmark = pytest.mark.host

CLIENTS = 8
TURNS = 25
SEED = 20260401
STUCK = 6
SLOW = 40
HUGE = 48 * 1024 * 1024
"""Bytes of a body that is within the limit."""


def head(length: int, model: str = slow_model.NAME) -> bytes:
    return (
        f"POST /v1/models/{model}:predict HTTP/1.1\r\nhost: here\r\n"
        f"content-type: application/json\r\ncontent-length: {length}\r\n\r\n"
    ).encode()


@pytest.mark.parametrize(
    "replicas", [pytest.param(1, marks=pytest.mark.full), pytest.param(2, marks=[pytest.mark.full, pytest.mark.rare])]
)
def test_nobody_pays_for_others(replicas: int, served: Sequence[Bundle], tmp_path: Path) -> None:
    """Behind the proxy and without it: every answer right, none lost, while the bad company is still there."""
    # What is stuck would hold up the end for as long as a drain may take.
    settings: dict[str, Any] = {"min_replicas": replicas, "max_replicas": replicas, "log_sample": 0.0}
    settings |= {"drain_seconds": 2.0, "hosts": ("here",)}
    bundles = [*(bundle.path for bundle in served), slow_model.bundle(tmp_path)]
    with running(bundles, tmp_path / "host", **settings) as host:
        total = asyncio.run(_in_bad_company(host, questions(served, random.Random(SEED))))

    print(f"\n{CLIENTS} clients in bad company, {replicas} replicas: {total}")
    assert total.wrong == []
    assert total.lost == {}
    assert total.sent == total.right >= CLIENTS * TURNS


async def _in_bad_company(host: Host, asked: Sequence[Question]) -> Account:
    async with contextlib.AsyncExitStack() as stack:
        stuck = [await stack.enter_async_context(_saying(host, _question(60.0))) for _ in range(STUCK)]
        for part in (head(100)[:40], head(100), head(100) + b'{"inst'):
            for _ in range(SLOW // 3):
                await stack.enter_async_context(_saying(host, part))
        huge = [asyncio.ensure_future(_huge(host)) for _ in range(2)]
        clients = [await stack.enter_async_context(Client(host, index, asked, SEED)) for index in range(CLIENTS)]

        await asyncio.gather(*(_turns(client) for client in clients))

        for reader in stuck:
            assert not reader.at_eof(), "the stuck model was still stuck"
        for body in await asyncio.gather(*huge):
            assert json.loads(body)["code"] == "malformed"
        return Account.of([client.account for client in clients])


async def _turns(client: Client) -> None:
    for _ in range(TURNS):
        await client.turn()
    await client.end_stream()


def _question(seconds: float) -> bytes:
    body = json.dumps({"instances": [{"seconds": seconds}]}).encode()
    return head(len(body)) + body


@contextlib.asynccontextmanager
async def _saying(host: Host, data: bytes) -> AsyncIterator[asyncio.StreamReader]:
    """A connection on which this was said and nothing follows; who leaves it resets it."""
    address, port = host.http.split(":")
    reader, writer = await asyncio.open_connection(address, int(port))
    writer.write(data)
    try:
        yield reader
    finally:
        # At once, so that the end of the test does not wait for what is stuck.
        writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
        writer.transport.abort()


async def _huge(host: Host) -> bytes:
    """The answer to as much JSON as may come, which in the end is none."""
    address, port = host.http.split(":")
    reader, writer = await asyncio.open_connection(address, int(port))
    with contextlib.closing(writer):
        # Of a model that others ask, too.
        writer.write(head(HUGE, "affine") + b'{"instances": [' + b" " * (HUGE - 15))
        answer = await reader.readuntil(b"}")
    return answer.partition(b"\r\n\r\n")[2]
