"""The checker sees what it is there for; a short run of what it judges."""

from __future__ import annotations

from pathlib import Path

import pytest
from loadtest.edge import selftest
from loadtest.edge.outbox_chaos import OutboxChaos, OutboxChaosSettings


def test_every_injected_fault_is_seen() -> None:
    assert selftest.misses() == []


@pytest.mark.full
@pytest.mark.timeout(600)
def test_a_killed_device_behind_a_torn_network_loses_nothing(tmp_path: Path) -> None:
    """Some kills of the long run: each accepted event once, in order."""
    settings = OutboxChaosSettings(days=7, events=6_000, kills=6, threads=8, seed=5, speed=5000)
    result = OutboxChaos(settings, tmp_path).run()

    assert result.verdict.words == []
    assert result.kills >= 6
    assert result.verdict.accepted >= 6_000
