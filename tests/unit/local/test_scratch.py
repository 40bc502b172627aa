"""Directories that go with their process, or with the next one."""

from __future__ import annotations

import stat
import subprocess
import sys
import threading
from pathlib import Path

from fivefold.local.scratch import Scratch, short

SERVICES = Path(__file__).parents[3] / "services"

_HOLDER = """
import sys, time
from pathlib import Path
from fivefold.local.scratch import Scratch
held = Scratch(Path(sys.argv[1]), "run-")
print(held.path, flush=True)
time.sleep(600)
"""


def test_it_is_private_and_its_name_short() -> None:
    """It holds what starts HAProxy, and sockets whose names have to fit."""
    made = short()

    assert stat.S_IMODE(made.path.stat().st_mode) == 0o700
    assert len(str(made.path)) <= 26
    made.close()
    assert not made.path.exists()


def test_what_a_killed_process_left_goes_with_the_next_one(tmp_path: Path) -> None:
    """And nothing else: not what lives, not what has another name, not what was never locked."""
    foreign = [tmp_path / name for name in ("run-notlocked", "run-12345678", "other-12345678")]
    for path in foreign:
        path.mkdir()
    (foreign[2] / ".lock").touch()
    holder = subprocess.Popen(
        [sys.executable, "-c", _HOLDER, tmp_path], cwd=SERVICES, stdout=subprocess.PIPE, text=True
    )
    assert holder.stdout is not None
    held = Path(holder.stdout.readline().strip())
    (held / "large").write_text("x")

    beside = Scratch(tmp_path, "run-")
    assert (held / "large").exists()
    holder.kill()
    holder.communicate()
    last = Scratch(tmp_path, "run-")

    assert not held.exists()
    assert sorted(tmp_path.iterdir()) == sorted([*foreign, beside.path, last.path])
    beside.close()
    last.close()
    assert sorted(tmp_path.iterdir()) == sorted(foreign)


def test_those_that_are_made_at_once_leave_each_other_alone(tmp_path: Path) -> None:
    """Though each removes what nobody holds."""
    made: list[Scratch] = []
    together = threading.Barrier(8)

    def make() -> None:
        together.wait()
        made.extend(Scratch(tmp_path) for _ in range(20))

    threads = [threading.Thread(target=make) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert len({each.path for each in made}) == 160
    assert all(each.path.is_dir() for each in made)
    for each in made:
        each.close()
