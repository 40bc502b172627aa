"""How fast the generator itself is, in the same minute and on the same machine as the run that it judges.

The same k6 script sends the same mix to a server that does nothing (`null`) and checks its recorded answers; what
it reaches, and what it adds to a latency, is the generator's own. Here alone requests follow each other without a
schedule: what is wanted is the most that k6 can do.
"""

from __future__ import annotations

import contextlib
import json
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from loadtest.load import k6
from loadtest.load.scenario import GRPC, Scenario

USERS: Final = 16
SHARE: Final = 0.7
"""The share of its own limit above which a generator measures itself."""


@dataclass(frozen=True)
class Limit:
    """The generator's own limit in requests a second, and the latency it adds by itself (milliseconds)."""

    rate: float
    floor: k6.Latency
    floors: Mapping[str, k6.Latency]

    @property
    def usable(self) -> float:
        """The highest rate whose measurement counts."""
        return self.rate * SHARE

    def to_json(self) -> dict[str, Any]:
        """As JSON values."""
        return {
            "requests_per_second": round(self.rate, 1),
            "usable_requests_per_second": round(self.usable, 1),
            "own_latency_ms": {name: one.to_json() for name, one in self.floors.items()},
        }


@dataclass
class Null:
    """A running null server."""

    process: subprocess.Popen[str]
    ports: Mapping[str, int]

    @property
    def addresses(self) -> k6.Addresses:
        """Where it listens."""
        grpc = {name: f"127.0.0.1:{port}" for name, port in self.ports.items() if name in GRPC}
        return k6.Addresses(f"http://127.0.0.1:{self.ports['http']}", grpc)


@contextlib.contextmanager
def null(answers: Mapping[str, Mapping[str, str]]) -> Iterator[Null]:
    """A null server with those recorded answers (`Deployment.answers`), for the length of a `with`."""
    with tempfile.TemporaryDirectory(prefix="fivefold-null-") as temporary:
        path = Path(temporary) / "answers.json"
        path.write_text(json.dumps(answers))
        command = [sys.executable, "-m", "loadtest.load.null", str(path)]
        root = Path(__file__).parents[2]
        process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True, cwd=root, start_new_session=True)
        try:
            assert process.stdout is not None
            line = process.stdout.readline()
            yield Null(process, json.loads(line))
        finally:
            process.kill()
            process.wait()
            if process.stdout:
                process.stdout.close()


def measure(
    scenario: Scenario,
    answers: Mapping[str, Mapping[str, str]],
    items: Sequence[Mapping[str, Any]],
    facts: Mapping[str, Any],
    *,
    tolerance: float,
    seconds: float = 3.0,
) -> Limit:
    """The generator's limit for the scenario's mix, and its own latency at a quarter of that."""
    base = scenario.with_(profile="steady", seconds=seconds, warm_seconds=1.0, in_flight=0)
    with null(answers) as server:
        most = k6.run(base, server.addresses, items, facts, tolerance=tolerance, closed=USERS)
        if most.errors or not most.requests:
            raise k6.K6Failed(f"the generator and the null server disagree: {dict(most.codes)} {most.said[-500:]}")
        quiet = base.with_(rate=max(1.0, most.answered / 4), seconds=2.0)
        own = k6.run(quiet, server.addresses, items, facts, tolerance=tolerance)
    return Limit(most.answered, own.latency, own.transports)
