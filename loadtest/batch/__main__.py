"""Batch scoring beside what one would otherwise write: the same model, the same Parquet files, turn by turn.

    python -m loadtest.batch [--rows N] [--rounds 5] [--only NAME …] [--write docs/measurements.md] [--quick]

Two models: a linear one, where a row costs little but its way through the program, and a forest, where the model is
most of it. Each round every program scores every row as a command of its own, in another order each time, and once
more next to nothing, which tells its start-up apart. All must give the same answers. Every figure is kept in
.cache/bench; --write puts the tables between the document's markers. Who is compared is in
`loadtest.batch.programs`, the programs themselves are in `loadtest.peers.batch`.

Exit status: 0 every goal met, 1 one was missed, 2 it could not be measured, 130 after Ctrl-C.
"""

from __future__ import annotations

import argparse
import os
import shutil
import sys
from collections.abc import Sequence
from importlib import metadata
from pathlib import Path
from typing import Any, Final

from fivefold.local import processes
from loadtest import document
from loadtest.batch import answers, markdown
from loadtest.batch.durations import BatchResult
from loadtest.batch.programs import CONTENDERS, FIVEFOLD, BatchProgram
from loadtest.machine import command, generated, hardware, measurement
from loadtest.machine.command import Ran
from loadtest.machine.generated import CACHE, MODELS, MeasuredModel
from loadtest.machine.measurement import Failed, positive, say
from loadtest.machine.programs import PEERS, demand_environment, demand_java, library_version
from loadtest.peers import scoring
from loadtest.peers.batch import tables

ROWS: Final = 20_000_000
QUICK_ROWS: Final = 400_000
NOTHING: Final = 1_000
"""Rows of the input that shows the start-up."""

PART: Final = 0.1
"""Of the files, for the memory of a smaller input."""


