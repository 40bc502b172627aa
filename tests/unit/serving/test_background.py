"""Tasks that live as long as the process: whatever ends one is heard, and something is done about it."""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
from collections.abc import Callable, Coroutine
from typing import Any

import pytest
from tests.support.http_calls import SECONDS, log_lines
from tests.support.serve_process import SERVICES

from fivefold.serving import background
from fivefold.serving.background import EXIT_STATUS, Background


@pytest.fixture(autouse=True)
def _short_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(background, "FIRST_PAUSE", 0.001)
    monkeypatch.setattr(background, "LONGEST_PAUSE", 0.004)


def run(work: Callable[[], Coroutine[Any, Any, None]]) -> list[dict[str, Any]]:
    """What was logged while it ran."""
    with log_lines() as lines:
        asyncio.run(asyncio.wait_for(work(), SECONDS))
    return lines


@pytest.mark.parametrize(
    "defect", [RuntimeError("a defect"), OSError(24, "Too many open files"), asyncio.CancelledError()]
)
def test_a_periodic_task_that_dies_begins_again(defect: BaseException) -> None:
    """Each time it is logged by its name, and with what it died of."""

    async def work() -> None:
        begun: list[int] = []
        goes_on = asyncio.Event()

        async def task() -> None:
            begun.append(1)
            if len(begun) < 4:
                raise defect
            goes_on.set()
            await asyncio.Event().wait()

        found = Background(lambda: pytest.fail("the process was ended"))
        found.periodic("metrics", task)
        await goes_on.wait()
        await found.close()
        assert len(begun) == 4

    lines = run(work)
    assert [(line["level"], line["event"], line["task"]) for line in lines] == [("error", "background", "metrics")] * 3
    if not isinstance(defect, asyncio.CancelledError):
        assert str(defect) in lines[0]["exception"]


def test_a_periodic_task_that_returns_is_done() -> None:
    async def work() -> None:
        begun: list[int] = []

        async def task() -> None:
            begun.append(1)

        found = Background(lambda: pytest.fail("the process was ended"))
        found.periodic("drain", task)
        for _ in range(10):
            await asyncio.sleep(0)
        await found.close()
        assert begun == [1]

    assert run(work) == []


@pytest.mark.parametrize("defect", [RuntimeError("a defect"), asyncio.CancelledError(), None])
def test_a_vital_task_that_ends_ends_the_process(defect: BaseException | None) -> None:
    """Also where it returns: a server that has stopped answers as little as one that has died."""

    async def work() -> None:
        ended = asyncio.Event()

        async def task() -> None:
            if defect is not None:
                raise defect

        found = Background(ended.set)
        found.vital("http", task)
        await ended.wait()
        await found.close()

    (line,) = run(work)
    assert (line["level"], line["task"]) == ("error", "http")
    assert "so does the process" in line["error"]


@pytest.mark.parametrize("defect", [RuntimeError("a defect"), None])
def test_what_is_told_to_end_may(defect: BaseException | None) -> None:
    async def work() -> None:
        async def task() -> None:
            if defect is not None:
                raise defect

        found = Background(lambda: pytest.fail("the process was ended"))
        found.expect_end()
        found.vital("http", task)
        for _ in range(10):
            await asyncio.sleep(0)
        await found.close()

    assert run(work) == []


def test_closing_cancels_what_is_left() -> None:
    """And waits for it; nothing begins again."""

    async def work() -> None:
        ended: list[str] = []

        async def task(name: str) -> None:
            try:
                await asyncio.Event().wait()
            finally:
                ended.append(name)

        found = Background(lambda: pytest.fail("the process was ended"))
        found.vital("http", lambda: task("http"))
        found.periodic("metrics", lambda: task("metrics"))
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        await found.close()
        assert sorted(ended) == ["http", "metrics"]

    assert run(work) == []


_PROGRAM = """
import asyncio, sys
from fivefold.core import telemetry
from fivefold.serving.background import Background

async def main():
    async def dies():
        raise {defect}
    telemetry.log_to(sys.stderr)
    Background().vital("grpc", dies)
    await asyncio.Event().wait()

asyncio.run(main())
"""


@pytest.mark.parametrize("defect", ["RuntimeError('a defect')", "SystemExit(3)", "KeyboardInterrupt()"])
def test_a_process_without_its_server_is_gone(defect: str) -> None:
    """With a status of its own, and a line that says why."""
    command = [sys.executable, "-c", _PROGRAM.format(defect=defect)]
    environment = os.environ | {"PYTHONPATH": str(SERVICES)}
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=60, check=False)

    assert done.returncode == EXIT_STATUS
    assert '"task":"grpc"' in done.stderr
    assert defect.partition("(")[0] in done.stderr


def test_an_address_in_what_it_died_of_is_not_logged_whole() -> None:
    async def work() -> None:
        ended = asyncio.Event()

        async def task() -> None:
            raise RuntimeError("https://store.example/demo.tar?X-Amz-Signature=hunter2 is away")

        found = Background(ended.set)
        found.vital("http", task)
        await ended.wait()
        await found.close()

    (line,) = run(work)
    assert "https://store.example/demo.tar is away" in line["exception"].splitlines()[-1]
