"""How a process grows with the models that it serves: start, memory, each one's answer, and its metrics."""

from __future__ import annotations

import contextlib
import http.client
import json
import socket
import statistics
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from loadtest.machine import host
from loadtest.machine.cost import cpu_seconds, resident_bytes
from loadtest.machine.measurement import Failed, say
from loadtest.scale import bundles

COUNTS: Final = (1, 10, 100, 1_000)
ASKED: Final = 2_000
"""Requests in all, in turn over all models."""

PATIENCE: Final = 1_200.0


@dataclass(frozen=True)
class ModelsCost:
    """Of a server with so many models: its CPU seconds until it is ready, resident bytes then and after every model has
    answered, CPU seconds and the median wall seconds of a request, the slowest model's median over the median model's,
    time series that a scrape brings, and bytes of that scrape and of the OpenAPI document."""

    models: int
    start_cpu: float
    start_seconds: float
    resident: int
    request_cpu: float
    request_seconds: float
    slowest: float
    series: int
    scrape_bytes: int
    openapi_bytes: int


def measure(directory: Path, counts: Sequence[int]) -> list[ModelsCost]:
    """A server for each of the counts, one after the other."""
    say(f"writing {max(counts):,} bundles")
    paths = bundles.write_many(directory, max(counts))
    return [_measure(paths[:count]) for count in counts]


class _Asker:
    """One connection that stays, and sends each request in one piece."""

    def __init__(self, port: int) -> None:
        self._connection = socket.create_connection(("127.0.0.1", port), timeout=PATIENCE)
        self._connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)

    def ask(self, line: str, body: bytes = b"") -> bytes:
        """The body of the answer; raises `Failed`."""
        length = f"content-length: {len(body)}\r\n" * bool(body)
        self._connection.sendall(f"{line} HTTP/1.1\r\nhost: localhost\r\n{length}\r\n".encode() + body)
        answer = http.client.HTTPResponse(self._connection)
        answer.begin()
        text = answer.read()
        answer.close()
        if answer.status != 200:
            raise Failed(f"{line} answered {answer.status}: {text[:300]!r}")
        return text

    def close(self) -> None:
        self._connection.close()


def _measure(paths: Sequence[Path]) -> ModelsCost:
    names = [path.name for path in paths]
    settings = {"FIVEFOLD_LOG_SAMPLE": "0"}
    begun = time.monotonic()
    with host.served(paths, settings, words=["--dev"], patience=PATIENCE) as server:
        seconds = time.monotonic() - begun
        pid = server.process.pid
        start = cpu_seconds(pid)
        with contextlib.closing(_Asker(int(server.url.rpartition(":")[2]))) as asker:
            for name in names:
                _seconds(asker, name)
            before = cpu_seconds(pid)
            took: dict[str, list[float]] = {name: [] for name in names}
            requests = max(ASKED, 3 * len(names))
            for at in range(requests):
                took[names[at % len(names)]].append(_seconds(asker, names[at % len(names)]))
            cpu = (cpu_seconds(pid) - before) / requests
            medians = sorted(statistics.median(each) for each in took.values())
            resident = resident_bytes(pid)
            scrape = asker.ask("GET /metrics")
            openapi = asker.ask("GET /openapi.json")
        cost = ModelsCost(
            models=len(paths),
            start_cpu=start,
            start_seconds=seconds,
            resident=resident,
            request_cpu=cpu,
            request_seconds=statistics.median(medians),
            slowest=medians[-1] / statistics.median(medians),
            series=sum(1 for line in scrape.splitlines() if line and not line.startswith(b"#")),
            scrape_bytes=len(scrape),
            openapi_bytes=len(openapi),
        )
    say(f"{cost.models:,} models: {cost.start_cpu:.1f} s of CPU to start, {cost.request_cpu * 1e6:.0f} µs a request")
    return cost


def _seconds(asker: _Asker, name: str) -> float:
    """What the model takes to answer one row; raises `Failed` where it answers otherwise than with its sum."""
    row = bundles.record(bundles.SMALL)
    body = json.dumps({"instances": [row]}).encode()
    asked = time.perf_counter()
    text = asker.ask(f"POST /v1/models/{name}:predict", body)
    took = time.perf_counter() - asked
    if json.loads(text)["predictions"][0] not in (sum(row.values()), {"total": sum(row.values())}):
        raise Failed(f"{name} answered {text[:300]!r}")
    return took
