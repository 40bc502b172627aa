"""`fivefold replace` on a real Ray: replicas go over in place while callers ask, and nothing is lost."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import httpx
import pytest

from tests.support import versions_in_turn as versions
from tests.support.bundles import SUM_GOLDEN, write_sum
from tests.support.replica_processes import replicas
from tests.support.score_commands import environment
from tests.support.serve_process import Host, running

# A Ray of its own for what `tests/test_readme.py` asks of its one replica each time.
pytestmark = [pytest.mark.host, pytest.mark.full, pytest.mark.rare]

SECONDS = 120.0


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Both versions as directories `1` and `2`."""
    home = tmp_path_factory.mktemp("versions")
    for version in versions.OFFSETS:
        versions.write(home / version, version, home)
    return home


@pytest.fixture(scope="module")
def host(home: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Host]:
    """Two replicas behind HAProxy. On a busy machine callers wait, and are not refused."""
    settings = {"min_replicas": 2, "max_replicas": 2, "log_sample": 0.0, "burst_seconds": SECONDS}
    with running([home / "1"], tmp_path_factory.mktemp("host"), **settings) as started:
        yield started


def replace(host: Host, *words: str | Path) -> tuple[int, str]:
    """Exit status of `fivefold replace`, and what it said."""
    command = [sys.executable, "-m", "fivefold.cli", "replace", "--http", host.http, *map(str, words)]
    done = subprocess.run(command, capture_output=True, text=True, env=environment(), timeout=SECONDS, check=False)
    return done.returncode, done.stdout + done.stderr


def enough(seen: versions.Seen) -> bool:
    """Whether both transports have been answered often."""
    counts = {"rest": 0, "grpc": 0}
    for (way, _, _), count in list(seen.answers.items()):
        counts[way] += count
    return min(counts.values()) > 20


def until(right: Callable[[], bool]) -> None:
    deadline = time.monotonic() + SECONDS
    while not right():
        assert time.monotonic() < deadline
        time.sleep(0.05)


def test_replicas_go_over_in_place_and_nothing_is_lost(host: Host, home: Path) -> None:
    """Every call is answered by the version that it names, and the processes stay."""
    before = replicas(host)
    with versions.asking(host, fresh=True) as seen:
        for version in ("2", "1", "2"):
            status, said = replace(host, "--model", home / version)
            assert status == 0, said + host.printed()
    with versions.asking(host) as after:
        until(lambda: enough(after))

    assert replicas(host) == before
    assert seen.lost == []
    assert seen.wrong() == []
    assert seen.versions("rest") == seen.versions("grpc") == {"1", "2"}
    assert after.versions("rest") == after.versions("grpc") == {"2"}
    assert after.lost == []


def test_what_is_refused_changes_nothing(host: Host, home: Path, tmp_path: Path) -> None:
    """Nor does it take a replica away."""
    assert replace(host, "--model", home / "2")[0] == 0
    before = replicas(host)
    answers = [{"total": row["total"] + 1, "label": row["label"]} for row in SUM_GOLDEN[1]]
    bundle = write_sum(tmp_path / "bundle", golden=(SUM_GOLDEN[0], answers))

    status, said = replace(host, "--model", bundle.path)

    assert status == 3
    assert "golden.jsonl: row 0, outputs.total: expected" in said
    assert replicas(host) == before
    with httpx.Client(base_url=host.url, timeout=SECONDS) as client:
        assert versions.by_rest(client)[0] == "2"


def test_a_replica_that_starts_serves_what_was_replaced(host: Host, home: Path) -> None:
    """And not what the run began with; a hangup opens that again."""
    assert replace(host, "--model", home / "2")[0] == 0
    before = replicas(host)
    printed = host.printed().count("replaced: demo 2")
    os.kill(before[0], signal.SIGKILL)
    until(lambda: len(set(replicas(host)) - {before[0]}) == 2)
    host.process.send_signal(signal.SIGHUP)
    until(lambda: host.printed().count("replaced: demo 2") > printed)
    with versions.asking(host) as seen:
        until(lambda: enough(seen))

    assert seen.versions("rest") == seen.versions("grpc") == {"2"}
    assert host.process.poll() is None
