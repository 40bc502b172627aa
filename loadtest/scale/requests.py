"""How a request's cost grows with its rows, its fields, and with how many connections ask at once.

The cost is CPU time. Rows and fields are asked of the server's application inside this process, the least of many
requests, which is what other programs disturb least; connections of a `fivefold serve --dev`, by wrk. Every form's
answer is compared with the sums first.
"""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np

from fivefold.core.bundle.bundle import Bundle
from fivefold.core.runtime.scorer import Scorer
from fivefold.core.telemetry import Telemetry
from fivefold.serving.dataplane import Dataplane
from fivefold.serving.http.app import app
from fivefold.serving.limits import ServingLimits
from fivefold.serving.repository import Model, Repository
from loadtest.bench import questions, tools
from loadtest.bench.questions import HttpRequest
from loadtest.machine import host
from loadtest.machine.cost import cpu_seconds, resident_bytes
from loadtest.machine.measurement import Differs, Failed, say
from loadtest.scale import bundles

ROWS: Final = (1, 10, 100, 1_000, 10_000)
FIELDS: Final = (1, 10, 100, 1_000)
CONNECTIONS: Final = (1, 8, 32, 128, 512)
LEAST: Final = 5
"""Requests of each size at least, however long they take."""


@dataclass(frozen=True)
class RequestCost:
    """Of requests of one form and size: rows, fields, bytes of the body, and CPU seconds, the least that was seen."""

    form: str
    rows: int
    fields: int
    body: int
    cpu: float


@dataclass(frozen=True)
class ConnectionsCost:
    """Of so many connections that ask at once: requests a second, CPU seconds of the server a request, and its resident
    bytes at the end."""

    connections: int
    rate: float
    cpu: float
    resident: int


def by_rows(directory: Path, seconds: float, counts: Sequence[int] = ROWS) -> list[RequestCost]:
    """Ten fields, more and more rows in a request; each size is asked for so many seconds."""
    return _costs([(bundles.write(directory / "rows", "rows"), rows, bundles.SMALL) for rows in counts], seconds)


def by_fields(directory: Path, seconds: float, counts: Sequence[int] = FIELDS) -> list[RequestCost]:
    """One row, models of more and more fields."""
    return _costs([(bundles.write(directory / f"f-{each}", f"f-{each}", each), 1, each) for each in counts], seconds)


def by_connections(directory: Path, seconds: int, counts: Sequence[int] = CONNECTIONS) -> list[ConnectionsCost]:
    """One row of ten fields, asked for by more and more connections at once, each waiting for its answer."""
    bundle = bundles.write(directory / "connections", "connections")
    ask = _forms(bundle.name, 1, bundles.SMALL)["records"]
    script = tools.script(directory / "ask.lua", ask)
    out = []
    with host.served([bundle.path], {"FIVEFOLD_LOG_SAMPLE": "0"}, words=["--dev"]) as server:
        questions.check_http("records", int(server.url.rpartition(":")[2]), ask, _truth(1, bundles.SMALL))
        pid = server.process.pid
        for count in counts:
            tools.wrk(f"{server.url}{ask.path}", count, 1, script)
            before = cpu_seconds(pid)
            rate = tools.wrk(f"{server.url}{ask.path}", count, seconds, script)
            cpu = (cpu_seconds(pid) - before) / (rate * seconds)
            out.append(ConnectionsCost(count, rate, cpu, resident_bytes(pid)))
            say(f"{count} connections: {rate:,.0f} requests a second, {cpu * 1e6:,.0f} µs of CPU each")
    return out


def _costs(sizes: Sequence[tuple[Bundle, int, int]], seconds: float) -> list[RequestCost]:
    models = {bundle.name: Model(bundle, Scorer.open(bundle)) for bundle, _, _ in sizes}
    plane = Dataplane(Repository(models.values()), ServingLimits(), Telemetry("online", log_sample=0.0))
    application = app(plane, plane.settings)

    async def measure() -> list[RequestCost]:
        out = []
        for bundle, rows, fields in sizes:
            for form, ask in _forms(bundle.name, rows, fields).items():
                await _check(application, form, ask, _truth(rows, fields))
                cpu = await _least(application, ask, seconds)
                out.append(RequestCost(form, rows, fields, len(ask.body), cpu))
                say(f"{form}, {rows:,} rows, {fields:,} fields: {cpu * 1e6:,.0f} µs of CPU a request")
        return out

    try:
        return asyncio.run(measure())
    finally:
        plane.close()


async def _least(application: Any, ask: HttpRequest, seconds: float) -> float:
    found: list[float] = []
    deadline = time.monotonic() + seconds
    while len(found) < LEAST or time.monotonic() < deadline:
        before = time.process_time()
        await _answered(application, ask)
        found.append(time.process_time() - before)
    return min(found)


async def _answered(application: Any, ask: HttpRequest) -> tuple[bytes, dict[str, str]]:
    headers = [(name.encode(), value.encode()) for name, value in ask.headers.items()]
    scope = {"type": "http", "method": "POST", "path": ask.path, "root_path": "", "headers": headers}
    body = [{"type": "http.request", "body": ask.body, "more_body": False}]
    sent: list[dict[str, Any]] = []

    async def receive() -> Any:
        # The caller stays connected: whoever asks further waits.
        return body.pop() if body else await asyncio.Event().wait()

    async def send(message: dict[str, Any]) -> None:
        sent.append(message)

    await application(scope, receive, send)
    text = b"".join(message.get("body", b"") for message in sent)
    if sent[0]["status"] != 200:
        raise Failed(f"{ask.path} answered {sent[0]['status']}: {text[:300]!r}")
    return text, {name.decode().lower(): value.decode() for name, value in sent[0]["headers"]}


async def _check(application: Any, form: str, ask: HttpRequest, truth: Any) -> None:
    got = np.asarray(ask.read(*await _answered(application, ask)), np.float64)
    if got.shape != truth.shape or not np.array_equal(got, truth):
        raise Differs(f"{form}: {got[:3].tolist()} where the sums are {truth[:3].tolist()}")


def _truth(rows: int, fields: int) -> Any:
    return np.array([sum(bundles.record(fields, row).values()) for row in range(rows)], np.float64)


def _forms(model: str, rows: int, fields: int) -> Mapping[str, HttpRequest]:
    """The same rows as records of named fields (V1, JSON), and as a raw tensor for each field (V2, binary)."""
    records = [bundles.record(fields, row) for row in range(rows)]
    named = HttpRequest(
        f"/v1/models/{model}:predict",
        _json({"instances": records}),
        lambda body, _: [_total(each) for each in json.loads(body)["predictions"]],
    )
    blocks = [np.array([record[f"f{at}"] for record in records], "<f4").tobytes() for at in range(fields)]
    inputs = [
        {"name": f"f{at}", "shape": [rows], "datatype": "FP32", "parameters": {"binary_data_size": len(blocks[at])}}
        for at in range(fields)
    ]
    head = _json({"inputs": inputs, "parameters": {"binary_data_output": True}})
    headers = {"content-type": "application/octet-stream", "inference-header-content-length": str(len(head))}

    def read(body: bytes, answered: Mapping[str, str]) -> Any:
        return np.frombuffer(body, "<f4", offset=int(answered["inference-header-content-length"]))

    binary = HttpRequest(f"/v2/models/{model}/infer", head + b"".join(blocks), read, headers)
    return {"records": named, "binary": binary}


def _total(answer: Any) -> float:
    return float(answer["total"] if isinstance(answer, dict) else answer)


def _json(value: Any) -> bytes:
    return json.dumps(value, separators=(",", ":")).encode()
