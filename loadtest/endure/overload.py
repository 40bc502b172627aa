"""More than a server can do: who is answered, how soon, how soon the others are told, and what is left afterwards.

    python -m loadtest.endure.overload [--row-ms 20] [--rounds 3] [--seconds 45] [--write docs/measurements.md]

A model of about twenty milliseconds a row is packed and served by one replica with one model thread, on one half of the
cores; the generator has the other half. In every round the capacity is found with two callers that wait for their
answers; then requests arrive at their own times at 50 % of it, at 150 %, at 50 % again, and the same with 300 %. Every
answer is compared. Exit status: 0 every goal is met, 1 one is missed, 2 it could not be run.
"""

from __future__ import annotations

import argparse
import statistics
import sys
import tempfile
import time
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np

from fivefold.packing import pack
from loadtest import document
from loadtest.load import deployment, k6, payloads
from loadtest.load.scenario import GRPC, Scenario
from loadtest.machine import host, measurement

NAME: Final = "heavy"
ROW_MILLISECONDS: Final = 20.0
"""A model for which the transports' work, done for those who are refused too, is small: it shares the cores."""
CALLERS: Final = 2
LOADS: Final = (1.5, 3.0)
HALF: Final = 0.5
IN_FLIGHT: Final = 200
WARM_SECONDS: Final = 5.0
"""Of the largest load, before anything counts: the first time costs memory that is kept."""
MIX: Final = {"v2": 1.0, "grpc": 1.0}

GOALS: Final = (
    ("answered", "capacity answered", "at least 90 %"),
    ("slower", "p99 of the answered, at 50 % load = 1", "at most 3"),
    ("refusal", "p99 of a refusal", "at most 50 ms"),
    ("recovery", "last trace after the overload", "at most 5 s"),
    ("growth", "memory after / before", "at most 1.05"),
    ("lost", "answers that are neither right nor a refusal", "0"),
)


@dataclass(frozen=True)
class OverloadFinding:
    """One overload; milliseconds and seconds where the name says so, shares and ratios elsewhere."""

    load: float
    answered: float
    slower: float
    refusal: float
    recovery: float
    growth: float
    lost: int

    def misses(self) -> list[str]:
        """Goals that it misses."""
        held = {
            "answered": self.answered >= 0.9,
            "slower": self.slower <= 3,
            "refusal": self.refusal <= 50,
            "recovery": self.recovery <= 5,
            "growth": self.growth <= 1.05,
            "lost": self.lost == 0,
        }
        return [title for name, title, _ in GOALS if not held[name]]


def make_bundle(directory: Path, seconds: float = ROW_MILLISECONDS / 1000) -> Path:
    """Pack convolutions over a 16 by 16 grid, as many as take about so many seconds a row on this machine."""
    target = directory / NAME
    contract = {
        "format": 1,
        "name": NAME,
        "version": "1.0.0",
        "inputs": [{"name": "X", "dtype": "float32", "shape": [30], "minimum": -1, "maximum": 1}],
        "outputs": [{"name": "y", "dtype": "float32", "shape": [4]}],
    }
    rows = np.random.default_rng(0).uniform(-1, 1, (64, 30)).astype(np.float32)
    model = _model(max(1, round(seconds / _seconds(_model(8), rows[:1]) * 8)))
    pack(model, contract, target, golden_from=[{"X": row} for row in rows.tolist()], force=True)
    return target


