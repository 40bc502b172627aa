"""The corpus of what brings connections out of step, behind Ray Serve's HAProxy with two replicas."""

from __future__ import annotations

import asyncio

import pytest

from tests.support.desync_corpus import CASES, NEXT, post
from tests.support.desync_talking import beside, judge, say
from tests.support.serve_process import Host


@pytest.mark.host
def test_nobody_gets_anothers_answer(host: Host) -> None:
    """Strangers ask meanwhile on the same connections to the replicas, and each gets its own."""
    port = int(host.http.rpartition(":")[2])

    async def corpus() -> None:
        for case in CASES:
            got, closed = await say(port, case.data + post(NEXT))
            judge(case, case.statuses, got, closed, strict=False)

    async def converse() -> int:
        return await beside(port, corpus())

    assert asyncio.run(converse()) > 100
