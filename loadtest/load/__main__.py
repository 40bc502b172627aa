"""Load-test a deployment: percentiles that can be trusted, or a plain word that they cannot.

    python -m loadtest.load http://host:8000 [--grpc host:9000] [--profile smoke|steady|sweep|spike] [--rate 200]

Exit status: 0 the service level is met, 1 it is missed, 2 the test could not be run, 3 the run is void.
"""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

from fivefold.core.contract.contract import Contract
from loadtest.load import calibrate, capacity, deployment, k6, payloads, report
from loadtest.load.calibrate import Limit
from loadtest.load.capacity import Capacity, Step
from loadtest.load.deployment import Deployment
from loadtest.load.payloads import ValidRows
from loadtest.load.scenario import GRPC, PROFILES, REST, Scenario, ScenarioInvalid
from loadtest.load.verdict import LoadVerdict, judge
from loadtest.machine import hardware, measurement

RESULTS: Final = Path(__file__).parents[1] / "results"
EXIT: Final = {"met": 0, "missed": 1, "void": 3}
_EXAMPLES: Final = """profiles:
  smoke    50/s for 10 s: does it answer, and rightly?        steady   200/s for a minute
  sweep    the highest rate within the service level, and     spike    100/s, 400/s, 100/s, 15 s each
           the curve from 10 to 120 % of it

examples:
  python -m loadtest.load http://127.0.0.1:8000 --grpc 127.0.0.1:9000
  python -m loadtest.load https://models.example --profile steady --rate 500 --slo-p99-ms 20
  python -m loadtest.load http://host:8000 --profile sweep --mix v2=1 --rows 64
  python -m loadtest.load http://host:8000 --header 'x-api-key: …'
  python -m loadtest.load http://host:8000 --scenario mine.json           the members are those of a report's "scenario"

exit status: 0 service level met, 1 missed, 2 could not be run, 3 void
"""


