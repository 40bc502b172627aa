"""The HTTP clients that come with other languages, as they are by themselves, at both endpoints."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path

import pytest
from tests.support.desync_corpus import PREDICT
from tests.support.desync_proxy import Healthy, proxied
from tests.support.grpc_calls import gate_bundle
from tests.support.http_calls import world
from tests.unit.serving.http.test_servers import running

from fivefold.core.runtime.python_runner import PythonRunner
from fivefold.serving.http.protocol import protocol_of

CLIENTS = Path(__file__).parent / "clients"


@pytest.mark.full
def test_a_post_is_answered(program: tuple[str, ...], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Twenty in a row, with a length and in chunks: Java's offers to upgrade with the first."""
    monkeypatch.setattr(PythonRunner, "foreseeable", True)

    async def ask(port: int) -> list[tuple[int, float]]:
        client = await asyncio.create_subprocess_exec(
            *program, f"http://127.0.0.1:{port}{PREDICT.decode()}", stdout=asyncio.subprocess.PIPE, cwd=CLIENTS
        )
        said, _ = await asyncio.wait_for(client.communicate(), 120)
        answers = [line.split(" ", 1) for line in said.decode().splitlines()]
        assert all(status == "200" for status, _ in answers), answers
        return [(int(status), json.loads(body)["predictions"][0]["y"]) for status, body in answers]

    with world([gate_bundle(tmp_path / "gate")], inline_seconds=10.0, batching=False) as out:

        async def converse() -> None:
            async with running(Healthy(out.app), protocol_of(out.app)) as port, proxied(tmp_path, port) as ports:
                for each in (port, ports[8000]):
                    assert await ask(each) == [(200, 2.0 * x) for x in range(101, 121)]

        out.run(converse())
