"""Running k6 and reading what it measured.

`run` sends prepared items at a scenario's rate and returns an `Outcome`; it knows no contract and judges nothing.
Whether an outcome is void, and what it means for a service level, is said by `verdict`.
"""

from __future__ import annotations

import contextlib
import json
import os
import resource
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from fivefold import client
from fivefold.core.errors import CODES
from loadtest.load.scenario import Scenario
from loadtest.machine.measurement import NotMeasured

SCRIPT: Final = Path(__file__).with_name("scenario.js")
PROTOSET: Final = Path(str(client.__file__)).with_name("inference.binpb")
INSTALLED: Final = Path(__file__).parents[2] / ".cache" / "bin" / "k6"

PERCENTILES: Final = (
    *range(0, 90, 5),
    *range(90, 100),
    *(99 + i / 10 for i in range(1, 10)),
    *(99.9 + i / 100 for i in range(1, 10)),
    *(99.99 + i / 1000 for i in range(1, 10)),
)
"""Evenly spaced on an axis of nines."""

OUTCOMES: Final = (
    "transport_error",
    "wrong_answer",
    "wrong_code",
    "accepted_invalid",
    "unreadable",
    "other",
    *(f"http_{status}" for status in (401, 403, 404, 408, 413, 429, 500, 502, 503, 504)),
    *(f"grpc_{status}" for status in range(1, 17)),
)
"""What can be wrong with an answer beside the product's own codes."""


class K6Missing(NotMeasured):
    """There is no k6 on this machine."""


class K6Failed(NotMeasured):
    """k6 ended without a measurement; the sentence holds what it said last."""


@dataclass(frozen=True)
class Latency:
    """Milliseconds from the moment a request was due to its answer."""

    count: int
    at: Mapping[float, float]
    most: float

    def p(self, percent: float) -> float:
        """A percentile; only those of `PERCENTILES` are known."""
        return self.at.get(round(percent, 3), self.most)

    def knows(self, percent: float) -> bool:
        """Whether at least one request lies beyond the percentile: else it is the longest under another name."""
        return (100 - percent) / 100 * self.count >= 1

    def to_json(self) -> dict[str, Any]:
        """As JSON values; percentiles that fewer than one request lies beyond are left out."""
        kept = {f"{p:g}": round(v, 3) for p, v in self.at.items() if self.knows(p)}
        return {"count": self.count, "max": round(self.most, 3), "percentiles": kept}


NOTHING: Final = Latency(0, {}, 0.0)


@dataclass(frozen=True)
class Slot:
    """A slice of the measured part: when it began (seconds), its requests' latency, its errors."""

    second: float
    latency: Latency
    errors: int


@dataclass(frozen=True)
class Phase:
    """A measured part at one rate: latency of its right answers, and of its refusals for having too much to do."""

    rate: float
    seconds: float
    right: Latency
    overloaded: Latency


@dataclass(frozen=True)
class Outcome:
    """What one run of k6 measured, warm-up left out."""

    rate: float
    seconds: float
    requests: int
    errors: int
    refused: int
    dropped: int
    unsent: int
    codes: Mapping[str, int]
    latency: Latency
    lateness: Latency
    transports: Mapping[str, Latency]
    transport_errors: Mapping[str, int]
    slots: Sequence[Slot]
    phases: Sequence[Phase]
    cpu_seconds: float
    waiting: int
    said: str = ""

    @property
    def answered(self) -> float:
        """Answers a second."""
        return self.requests / self.seconds

    @property
    def error_share(self) -> float:
        """Share of requests with a wrong answer or none."""
        return self.errors / self.requests if self.requests else 1.0

    def to_json(self) -> dict[str, Any]:
        """As JSON values."""
        return {
            "rate": round(self.rate, 3),
            "answered_per_second": round(self.answered, 3),
            "seconds": self.seconds,
            "requests": self.requests,
            "errors": self.errors,
            "refused_as_expected": self.refused,
            "dropped": self.dropped,
            "unsent": self.unsent,
            "codes": dict(self.codes),
            "latency_ms": self.latency.to_json(),
            "lateness_ms": self.lateness.to_json(),
            "transports": {
                name: one.to_json() | {"errors": self.transport_errors.get(name, 0)}
                for name, one in self.transports.items()
            },
            "over_time": [
                {"second": slot.second, "errors": slot.errors, **slot.latency.to_json()} for slot in self.slots
            ],
            "generator": {"cpu_seconds": round(self.cpu_seconds, 2), "virtual_users": self.waiting},
        }


