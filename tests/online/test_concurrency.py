"""Sixty-four clients at once, mixing models, wires, right and wrong input: none answered wrong, none lost."""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import Callable, Sequence

import pytest

from fivefold.core.bundle.bundle import Bundle
from tests.support.questions import WIRES, Question, questions
from tests.support.replica_processes import replicas, resident
from tests.support.serve_process import Host
from tests.support.traffic import Account, Client

pytestmark = pytest.mark.host

CLIENTS = 64
SEED = 20260301
TURNS = 40
SECONDS = 60.0
GROWTH = 16 * 1024 * 1024
"""Bytes a replica may grow by while it does what it has done before: allocators, not a leak for each request."""


@pytest.mark.full
def test_no_answer_is_wrong_and_none_is_lost(host: Host, served: Sequence[Bundle]) -> None:
    """Each client asks a fixed number of times, on connections of its own and a stream that stays open."""
    asked = questions(served, random.Random(SEED))

    total = asyncio.run(_crowd(host, asked, lambda turns: turns < TURNS))

    print(f"\n{CLIENTS} clients: {total}")
    assert total.wrong == []
    assert total.lost == {}
    assert total.sent == total.right >= CLIENTS * TURNS
    possible = {(wire, *question.kind) for question in asked for wire in question.wires}
    assert {kind[0] for kind in total.kinds} == set(WIRES)
    assert set(total.kinds) == possible


@pytest.mark.full
@pytest.mark.rare
def test_a_minute_of_it_neither_errs_nor_leaks(host: Host, served: Sequence[Bundle]) -> None:
    """The same for a minute; from its first third on, the replicas stay the size they have."""
    asked = questions(served, random.Random(SEED + 1))
    begun = time.monotonic()
    pids = replicas(host)
    assert len(pids) == 2
    early: dict[int, int] = {}

    def going_on(_: int) -> bool:
        elapsed = time.monotonic() - begun
        if elapsed > SECONDS / 3 and not early:
            early.update((pid, resident(pid)) for pid in pids)
        return elapsed < SECONDS

    total = asyncio.run(_crowd(host, asked, going_on))

    grown = {pid: resident(pid) - early[pid] for pid in pids}
    print(f"\n{CLIENTS} clients, {SECONDS:.0f} s: {total}; replicas grew by {[g // 1024 for g in grown.values()]} KiB")
    assert total.wrong == []
    assert total.lost == {}
    assert total.sent == total.right
    assert replicas(host) == pids
    assert all(growth < GROWTH for growth in grown.values()), grown


async def _crowd(host: Host, asked: Sequence[Question], going_on: Callable[[int], bool]) -> Account:
    """All clients at once, each for as long as `going_on` says so of the turns it has made."""

    async def one(index: int) -> Account:
        async with Client(host, index, asked, SEED) as client:
            turns = 0
            while going_on(turns):
                await client.turn()
                turns += 1
            await client.end_stream()
            return client.account

    return Account.of(await asyncio.gather(*(one(index) for index in range(CLIENTS))))
