"""The jar of services/jvm, started as a user starts it."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.conformance.contract_readers import JAR
from tests.support import programs

JAVA = programs.jar(JAR, "bundles on a JVM")
JAVAC = shutil.which("javac")
if JAVA and not JAVAC:
    programs.LEFT_OUT.append("the worked example of docs/edge/mobile.md: no javac on this machine")
collect_ignore_glob = ["test_*.py"] if JAVA is None else [] if JAVAC else ["test_worked_example.py"]

Score = Callable[..., "subprocess.CompletedProcess[bytes]"]


@pytest.fixture
def score() -> Score:
    """Runs `score` on a bundle's directory with records on its standard input."""

    def run(directory: Path, records: bytes, *options: str) -> subprocess.CompletedProcess[bytes]:
        assert JAVA is not None
        command = [JAVA, "-Xmx256m", "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1", "-jar", str(JAR), "score"]
        return subprocess.run([*command, str(directory), *options], input=records, capture_output=True, check=False)

    return run