class Bench:
    """The places of one comparison: inputs and bundles that are kept, outputs that are not."""

    def __init__(self, chosen: Sequence[BatchProgram], rows: int, workers: int, cache: Path, scratch: Path) -> None:
        self.chosen, self.workers, self._scratch = chosen, workers, scratch
        say("making rows and models, where they are not there yet")
        whole = generated.rows(cache, rows)
        # As many files as make everybody start all workers.
        self.nothing = generated.rows(cache, NOTHING, files=8)
        self.inputs = {model.name: generated.part(whole, model.share) for model in MODELS}
        self.bundles = {model.name: generated.bundle(model, cache / "bundles") for model in MODELS}
        self.rows = {name: generated.count(path) for name, path in self.inputs.items()}
        self._truth: dict[str, Any] = {}

    def measure(self, rounds: int) -> BatchResult:
        """All rounds, then Fivefold alone with a part of the input."""
        result = BatchResult(self.chosen, MODELS, rounds, self.workers, self.rows, profile(self.chosen))
        for index in range(rounds):
            for model in MODELS:
                generated.warm(self.inputs[model.name])
                first = index * max(1, len(self.chosen) // rounds) % len(self.chosen)
                for who in (*self.chosen[first:], *self.chosen[:first]):
                    self._turn(result, who, model, index)
        for model in MODELS:
            part = generated.part(self.inputs[model.name], PART)
            count = generated.count(part)
            ran = self.run(FIVEFOLD, model, part, count)
            result.small[model.name] = count, ran.peak
        return result

    def _turn(self, result: BatchResult, who: BatchProgram, model: MeasuredModel, index: int) -> None:
        start = self.run(who, model, self.nothing, NOTHING)
        result.add_empty(who, model, start.seconds)
        ran = self.run(who, model, self.inputs[model.name], self.rows[model.name], compared=index == 0)
        result.add(who, model, ran.seconds, ran.peak)
        say(
            f"round {index + 1} of {result.rounds}, {model.name}: {who.name} {ran.seconds:.1f} s, of it start-up "
            f"{start.seconds:.1f} s; {ran.peak / 1e6:.0f} MB"
        )

    def run(self, who: BatchProgram, model: MeasuredModel, rows: Path, count: int, *, compared: bool = False) -> Ran:
        """One command; raises `Failed` where it fails or leaves rows out, `Differs` where its answers are others."""
        output = self._scratch / "answers"
        shutil.rmtree(output, ignore_errors=True)
        # Nobody pays for writing what somebody else has left in memory.
        os.sync()
        bundle = self.bundles[model.name]
        program = who.command(bundle, rows, output, self.workers)
        ran = command.Command(
            program, self._scratch / "log.txt", environment(who, bundle, rows, output, self.workers)
        ).wait()
        processes.sweep()
        if ran.status:
            raise Failed(f"{who.title} ended with {ran.status}:\n{ran.output}")
        if compared:
            found = answers.read(output, count)
            answers.compare(who.title, found, self._truth.setdefault(model.name, found))
        elif (written := generated.count(output)) != count:
            raise Failed(f"{who.title} wrote {written:,} rows of {count:,}:\n{ran.output}")
        return ran


def environment(who: BatchProgram, bundle: Path, rows: Path, output: Path, workers: int) -> dict[str, str]:
    """What a program is told beside its arguments; Fivefold is told nothing."""
    if not who.program:
        return {}
    from fivefold.core.bundle.bundle import Bundle

    binding = Bundle.open(bundle).manifest.binding
    assert binding is not None
    return {
        scoring.MODEL: str(bundle / "model.onnx"),
        scoring.INPUT: binding.inputs[0].model_input,
        scoring.OUTPUT: binding.outputs[0].model_output,
        tables.DATA: str(rows),
        tables.ANSWERS: str(output),
        tables.WORKERS: str(workers),
        "PYTHONPATH": os.pathsep.join((str(PEERS), str(PEERS / "batch"))),
        "PYSPARK_PYTHON": str(who.python),
        "SPARK_LOCAL_IP": "127.0.0.1",
    }


def demand(chosen: Sequence[BatchProgram]) -> None:
    """Everything that has to be installed, before anything is made."""
    for who in chosen:
        demand_environment(who.title, who.python, who.environment)
    if any(who.name == "pyspark" for who in chosen):
        demand_java("PySpark")


def profile(chosen: Sequence[BatchProgram]) -> dict[str, Any]:
    """The machine and everybody's versions; raises `Differs` where the model runtimes are not the same."""
    found = hardware.profile()
    versions = found["versions"] | {"pyarrow": metadata.version("pyarrow")}
    for who in chosen:
        versions[who.library] = library_version(who.name, who.python, who.library, versions["onnxruntime"])
    return {**found, "versions": versions}


@measurement.exits()
def main(arguments: Sequence[str] | None = None) -> int:
    """Measure, print, keep."""
    parser = _parser()
    given = parser.parse_args(arguments)
    if given.write and (given.quick or given.only):
        parser.error("--write is for a whole comparison, without --quick and --only")
    chosen = [each for each in CONTENDERS if not given.only or each is FIVEFOLD or each.name in given.only]
    rows = given.rows or (QUICK_ROWS if given.quick else ROWS)
    rounds = 1 if given.quick else given.rounds
    measurement.ready()
    with measurement.scratch(CACHE, "out-") as scratch:
        demand(chosen)
        result = Bench(chosen, rows, given.workers, CACHE, scratch).measure(rounds)
    print(markdown.markdown(result))
    say(markdown.verdicts(result))
    document.keep(result.json(), prefix="batch-")
    if given.write:
        document.put(given.write, "batch", markdown.markdown(result))
    return 0 if all(each.met for each in result.judged()) else 1


def _parser() -> argparse.ArgumentParser:
    assert __doc__ is not None
    parser = argparse.ArgumentParser(
        prog="python -m loadtest.batch",
        description=__doc__.partition("\n\nExit status")[0],
        epilog="examples:\n  make bench-batch ARGS='--write docs/measurements.md'\n"
        "  python -m loadtest.batch --quick --only loop raydata",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    names = [each.name for each in CONTENDERS if each is not FIVEFOLD]
    parser.add_argument("--only", nargs="+", choices=names, metavar="NAME", help=f"some of {', '.join(names)}")
    parser.add_argument(
        "--rows",
        type=positive,
        metavar="N",
        help=f"for the linear model, a quarter for the forest; {ROWS:,} if left out",
    )
    parser.add_argument("--rounds", type=positive, default=5, metavar="K")
    parser.add_argument("--workers", type=positive, default=2, metavar="W", help="processes that score, of everybody")
    parser.add_argument("--quick", action="store_true", help="one round of few rows: whether it works, not how fast")
    parser.add_argument("--write", type=Path, metavar="FILE", help="put the tables where its markers are")
    return parser


if __name__ == "__main__":
    sys.exit(main())
