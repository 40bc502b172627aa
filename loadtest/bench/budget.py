"""Where the microseconds of a small request over REST go: one row in JSON, V2 as in `loadtest.bench`, and V1.

    python -m loadtest.bench.budget [--rounds 7] [--seconds 3] [--quick] [--write docs/measurements.md]

All figures are CPU time. The stages are the product's own functions, called in this process one by one
(`loadtest.bench.stages`), alone and 32 in one pass of the event loop; the rest is what a live `fivefold serve --dev`
takes for a request that wrk asks for on 1 and on 32 connections, less that. Medians of the rounds, in which everything
has its turn. The answers are checked first.

    python -m loadtest.bench.budget --quick                              whether it works
    python -m loadtest.bench.budget --write docs/measurements.md         on a machine at rest: about three minutes
"""

from __future__ import annotations

import argparse
import json
import statistics
import sys
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from fivefold.core.bundle.bundle import Bundle
from loadtest import document, hotpath
from loadtest.bench import questions, stages, tools
from loadtest.bench.questions import HttpRequest
from loadtest.bench.stages import StageTimes
from loadtest.gate import bundles
from loadtest.machine import host, measurement
from loadtest.machine.cost import user_and_kernel
from loadtest.machine.measurement import positive, say

REQUESTS: Final[Mapping[str, questions.Read]] = {
    "V2 JSON": lambda body, _: [json.loads(body)["outputs"][0]["data"]],
    "V1": lambda body, _: [each["probability"] for each in json.loads(body)["predictions"]],
}
"""By their names in `hotpath.asks`, and how their answers are read."""

CONNECTIONS: Final = (1, 32)
ROUNDS, SECONDS, WARM_SECONDS = 7, 3, 1
STAGE_ROUNDS: Final = 5
"""Rounds of the stages for each of the live server: they are short."""


@dataclass(frozen=True)
class LiveTimes:
    """CPU seconds of a live server's process for one request: in its own code, and in the kernel."""

    user: float
    kernel: float

    @property
    def whole(self) -> float:
        """Both."""
        return self.user + self.kernel


Live = Mapping[tuple[str, int], LiveTimes]
"""By request and number of connections."""


@measurement.exits()
def main(arguments: Sequence[str] | None = None) -> int:
    """Measure, print, write; the exit status is 2 where there are no figures, 130 after Ctrl-C."""
    given = _parser().parse_args(arguments)
    rounds, seconds = (1, 1) if given.quick else (given.rounds, given.seconds)
    measurement.ready()
    with measurement.scratch(Path(tempfile.gettempdir()), "ff-budget-") as directory:
        say("training the model")
        bundles.make(directory)
        say("the stages, in this process")
        inside = stages.measure(directory, list(REQUESTS), CONNECTIONS, rounds * STAGE_ROUNDS)
        live = _live(directory, rounds, seconds)
    document.publish(table(inside, live), given.write, "budget")
    return 0


def _live(directory: Path, rounds: int, seconds: int) -> Live:
    asks = {ask.name: ask for ask in hotpath.asks(directory) if ask.name in REQUESTS}
    bundle = Bundle.open(directory / hotpath.ONE_FIELD)
    truth = questions.golden(bundle, 1).truth
    found: dict[tuple[str, int], list[LiveTimes]] = {}
    with host.served([bundle.path], {}, words=["--dev"]) as server:
        requests = {
            name: HttpRequest(ask.target, ask.body, REQUESTS[name], dict(ask.headers)) for name, ask in asks.items()
        }
        for name, ask in requests.items():
            questions.check_http(name, int(server.url.rpartition(":")[2]), ask, truth)
        scripts = {name: tools.script(directory / f"{name}.lua", ask) for name, ask in requests.items()}
        for index in range(rounds):
            for name, script in scripts.items():
                for count in CONNECTIONS:
                    url = f"{server.url}{requests[name].path}"
                    times = _asked(server.process.pid, url, count, seconds, script)
                    found.setdefault((name, count), []).append(times)
                    took = f"{times.whole * 1e6:.1f} µs of CPU a request"
                    say(f"round {index + 1} of {rounds}, {name}, {count} connections: {took}")
    return {key: _median(each) for key, each in found.items()}


def _asked(pid: int, url: str, connections: int, seconds: int, script: Path) -> LiveTimes:
    tools.wrk(url, connections, WARM_SECONDS, script)
    before = user_and_kernel(pid)
    requests = tools.wrk(url, connections, seconds, script) * seconds
    user, kernel = (after - start for after, start in zip(user_and_kernel(pid), before, strict=True))
    return LiveTimes(user / requests, kernel / requests)


def _median(rounds: Sequence[LiveTimes]) -> LiveTimes:
    return LiveTimes(statistics.median(each.user for each in rounds), statistics.median(each.kernel for each in rounds))


def table(inside: stages.Times, live: Live) -> str:
    """Each stage in microseconds, and its share of what a request takes in all, by request and connections."""
    cases = list(inside)
    columns = [_column(inside[case], live[case]) for case in cases]
    head = [f"{name}, {count} connection{'s' * (count > 1)}" for name, count in cases]
    lines = [_row(["µs of CPU a request", *head]), _row(["--", *["--:"] * len(head)])]
    for (stage, _), *_ in zip(*columns, strict=True):
        cells = []
        for column in columns:
            seconds, whole = dict(column)[stage], column[-1][1]
            cells.append(f"{seconds * 1e6:.1f} ({seconds / whole:.0%})")
        lines.append(_row([stage, *cells]))
    return "\n".join(lines)


def _column(inside: StageTimes, live: LiveTimes) -> list[tuple[str, float]]:
    return [
        *inside.own(),
        ("**all of that: bytes in, bytes out**", inside.connection),
        ("event loop, and what a live process has besides", live.user - inside.connection),
        ("kernel: reading, writing, waiting", live.kernel),
        ("**a live `fivefold serve --dev`**", live.whole),
    ]


def _row(cells: Sequence[str]) -> str:
    return f"| {' | '.join(cells)} |"


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m loadtest.bench.budget",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--rounds", type=positive, default=ROUNDS)
    parser.add_argument("--seconds", type=positive, default=SECONDS, help="of each load, after a second of warming up")
    parser.add_argument("--quick", action="store_true", help="one round of a second: whether it works, not how fast")
    parser.add_argument("--write", type=Path, metavar="DOCUMENT", help="put the table between its markers `budget`")
    return parser


if __name__ == "__main__":
    sys.exit(main())
