"""The gate against slowdowns: base and head, side by side on this machine.

    make gate [BASE=REF] [FULL=1]         or  python -m loadtest.gate [--base REF] [--full]
    python -m loadtest.gate --aa          head against itself: must pass
    python -m loadtest.gate --inject 0.1  head slowed down by 10 % against itself: both parts must catch it
    python -m loadtest.gate --proof       all three, 0, 10 and 30 %; with --write FILE as a section of a document

1. Instructions of every hot path (V1, V2 JSON, V2 binary, gRPC; valid and refused; V1 and V2 binary also as bytes on a
   connection) below valgrind's callgrind. Above 1.02 head is slower.
2. Paired timing under uvicorn, with --full also of `fivefold serve`: p50, p99 and CPU a request, Hodges and Lehmann's
   estimate with a bootstrap interval. Head is slower when the whole interval is above 1.05 (p50, CPU) or 1.15 (p99).
   An undecided measure buys more pairs up to a budget; what is undecided then is said, as a warning.

Base is the given commit, otherwise where the branch left origin/main, otherwise the commit before. Exit status: 0 head
is not slower, or nobody can tell (a warning says so); 1 head is slower, or does not run; 2 wrong usage. A slowdown that
is meant is accepted by a trailer in a commit message, `Gate: accept, <reason>`, or by the variable GATE_ACCEPT.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import signal
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from loadtest import hotpath
from loadtest.gate import bundles, counting, decision, pairing, proof, servers, trees
from loadtest.gate.decision import INSTRUCTIONS_LIMIT, LIMITS, GateVerdict
from loadtest.gate.generator import Prepared, prepare

ROOT = Path(__file__).resolve().parents[2]

SHORT = pairing.Plan(rounds=3, seconds=140.0)
FULL = pairing.Plan(rounds=8, seconds=600.0)

WORDS = {"p50": "p50", "p99": "p99", "cpu": "CPU a request", "seconds": "wall a request (1 / throughput)"}


@dataclass
class GateOutcome:
    """What a run has found; `slower` and `warnings` hold a sentence each."""

    slower: list[str] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)
    counts: dict[str, float] = field(default_factory=dict)
    timings: dict[str, pairing.Pairs] = field(default_factory=dict)

    @property
    def caught_by(self) -> set[str]:
        """The parts that found head slower."""
        by_counts = {"instructions"} if decision.above(self.counts) else set()
        return by_counts | {name for name, pairs in self.timings.items() if pairs.verdict() is GateVerdict.SLOWER}


def main(argv: list[str] | None = None) -> int:
    """Run the gate; the exit status is the verdict's."""
    given = _parser().parse_args(argv)
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    begun = time.monotonic()
    try:
        if given.proof:
            status = _prove(given)
        elif given.inject or given.aa:
            status = _prove_one(given.inject, given.full)
        else:
            status = gate(given.base, given.full)
    except KeyboardInterrupt:
        print("\ngate: stopped")
        return 130
    print(f"gate: {time.monotonic() - begun:.0f} s")
    return status


def gate(asked: str | None, full: bool) -> int:
    """Head against base."""
    repository = trees.Repository(ROOT)
    try:
        base = repository.find_base(asked)
    except ValueError as error:
        print(f"gate: {error}", file=sys.stderr)
        return 2
    if base is None:
        print("gate: nothing to compare with: no commit before this one is here (a first commit, or a shallow clone)")
        return 0
    print(f"gate: base is {repository.describe(base)}", flush=True)
    if not repository.changed(base, trees.PACKAGE, trees.LOCK):
        print("gate: nothing that a server runs differs from base; passes")
        return 0
    outcome = GateOutcome()
    if repository.changed(base, trees.LOCK):
        outcome.warnings.append(
            f"{trees.LOCK} differs from base, yet both ran with head's libraries: what they cost is not compared"
        )
    with _opened(repository, base) as (pair, made):
        _compare(outcome, pair, made, 0.0, full=full)
    for sentence in outcome.warnings:
        print(f"gate: WARNING: {sentence}")
    if not outcome.slower:
        print("gate: passes" + (", with warnings" if outcome.warnings else ""))
        return 0
    for sentence in outcome.slower:
        print(f"gate: SLOWER: {sentence}")
    reason = repository.accepted(base)
    if reason is not None:
        print(f"gate: passes although it is slower: {reason}")
        return 0
    print(f'help: if that is meant, say so in a commit message with a last line "{trees.ACCEPT_TRAILER}: accept, WHY"')
    return 1


@contextlib.contextmanager
def _opened(repository: trees.Repository, base: str | None) -> Iterator[tuple[tuple[trees.Tree, trees.Tree], Path]]:
    with trees.workplace() as directory, trees.side_by_side(repository, base, directory) as pair:
        made = directory / "bundles"
        bundles.make(made)
        yield pair, made


