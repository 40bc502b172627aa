from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[4]
PARTS = ["first", "next", "refused", "damaged", "again", "back"]


@pytest.mark.parametrize(
    "every", [pytest.param(1, marks=[pytest.mark.full, pytest.mark.rare]), 13], ids=["each", "some"]
)
def test_a_device_that_is_killed_in_an_update_serves_a_verified_model(tmp_path: Path, every: int) -> None:
    """Before each operation on a file, through a whole life: a first release, a second, one that is refused, an archive
    that wears out and is fetched again, one that goes back after three starts."""
    environment = {"PYTHONPATH": f"{ROOT / 'services'}:{ROOT}", "PATH": "/usr/bin:/bin"}

    run = subprocess.run(
        [sys.executable, "-m", "tests.support.update_crashes", str(tmp_path), str(every)],
        capture_output=True,
        text=True,
        cwd=ROOT,
        env=environment,
    )

    assert run.returncode == 0, run.stderr
    deaths = dict(line.split() for line in run.stdout.splitlines())
    assert list(deaths) == PARTS
    assert all(int(count) > (30 if every == 1 else 1) for count in deaths.values())