def _model(layers: int) -> Any:
    """X [rows, 30] to y [rows, 4] by way of so many 3x3 convolutions of 64 channels with the same weights."""
    from onnx import TensorProto, checker, helper, numpy_helper

    draw = np.random.default_rng(1)

    def weights(name: str, *shape: int) -> Any:
        scale = 1 / np.sqrt(np.prod(shape[1:]) if len(shape) > 1 else 1)
        return numpy_helper.from_array((draw.standard_normal(shape) * scale).astype(np.float32), name)

    nodes = [
        helper.make_node("MatMul", ["X", "widen"], ["wide"]),
        helper.make_node("Reshape", ["wide", "grid"], ["layer_0"]),
    ]
    for index in range(layers):
        nodes += [
            helper.make_node("Conv", [f"layer_{index}", "kernel"], [f"sum_{index}"], pads=[1, 1, 1, 1]),
            helper.make_node("Tanh", [f"sum_{index}"], [f"layer_{index + 1}"]),
        ]
    nodes += [
        helper.make_node("GlobalAveragePool", [f"layer_{layers}"], ["mean"]),
        helper.make_node("Flatten", ["mean"], ["flat"]),
        helper.make_node("MatMul", ["flat", "narrow"], ["y"]),
    ]
    graph = helper.make_graph(
        nodes,
        NAME,
        [helper.make_tensor_value_info("X", TensorProto.FLOAT, ["rows", 30])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, ["rows", 4])],
        [
            weights("widen", 30, 64 * 16 * 16),
            weights("kernel", 64, 64, 3, 3),
            weights("narrow", 64, 4),
            numpy_helper.from_array(np.array([-1, 64, 16, 16], np.int64), "grid"),
        ],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    checker.check_model(model)
    return model


def _seconds(model: Any, row: np.ndarray[Any, Any]) -> float:
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    session = onnxruntime.InferenceSession(model.SerializeToString(), options, ["CPUExecutionProvider"])
    taken = []
    for _ in range(20):
        began = time.perf_counter()
        session.run(None, {"X": row})
        taken.append(time.perf_counter() - began)
    return statistics.median(taken)


class Target:
    """The host under load."""

    def __init__(self, running: host.Host, cores: Collection[int], model: str = NAME) -> None:
        """`cores` are the generator's."""
        self.host = running
        self._cores, self._model = cores, model
        self.at = deployment.at(running.url, grpc=running.grpc)
        self.at.choose(model)
        self.contract = self.at.contract()
        self.rows = self.at.rows(self.contract)
        self.addresses = k6.Addresses(self.at.url, dict.fromkeys(GRPC, self.at.grpc_address))

    def run(self, scenario: Scenario, closed: int = 0) -> k6.Outcome:
        """One run of k6."""
        items = payloads.schedule(scenario, self.contract, self._model, self.rows)
        facts = payloads.facts(self.contract)
        with host.pinned(self._cores):
            return k6.run(scenario, self.addresses, items, facts, tolerance=self.rows.tolerance, closed=closed)

    def capacity(self, seconds: float) -> float:
        """Right answers a second to callers that keep the model busy without ever being refused."""
        outcome = self.run(described(1.0, seconds), closed=CALLERS)
        return outcome.phases[0].right.count / seconds

    def overload(self, load: float, capacity: float, seconds: float) -> OverloadFinding:
        """50 % of the capacity, `load` times it, 50 % again."""
        scenario = described(
            HALF * capacity, 3 * seconds, profile="spike", spike=load / HALF, warm_seconds=3.0, in_flight=IN_FLIGHT
        )
        before = self.host.weigh()
        outcome = self.run(scenario)
        after = self.host.weigh()
        return finding(load, capacity, outcome, after.resident / before.resident)


def described(rate: float, seconds: float, **rest: Any) -> Scenario:
    """A scenario of REST and gRPC in equal parts."""
    return Scenario.of_profile(rest.pop("profile", "steady"), rate=rate, seconds=seconds, mix=MIX, invalid=0.0, **rest)


def finding(load: float, capacity: float, outcome: k6.Outcome, growth: float) -> OverloadFinding:
    """What a run of three phases says."""
    before, during, after = outcome.phases
    usual = before.right.p(99)
    ended = before.seconds + during.seconds
    traces = [
        slot for slot in outcome.slots if slot.second >= ended and (slot.errors or slot.latency.p(99) > 3 * usual)
    ]
    length = (before.seconds + during.seconds + after.seconds) / len(outcome.slots)
    accounted = sum(phase.right.count + phase.overloaded.count for phase in outcome.phases)
    return OverloadFinding(
        load=load,
        answered=during.right.count / (capacity * during.seconds),
        slower=during.right.p(99) / usual,
        refusal=during.overloaded.p(99) if during.overloaded.count else 0.0,
        recovery=max((slot.second + length - ended for slot in traces), default=0.0),
        growth=growth,
        lost=outcome.requests - accounted + outcome.dropped + outcome.unsent,
    )


