"""The quarantine of a run beside the truth about its files: what was found, what was lost, what was made up."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from loadtest.batch import outputs
from loadtest.batch.fault_kinds import KEY, FaultyFiles, RowFault

_FIELD: Final = re.compile(r"inputs\.([^\[\]]+)")

Key = tuple[Any, ...]


def _fault_key(each: RowFault) -> Key:
    return each.file, each.row, each.rows, each.code, each.field, each.line, each.offset


def key(record: Mapping[str, Any]) -> Key:
    """What of a quarantine record is compared: the file's name, the rows, code and field, line and offset."""
    found = _FIELD.match(record.get("path", ""))
    name = record["file"].rpartition("/")[2]
    about = record["row"], record.get("rows", 1), record["code"], found[1] if found else ""
    return name, *about, record.get("line"), record.get("offset")


@dataclass(frozen=True)
class Comparison:
    """One run over one format. `lost` are faults without their record, `made_up` records without their fault; rows that
    are missing among the answers, or should be, are `missing` and `extra`, and `wrong` are answered otherwise."""

    format: str
    rows: int
    injected: int
    matched: int
    by_kind: Mapping[str, tuple[int, int]]
    """Of each kind how many were injected, and how many found exactly."""
    lost: list[Key] = field(default_factory=list)
    made_up: list[Key] = field(default_factory=list)
    missing: int = 0
    extra: int = 0
    wrong: int = 0

    @property
    def precision(self) -> float:
        """The share of the records that are true."""
        recorded = self.matched + len(self.made_up)
        return self.matched / recorded if recorded else 1.0

    @property
    def recall(self) -> float:
        """The share of the faults that were found exactly."""
        return self.matched / self.injected if self.injected else 1.0

    @property
    def perfect(self) -> bool:
        """Whether every fault is told as it is, and every good row answered rightly."""
        return not (self.lost or self.made_up or self.missing or self.extra or self.wrong)

    def differences(self, most: int = 20) -> list[str]:
        """What is not as it should be, in words."""
        out = [f"injected, not found: {_said(each)}" for each in self.lost[:most]]
        out += [f"found, not injected: {_said(each)}" for each in self.made_up[:most]]
        counts = {
            "without an answer": self.missing,
            "that should have no answer": self.extra,
            "answered wrongly": self.wrong,
        }
        return out + [f"{count:,} rows {what}" for what, count in counts.items() if count]


def _said(each: Key) -> str:
    file, row, rows, code, name, line, offset = each
    place = f", line {line}, byte {offset}" if line is not None else ""
    return f"{file} row {row}{f' and {rows - 1} more' if rows > 1 else ''}{place}: {code} {name}".rstrip()


def compare(files: FaultyFiles, records: Iterable[Mapping[str, Any]], answers: Mapping[int, float]) -> Comparison:
    """Hold a run's quarantine and its answers by row number against the truth."""
    truth = {_fault_key(each): each.kind for each in files.injected}
    recorded = Counter(map(key, records))
    found = truth.keys() & recorded.keys()
    injected_by_kind, found_by_kind = Counter(truth.values()), Counter(truth[each] for each in found)
    twice = [each for each in found for _ in range(recorded[each] - 1)]
    return Comparison(
        files.format,
        files.rows,
        len(truth),
        len(found),
        {kind: (count, found_by_kind[kind]) for kind, count in injected_by_kind.items()},
        sorted(truth.keys() - found, key=str),
        sorted([*(recorded.keys() - found), *twice], key=str),
        len(files.answers.keys() - answers.keys()),
        len(answers.keys() - files.answers.keys()),
        sum(files.answers[row] != score for row, score in answers.items() if row in files.answers),
    )


def look(files: FaultyFiles, output: Path) -> Comparison:
    """Compare an output directory whose answers are Parquet."""
    import pyarrow.parquet as pq

    answers: dict[int, float] = {}
    for path in sorted(output.glob("part-*.parquet")):
        table = pq.read_table(path, columns=[KEY, "score"])
        # Text carries its numbers as text.
        answers |= zip(map(int, table[KEY].to_pylist()), table["score"].to_pylist())
    return compare(files, outputs.quarantined(output), answers)
