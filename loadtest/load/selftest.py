"""The harness tested: a server that stops for half a second must show, and a run that lies must be void.

    python -m loadtest.load.selftest [--rate 200] [--seconds 6]

A null server is frozen with SIGSTOP in the middle of an open-model run. Requests that were due meanwhile have waited,
whether they could be sent or not, so the 99th percentile and the longest latency must say so: a generator that waits
for an answer before it sends again (coordinated omission) would show one slow request. Then the same freeze with too
few virtual users, which drops slots: that run must be void.
"""

from __future__ import annotations

import argparse
import base64
import json
import signal
import sys
from dataclasses import dataclass
from typing import Any, Final

from fivefold.core.contract.contract import Contract
from fivefold.core.fields.field import Field
from loadtest.load import calibrate, k6, payloads
from loadtest.load.calibrate import Limit, Null
from loadtest.load.payloads import Requests, ValidRows
from loadtest.load.scenario import Scenario
from loadtest.load.verdict import judge
from loadtest.machine import measurement

FREEZE: Final = 0.5
CONTRACT: Final = Contract("frozen", "1.0.0", (Field("x", "float32", minimum=0.0),), (Field("y", "float32"),))
ROWS: Final = ValidRows([{"x": 1.0}], [{"y": 2.0}], "one made row", 1e-5)
_NO_LIMIT: Final = Limit(1e9, k6.NOTHING, {})


def answers() -> dict[str, dict[str, str]]:
    """What the null server says to a V1 request for the one row."""
    path = Requests(CONTRACT, "frozen").of("v1", ROWS.inputs, ROWS.outputs)["path"]
    body = json.dumps({"predictions": ROWS.outputs}).encode()
    return {"v1": {"path": path, "body": base64.b64encode(body).decode()}}


def described(rate: float, seconds: float, **rest: Any) -> Scenario:
    """The scenario of the self-test."""
    return Scenario.of_profile(
        "steady", rate=rate, seconds=seconds, warm_seconds=1.0, mix={"v1": 1}, invalid=0.0, **rest
    )


@dataclass
class Freezer:
    """Stops a process once for `FREEZE` seconds, `begin` seconds after the start of a run; call it with the time."""

    server: Null
    begin: float
    frozen: bool = False
    thawed: bool = False

    def __call__(self, seconds: float) -> None:
        if not self.frozen and seconds >= self.begin:
            self.frozen, self.begin = True, seconds
            self.server.process.send_signal(signal.SIGSTOP)
        elif self.frozen and not self.thawed and seconds >= self.begin + FREEZE:
            self.thawed = True
            self.server.process.send_signal(signal.SIGCONT)


def frozen(scenario: Scenario) -> k6.Outcome:
    """The outcome of a run whose server is frozen in the middle of the measured part."""
    items = payloads.schedule(scenario, CONTRACT, "frozen", ROWS, count=10)
    with calibrate.null(answers()) as server:
        freezer = Freezer(server, scenario.warm_seconds + scenario.seconds / 2)
        outcome = k6.run(scenario, server.addresses, items, payloads.facts(CONTRACT), during=freezer)
        server.process.send_signal(signal.SIGCONT)
    assert freezer.thawed, "the run ended before the server was frozen"
    return outcome


def problems_seen(outcome: k6.Outcome, scenario: Scenario) -> list[str]:
    """What a frozen run fails to show; nothing where it shows all of it."""
    out = []
    least = FREEZE * 1000 * 0.8
    if outcome.latency.most < least:
        out.append(f"the longest latency is {outcome.latency.most:.0f} ms: the freeze does not show")
    # Requests due in the first four fifths of the freeze waited a fifth of it or longer.
    waited = 100 * (1 - FREEZE * 0.8 / scenario.seconds)
    if waited < 99 and outcome.latency.p(99) < FREEZE * 1000 * 0.2:
        out.append(f"p99 is {outcome.latency.p(99):.0f} ms: the freeze hides in it")
    if outcome.dropped:
        out.append(f"{outcome.dropped} slots were dropped, so the percentiles lack them")
    if outcome.errors:
        out.append(f"{outcome.errors} wrong answers: {dict(outcome.codes)}")
    if judge(scenario, outcome, _NO_LIMIT).met:
        out.append("the run with the freeze met the service level")
    return out


@measurement.exits()
def main(arguments: list[str] | None = None) -> int:
    """Run the self-test and say what it saw; 0 where the harness tells the truth."""
    parser = argparse.ArgumentParser(
        prog="python -m loadtest.load.selftest", description=(__doc__ or "").splitlines()[0]
    )
    parser.add_argument("--rate", type=float, default=200.0)
    parser.add_argument("--seconds", type=float, default=6.0)
    given = parser.parse_args(arguments)
    scenario = described(given.rate, given.seconds)
    outcome = frozen(scenario)
    found = problems_seen(outcome, scenario)
    at = outcome.latency.p
    print(f"frozen {FREEZE * 1000:.0f} ms: p50 {at(50):.1f}, p99 {at(99):.1f}, longest {outcome.latency.most:.1f} ms")
    few = described(given.rate, given.seconds, in_flight=5)
    starved = frozen(few)
    verdict = judge(few, starved, _NO_LIMIT)
    print(f"5 virtual users: {starved.dropped} slots dropped, {verdict.state}")
    if verdict.state != "void":
        found.append("a run that dropped slots is not void")
    for problem in found:
        print(f"FAILED: {problem}")
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