def table(found: Sequence[OverloadFinding]) -> str:
    """Medians and ranges as Markdown."""
    loads = sorted({each.load for each in found})
    lines = [
        f"| | goal | {' | '.join(f'at {load:.0%} of capacity' for load in loads)} |",
        "|--|--|" + "--:|" * len(loads),
    ]
    for name, title, goal in GOALS:
        cells = []
        for load in loads:
            values = sorted(getattr(each, name) for each in found if each.load == load)
            middle, low, high = (_say(name, value) for value in (statistics.median(values), values[0], values[-1]))
            cells.append(f"{middle} ({low} to {high})" if low != high else middle)
        lines.append(f"| {title} | {goal} | {' | '.join(cells)} |")
    return "\n".join(lines)


def _say(name: str, value: float) -> str:
    if name == "answered":
        return f"{value:.0%}"
    if name in ("slower", "growth"):
        return f"{value:.2f}"
    return f"{value:.0f}" + {"refusal": " ms", "recovery": " s"}.get(name, "")


def measure(rounds: int, seconds: float, row: float) -> list[OverloadFinding]:
    """All rounds with a model of `row` seconds a row; says what it does."""
    found: list[OverloadFinding] = []
    with tempfile.TemporaryDirectory(prefix="fivefold-overload-") as temporary:
        say(f"packing a model of about {row * 1000:g} ms a row, starting a host …")
        bundle = make_bundle(Path(temporary), row)
        server, generator = host.halves()
        with host.served([bundle], {"FIVEFOLD_THREADS": "1"}, server) as running:
            target = Target(running, generator)
            target.overload(max(LOADS), target.capacity(3.0), WARM_SECONDS)
            for number in range(rounds):
                capacity = target.capacity(min(8.0, seconds))
                say(f"round {number + 1} of {rounds}: capacity {capacity:.0f}/s")
                for load in LOADS:
                    each = target.overload(load, capacity, seconds)
                    found.append(each)
                    missed = each.misses()
                    say(
                        f"  {load:4.0%}: {each.answered:.0%} answered, p99 {each.slower:.2f} times, refused in "
                        f"{each.refusal:.0f} ms, over after {each.recovery:.0f} s, memory {each.growth:.3f} times, "
                        f"{each.lost} lost" + (f"   misses: {', '.join(missed)}" if missed else "")
                    )
    return found


def say(line: str) -> None:
    """A line of progress, at once."""
    print(line, flush=True)


@measurement.exits()
def main(arguments: Sequence[str] | None = None) -> int:
    """Measure, print the table, and say whether the goals are met."""
    parser = argparse.ArgumentParser(
        prog="python -m loadtest.endure.overload",
        description="Overload a host of one's own and look at who is answered.",
        epilog="example:\n  python -m loadtest.endure.overload --rounds 3 --write docs/measurements.md",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument(
        "--row-ms", type=float, default=ROW_MILLISECONDS, metavar="MS", help="what the model takes a row"
    )
    parser.add_argument("--rounds", type=int, default=3, metavar="N")
    parser.add_argument("--seconds", type=float, default=45.0, metavar="S", help="of each of the three parts of a run")
    parser.add_argument("--write", type=Path, metavar="FILE", help="put the table where its markers are")
    given = parser.parse_args(arguments)
    if given.rounds < 1 or given.seconds < 1 or given.row_ms <= 0:
        parser.error("expected at least one round, one second and some milliseconds")
    measurement.end_on_sigterm()
    found = measure(given.rounds, given.seconds, given.row_ms / 1000)
    text = table(found)
    document.publish(text, given.write, "overload")
    middle = [_median([each for each in found if each.load == load]) for load in LOADS]
    return 1 if any(each.misses() for each in middle) else 0


def _median(found: Sequence[OverloadFinding]) -> OverloadFinding:
    names = [name for name, _, _ in GOALS]
    return OverloadFinding(
        found[0].load, **{name: statistics.median(getattr(each, name) for each in found) for name in names}
    )


if __name__ == "__main__":
    sys.exit(main())
