"""Seconds from the command to the first answer, of `fivefold serve --dev` beside the imports that no such server can do
without; with `--ray` of `fivefold serve` too. And what each takes: processes, and memory that is theirs.

    python -m loadtest.start BUNDLE [--rounds 7] [--ray]

Rounds are interleaved. An answer is a 200 of `/readyz` over REST and a `ready` over gRPC. Memory is the sum of the
proportional shares (PSS) of all processes. The medians are printed, and the machine's load, which is in them.

Exit status: 0 `--dev` answers within 3 s (the median), 1 it does not.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import re
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
from loadtest.bench.running import free_port

SECONDS: Final = 3.0
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
    kinds = {"fivefold serve --dev": ["--dev"]} | ({"fivefold serve": []} if arguments.ray else {})
    found = {name: Starts() for name in kinds}
    for _ in range(arguments.rounds):
        begun = time.monotonic()
        subprocess.run([sys.executable, "-c", IMPORTS], check=True)
        imports.append(time.monotonic() - begun)
        for name, words in kinds.items():
            _start(arguments.bundle, words, found[name])
    base = statistics.median(imports)
    print(f'python -c "{IMPORTS}": {base:.2f} s ({min(imports):.2f} to {max(imports):.2f})')
    for name, starts in found.items():
        middle = statistics.median(starts.seconds)
        print(
            f"{name}: {middle:.2f} s ({min(starts.seconds):.2f} to {max(starts.seconds):.2f}), "
            f"{middle / base:.1f} times the imports; {statistics.median(starts.processes):.0f} processes, "
            f"{statistics.median(starts.megabytes):.0f} MB"
        )
    print(f"{arguments.rounds} rounds; load {os.getloadavg()[0]:.1f} on {os.cpu_count()} cores")
    return 0 if statistics.median(found["fivefold serve --dev"].seconds) <= SECONDS else 1


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