@dataclass(frozen=True)
class Addresses:
    """Where requests go and what they carry."""

    url: str
    grpc: Mapping[str, str] = field(default_factory=dict)
    grpc_plaintext: bool = True
    headers: Mapping[str, str] = field(default_factory=dict)
    insecure: bool = False


def find() -> str:
    """The k6 to run: `FIVEFOLD_K6`, the one `make` installed, or the one on PATH. Raises `K6Missing`."""
    for candidate in (os.environ.get("FIVEFOLD_K6"), str(INSTALLED), shutil.which("k6")):
        if candidate and os.access(candidate, os.X_OK):
            return candidate
    raise K6Missing("there is no k6 here: `make .cache/bin/k6` installs it (needs Go), or put one on PATH")


def version() -> str:
    """What k6 says it is."""
    said = subprocess.run([find(), "version"], capture_output=True, text=True, check=False).stdout.split()
    return said[1] if len(said) > 1 else "unknown"


def run(
    scenario: Scenario,
    addresses: Addresses,
    items: Sequence[Mapping[str, Any]],
    facts: Mapping[str, Any],
    *,
    tolerance: float = 1e-5,
    closed: int = 0,
    during: Callable[[float], None] | None = None,
) -> Outcome:
    """One run. `closed` virtual users instead of a rate measure the generator itself; `during` is called a few times a
    second with the seconds since the start. Ends k6 and raises what was raised here; raises `K6Failed`.
    """
    with tempfile.TemporaryDirectory(prefix="fivefold-load-") as temporary:
        directory = Path(temporary)
        plan = _plan(scenario, addresses, facts, tolerance, closed, len(items), directory / "summary.json")
        (directory / "plan.json").write_text(json.dumps(plan))
        (directory / "items.json").write_text(json.dumps(items))
        said = directory / "said.txt"
        before = resource.getrusage(resource.RUSAGE_CHILDREN)
        with said.open("wb") as file:
            command = [find(), "run", "--quiet", "--no-usage-report", "--no-color", "--address", "", str(SCRIPT)]
            environment = os.environ | {
                "PLAN": str(directory / "plan.json"),
                "ITEMS": str(directory / "items.json"),
                "K6_NO_USAGE_REPORT": "true",
                "K6_INCLUDE_SYSTEM_ENV_VARS": "true",
                **_memory(),
            }
            # A session of its own: a Ctrl-C reaches us alone, and we end k6.
            process = subprocess.Popen(
                command, stdout=file, stderr=file, stdin=subprocess.DEVNULL, env=environment, start_new_session=True
            )
            try:
                _wait(process, during)
            finally:
                _end(process)
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
        cpu = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
        text = said.read_text(errors="replace").strip()
        summary = directory / "summary.json"
        if not summary.exists():
            raise K6Failed(f"k6 ended with status {process.returncode}: {text[-1500:]}")
        return _outcome(scenario, json.loads(summary.read_text()), plan, cpu, text, closed)


def _memory() -> dict[str, str]:
    """Go's collector, told to be rare: some hundred virtual users are gigabytes of heap, and where the generator has
    one core, marking them every three seconds put 200 ms into the latencies of whatever came meanwhile."""
    most = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") // 3
    return {"GOGC": os.environ.get("GOGC", "1000"), "GOMEMLIMIT": os.environ.get("GOMEMLIMIT", str(most))}


def _wait(process: subprocess.Popen[bytes], during: Callable[[float], None] | None) -> None:
    began = time.monotonic()
    while process.poll() is None:
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(0.05 if during else 0.5)
        if during:
            during(time.monotonic() - began)


