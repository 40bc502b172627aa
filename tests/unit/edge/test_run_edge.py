"""`make run-edge`: a device that goes on scoring while its network is cut, and a hub that misses nothing."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from loadtest.stream.kafka_broker import free_ports
from tests.support.score_commands import environment

ROOT = Path(__file__).resolve().parents[3]


@pytest.fixture
def run(demo_bundle: Path, tmp_path: Path) -> Iterator[subprocess.Popen[str]]:
    """The script, in a process group of its own, with the command of this interpreter."""
    commands = tmp_path / "bin"
    commands.mkdir()
    for name, words in (("fivefold", "-m fivefold.cli"), ("python", "")):
        (commands / name).write_text(f'#!/bin/sh\nexec {sys.executable} {words} "$@"\n')
        (commands / name).chmod(0o755)
    gateway, hub = free_ports(2)
    places = {"GATEWAY": f"127.0.0.1:{gateway}", "HUB": f"127.0.0.1:{hub}"}
    with subprocess.Popen(
        ["bash", str(ROOT / "services" / "run-edge.sh")],
        env=environment() | {"BUNDLE": str(demo_bundle), "BIN": str(commands), "COLUMNS": "2000"} | places,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
    ) as process:
        yield process
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGTERM)


def homes() -> set[str]:
    return {path.name for path in (ROOT / ".cache" / "run-edge").glob("home.*")}


@pytest.mark.full
def test_it_shows_what_it_promises(run: subprocess.Popen[str]) -> None:
    """What was scored while the network was cut is at the hub at the end; nothing is left of the run."""
    printed, _ = run.communicate(timeout=280)

    assert run.returncode == 0, printed
    # A request may slip through before the relay has seen the switch.
    assert re.search(r"bulk +(20|1\d) events wait", printed), printed
    assert "40 events, numbers 1 to 40, each once: True" in printed
    assert homes() == set()


@pytest.mark.full
def test_it_is_interrupted(run: subprocess.Popen[str]) -> None:
    """As by Ctrl-C: hub, gateway and relay end with it."""
    assert run.stdout is not None
    for line in run.stdout:
        if line.startswith("== Twenty patients"):
            break
    os.killpg(run.pid, signal.SIGINT)
    rest = run.stdout.read()

    assert run.wait(60) == 130, rest
    assert homes() == set()