def parser() -> argparse.ArgumentParser:
    """The command line."""
    out = argparse.ArgumentParser(
        prog="python -m loadtest.load",
        description="Load-test a Fivefold deployment with an open model and check every answer.",
        epilog=_EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    out.add_argument("target", metavar="URL", help="where REST is, such as http://127.0.0.1:8000")
    out.add_argument(
        "--grpc", metavar="HOST:PORT", help="where gRPC is; grpcs://host:port with TLS; without it REST alone"
    )
    out.add_argument("--model", metavar="NAME", help="needed where several are served")
    out.add_argument("--profile", choices=PROFILES, help="default smoke")
    out.add_argument("--scenario", metavar="FILE", type=Path, help="a description in JSON; options replace its members")
    out.add_argument("--rate", type=float, metavar="N", help="requests a second")
    out.add_argument("--seconds", type=float, metavar="S", help="length of the measured part; of each step in a sweep")
    out.add_argument("--warm-seconds", type=float, metavar="S")
    out.add_argument("--rows", type=int, metavar="N", help="rows of a request; default 1")
    out.add_argument("--invalid", type=float, metavar="SHARE", help="share of requests that break the contract")
    out.add_argument(
        "--mix", metavar="NAME=SHARE,…", help=f"of {', '.join((*REST, *GRPC))}; default: all in equal parts"
    )
    out.add_argument("--slo-p99-ms", type=float, metavar="MS", help="default 50")
    out.add_argument("--slo-errors", type=float, metavar="SHARE", help="default 0.001")
    out.add_argument("--timeout-seconds", type=float, metavar="S", help="default 10")
    out.add_argument(
        "--in-flight", type=int, metavar="N", help="virtual users; default: one second's worth of requests"
    )
    out.add_argument("--seed", type=int, metavar="N")
    out.add_argument("--header", action="append", default=[], metavar="'NAME: VALUE'", help="repeatable")
    out.add_argument("--key", metavar="KEY", help="sent as x-api-key; KEY in the environment does the same")
    out.add_argument("--insecure", action="store_true", help="do not verify the certificate")
    out.add_argument("--output", metavar="FILE", type=Path, help="the report (.html; .json goes beside it)")
    return out


def described(given: argparse.Namespace) -> Scenario:
    """The scenario of the command line."""
    names: tuple[str, ...] = (
        "profile",
        "rate",
        "seconds",
        "warm_seconds",
        "rows",
        "invalid",
        "slo_p99_ms",
        "slo_errors",
    )
    names += ("timeout_seconds", "in_flight", "seed")
    members = {name: value for name in names if (value := getattr(given, name)) is not None}
    if given.mix:
        members["mix"] = _mix(given.mix)
    if given.scenario:
        scenario = Scenario.load(given.scenario, **members)
    else:
        members.setdefault("mix", dict.fromkeys((*REST, *GRPC) if given.grpc else REST, 1.0))
        scenario = Scenario.of_profile(members.pop("profile", "smoke"), **members)
    if not given.grpc and (wanted := [name for name in scenario.shares() if name in GRPC]):
        raise ScenarioInvalid(f"mix: {wanted[0]} needs the address of gRPC: --grpc host:9000")
    return scenario


def _mix(text: str) -> dict[str, float]:
    out = {}
    for part in text.split(","):
        name, _, share = part.partition("=")
        try:
            out[name.strip()] = float(share or 1)
        except ValueError:
            raise ScenarioInvalid(f"mix: expected NAME=SHARE, got {part!r}") from None
    return out


def headers(given: argparse.Namespace) -> dict[str, str]:
    """The headers that every request carries."""
    out = {}
    for line in given.header:
        name, colon, value = line.partition(":")
        if not colon or not name.strip():
            raise ScenarioInvalid(f"--header: expected 'NAME: VALUE', got {line!r}")
        out[name.strip()] = value.strip()
    if key := given.key or os.environ.get("KEY"):
        out["x-api-key"] = key
    return out


@dataclass
class Test:
    """A deployment, a scenario and everything prepared: `run` asks for rates."""

    scenario: Scenario
    target: Deployment
    contract: Contract
    rows: ValidRows

    def __post_init__(self) -> None:
        self.facts: Mapping[str, Any] = payloads.facts(self.contract)
        self.items = payloads.schedule(self.scenario, self.contract, self.target.model, self.rows)
        address = dict.fromkeys(GRPC, self.target.grpc_address) if self.target.grpc else {}
        self.addresses = k6.Addresses(
            self.target.url, address, self.target.grpc_plaintext, self.target.headers, self.target.insecure
        )

    def calibrate(self) -> Limit:
        """The generator's limit for this mix."""
        answers = self.target.answers(list(self.scenario.shares()), self.contract, self.rows, self.scenario.rows)
        first = payloads.first_only(self.scenario, self.contract, self.target.model, self.rows)
        return calibrate.measure(self.scenario, answers, first, self.facts, tolerance=self.rows.tolerance)

    def run(self, scenario: Scenario) -> k6.Outcome:
        """One run of k6 against the deployment."""
        length = scenario.warm_seconds + sum(seconds for seconds, _ in scenario.stages())
        with _Progress(length) as progress:
            return k6.run(
                scenario, self.addresses, self.items, self.facts, tolerance=self.rows.tolerance, during=progress.tick
            )

    def step(self, rate: float, limit: Limit) -> Step:
        """One rate of a sweep, judged and said."""
        scenario = self.scenario.with_(rate=rate)
        outcome = self.run(scenario)
        verdict = judge(scenario, outcome, limit)
        say(
            f"  {rate:9,.0f}/s   p50 {report.milliseconds(outcome.latency.p(50)):>9}   "
            f"p99 {report.milliseconds(outcome.latency.p(99)):>9}   {outcome.error_share:6.2%} wrong   {verdict.state}"
            + ("" if verdict.met else f": {verdict.reasons[0]}")
        )
        return Step(rate, outcome, verdict)


class _Progress:
    """Seconds on one line of a terminal; nothing anywhere else."""

    def __init__(self, length: float) -> None:
        self.length = length
        self.shown = -1

    def __enter__(self) -> _Progress:
        return self

    def tick(self, seconds: float) -> None:
        if sys.stdout.isatty() and int(seconds) != self.shown:
            self.shown = int(seconds)
            print(f"\r  {min(self.shown, int(self.length))} of {self.length:.0f} s ", end="", flush=True)

    def __exit__(self, *_: object) -> None:
        if self.shown >= 0:
            print("\r" + " " * 30 + "\r", end="", flush=True)


def say(line: str) -> None:
    """A line of progress, at once."""
    print(line, flush=True)


def sweep(test: Test, limit: Limit) -> tuple[Capacity, Step]:
    """The capacity and its curve; the step that the report shows in full."""
    say(f"searching the highest rate with p99 <= {test.scenario.slo_p99_ms:g} ms")
    found = capacity.search(lambda rate: test.step(rate, limit), test.scenario.rate, limit.usable)
    if found.rate:
        say(f"measuring 10 to 120 % of {found.rate:,.0f}/s")
        capacity.curve(found, lambda rate: test.step(rate, limit), limit.usable)
    best = [step for step in (*found.curve, *found.steps) if step.verdict.met]
    return found, max(best, key=lambda step: step.rate) if best else found.steps[-1]


def concluded(found: Capacity) -> LoadVerdict:
    """A sweep's verdict: met where some rate meets the service level."""
    if not found.rate:
        last = found.steps[-1].verdict
        voids = all(step.verdict.state == "void" for step in found.steps)
        return LoadVerdict(
            "void" if voids else "missed", ("no rate that was tried meets the service level", *last.reasons)
        )
    reasons = [f"capacity is {'at least ' if found.bounded else ''}{found.rate:,.0f} requests a second"]
    if found.bounded:
        reasons.append("the generator gave out before the server: load it from more or larger machines to learn more")
    below = [step for step in found.curve if step.rate <= found.rate * 1.001]
    if failed := [step for step in below if not step.verdict.met]:
        safe = max((step.rate for step in below if step.rate < failed[0].rate), default=0.0)
        reasons.append(
            f"it did not hold when measured again: {failed[0].rate:,.0f}/s was {failed[0].verdict.state} "
            f"({failed[0].verdict.reasons[0]}); count on {safe:,.0f}/s"
        )
    return LoadVerdict("met", tuple(reasons))


def load(given: argparse.Namespace) -> int:
    """Run what the command line says; raises what could not be run."""
    scenario = described(given)
    target = deployment.at(given.target, grpc=given.grpc, headers=headers(given), insecure=given.insecure)
    k6.find()
    target.choose(given.model)
    contract = target.contract()
    test = Test(scenario, target, contract, target.rows(contract))
    version, bundle = str(target.status.get("version", "")), str(target.status.get("bundle", ""))
    say(f"target    {target.url}{f', gRPC {target.grpc}' if target.grpc else ''}: {target.model} version {version}")
    say(
        f"requests  {', '.join(f'{name} {share:.0%}' for name, share in scenario.shares().items())}; {test.rows.source}"
    )
    say("generator measuring its own limit against a server that does nothing …")
    limit = test.calibrate()
    own = f"; own p50 {report.milliseconds(limit.floor.p(50))}"
    say(f"generator {limit.rate:,.0f}/s on this machine, usable to {limit.usable:,.0f}/s{own}")
    found: Capacity | None = None
    if scenario.profile == "sweep":
        found, shown = sweep(test, limit)
        outcome, verdict = shown.outcome, concluded(found)
    else:
        rates = " then ".join(f"{rate:,.0f}/s" for _, rate in scenario.stages())
        say(f"{scenario.profile:<9} {rates}, {scenario.seconds:g} s after {scenario.warm_seconds:g} s of warm-up")
        outcome = test.run(scenario)
        verdict = judge(scenario, outcome, limit)
    now = datetime.now(UTC)
    about = {
        "url": target.url,
        "grpc": target.grpc or "",
        "model": target.model,
        "version": version,
        "bundle": bundle,
        "contract": f"{contract.name}@{contract.version}",
    }
    result = report.LoadResult(
        when=f"{now:%Y-%m-%d %H:%M} UTC",
        scenario=scenario,
        target=about,
        rows=test.rows.source,
        outcome=outcome,
        verdict=verdict,
        limit=limit,
        profile=hardware.profile(bundle=bundle, k6=k6.version()),
        k6=k6.version(),
        capacity=found,
    )
    path = given.output or RESULTS / f"{now:%Y%m%d-%H%M%S}-{scenario.profile}.html"
    written = report.write(result, path)
    _conclude(result, outcome, written[0])
    return EXIT[verdict.state]


def _conclude(result: report.LoadResult, outcome: k6.Outcome, path: Path) -> None:
    words = {"met": "MET", "missed": "MISSED", "void": "VOID: no figure of this run can be trusted"}
    say("")
    say(f"{words[result.verdict.state]}")
    for reason in result.verdict.reasons:
        say(f"  {reason}")
    if result.verdict.state != "void":
        at = outcome.latency.p
        cells = "  ".join(
            f"p{p:g} {report.milliseconds(at(p))}" for p in (50, 90, 99, 99.9) if outcome.latency.knows(p)
        )
        say(f"  {outcome.answered:,.0f}/s: {cells}  longest {report.milliseconds(outcome.latency.most)}")
    if outcome.errors and outcome.said:
        say(f"  first: {outcome.said.splitlines()[0][:400]}")
    say(f"report    {path}")


@measurement.exits()
def main(arguments: Sequence[str] | None = None, run: Callable[[argparse.Namespace], int] = load) -> int:
    """Run what the command line says."""
    given = parser().parse_args(arguments)
    return run(given)


if __name__ == "__main__":
    sys.exit(main())
