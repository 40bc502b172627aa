"""What contract versions cost, in this process.

    python -m loadtest.evolution [--rounds 400] [--write docs/measurements.md]

The demo model behind the HTTP application, asked for one row and for 64 (V1): under its own contract, and, request by
request in turn, as a caller of another version whose fields have other names. Then an adapter alone, with a rename, a
default, a wider type, an unknown class and added-up labels; and `fivefold check` between two contracts of 1,000 fields.
Medians; those of the machine's other work are in them.

Exit status: 0 every goal met, 1 one was missed, 2 it could not be measured, 130 after Ctrl-C.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import statistics
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, Final

import numpy as np

from fivefold.core.bundle.answering import answering
from fivefold.core.bundle.bundle import Bundle
from fivefold.core.bundle.carried import CarriedVersion
from fivefold.core.columns import Columns
from fivefold.core.contract.contract import Contract
from fivefold.core.runtime.scorer import Scorer
from fivefold.core.telemetry import Telemetry
from fivefold.core.view import View
from fivefold.evolution.verdict import judge
from fivefold.packing.demo import demo
from fivefold.serving.dataplane import Dataplane
from fivefold.serving.http.app import app
from fivefold.serving.limits import ServingLimits
from fivefold.serving.repository import Model, Repository
from loadtest import document
from loadtest.machine import measurement
from loadtest.machine.measurement import Failed, positive

ADAPTER_SECONDS: Final = 20e-6
CHECK_SECONDS: Final = 1.0
FIELDS: Final = 1_000
ROUNDS: Final = 400


def versions(directory: Path) -> Bundle:
    """The demo, which answers a version with other names too."""
    own = Bundle.open(demo(directory / "demo"))
    fields = [
        replace(field, name=f"old_{field.name}", aliases=(field.name,)) if index < 15 else field
        for index, field in enumerate(own.contract.inputs)
    ]
    other = replace(own.contract, version="0.9.0", inputs=tuple(fields))
    return answering(own, directory / "both", [CarriedVersion(other)], own.contract.version)


def request_seconds(bundle: Bundle, rows: int, rounds: int) -> tuple[float, float]:
    """The median request under the own contract and under the other, one after the other in turn."""
    scorer = Scorer.open(bundle)
    plane = Dataplane(Repository([Model(bundle, scorer)]), ServingLimits(), Telemetry("online", log_sample=0.0))
    application = app(plane, plane.settings)
    given = bundle.golden()[0].take(np.arange(rows) % bundle.golden()[0].rows).to_records()
    names = [field.name for field in bundle.views["0.9.0"].inputs]
    bodies = {
        bundle.contract.version: given,
        "0.9.0": [dict(zip(names, row.values(), strict=True)) for row in given],
    }
    calls = [_call(application, bundle.name, version, records) for version, records in bodies.items()]

    async def measure() -> list[list[float]]:
        seconds: list[list[float]] = [[], []]
        for turn in range(rounds + 50):
            for index, call in enumerate(calls):
                begun = time.perf_counter()
                await call()
                if turn >= 50:
                    seconds[index].append(time.perf_counter() - begun)
        return seconds

    own, other = asyncio.run(measure())
    plane.close()
    return statistics.median(own), statistics.median(other)


def _call(application: Any, model: str, version: str, records: list[Any]) -> Callable[[], Any]:
    body = json.dumps({"instances": records}).encode()
    scope = {
        "type": "http",
        "method": "POST",
        "path": f"/v1/models/{model}:predict",
        "root_path": "",
        "headers": [(b"content-type", b"application/json"), (b"x-contract-version", version.encode())],
    }

    async def call() -> None:
        status = 0

        async def receive() -> Any:
            return {"type": "http.request", "body": body, "more_body": False}

        async def send(message: Any) -> None:
            nonlocal status
            status = message.get("status", status)

        await application(dict(scope), receive, send)
        if status != 200:
            raise Failed(f"a request under {version} was answered with {status}")

    return call


def adapter_seconds(rounds: int) -> float:
    """The median of one row into the model's columns and one answer back, by an adapter that does a bit of all."""
    numbers = [{"name": f"f{at}", "dtype": "float64"} for at in range(29)]
    old, new = (
        Contract.from_json({"format": 1, "name": "m", "version": version, "inputs": inputs, "outputs": outputs})
        for version, inputs, outputs in (
            (
                "1",
                [*numbers, {"name": "side", "dtype": "string"}],
                [
                    {"name": "label", "dtype": "string", "enum": ["a", "b", "other"], "unknown": "other"},
                    {"name": "p", "dtype": "float32", "shape": [3], "labels": ["a", "b", "other"], "unknown": "other"},
                ],
            ),
            (
                "2",
                [
                    {"name": "dose", "dtype": "int32", "default": 7},
                    *numbers,
                    {"name": "site", "dtype": "string", "aliases": ["side"]},
                ],
                [
                    {"name": "label", "dtype": "string", "enum": ["a", "b", "c", "d"]},
                    {"name": "p", "dtype": "float32", "shape": [4], "labels": ["a", "b", "c", "d"]},
                    {"name": "score", "dtype": "float64"},
                ],
            ),
        )
    )
    view = View.between(old, new)
    assert view.into is not None
    assert view.back is not None
    row = view.records.read([{field["name"]: 1.5 for field in numbers} | {"side": "left"}]).accept()
    answer = Columns(
        new.outputs,
        {
            "label": np.array(["c"], object),
            "p": np.array([[0.1, 0.2, 0.3, 0.4]], np.float32),
            "score": np.array([1.0]),
        },
        1,
    )
    seconds = []
    for _ in range(rounds * 10):
        begun = time.perf_counter()
        view.into(row)
        view.back(answer)
        seconds.append(time.perf_counter() - begun)
    return statistics.median(seconds)


