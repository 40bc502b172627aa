"""The ledger: one record a finished fragment, created once. What a run resumes from is this and nothing else.

    _ledger/plan.json          the plan
    _ledger/FRAGMENT.json      that fragment is finished: counts, digests, which attempt, how long it took
    run.json, _SUCCESS         the run is published

A record is made when the fragment's files are in place, so a fragment without one has simply not happened. Whoever
makes it first wins; another attempt has made the same bytes.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import msgspec

from fivefold.batch.places import Place
from fivefold.batch.plan import Plan

FOLDER = "_ledger"
PLAN = f"{FOLDER}/plan.json"
REPORT = "run.json"
SUCCESS = "_SUCCESS"

THREADS = 16
"""Records that are read at once: in an object store each is a journey."""


@dataclass(frozen=True, slots=True)
class BrokenInput:
    """A place where the input breaks off: a stream behind `offset` bytes, or `rows` rows of a row group."""

    file: str
    row: int
    rows: int
    offset: int | None
    reason: str

    @property
    def said(self) -> str:
        """As a message names it."""
        where = f"row {self.row:,}" if self.offset is None else f"row {self.row:,}, byte {self.offset:,}"
        return f"{self.file}: {where}: {self.reason}"


@dataclass(slots=True)
class FileCounts:
    """Rows of one of a fragment's files."""

    scored: int = 0
    quarantined: int = 0


@dataclass(frozen=True, slots=True)
class Record:
    """One finished fragment. Sizes in bytes, `seconds` of the worker that did it; `quarantine_sha256` is empty where
    nothing was refused."""

    fragment: str
    rows: int
    scored: int
    quarantined: int
    codes: dict[str, int]
    bytes: int
    sha256: str
    quarantine_sha256: str
    attempt: int
    seconds: float
    peak_bytes: int = 0
    """The most memory that the worker has had resident until then."""
    broken: tuple[BrokenInput, ...] = ()
    """Where its input breaks off; their rows are among the quarantined."""
    files: tuple[FileCounts, ...] = ()
    """Of each of its files, where there is more than one."""

    @property
    def bad(self) -> int:
        """Quarantined rows without those that are lost where the input breaks off."""
        return self.quarantined - sum(each.rows for each in self.broken)


class Ledger:
    """The ledger of one output place."""

    def __init__(self, place: Place) -> None:
        self.place = place

    def plan(self) -> Plan | None:
        """The plan that was kept, if there is one."""
        data = self.place.read(PLAN)
        return None if data is None else Plan.from_bytes(data)

    def keep(self, plan: Plan) -> bool:
        """Keep the plan; False where there is one already."""
        return self.place.create(PLAN, plan.to_bytes())

    def record(self, fragment: str) -> Record | None:
        """A fragment's record, if it is finished."""
        data = self.place.read(f"{FOLDER}/{fragment}.json")
        return None if data is None else msgspec.json.decode(data, type=Record)

    def finish(self, record: Record) -> bool:
        """Make a fragment's record; False where there is one already."""
        return self.place.create(f"{FOLDER}/{record.fragment}.json", msgspec.json.encode(record) + b"\n")

    def records(self, plan: Plan) -> dict[str, Record]:
        """The records of the plan's fragments that are finished."""
        names = set(self.place.names(FOLDER))
        finished = [fragment.id for fragment in plan.fragments if f"{fragment.id}.json" in names]
        with ThreadPoolExecutor(THREADS) as threads:
            found = zip(finished, threads.map(self.record, finished))
            return {id: record for id, record in found if record is not None}

    @property
    def published(self) -> bool:
        """Whether the run is finished and readers may have it."""
        return self.place.read(SUCCESS) is not None


def codes(records: Iterable[Record]) -> dict[str, int]:
    """Quarantined rows by code, sorted by code."""
    total: Counter[str] = Counter()
    for record in records:
        total.update(record.codes)
    return dict(sorted(total.items()))


def part_name(fragment: str, format: str) -> str:
    """The name of a fragment's answers."""
    return f"part-{fragment}.{format}"


def quarantine_name(fragment: str) -> str:
    """The name of a fragment's quarantine."""
    return f"quarantine/part-{fragment}.jsonl"
