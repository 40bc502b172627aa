"""What replicas of a local run serve, and what they say of it."""

import subprocess
import sys
from pathlib import Path

from fivefold.online.ray.served_file import ServedBundles, ServedFile

REPORT = """
import sys
from fivefold.online.ray.served_file import ServedFile

ServedFile(sys.argv[1]).report(3, "it was too large")
sys.stdin.read()
"""


def test_what_is_written_is_read(tmp_path: Path) -> None:
    file = ServedFile(tmp_path / "served.json")
    served = ServedBundles(turn=2, models=["/a", "s3://b#sha256=c"], defaults={"a": "1"}, digests=["d", "c"])

    file.write(served)

    assert file.read() == served
    assert file.path.stat().st_mode & 0o077 == 0
    assert file.reports() == []


def test_only_replicas_that_live_are_heard(tmp_path: Path) -> None:
    """One that has died says nothing of those that answer."""
    file = ServedFile(tmp_path / "served.json")
    file.report(3)
    replica = subprocess.Popen(
        [sys.executable, "-c", REPORT, str(file.path)], stdin=subprocess.PIPE, stdout=subprocess.DEVNULL
    )
    with replica:
        while not file.path.with_suffix(f".{replica.pid}").exists():
            assert replica.poll() is None
        both = file.reports()
    alone = file.reports()

    assert sorted((report.turn, report.error) for report in both) == [(3, ""), (3, "it was too large")]
    assert [(report.turn, report.error) for report in alone] == [(3, "")]