def _end(process: subprocess.Popen[bytes]) -> None:
    if process.poll() is None:
        process.send_signal(signal.SIGTERM)
        try:
            process.wait(5)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def _plan(
    scenario: Scenario,
    addresses: Addresses,
    facts: Mapping[str, Any],
    tolerance: float,
    closed: int,
    items: int,
    output: Path,
) -> dict[str, Any]:
    per_iteration = scenario.messages()
    stages = [(seconds, rate / per_iteration) for seconds, rate in scenario.stages()]
    length = sum(seconds for seconds, _ in stages)
    slot = max(1.0, length / 60)
    vus = closed or scenario.waiting()
    scenarios: dict[str, Any] = {}
    phases: dict[str, Any] = {}

    def phase(name: str, begin: float, seconds: float, rate: float, **rest: Any) -> None:
        """One constant rate. A ramping executor would do for several, but its clock begins before its schedule does."""
        # k6 takes whole rates: a longer unit keeps the fraction.
        whole = max(1, round(rate * 100))
        timing = {"rate": whole, "timeUnit": "100s", "duration": _span(seconds), "startTime": _span(begin)}
        users = {"preAllocatedVUs": vus, "maxVUs": vus}
        scenarios[name] = {"executor": "constant-arrival-rate", **timing, **users, **rest}
        if closed:
            scenarios[name] = {"executor": "constant-vus", "vus": vus, **timing, **rest}
            del scenarios[name]["rate"], scenarios[name]["timeUnit"]
        measured = name != "warm"
        phases[name] = {
            "name": name,
            "rate": whole / 100,
            "milliseconds": seconds * 1000,
            "since": (begin - warm) * 1000,
            "measured": measured,
            "closed": bool(closed),
            # The warm-up begins elsewhere in the list, so a server's caches do not know the first measured requests.
            "offset": 0 if measured else items // 2,
        }

    warm = scenario.warm_seconds
    if warm:
        phase("warm", 0.0, warm, stages[0][1], gracefulStop="0s")
    begin = warm
    for index, (seconds, rate) in enumerate(stages):
        phase(f"measured_{index}", begin, seconds, rate, gracefulStop=_span(scenario.timeout_seconds + 1))
        begin += seconds
    protocols = {name: addresses.grpc[name] for name in scenario.shares() if name in addresses.grpc}
    metadata = {name.lower(): value for name, value in addresses.headers.items()}
    return {
        "scenarios": scenarios,
        "phases": phases,
        "stats": ["count", "max", *(f"p({p:g})" for p in _rounded())],
        "url": addresses.url,
        "insecure": addresses.insecure,
        "headers": dict(addresses.headers),
        "metadata": metadata,
        "grpc": {"addresses": protocols, "plaintext": addresses.grpc_plaintext, "protoset": str(PROTOSET)},
        "transports": list(scenario.shares()),
        "codes": [*CODES, *OUTCOMES],
        "slots": round(length / slot),
        "slot_milliseconds": slot * 1000,
        "timeout": f"{round(scenario.timeout_seconds * 1000)}ms",
        "tolerance": tolerance,
        "output": str(output),
        "vus": vus,
        **facts,
    }


def _rounded() -> list[float]:
    return [round(float(p), 3) for p in PERCENTILES]


def _span(seconds: float) -> str:
    return f"{round(seconds * 1000)}ms"


def _outcome(
    scenario: Scenario, metrics: Mapping[str, Any], plan: Mapping[str, Any], cpu: float, said: str, closed: int
) -> Outcome:
    def count(name: str) -> int:
        found = metrics.get(name)
        return int(found["values"].get("count", 0)) if found else 0

    def latency(name: str) -> Latency:
        values = metrics[name]["values"] if name in metrics else {}
        if not values.get("count"):
            return NOTHING
        at = {p: float(values[f"p({p:g})"]) for p in _rounded()}
        return Latency(int(values["count"]), at, float(values["max"]))

    length = sum(seconds for seconds, _ in scenario.stages())
    requests = count("ff_requests")
    slot = plan["slot_milliseconds"] / 1000
    # Slots that were due before the end and that k6 neither began nor counted as dropped.
    measured = [] if closed else [phase for phase in plan["phases"].values() if phase["measured"]]
    expected = sum(phase["rate"] * phase["milliseconds"] / 1000 for phase in measured)
    unsent = max(0, round(expected) - count("ff_lateness") - count("dropped_iterations"))
    codes = {code: n for code in plan["codes"] if (n := count(f"ff_code_{code}"))}
    return Outcome(
        rate=requests / length if closed else sum(s * r for s, r in scenario.stages()) / length,
        seconds=length,
        requests=requests,
        errors=count("ff_errors"),
        refused=count("ff_refused_as_expected"),
        dropped=count("dropped_iterations"),
        unsent=unsent,
        codes=codes,
        latency=latency("ff_latency"),
        lateness=latency("ff_lateness"),
        transports={name: latency(f"ff_transport_{name}") for name in plan["transports"]},
        transport_errors={name: count(f"ff_transport_errors_{name}") for name in plan["transports"]},
        slots=[Slot(i * slot, latency(f"ff_slot_{i}"), count(f"ff_slot_errors_{i}")) for i in range(plan["slots"])],
        phases=[
            Phase(rate, seconds, latency(f"ff_right_measured_{i}"), latency(f"ff_overloaded_measured_{i}"))
            for i, (seconds, rate) in enumerate(scenario.stages())
        ],
        cpu_seconds=cpu,
        waiting=plan["vus"],
        said=said,
    )


if __name__ == "__main__":
    sys.exit(f"k6 {version()} at {find()}; see python -m loadtest.load --help")
