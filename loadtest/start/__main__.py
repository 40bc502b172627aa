"""Seconds from the command to the first answer, of `fivefold serve --dev` beside the imports that no such server can do
without; with `--ray` of `fivefold serve` too. And what each takes: processes, and memory that is theirs. Then seconds
of `fivefold score` for a thousand rows, beside the loop over a data frame that a notebook has.

    python -m loadtest.start BUNDLE [--rounds 7] [--ray]

Rounds are interleaved. An answer is a 200 of `/readyz` over REST and a `ready` over gRPC. Memory is the sum of the
proportional shares (PSS) of all processes. The thousand rows are those of `loadtest.batch`, with its forest; `--ray`
has them scored by `--engine ray` too. The medians are printed, and the machine's load, which is in them.

Exit status: 0 `--dev` answers within 3 s and the rows are scored within 2.5 s (the medians), 1 they are not.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import re
import shutil
import signal
import statistics
import subprocess
import sys
import time
import urllib.request
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

import grpc

from fivefold.local import processes
from fivefold.serving.grpc.proto import inference_pb2 as wire
from loadtest.batch.__main__ import environment
from loadtest.batch.programs import CONTENDERS
from loadtest.bench.running import free_port
from loadtest.machine import generated
from loadtest.machine.command import score
from loadtest.peers.batch import tables

SECONDS: Final = 3.0
SCORE_SECONDS: Final = 2.5
ROWS: Final = 1_000
SCORE: Final = "fivefold score"
LOOP: Final = "a loop over a data frame"
IMPORTS: Final = "import onnxruntime, fastapi, grpc"
_PATIENCE: Final = 240.0


@dataclass
class Starts:
    """What was measured of one kind of server."""

    seconds: list[float] = field(default_factory=list)
    megabytes: list[float] = field(default_factory=list)
    processes: list[int] = field(default_factory=list)


def main() -> int:
    """Measure and print; 0 where the goal is met."""
    parser = argparse.ArgumentParser(prog="python -m loadtest.start")
    parser.add_argument("bundle", type=Path)
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--ray", action="store_true")
    arguments = parser.parse_args()
    imports: list[float] = []
    scoring = _scoring(arguments.ray)
    scored: dict[str, list[float]] = {name: [] for name in scoring}
    kinds = {"fivefold serve --dev": ["--dev"]} | ({"fivefold serve": []} if arguments.ray else {})
    found = {name: Starts() for name in kinds}
    for _ in range(arguments.rounds):
        begun = time.monotonic()
        subprocess.run([sys.executable, "-c", IMPORTS], check=True)
        imports.append(time.monotonic() - begun)
        for name, words in kinds.items():
            _start(arguments.bundle, words, found[name])
        for name, command in scoring.items():
            scored[name].append(_seconds(name, *command))
    base = statistics.median(imports)
    print(f'python -c "{IMPORTS}": {base:.2f} s ({min(imports):.2f} to {max(imports):.2f})')
    for name, starts in found.items():
        middle = statistics.median(starts.seconds)
        print(
            f"{name}: {middle:.2f} s ({min(starts.seconds):.2f} to {max(starts.seconds):.2f}), "
            f"{middle / base:.1f} times the imports; {statistics.median(starts.processes):.0f} processes, "
            f"{statistics.median(starts.megabytes):.0f} MB"
        )
    loop = statistics.median(scored[LOOP])
    for name, seconds in scored.items():
        middle = statistics.median(seconds)
        times = f"{middle / loop:.1f} times the loop"
        print(f"{ROWS:,} rows, {name}: {middle:.2f} s ({min(seconds):.2f} to {max(seconds):.2f}), {times}")
    print(f"{arguments.rounds} rounds; load {os.getloadavg()[0]:.1f} on {os.cpu_count()} cores")
    quick = statistics.median(found["fivefold serve --dev"].seconds) <= SECONDS
    return 0 if quick and statistics.median(scored[SCORE]) <= SCORE_SECONDS else 1


def _scoring(ray: bool) -> dict[str, tuple[list[str], dict[str, str], Path]]:
    """Commands that score a thousand rows, the variables they are given beside this process's, and where they write."""
    bundle = generated.bundle(generated.FOREST, generated.CACHE / "bundles")
    rows = generated.rows(generated.CACHE, ROWS, files=1)
    output = generated.CACHE / "thousand"
    pandas = next(each for each in CONTENDERS if each.name == "pandas")
    own = [*score(bundle, rows, output, 1), "--columns", tables.KEY]
    out = {
        LOOP: (pandas.command(bundle, rows, output, 1), environment(pandas, bundle, rows, output, 1), output),
        SCORE: (own, {}, output),
    }
    return out | ({f"{SCORE} --engine ray": ([*own, "--engine", "ray"], {}, output)} if ray else {})


def _seconds(name: str, command: list[str], variables: dict[str, str], output: Path) -> float:
    shutil.rmtree(output, ignore_errors=True)
    begun = time.monotonic()
    ran = subprocess.run(command, env=os.environ | variables, capture_output=True, text=True)
    seconds = time.monotonic() - begun
    if ran.returncode or generated.count(output) != ROWS:
        raise SystemExit(f"{name} did not score {ROWS:,} rows:\n{ran.stderr}")
    return seconds


def _start(bundle: Path, words: list[str], out: Starts) -> None:
    http, grpc_address = (f"127.0.0.1:{free_port()}" for _ in range(2))
    command = [sys.executable, "-m", "fivefold.cli", "serve", "--model", str(bundle), *words]
    begun = time.monotonic()
    server = subprocess.Popen(
        [*command, "--http", http, "--grpc", grpc_address], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    try:
        while not _ready(http):
            if server.poll() is not None or time.monotonic() - begun > _PATIENCE:
                raise SystemExit(f"{' '.join(command)} did not start")
            time.sleep(0.01)
        with grpc.insecure_channel(grpc_address) as channel:
            ask = channel.unary_unary(
                "/inference.GRPCInferenceService/ServerReady",
                request_serializer=wire.ServerReadyRequest.SerializeToString,
                response_deserializer=wire.ServerReadyResponse.FromString,
            )
            assert ask(wire.ServerReadyRequest(), timeout=_PATIENCE, wait_for_ready=True).ready
        out.seconds.append(time.monotonic() - begun)
        pids = [server.pid, *processes.descendants(server.pid)]
        out.processes.append(len(pids))
        out.megabytes.append(sum(map(_pss, pids)) / 1e6)
    finally:
        server.send_signal(signal.SIGTERM)
        server.wait(_PATIENCE)


def _ready(http: str) -> bool:
    with contextlib.suppress(OSError), urllib.request.urlopen(f"http://{http}/readyz", timeout=5) as answer:
        return bool(answer.status == 200)
    return False


def _pss(pid: int) -> int:
    """Bytes of memory that are a process's share."""
    try:
        text = Path(f"/proc/{pid}/smaps_rollup").read_text()
    except OSError:
        return 0
    return sum(int(size) * 1024 for size in re.findall(r"^Pss:\s+(\d+) kB", text, re.MULTILINE))


if __name__ == "__main__":
    sys.exit(main())
