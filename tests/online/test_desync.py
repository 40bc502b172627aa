"""The corpus of what brings connections out of step, behind Ray Serve's HAProxy with two replicas."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from tests.support import serve_process
from tests.support.desync_corpus import CASES, NEXT, post
from tests.support.desync_talking import beside, judge, say
from tests.support.grpc_calls import gate_bundle

NAMES = ("here", "[::1]:8000")
"""Whom the corpus asks for; a server without a guard answers to its own names alone."""


@pytest.mark.host
def test_nobody_gets_anothers_answer(tmp_path: Path) -> None:
    """Strangers ask meanwhile on the same connections to the replicas, and each gets its own."""
    bundle = gate_bundle(tmp_path / "gate")
    with serve_process.running(
        [bundle.path], tmp_path / "host", min_replicas=2, max_replicas=2, hosts=NAMES
    ) as running:
        port = int(running.http.rpartition(":")[2])

        async def corpus() -> None:
            for case in CASES:
                got, closed = await say(port, case.data + post(NEXT))
                judge(case, case.statuses, got, closed, strict=False)

        async def converse() -> int:
            return await beside(port, corpus())

        assert asyncio.run(converse()) > 100
