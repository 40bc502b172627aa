"""One row in a hundred broken, twelve kinds in each format: whether each is found where it is, and nothing else.

    python -m loadtest.batch.faults [--rows 600_000] [--formats F …] [--write docs/measurements.md] [--quick]

Files are made from a seed together with the truth about them: file, row, line, byte, code, field. They are scored in
small fragments, the quarantine is held against the truth and the answers against the model's own arithmetic. Then the
same with a limit below one in a hundred: the run must stop with status 3, keep what it has finished, and end well when
it is started again without that limit. As root on Linux also with a disk that is too small, which is then made larger.

Exit status: 0 everything as it was wanted, 1 something was not, 2 it could not be measured, 130 after Ctrl-C.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from fivefold.local import processes
from loadtest import document
from loadtest.batch import finding, injected, outputs
from loadtest.batch.fault_kinds import KEY, SHARE, FaultyFiles
from loadtest.batch.finding import Comparison
from loadtest.batch.markdown import table
from loadtest.machine import command, measurement
from loadtest.machine.command import Command, Ran
from loadtest.machine.generated import CACHE
from loadtest.machine.measurement import Failed, positive, say

FORMATS: Final = {"jsonl": "JSON lines", "csv": "CSV", "parquet": "Parquet"}
ROWS: Final = 600_000
QUICK_ROWS: Final = 12_000
UNIT: Final = SHARE * 12

FRAGMENT_BYTES: Final = 512 * 1024
"""So that faults lie on both sides of many cuts."""

TOO_LOW: Final = 0.005
"""A limit that half of the faults exceed; the usual one, one in a hundred, is met exactly."""

REFUSED: Final = 3
"""The exit status of a run that refuses too many rows."""

LARGE_DISK: Final = 1 << 30


@dataclass(frozen=True)
class FormatFinding:
    """One format: the comparison, and what went wrong with the limit and with the disk, empty where nothing did.

    `kept` is how many fragments the stopped run had finished; `disk` is None where it could not be tried.
    """

    compared: Comparison
    limit: Sequence[str]
    kept: int
    disk: Sequence[str] | None

    def misses(self) -> list[str]:
        """Everything that was wanted and is not so."""
        return [
            f"{self.compared.format}: {each}"
            for each in (*self.compared.differences(), *self.limit, *(self.disk or ()))
        ]


class Trial:
    """One format's files and the runs over them."""

    def __init__(self, bundle: Path, files: FaultyFiles, scratch: Path, workers: int) -> None:
        self.files = files
        self._bundle, self._scratch, self._workers = bundle, scratch, workers

    def run(self, output: Path, *more: str) -> Ran:
        """One run into a directory."""
        options = ["--columns", KEY, "--fragment-bytes", str(FRAGMENT_BYTES), *more]
        if self.files.format == "parquet":
            # One of its kinds is a row group that cannot be read, which stops a run unless it is allowed.
            options.append("--allow-torn")
        program = command.score(self._bundle, self.files.directory, output, self._workers, *options)
        ran = Command(program, self._scratch / f"{self.files.format}.txt").wait()
        processes.sweep()
        return ran

    def compare(self) -> Comparison:
        """Score with the usual limit, and compare; raises `Failed` where the run does not end well."""
        output = self._output("usual")
        ran = self.run(output)
        if ran.status or not outputs.published(output):
            raise Failed(f"scoring {self.files.format} ended with {ran.status}:\n{ran.output}")
        return finding.look(self.files, output)

    def limited(self) -> tuple[list[str], int]:
        """Too low a limit, then the usual one; what went wrong, and how many fragments were kept between."""
        output = self._output("limited")
        ran = self.run(output, "--max-bad-fraction", str(TOO_LOW))
        wrong = []
        if ran.status != REFUSED:
            wrong.append(
                f"with a limit of {TOO_LOW:.1%} the run ended with {ran.status}, not {REFUSED}: {ran.output[-300:]}"
            )
        if outputs.published(output):
            wrong.append("a run above its limit was published")
        kept = outputs.finished(output)
        before = outputs.stamps(output)
        if not kept:
            wrong.append("a run above its limit kept nothing of what it had done")
        wrong += self._goes_on(output, kept, before)
        return wrong, len(kept)

    def _goes_on(self, output: Path, kept: Sequence[str], before: dict[str, tuple[int, int]]) -> list[str]:
        """Start a stopped run again: it ends well, and leaves what it had as it was."""
        wrong = []
        ran = self.run(output)
        if ran.status or not outputs.published(output):
            wrong.append(f"the stopped run does not go on: {ran.status}: {ran.output[-300:]}")
        after = outputs.stamps(output)
        again = [
            name for name in before if outputs.fragment_of(Path(name).name) in kept and after.get(name) != before[name]
        ]
        wrong += [f"{name} was written again" for name in again]
        differing = outputs.differing(outputs.digests(self._output("usual")), outputs.digests(output))
        return wrong + [f"{name} differs from the run that was not stopped" for name in differing]

    def on_a_full_disk(self) -> list[str] | None:
        """A disk that is too small, then a larger one; None where this process may not mount one."""
        output = self._output("disk")
        # Some fragments fit, all do not: a row of the answers takes more than so many bytes.
        with small_disk(output, max(64 * 1024, self.files.rows * 8)) as disk:
            if disk is None:
                return None
            place = output / "out"
            ran = self.run(place)
            wrong = []
            if not ran.status:
                wrong.append("a run on a full disk ended with 0")
            if "No space left" not in ran.output or str(place) not in ran.output:
                wrong.append(f"a full disk is not named, with its path: {ran.output[-300:]}")
            if outputs.published(place):
                wrong.append("a run on a full disk was published")
            disk(LARGE_DISK)
            return wrong + self._goes_on(place, outputs.finished(place), outputs.stamps(place))

    def _output(self, name: str) -> Path:
        return self._scratch / f"{self.files.format}-{name}"


