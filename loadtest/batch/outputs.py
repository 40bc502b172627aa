"""An output directory as any reader finds it: its files' digests, its ledger, its quarantine, its report.

It is read by the documented layout alone, so that what is measured does not judge itself.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import stat
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

LEDGER, TEMPORARY, QUARANTINE, REPORT, SUCCESS = "_ledger", "_temporary", "quarantine", "run.json", "_SUCCESS"
COUNTS: Final = ("rows", "scored", "quarantined")

_PLAN: Final = "plan.json"
SAME: Final = (*COUNTS, "model", "version", "bundle", "contract", "run_id")
"""What two reports of the same run agree on; times differ."""


def digests(output: Path) -> dict[str, str]:
    """The sha256 of every published file of answers and faults, and of what reports agree on."""
    files = sorted([*output.glob("part-*"), *(output / QUARANTINE).glob("*.jsonl")])
    found = {str(path.relative_to(output)): _sha256(path) for path in files}
    report = read_report(output)
    said = {name: report[name] for name in SAME if name in report}
    found[REPORT] = hashlib.sha256(json.dumps(said, sort_keys=True).encode()).hexdigest()
    return found


def differing(one: dict[str, str], other: dict[str, str]) -> list[str]:
    """The names whose files differ, or are in one of two directories alone."""
    return sorted(name for name in {*one, *other} if one.get(name) != other.get(name))


def published(output: Path) -> bool:
    """Whether readers may have it."""
    return (output / SUCCESS).is_file()


def read_report(output: Path) -> dict[str, Any]:
    """The run's own report; empty where it has none."""
    path = output / REPORT
    return dict(json.loads(path.read_bytes())) if path.is_file() else {}


def records(output: Path) -> dict[str, dict[str, Any]]:
    """The ledger's records, by fragment."""
    return {path.stem: json.loads(path.read_bytes()) for path in _record_files(output)}


def finished(output: Path) -> list[str]:
    """The fragments that have a record."""
    return [path.stem for path in _record_files(output)]


def _record_files(output: Path) -> list[Path]:
    return sorted(path for path in (output / LEDGER).glob("[!.]*.json") if path.name != _PLAN)


@dataclass(frozen=True)
class Sums:
    """The ledger added up: `rows` by its records, and by the report, where there is one."""

    rows: int
    scored: int
    quarantined: int
    report: tuple[int, ...]

    def hold(self, rows: int) -> bool:
        """Whether every one of `rows` rows is accounted for once, in the ledger and in the report."""
        return (
            self.scored + self.quarantined == self.rows == rows
            and (self.rows, self.scored, self.quarantined) == self.report
        )


def sums(output: Path) -> Sums:
    """Add up the ledger."""
    found = records(output).values()
    rows, scored, quarantined = (sum(int(record[name]) for record in found) for name in COUNTS)
    report = read_report(output)
    return Sums(rows, scored, quarantined, tuple(int(report[name]) for name in COUNTS if name in report))


def untrue(output: Path) -> list[str]:
    """The fragments whose files are not the ones that their records speak of."""
    out = []
    for fragment, record in records(output).items():
        parts = list(output.glob(f"part-{fragment}.*"))
        faults = output / QUARANTINE / f"part-{fragment}.jsonl"
        recorded = record["sha256"], record["quarantine_sha256"]
        if len(parts) != 1 or recorded != (_sha256(parts[0]), _sha256(faults) if faults.is_file() else ""):
            out.append(fragment)
    return out


def stamps(output: Path) -> dict[str, tuple[int, int]]:
    """Every file with its inode and its time of change: a file that was written again has others."""
    found = {}
    for path in output.rglob("[!.]*"):
        # Somebody may be at work: what is gone again was unfinished.
        with contextlib.suppress(FileNotFoundError):
            about = path.stat()
            if stat.S_ISREG(about.st_mode) and TEMPORARY not in path.parts:
                found[str(path.relative_to(output))] = about.st_ino, about.st_mtime_ns
    return found


def being_written(output: Path) -> set[str]:
    """The fragments in work, each below its worker's own directory.

    The first refused row is seen before the first answers are, which wait for a whole row group.
    """
    found = (output / TEMPORARY).glob("*/*.*")
    return {str(path.relative_to(output).with_suffix("")) for path in found}


def unfinished(output: Path) -> set[str]:
    """What is not finished: the fragments in work, and the files of answers whose fragment has no record."""
    recorded = set(finished(output))
    whole = {path.name for path in output.glob("part-*")}
    return being_written(output) | {name for name in whole if fragment_of(name) not in recorded}


def fragment_of(name: str) -> str:
    """The fragment whose answers stand in a file of that name."""
    return name.removeprefix("part-").partition(".")[0]


def quarantined(output: Path) -> Iterator[dict[str, Any]]:
    """Every record of the quarantine."""
    for path in sorted((output / QUARANTINE).glob("*.jsonl")):
        with path.open("rb") as lines:
            yield from map(json.loads, lines)


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
