"""Every pipeline of the tests' matrix on WebAssembly beside the native runtime: the table in docs/measurements.md.

    python -m loadtest.wasm_matrix [--rows 200] [--only NAME ...] [--document docs/measurements.md]

Each model is fitted, packed, and asked its golden rows and `--rows` generated ones by `fivefold parity`'s own run: once
natively, once by the browser's scorer under Node. Needs Node and the browser's runtime in this user's cache, where
`fivefold export --to browser` puts it.

Exit status: 0 all agree, 1 one does not or could not be asked.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from tests.matrix.models import CASES, Case, contract, fitted, frame_of

import fivefold
from fivefold.parity import parity_run, parity_table
from fivefold.parity.agreement_limit import limit_of
from fivefold.parity.row_agreement import RuntimeAgreement
from loadtest.document import publish
from loadtest.machine.measurement import say

RUNTIME = "wasm-node"
BLOCK = "wasm-matrix"
HEADS = ("pipeline", "rows", "largest difference", "relative above 1", "allowed", "same class", "same refusals")


@dataclass(frozen=True)
class Agreement:
    """One pipeline: how far its floats may be apart, and how far they are."""

    name: str
    limit: float
    found: RuntimeAgreement

    @property
    def agrees(self) -> bool:
        """Whether every row was asked and is within the limit."""
        return self.found.status == "agrees"

    def cells(self) -> list[str]:
        """The pipeline's line of the table."""
        _, rows, largest, classes, refusals, verdict = parity_table.cells(self.found)
        allowed = f"{self.limit:g}" if self.limit else "none"
        scaled = parity_table.number(self.found.largest_scaled)
        return [
            self.name,
            rows,
            largest,
            scaled,
            allowed,
            classes,
            refusals if self.agrees else f"{refusals}; {verdict}",
        ]


def measure(case: Case, rows: int) -> Agreement:
    """Fit, pack and ask one pipeline. Raises what packing raises."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        model, inputs, target = fitted(case)
    made = contract(case, model, inputs, target)
    with tempfile.TemporaryDirectory() as scratch:
        place = Path(scratch) / "bundle"
        fivefold.pack(model, made, place, golden_from=frame_of(inputs), tolerance=case.tolerance)
        bundle = fivefold.Bundle.open(place)
        (found,) = parity_run.run(bundle, rows, [RUNTIME]).runtimes
        return Agreement(case.name, limit_of(bundle), found)


def table(measured: Sequence[Agreement]) -> str:
    """What was measured, and one sentence on all of it."""
    lines = [f"| {' | '.join(HEADS)} |", f"| -- |{' --: |' * (len(HEADS) - 1)}"]
    lines += [f"| {' | '.join(each.cells())} |" for each in measured]
    exact = [each for each in measured if each.limit == 0]
    floats = [each for each in measured if each.limit > 0]
    rows = sum(each.found.asked for each in measured)
    classed, same = (sum(getattr(each.found, name) for each in measured) for name in ("classed", "same_class"))
    agreeing = sum(each.agrees for each in measured)
    largest = max((each.found.largest_scaled for each in floats), default=0.0)
    said = (
        f"{agreeing} of {len(measured)} pipelines agree, {rows:,} rows asked: {len(exact)} are held to the bit, the "
        f"largest difference of the other {len(floats)} is {parity_table.number(largest)}, relative above 1; the class "
        f"is the same in {same:,} of {classed:,} rows."
    )
    return "\n".join([*lines, "", said])


def main() -> int:
    """Measure and print; 0 where all agree."""
    parser = argparse.ArgumentParser(prog="python -m loadtest.wasm_matrix")
    parser.add_argument("--rows", type=int, default=200, help="generated rows, beside the golden ones (200)")
    parser.add_argument("--only", nargs="+", metavar="NAME", choices=[case.name for case in CASES])
    parser.add_argument("--document", type=Path, help="put the table between this document's markers")
    arguments = parser.parse_args()
    measured = []
    for case in CASES:
        if arguments.only and case.name not in arguments.only:
            continue
        measured.append(measure(case, arguments.rows))
        say(" | ".join(measured[-1].cells()))
    publish(table(measured), arguments.document, BLOCK)
    return int(not all(each.agrees for each in measured))


if __name__ == "__main__":
    sys.exit(main())
