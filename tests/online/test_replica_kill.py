"""A replica killed under load: what was in work is lost and counted, nothing is answered wrong, and all recovers.

`pytest -s tests/online/test_replica_kill.py` prints what was lost, and for how long nobody was answered.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import random
import signal
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

import httpx
import pytest

from fivefold.core.bundle.bundle import Bundle
from fivefold.local import processes
from tests.support.questions import Question, questions
from tests.support.replica_processes import replicas
from tests.support.serve_process import Host, alive, running
from tests.support.traffic import Account, Client

pytestmark = pytest.mark.host

CLIENTS = 16
EVERY = 0.05
"""Seconds between the turns of one client: a steady load, not as much as it can bear."""

STREAK = 20
"""Right answers in a row after which a client has recovered."""

SEED = 20260302
DEADLINE = 60.0


@dataclass(frozen=True)
class Course:
    """What happened: everybody's account, and in seconds the longest time that nobody, or one client, was answered
    right around the kill, and until as many replicas as before answered."""

    account: Account
    nobody: float
    one_client: float
    replaced: float

    def __str__(self) -> str:
        return (
            f"{self.account}; longest time without a right answer: {self.nobody * 1e3:.0f} ms for everybody, "
            f"{self.one_client * 1e3:.0f} ms for one client; replaced after {self.replaced * 1e3:.0f} ms"
        )


@pytest.mark.full
@pytest.mark.parametrize("count", [2, pytest.param(1, marks=pytest.mark.rare)])
def test_a_killed_replica_is_replaced_and_no_answer_is_wrong(
    count: int, served: Sequence[Bundle], tmp_path: Path
) -> None:
    """With a second replica, and where it was the only one. Nobody asks twice, so what is lost stays lost."""
    settings = {"min_replicas": count, "max_replicas": count, "log_sample": 0.0}
    with running([bundle.path for bundle in served], tmp_path, **settings) as host:
        below = processes.descendants(host.process.pid)
        course = asyncio.run(_kill_one(host, count, questions(served, random.Random(SEED))))
        below += processes.descendants(host.process.pid)
        status = host.stop()

    print(f"\n{count} replicas, {CLIENTS} clients, a turn every {EVERY * 1e3:.0f} ms: {course}")
    assert course.account.wrong == []
    assert status == 0
    assert alive(below) == {}


async def _kill_one(host: Host, count: int, asked: Sequence[Question]) -> Course:
    stop = asyncio.Event()
    async with contextlib.AsyncExitStack() as stack:
        clients = [await stack.enter_async_context(Client(host, index, asked, SEED)) for index in range(CLIENTS)]
        accounts = [client.account for client in clients]

        def recovered() -> bool:
            return all(account.streak >= STREAK for account in accounts)

        async with asyncio.TaskGroup() as load:
            for client in clients:
                load.create_task(_load(client, stop))
            try:
                await _until(recovered)
                before = replicas(host)
                assert len(before) == count
                assert [lost for account in accounts for lost in account.lost] == []
                victim = before[0]

                os.kill(victim, signal.SIGKILL)
                killed = time.perf_counter()
                await _answering(host, count)
                replaced = time.perf_counter() - killed
                for account in accounts:
                    account.streak = 0
                await _until(recovered)
            finally:
                stop.set()

    now = replicas(host)
    assert len(now) == count
    assert set(now) & set(before) == set(before) - {victim}
    total = Account.of(accounts)
    return Course(total, _gap(total, killed), max(_gap(account, killed) for account in accounts), replaced)


async def _load(client: Client, stop: asyncio.Event) -> None:
    """A turn at each stroke of the client's clock; a stroke that finds it waiting for an answer is left out."""
    while not stop.is_set():
        begun = time.monotonic()
        await client.turn()
        rest = EVERY - (time.monotonic() - begun) % EVERY
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(rest):
                await stop.wait()


async def _answering(host: Host, count: int) -> None:
    """Wait until so many replicas give answers; the dead one gives none."""
    seen: set[str] = set()
    deadline = time.monotonic() + DEADLINE
    while len(seen) < count or len(replicas(host)) < count:
        assert time.monotonic() < deadline, (seen, replicas(host))
        # A new connection each time, so that HAProxy chooses anew.
        async with httpx.AsyncClient(base_url=host.url, trust_env=False, timeout=5) as client:
            with contextlib.suppress(httpx.TransportError):
                answer = await client.get("/v2/models/affine/stats")
                if answer.status_code == 200:
                    seen.add(answer.json()["parameters"]["replica"])
        await asyncio.sleep(0.05)


async def _until(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + DEADLINE
    while not condition():
        assert time.monotonic() < deadline
        await asyncio.sleep(0.05)


def _gap(account: Account, killed: float) -> float:
    """The longest time without a right answer that ended after the kill, in seconds."""
    times = account.times
    return max(later - earlier for earlier, later in pairwise(times) if later > killed)
