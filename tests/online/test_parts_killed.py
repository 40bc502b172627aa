"""Each part of a run, killed: what Ray restores answers again within seconds, and what it does not ends the run."""

from __future__ import annotations

import http.client
import os
import re
import signal
import time
from pathlib import Path

import pytest

from fivefold.local import processes
from fivefold.online.local import ports
from fivefold.online.local.watch import name_of
from tests.online.test_serve import ask, sleep, until
from tests.support import slow_model
from tests.support.serve_process import Host, alive, launch, until_ready

pytestmark = pytest.mark.host

RESTORED = ("haproxy", "ray::HAProxyManager", "ray::ServeController", "ray::ServeReplica")
"""Not the fallback proxy, which a run does without for as long as Ray likes."""

NEEDED = {"raylet": "Ray's node server (raylet) has ended", "gcs_server": "Ray's control server (gcs_server) has ended"}
TOGETHER = (("ray::ServeController", "haproxy"), ("ray::ServeReplica", "ray::ServeReplica"))
OFTEN = [(parts, signal.SIGKILL) for parts in TOGETHER]
SECONDS = 30.0
"""Within so many what is restored answers again."""

RARE = [pytest.mark.full, pytest.mark.rare]
"""What stands still is noticed by the same looks as what is dead, a minute later; one part by those that see two."""

SETTINGS = {"min_replicas": 2, "max_replicas": 2, "drain_seconds": 2.0, "log_sample": 0.0}


def pids(host: Host, part: str) -> list[int]:
    return [pid for pid in processes.descendants(host.process.pid) if name_of(pid).startswith(part)]


def answers(host: Host) -> bool:
    """Whether it is ready and gives the right answer."""
    try:
        return ask(host, "/readyz", timeout=3)[0] == 200 and sleep(host, 0.001)[2]["predictions"][0]["slept"] == 0.001
    except (OSError, http.client.HTTPException, AssertionError):
        # HAProxy's first moment is not one of the table's answers.
        return False


def every(host: Host) -> dict[str, int]:
    """How many there are of each part."""
    return {part: len(pids(host, part)) for part in RESTORED}


def until_restored(host: Host, before: dict[str, int], dead: list[int]) -> float:
    """Wait until it answers steadily and every part is there again; how many seconds the former took."""
    begun = time.monotonic()
    until(lambda: not any(Path(f"/proc/{pid}").exists() for pid in dead), SECONDS)
    until(lambda: all(answers(host) for _ in range(5)), SECONDS)
    took = time.monotonic() - begun
    until(lambda: all(there >= before[part] for part, there in every(host).items()), SECONDS)
    return took


@pytest.mark.full
@pytest.mark.parametrize(
    ("parts", "signum"),
    [
        (("haproxy",), signal.SIGKILL),
        *(
            pytest.param(parts, signum, marks=pytest.mark.full if (parts, signum) in OFTEN else RARE)
            for signum in (signal.SIGKILL, signal.SIGSTOP)
            for parts in (
                *((part,) for part in RESTORED),
                *TOGETHER,
            )
            if (parts, signum) != (("haproxy",), signal.SIGKILL)
        ),
    ],
)
def test_what_is_restored_answers_again(parts: tuple[str, ...], signum: int, host: Host) -> None:
    """One, two at once, and each a second time as soon as it answers; the run goes on, and says so."""
    before = every(host)
    for _ in range(2):
        dead: list[int] = []
        for part in parts:
            dead.append(next(pid for pid in pids(host, part) if pid not in dead))
            os.kill(dead[-1], signum)
        took = until_restored(host, before, dead)
        print(f"\n{' and '.join(parts)}, {signal.Signals(signum).name}: answers again after {took:.1f} s")

    assert host.process.poll() is None


@pytest.mark.full
@pytest.mark.rare
@pytest.mark.parametrize("signum", [signal.SIGKILL, signal.SIGSTOP])
@pytest.mark.parametrize("part", ["raylet", "gcs_server"])
def test_what_nobody_restores_ends_the_run(part: str, signum: int, tmp_path: Path) -> None:
    """With a status and a sentence, within seconds; nothing is left: no process, port or directory."""
    run = until_ready(launch([slow_model.bundle(tmp_path)], tmp_path / "host", **SETTINGS))
    below = processes.descendants(run.process.pid)
    directories = set(re.findall(rb"/tmp/fivefold-[^/\s\0]+", b"".join(map(command, below))))
    begun = time.monotonic()

    os.kill(pids(run, part)[0], signum)

    assert run.wait(20) == 1
    assert time.monotonic() - begun < (15 if signum == signal.SIGSTOP else 8)
    errors = [line for line in run.printed().splitlines() if line.startswith("error:")]
    assert errors == [f"error: {NEEDED[part]}"]
    assert alive(below) == {}
    assert directories
    assert not [directory for directory in directories if Path(os.fsdecode(directory)).exists()]
    for address in (run.http, run.grpc):
        ports.listener(address).close()


def command(pid: int) -> bytes:
    try:
        return Path(f"/proc/{pid}/cmdline").read_bytes() + b"\0"
    except OSError:
        return b""


@pytest.mark.full
@pytest.mark.rare
@pytest.mark.parametrize("part", NEEDED)
@pytest.mark.parametrize("stage", ["starting Ray Serve", "starting replicas"])
def test_a_part_killed_during_the_start_ends_it(stage: str, part: str, tmp_path: Path) -> None:
    """The start does not wait for what will never come."""
    run = launch([slow_model.bundle(tmp_path)], tmp_path / "host", **SETTINGS)
    until(lambda: stage in run.printed(), 120)
    below = processes.descendants(run.process.pid)

    os.kill(pids(run, part)[0], signal.SIGKILL)

    assert run.wait(20) == 1
    assert "error: " in run.printed()
    assert alive(below) == {}