@contextlib.contextmanager
def small_disk(directory: Path, size: int) -> Iterator[Callable[[int], object] | None]:
    """A disk of so many bytes at a directory, as long as the context lasts, and what gives it another size.

    None where this process may not mount one.
    """
    directory.mkdir(parents=True, exist_ok=True)

    def mount(*options: str) -> bool:
        return subprocess.run(["mount", *options, str(directory)], capture_output=True, check=False).returncode == 0

    allowed = hasattr(os, "geteuid") and os.geteuid() == 0 and shutil.which("mount") is not None
    mounted = allowed and mount("-t", "tmpfs", "-o", f"size={size}", "tmpfs")
    try:
        yield (lambda other: mount("-o", f"remount,size={other}")) if mounted else None
    finally:
        if mounted:
            # Somebody may still hold a file there; the name is free at once.
            subprocess.run(["umount", "--lazy", str(directory)], check=True)


def measure(formats: Sequence[str], rows: int, seed: int, workers: int, scratch: Path) -> list[FormatFinding]:
    """Every format; says what it does."""
    bundle = injected.bundle(scratch)
    found = []
    for format in formats:
        say(f"{FORMATS[format]}: {rows:,} rows, seed {seed}")
        trial = Trial(bundle, injected.make(format, scratch / f"{format}-rows", rows, seed), scratch, workers)
        compared = trial.compare()
        say(f"  found {compared.matched:,} of {compared.injected:,}, made up {len(compared.made_up):,}")
        limit, kept = trial.limited()
        disk = trial.on_a_full_disk()
        found.append(FormatFinding(compared, limit, kept, disk))
        for each in found[-1].misses():
            say(f"  {each}")
    return found


def report(found: Sequence[FormatFinding]) -> str:
    """As Markdown: the sums by format, then every kind."""
    head = ["", *(FORMATS[each.compared.format] for each in found)]
    rows = [
        ["rows", *(f"{each.compared.rows:,}" for each in found)],
        ["faults, of twelve kinds", *(f"{each.compared.injected:,}" for each in found)],
        ["located exactly (recall)", *(f"{each.compared.recall:.4f}" for each in found)],
        ["records that are true (precision)", *(f"{each.compared.precision:.4f}" for each in found)],
        ["good rows without the right answer", *(f"{_unanswered(each.compared):,}" for each in found)],
        ["above the limit: stops, keeps, goes on", *(_outcome(each.limit) for each in found)],
        ["full disk: says so, goes on", *("not tried" if each.disk is None else _outcome(each.disk) for each in found)],
    ]
    names = {format: {kind.name: kind for kind in injected.kinds(format)} for format in FORMATS}
    each_kind = [
        [
            f"{FORMATS[each.compared.format]}: {name}",
            f"`{names[each.compared.format][name].code}`",
            f"{injected:,}",
            f"{located:,}",
        ]
        for each in found
        for name, (injected, located) in sorted(each.compared.by_kind.items())
    ]
    return "\n\n".join([table(head, rows), table(["kind", "code", "injected", "located exactly"], each_kind)])


def _unanswered(compared: Comparison) -> int:
    return compared.missing + compared.wrong + compared.extra


def _outcome(wrong: Sequence[str]) -> str:
    return "yes" if not wrong else f"no ({len(wrong)})"


@measurement.exits()
def main(arguments: Sequence[str] | None = None) -> int:
    """Measure, print the tables, and say what was not as it was wanted."""
    parser = _parser()
    given = parser.parse_args(arguments)
    if given.write and (given.quick or len(given.formats) < len(FORMATS)):
        parser.error("--write is for a whole measurement, without --quick and with every format")
    rows = given.rows or (QUICK_ROWS if given.quick else ROWS)
    if rows % UNIT:
        parser.error(f"--rows: expected a multiple of {UNIT:,}, so that every kind is there equally")
    measurement.ready()
    with measurement.scratch(CACHE, "faults-") as scratch:
        found = measure(given.formats, rows, given.seed, given.workers, scratch)
    text = report(found)
    document.publish(text, given.write, "batch-faults")
    missed = [each for one in found for each in one.misses()]
    say(f"missed: {len(missed)} things, above" if missed else "everything as it was wanted")
    return 1 if missed else 0


def _parser() -> argparse.ArgumentParser:
    assert __doc__ is not None
    parser = argparse.ArgumentParser(
        prog="python -m loadtest.batch.faults",
        description=__doc__.partition("\n\nExit status")[0],
        epilog="examples:\n  python -m loadtest.batch.faults --write docs/measurements.md\n"
        "  python -m loadtest.batch.faults --quick --formats csv",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--rows", type=positive, metavar="N", help=f"of each format; {ROWS:,} if left out")
    parser.add_argument("--formats", nargs="+", choices=list(FORMATS), default=list(FORMATS), metavar="F")
    parser.add_argument("--seed", type=int, default=0, metavar="S")
    parser.add_argument("--workers", type=positive, default=2, metavar="W")
    parser.add_argument("--quick", action="store_true", help="few rows: whether it works")
    parser.add_argument("--write", type=Path, metavar="FILE", help="put the tables where its markers are")
    return parser


if __name__ == "__main__":
    sys.exit(main())