def check_seconds() -> float:
    """The best of three checks between contracts of a thousand fields, one in seven of them changed."""
    inputs = [{"name": f"f{at}", "dtype": "float64", "minimum": 0, "maximum": at + 1} for at in range(FIELDS)]
    changed = [field | {"maximum": 0.5} if at % 7 == 0 else field for at, field in enumerate(inputs)]
    outputs = [{"name": "y", "dtype": "float64"}]
    old, new = (
        Contract.from_json({"format": 1, "name": "m", "version": version, "inputs": fields, "outputs": outputs})
        for version, fields in (("1", inputs), ("2", changed))
    )
    seconds = []
    for _ in range(3):
        begun = time.perf_counter()
        judge(old, new)
        seconds.append(time.perf_counter() - begun)
    return min(seconds)


@measurement.exits()
def main(argv: Sequence[str] | None = None) -> int:
    """Measure, print the table, and say whether the goals are met."""
    parser = argparse.ArgumentParser(
        prog="python -m loadtest.evolution",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--rounds", type=positive, default=ROUNDS, metavar="N", help=f"default {ROUNDS}")
    parser.add_argument("--write", type=Path, metavar="FILE", help="put the table between the document's markers")
    arguments = parser.parse_args(argv)
    lines = ["| what | figure |", "| -- | --: |"]
    with tempfile.TemporaryDirectory() as home:
        bundle = versions(Path(home))
        for rows in (1, 64):
            own, other = request_seconds(bundle, rows, arguments.rounds)
            lines.append(
                f"| a request of {rows} row{'s' if rows > 1 else ''} by an adapter ÷ one without | "
                f"{other / own:.2f} ({(other - own) * 1e6:+.0f} µs) |"
            )
    adapter, check = adapter_seconds(arguments.rounds), check_seconds()
    lines.append(f"| an adapter alone, there and back, one row | {adapter * 1e6:.0f} µs |")
    lines.append(f"| `fivefold check` between contracts of {FIELDS:,} fields | {check:.2f} s |")
    document.publish("\n".join(lines), arguments.write, "evolution")
    return int(adapter > ADAPTER_SECONDS or check > CHECK_SECONDS)


if __name__ == "__main__":
    raise SystemExit(main())