def _compare(
    outcome: GateOutcome, pair: tuple[trees.Tree, trees.Tree], made: Path, slowdown: float, *, full: bool
) -> None:
    """Both parts; what they find goes into the outcome."""
    base, head = pair
    try:
        counting.check(head, made)
        base = counting.with_a_script_that_runs(base, made)
    except counting.CannotRun as error:
        _not_compared(outcome, error, head)
        return
    if base.script != head.script:
        outcome.warnings.append("base ran its own hot path script, since it cannot run head's")
    if counting.available():
        print("instructions a request, head to base:", flush=True)
        try:
            before, after = counting.count((base, head), made, (0.0, slowdown))
        except counting.CannotRun as error:
            _not_compared(outcome, error, head)
            return
        except counting.CannotCount as error:
            outcome.warnings.append(f"INCONCLUSIVE, instructions were not counted: {error}")
        else:
            _show_counts(outcome, before, after)
    else:
        _uncounted(outcome)
    mix = prepare(hotpath.asks(made))
    _time(outcome, "uvicorn", (base, head), made, slowdown, mix, FULL if full else SHORT, servers.under_uvicorn)
    if full and not slowdown:
        plan = pairing.Plan(rounds=3, seconds=FULL.seconds, pairs=16, block_seconds=1.0, warm_seconds=3.0)
        _time(outcome, "fivefold serve", (base, head), made, slowdown, mix, plan, servers.as_a_host)


def _not_compared(outcome: GateOutcome, error: counting.CannotRun, head: trees.Tree) -> None:
    if error.tree == head.name:
        outcome.slower.append(f"not compared: {error}")
    else:
        outcome.warnings.append(f"INCONCLUSIVE, nothing was compared: {error}")


def _uncounted(outcome: GateOutcome) -> None:
    sentence = "instructions were not counted: valgrind is not installed"
    # A pipeline that lost its second gate must not look green.
    (outcome.slower if os.environ.get("CI") else outcome.warnings).append(sentence)


def _show_counts(outcome: GateOutcome, before: dict[str, int], after: dict[str, int]) -> None:
    outcome.counts = decision.more_instructions(before, after)
    for path, ratio in outcome.counts.items():
        mark = "  <-- slower" if ratio > INSTRUCTIONS_LIMIT else ""
        each = after[path] / counting.REQUESTS
        print(f"  {path:26} {ratio:7.4f}   {each / 1000:8.0f} k{mark}", flush=True)
    missing = sorted(set(after) ^ set(before))
    if missing:
        outcome.warnings.append(f"counted on one side only: {', '.join(missing)}")
    outcome.slower += [
        f"{path}: {ratio:.3f} times the instructions (limit {INSTRUCTIONS_LIMIT})"
        for path, ratio in decision.above(outcome.counts).items()
    ]


def _time(
    outcome: GateOutcome,
    name: str,
    pair: tuple[trees.Tree, trees.Tree],
    made: Path,
    slowdown: float,
    mix: list[Prepared],
    plan: pairing.Plan,
    start: servers.Start,
) -> None:
    print(f"paired timing, {name}, head to base (95 % intervals):", flush=True)
    pairs = pairing.compare(pair, made, (0.0, slowdown), mix, plan, start, lambda line: print(line, flush=True))
    outcome.timings[name] = pairs
    for measure, (found, verdict) in pairs.findings().items():
        limit = LIMITS[measure]
        sentence = f"{name}, {WORDS[measure]}: {found} (limit {limit}), {len(pairs)} pairs"
        if verdict is GateVerdict.SLOWER:
            outcome.slower.append(sentence)
        elif verdict is GateVerdict.INCONCLUSIVE:
            outcome.warnings.append(f"INCONCLUSIVE: {sentence}")


def _injected(slowdown: float, full: bool) -> GateOutcome:
    """Head against itself, slowed down or not."""
    print(f"gate: head against itself with {slowdown:.0%} injected", flush=True)
    outcome = GateOutcome()
    with _opened(trees.Repository(ROOT), None) as (pair, made):
        _compare(outcome, pair, made, slowdown, full=full)
    return outcome


def _prove_one(slowdown: float, full: bool) -> int:
    outcome = _injected(slowdown, full)
    for sentence in outcome.warnings:
        print(f"gate: WARNING: {sentence}")
    for sentence in outcome.slower:
        print(f"gate: SLOWER: {sentence}")
    right = not outcome.slower if not slowdown else outcome.caught_by == {"instructions", "uvicorn"}
    caught = ", ".join(sorted(outcome.caught_by)) or "nothing"
    print(f"gate: {'as it should be' if right else 'WRONG'}: {slowdown:.0%} injected, caught by {caught}")
    return 0 if right else 1


def _prove(given: argparse.Namespace) -> int:
    """No slowdown, a small and a large one."""
    lines = []
    status = 0
    for slowdown in (0.0, 0.1, 0.3):
        begun = time.monotonic()
        outcome = _injected(slowdown, given.full)
        right = not outcome.slower if not slowdown else outcome.caught_by == {"instructions", "uvicorn"}
        status |= not right
        pairs = outcome.timings.get("uvicorn", pairing.Pairs())
        lines.append(proof.line(slowdown, outcome.counts, pairs, outcome.caught_by, time.monotonic() - begun))
    table = proof.table(lines)
    print(table)
    if given.write:
        proof.write(given.write, table)
    return status


def _parser() -> argparse.ArgumentParser:
    assert __doc__ is not None
    parser = argparse.ArgumentParser(
        prog="python -m loadtest.gate", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--base", metavar="REF", type=lambda text: text.strip() or None)
    parser.add_argument("--full", action="store_true", help="more pairs, and `fivefold serve` too")
    parser.add_argument("--write", type=Path, metavar="FILE", help="with --proof: a document with the gate's markers")
    which = parser.add_mutually_exclusive_group()
    which.add_argument("--aa", action="store_true", help="head against itself")
    which.add_argument("--inject", type=float, default=0.0, metavar="SHARE", help="slow head down, against itself")
    which.add_argument("--proof", action="store_true", help="head against itself with 0, 10 and 30 %% injected")
    return parser


if __name__ == "__main__":
    sys.exit(main())
