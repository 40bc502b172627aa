"""Paired timing: base and head turn by turn in the order ABBA, in rounds with fresh processes, until it is decided.

What drifts with the machine hits both halves of a pair; what a process got by luck (memory layout) changes from round
to round. What the log-ratios of the pairs say is `decision`'s; starting servers is `servers`'.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path

from loadtest.gate.decision import LIMITS, Estimate, GateVerdict, estimate, judge, overall
from loadtest.gate.generator import Prepared, ask_for
from loadtest.gate.servers import Server, Start, pinned, share_out
from loadtest.gate.trees import Tree


@dataclass(frozen=True)
class Plan:
    """How much is measured: `rounds` at least, then more until it is decided or `seconds` are over."""

    rounds: int
    seconds: float
    pairs: int = 8
    block_seconds: float = 0.5
    warm_seconds: float = 1.0


@dataclass
class Pairs:
    """The log-ratios so far, head to base, by measure."""

    ratios: dict[str, list[float]] = field(default_factory=lambda: {name: [] for name in LIMITS})

    def add(self, base: dict[str, float], head: dict[str, float]) -> None:
        """One more pair."""
        for name, values in self.ratios.items():
            values.append(math.log(head[name] / base[name]))

    def __len__(self) -> int:
        return len(self.ratios["p50"])

    def findings(self) -> dict[str, tuple[Estimate, GateVerdict]]:
        """Measure -> its ratio and the verdict."""
        out = {}
        for name, values in self.ratios.items():
            found = estimate(values)
            out[name] = found, judge(found, LIMITS[name], len(self))
        return out

    def verdict(self) -> GateVerdict:
        """One verdict; without pairs there is none."""
        if not len(self):
            return GateVerdict.INCONCLUSIVE
        return overall([verdict for _, verdict in self.findings().values()])


def measure(server: Server, mix: Sequence[Prepared], seconds: float) -> dict[str, float]:
    """One block: p50, p99, CPU seconds and wall seconds a request."""
    before = server.cpu()
    block = ask_for(seconds, server.address, mix)
    spent = server.cpu() - before
    return {"p50": block.p50, "p99": block.p99, "cpu": spent / block.requests, "seconds": block.wall / block.requests}


def one_round(servers: tuple[Server, Server], mix: Sequence[Prepared], plan: Plan, pairs: Pairs) -> None:
    """Warm both up, then pairs: base first, head first, and so on."""
    for server in servers:
        ask_for(plan.warm_seconds, server.address, mix)
    for index in range(plan.pairs):
        order = (0, 1) if index % 2 == 0 else (1, 0)
        got = {which: measure(servers[which], mix, plan.block_seconds) for which in order}
        pairs.add(got[0], got[1])


def compare(
    trees: tuple[Tree, Tree],
    bundles: Path,
    slowdowns: tuple[float, float],
    mix: Sequence[Prepared],
    plan: Plan,
    start: Start,
    say: Callable[[str], None],
) -> Pairs:
    """Rounds until every gating measure is decided, or the budget is spent; a clear slowdown ends it early."""
    theirs, ours = share_out()
    pairs = Pairs()
    begun = time.monotonic()
    longest = 0.0
    done = 0
    while True:
        started = time.monotonic()
        with ExitStack() as running:
            with pinned(theirs):
                base, head = (
                    running.enter_context(start(tree, bundles, slowdown))
                    for tree, slowdown in zip(trees, slowdowns, strict=True)
                )
            with pinned(ours):
                one_round((base, head), mix, plan, pairs)
        done += 1
        longest = max(longest, time.monotonic() - started)
        verdict = pairs.verdict()
        shown = ", ".join(f"{name} {found}" for name, (found, _) in pairs.findings().items())
        say(f"  {len(pairs):3} pairs: {shown}: {verdict.value}")
        if done >= plan.rounds and verdict is not GateVerdict.INCONCLUSIVE:
            return pairs
        if time.monotonic() - begun + longest > plan.seconds:
            return pairs
