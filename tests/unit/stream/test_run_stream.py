"""`make run-stream`: the demo of a stream, from its rows to its dead letter and back."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from tests.support.score_commands import environment

import fivefold
from fivefold.cli import main

ROOT = Path(__file__).resolve().parents[3]
SCRIPT = ROOT / "services" / "run-stream.sh"


def started(bundle: Path, directory: Path) -> subprocess.Popen[str]:
    """The script, in a process group of its own as under a terminal, with the command of this interpreter."""
    command = directory / "bin" / "fivefold"
    command.parent.mkdir()
    command.write_text(f'#!/bin/sh\nexec {sys.executable} -m fivefold.cli "$@"\n')
    command.chmod(0o755)
    # No output of a line is cut short here.
    given = environment() | {"BUNDLE": str(bundle), "BIN": str(command.parent), "COLUMNS": "2000"}
    return subprocess.Popen(
        ["bash", str(SCRIPT)],
        env=given,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
    )


def logs() -> set[str]:
    """Logs that a run has left."""
    return {path.name for path in (ROOT / ".cache" / "run-stream").glob("log.*")}


def test_the_data_set_is_events(demo_bundle: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Every patient once, and each is a record that the demo's contract takes."""
    assert main(["demo", str(demo_bundle), "--events", str(tmp_path / "patients.jsonl")]) == 0
    lines = [json.loads(line) for line in (tmp_path / "patients.jsonl").read_text().splitlines()]

    assert "569 patients as events" in capsys.readouterr().out
    assert len({line["key"] for line in lines}) == 569
    with fivefold.open(demo_bundle) as scorer:
        assert len(scorer.predict([line["value"] for line in lines])) == 569


@pytest.mark.full
def test_it_shows_what_it_promises(demo_bundle: Path, tmp_path: Path) -> None:
    """Each event has one result, the refused one by another bundle; it ends by itself and leaves no log."""
    before = logs()
    process = started(demo_bundle, tmp_path)
    said, _ = process.communicate(timeout=280)

    assert process.returncode == 0, said
    assert "569 results, 1 dead letters (out_of_range 1)" in said
    assert re.search(r"out_of_range +patients/\d+/\d+ +inputs\.mean_radius", said)
    assert "sent 1 events to local://patients, 0 passed over" in said
    assert re.search(r'"key":"patient-x","value":{"label":"malignant"', said)
    assert "local://diagnoses  570 events" in said
    assert "group fivefold  571 done, 0 behind" in said
    assert logs() == before


@pytest.mark.full
def test_it_is_interrupted(demo_bundle: Path, tmp_path: Path) -> None:
    """Ctrl-C ends every process that it has begun, and takes the log away."""
    before = logs()
    process = started(demo_bundle, tmp_path)
    assert process.stdout is not None
    while "appended 100 events" not in process.stdout.readline():
        assert process.poll() is None
    os.killpg(process.pid, signal.SIGINT)
    # The pipe ends when the last of them has gone.
    process.communicate(timeout=120)

    assert process.returncode == 130
    assert logs() == before
