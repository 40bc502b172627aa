"""Replicas on a real Ray hear how many they are, however they become more or fewer, and after the controller died."""

from __future__ import annotations

import contextlib
import json
import subprocess
import sys

import pytest
from tests.support.replica_counts import COURSE, HEARD

from fivefold.local import scratch

pytestmark = [pytest.mark.full, pytest.mark.host]


def test_every_replica_hears_how_many_there_are() -> None:
    """By Ray's own long poll: nobody asks for the status."""
    with contextlib.closing(scratch.short()) as directory:
        program = [sys.executable, "-m", "tests.support.replica_counts", str(directory.path)]
        done = subprocess.run(program, capture_output=True, text=True, check=False, timeout=240)
        assert done.returncode == 0, done.stderr[-3000:]
        heard = json.loads((directory.path / HEARD).read_text())

    assert heard == list(COURSE)
