"""A run over ten million rows whose processes are killed at twenty random moments: `python -m loadtest.batch_kill`.

The input and a linear model are made once in a directory; a run that nobody disturbs says what the output has to be.
Then the same run is started again and again, each time with a `kill -9` of the driver or of a worker after a random
pause, until it is published. Printed, and written as JSON: whether the bytes are the same, how many fragments were
scored more than once, whether the ledger's sums hold.
"""

from __future__ import annotations

import argparse
import contextlib
import hashlib
import json
import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from fivefold.batch.ledger import Record
from fivefold.local import processes
from tests.unit.core.bundles import write_sum

FILES = 20


def write_input(home: Path, rows: int) -> None:
    """Random numbers in Parquet files of as many rows."""
    home.mkdir(parents=True)
    generator = np.random.default_rng(6)
    for index in range(FILES):
        columns = {name: generator.uniform(-90, 90, rows // FILES).astype(np.float32) for name in ("a", "b")}
        pq.write_table(pa.table(columns), home / f"{index:02}.parquet", row_group_size=50_000)


def digests(output: Path) -> dict[str, str]:
    """Of the answers and the quarantine."""
    found = [*output.glob("part-*"), *(output / "quarantine").glob("*")]
    return {path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in found}


def records(output: Path) -> list[Record]:
    """The ledger's records."""
    paths = [path for path in (output / "_ledger").glob("*.json") if path.name != "plan.json"]
    return [msgspec.json.decode(path.read_bytes(), type=Record) for path in paths]


def start(model: Path, data: Path, output: Path) -> subprocess.Popen[bytes]:
    """The command, in the background."""
    words = ["--model", str(model), "--input", str(data), "--output", str(output), "--fragment-bytes", "2000000"]
    return subprocess.Popen(
        [sys.executable, "-m", "fivefold.cli", "score", *words],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        env=os.environ | {"FIVEFOLD_CHUNK_ROWS": "2048"},
    )


def workers(root: int) -> list[int]:
    """The processes that score."""
    found = []
    for pid in processes.descendants(root):
        with contextlib.suppress(OSError):
            if b"TiedWorker" in Path(f"/proc/{pid}/cmdline").read_bytes():
                found.append(pid)
    return found


def disturb(model: Path, data: Path, output: Path, kills: int, seed: int) -> dict[str, Any]:
    """Run to the end through so many kills."""
    choice = random.Random(seed)
    done = {"driver": 0, "worker": 0}
    starts = redone = 0
    while True:
        process = start(model, data, output)
        starts += 1
        before = len(records(output))
        while process.poll() is None and sum(done.values()) < kills:
            # Only once it works, or the kills would all meet Ray's start.
            if len(records(output)) <= before:
                time.sleep(0.05)
                continue
            time.sleep(choice.uniform(0, 1.5))
            who = choice.choice(["driver", "worker"])
            victims = [process.pid] if who == "driver" else workers(process.pid)
            if process.poll() is None and victims:
                os.kill(choice.choice(victims), signal.SIGKILL)
                done[who] += 1
                redone += 1 if who == "worker" else len(workers(process.pid)) or 2
        process.wait()
        if process.returncode == 0:
            return {"starts": starts, "kills": done, "at_most_redone": redone}


def main() -> int:
    """Measure."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, default=10_000_000)
    parser.add_argument("--kills", type=int, default=20)
    parser.add_argument("--seed", type=int, default=6)
    parser.add_argument("--home", type=Path, default=Path("dist/batch-kill"))
    arguments = parser.parse_args()
    home: Path = arguments.home.absolute()
    processes.adopt_orphans()
    if not (home / "data").exists():
        write_input(home / "data", arguments.rows)
    model = write_sum(home / "model").path
    if not (home / "whole" / "_SUCCESS").exists():
        start(model, home / "data", home / "whole").wait()
    killed = home / f"killed-{arguments.seed}-{int(time.time())}"
    facts = disturb(model, home / "data", killed, arguments.kills, arguments.seed)
    whole = digests(home / "whole")
    found = records(killed)
    report = json.loads((killed / "run.json").read_text())
    facts |= {
        "rows": report["rows"],
        "fragments": len(found),
        "identical": digests(killed) == whole,
        "sums_hold": sum(record.scored + record.quarantined for record in found) == report["rows"] == arguments.rows,
        "attempts": {str(n): sum(record.attempt == n for record in found) for n in (1, 2, 3)},
        "worker_peak_mb": round(max(record.peak_bytes for record in found) / 1e6),
    }
    print(json.dumps(facts, indent=2))
    return 0 if facts["identical"] and facts["sums_hold"] else 1


if __name__ == "__main__":
    sys.exit(main())
