"""The ledger: one record a finished fragment, created once. What a run resumes from is this and nothing else.

    _ledger/plan.json          the plan
    _ledger/FRAGMENT.json      that fragment is finished: counts, digests, which attempt, how long it took
    run.json, _SUCCESS         the run is published

A record is made when the fragment's files are in place, so a fragment without one has simply not happened. Whoever
makes it first wins; another attempt has made the same bytes. What stands here is read as data that anybody may have
touched: what is no plan, record or report of this run is refused by its name (`run_conflict`), never believed.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

import msgspec

from fivefold.batch.plan.planning import Fragment, Plan, VersionError, identity
from fivefold.batch.storage.output_storage import Storage
from fivefold.core.errors import RunFailed, first_line

FOLDER = "_ledger"
PLAN = f"{FOLDER}/plan.json"
REPORT = "run.json"
SUCCESS = "_SUCCESS"
QUARANTINE, PART = "quarantine", "part-"

OTHER_OUTPUT = "name another output directory, or remove this one"

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
    def message(self) -> str:
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


class _KnownReport(msgspec.Struct):
    """What is relied on of a report."""

    run_id: str
    rows: int
    scored: int
    quarantined: int
    codes: dict[str, int]
    output_format: str
    output: str
    seconds: float
    rows_per_second: float
    model: str
    version: str
    bundle: str
    ignored_columns: list[str]
    files: list[dict[str, Any]]
    parts: list[dict[str, Any]]


class Ledger:
    """The ledger of one output."""

    def __init__(self, storage: Storage) -> None:
        self.storage = storage

    def plan(self) -> Plan | None:
        """The plan that was kept, if there is one. Raises `RunFailed` `run_conflict` where it is none that is whole."""
        data = self.storage.read(PLAN)
        if data is None:
            return None
        help = "another version of fivefold can go on with it; or name another output directory, or remove this one"
        try:
            plan = Plan.from_bytes(data)
        except VersionError as err:
            raise self._strange(PLAN, str(err), help) from err
        except (msgspec.MsgspecError, ValueError, RecursionError) as err:
            raise self._strange(PLAN, f"expected the plan of a run, {first_line(err)}", OTHER_OUTPUT) from err
        if identity(plan.facts, plan.fragments) != plan.run_id:
            raise self._strange(PLAN, "the plan is not the one that its run_id names", OTHER_OUTPUT)
        return plan

    def keep(self, plan: Plan) -> bool:
        """Keep the plan; False where there is one already."""
        return self.storage.create(PLAN, plan.to_bytes())

    def record(self, fragment: Fragment) -> Record | None:
        """A fragment's record, if it is finished. Raises `RunFailed` `run_conflict` for one that cannot be its own."""
        name = record_name(fragment.id)
        data = self.storage.read(name)
        if data is None:
            return None
        help = "remove it, and run the same command again: this fragment is scored anew"
        try:
            record = msgspec.json.decode(data, type=Record)
        except (msgspec.MsgspecError, ValueError) as err:
            raise self._strange(name, f"expected a fragment's record, {first_line(err)}", help) from err
        wrong = _wrong(record, fragment)
        if wrong is not None:
            raise self._strange(name, f"no record of this run: {wrong}", help)
        return record

    def finish(self, record: Record) -> bool:
        """Make a fragment's record; False where there is one already."""
        return self.storage.create(record_name(record.fragment), msgspec.json.encode(record) + b"\n")

    def records(self, plan: Plan) -> dict[str, Record]:
        """The records of the plan's fragments that are finished."""
        names = set(self.storage.names(FOLDER))
        finished = [fragment for fragment in plan.fragments if f"{fragment.id}.json" in names]
        with ThreadPoolExecutor(THREADS) as threads:
            found = zip(finished, threads.map(self.record, finished))
            return {fragment.id: record for fragment, record in found if record is not None}

    def report(self, plan: Plan) -> dict[str, Any] | None:
        """The report that stands, None where there is none. Raises `RunFailed` `run_conflict` for another run's."""
        data = self.storage.read(REPORT)
        if data is None:
            return None
        help = "remove it, and run the same command again: it is written anew from what is finished"
        try:
            report: dict[str, Any] = msgspec.json.decode(data, type=dict[str, Any])
            known = msgspec.convert(report, _KnownReport)
        except (msgspec.MsgspecError, ValueError, RecursionError) as err:
            raise self._strange(REPORT, f"expected the report of a run, {first_line(err)}", help) from err
        if known.run_id != plan.run_id:
            raise self._strange(REPORT, f"the report is of run {known.run_id[:16]}, not of {plan.run_id[:16]}", help)
        return report

    def foreign(self) -> str | None:
        """A file in an output without a plan that readers would take for a run's; None where it is free."""
        names = self.storage.names("")
        own = {REPORT, SUCCESS, QUARANTINE}
        return next((name for name in names if name in own or name.startswith(PART)), None)

    def _strange(self, name: str, message: str, help: str) -> RunFailed:
        return RunFailed("run_conflict", message, path=f"{self.storage.url}/{name}", help=help)

    @property
    def published(self) -> bool:
        """Whether the run is finished and readers may have it."""
        return self.storage.read(SUCCESS) is not None


def codes(records: Iterable[Record]) -> dict[str, int]:
    """Quarantined rows by code, sorted by code."""
    total: Counter[str] = Counter()
    for record in records:
        total.update(record.codes)
    return dict(sorted(total.items()))


def _wrong(record: Record, fragment: Fragment) -> str | None:
    """What makes a record none of its fragment."""
    planned = fragment.rows
    if record.fragment != fragment.id:
        return f"it names the fragment {record.fragment!r}"
    if min(record.rows, record.scored, record.quarantined, record.bytes, record.attempt) < 0:
        return "a count is negative"
    if planned is not None and record.rows != planned:
        return f"{record.rows:,} rows, and the plan has {planned:,}"
    if record.scored + record.quarantined != record.rows or sum(record.codes.values()) != record.quarantined:
        return "its counts do not add up"
    lost = [each.rows for each in record.broken]
    if min(lost, default=0) < 0 or sum(lost) > record.quarantined:
        return "what is lost where the input breaks off does not add up"
    if len(record.files) != (len(fragment.ranges) if fragment.more else 0):
        return f"it counts {len(record.files):,} files, and the plan has {len(fragment.ranges):,}"
    inside = [(each.scored, each.quarantined) for each in record.files]
    if inside and (min(map(min, inside)) < 0 or [*map(sum, zip(*inside))] != [record.scored, record.quarantined]):
        return "the counts of its files do not add up"
    # A break between two rows has a quarantine, and no row in it.
    digests = (record.sha256, *([record.quarantine_sha256] if record.quarantined or record.broken else []))
    if any(len(digest) != 64 for digest in digests):
        return "a digest is none"
    return None


def record_name(fragment: str) -> str:
    """The name of a fragment's record."""
    return f"{FOLDER}/{fragment}.json"


def part_name(fragment: str, format: str) -> str:
    """The name of a fragment's answers."""
    return f"{PART}{fragment}.{format}"


def quarantine_name(fragment: str) -> str:
    """The name of a fragment's quarantine."""
    return f"{QUARANTINE}/{PART}{fragment}.jsonl"
