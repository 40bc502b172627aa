"""A disk that takes no more: the kernel refuses, the run says so, and goes on once there is room."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
from tests.support.batch_runs import files, run
from tests.support.score_commands import SERVICES, environment

ROOT = SERVICES.parent

# No file may become larger than this, which is how a process can have a full disk to itself.
LIMITED = """
import resource, sys
from tests.support.batch_runs import run
resource.setrlimit(resource.RLIMIT_FSIZE, (int(sys.argv[1]), int(sys.argv[1])))
from fivefold.core.errors import RunFailed
try:
    run(*sys.argv[2:5], format=sys.argv[5])
except RunFailed as error:
    print(error.code, error.path, error.message, error.help, sep="|")
"""


@pytest.mark.full
@pytest.mark.parametrize(
    "format", ["parquet", *(pytest.param(format, marks=pytest.mark.full) for format in ("csv", "jsonl"))]
)
def test_a_full_disk_is_told_and_survived(tmp_path: Path, noted: Path, format: str) -> None:
    """The small fragment's files stay, of the large one nothing is left."""
    (tmp_path / "a.csv").write_text("a,note\n1,x\n")
    (tmp_path / "b.csv").write_text(
        "a,note\n" + "".join(f"{row % 90},{row * 7919 % 1000003}\n" for row in range(20_000))
    )
    output = tmp_path / "out"

    words = ["60000", str(noted), str(tmp_path / "*.csv"), str(output), format]
    done = subprocess.run(
        [sys.executable, "-c", LIMITED, *words],
        capture_output=True,
        text=True,
        cwd=ROOT,
        env=environment() | {"PYTHONPATH": f"{SERVICES}:{ROOT}"},
    )

    assert done.returncode == 0, done.stderr
    code, path, message, help = done.stdout.strip().split("|")
    assert (code, path) == ("storage_failed", str(output))
    assert "File too large" in message
    assert "goes on" in help
    assert len(list(output.glob("part-*"))) == 1
    assert not list(output.rglob("*.part"))

    result = run(noted, tmp_path / "*.csv", output, format=format)
    run(noted, tmp_path / "*.csv", tmp_path / "whole", format=format)
    assert result.scored_now == 20_000
    assert files(output) == files(tmp_path / "whole")
