"""Finding and ending what was started, however it hides."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

SERVICES = Path(__file__).parents[3] / "services"

# A child that leaves an orphan in a session of its own, as daemons do.
_ORPHANS = """
import os, sys, time
if os.fork() == 0:
    os.setsid()
    if os.fork() == 0:
        time.sleep(600)
    os._exit(0)
os.wait()
time.sleep(600 if "stay" in sys.argv else 0)
"""

_SWEEPER = f"""
import subprocess, sys, time
from fivefold.local import processes
assert processes.adopt_orphans()
subprocess.Popen([sys.executable, "-c", {_ORPHANS!r}]).wait()
subprocess.Popen([sys.executable, "-c", {_ORPHANS!r}, "stay"])
deadline = time.monotonic() + 20
while len(found := processes.descendants()) < 3 and time.monotonic() < deadline:
    time.sleep(0.01)
print(*found, flush=True)
print(processes.sweep(), processes.descendants(), flush=True)
"""


def test_sweep_ends_children_and_orphans_alike() -> None:
    run = subprocess.run(
        [sys.executable, "-c", _SWEEPER],
        env=os.environ | {"PYTHONPATH": str(SERVICES)},
        capture_output=True,
        text=True,
        timeout=60,
    )

    found, after = run.stdout.splitlines()
    assert len(found.split()) >= 3, run.stderr
    assert after == "[] []"
    assert [pid for pid in found.split() if Path(f"/proc/{pid}").exists()] == []


def test_descendants_of_a_process_do_not_include_others() -> None:
    from fivefold.local import processes

    with subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"]) as child:
        try:
            assert processes.descendants(child.pid) == []
            assert child.pid in processes.descendants()
        finally:
            child.send_signal(signal.SIGKILL)
    deadline = time.monotonic() + 10
    while child.pid in processes.descendants() and time.monotonic() < deadline:
        time.sleep(0.01)
