"""Whether an output is what its ledger says: every file by size and digest, every count, and nothing beside it.

It is asked before `_SUCCESS` of the files alone, and by `fivefold batch verify` of all of a run, in a directory or in
an object store. Nothing is changed; what is to be done about it is left to the caller.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass, field
from pathlib import PurePosixPath
from typing import Any

from fivefold.batch.output.ledger import (
    FOLDER,
    PART,
    PLAN,
    QUARANTINE,
    REPORT,
    SUCCESS,
    Ledger,
    Record,
    codes,
    part_name,
    quarantine_name,
    record_name,
)
from fivefold.batch.plan.planning import Plan
from fivefold.batch.storage.output_storage import Storage, open_storage
from fivefold.core.errors import FivefoldError, NotFound, RunFailed

THREADS = 4
BLOCK = 4 * 1024 * 1024


@dataclass(frozen=True, slots=True)
class Problem:
    """One file that is not as it should be: its name in the output, one word, and a sentence.

    The word is `missing`, `short`, `long`, `changed`, `extra`, `count`, `unreadable` or `unpublished`.
    """

    file: str
    problem: str
    message: str


@dataclass(slots=True)
class Verdict:
    """What was found; `files` were read, of `bytes` together."""

    run_id: str
    output: str
    files: int = 0
    bytes: int = 0
    problems: list[Problem] = field(default_factory=list)

    @property
    def ok(self) -> bool:
        """Whether the output is what its ledger says."""
        return not self.problems


@dataclass(frozen=True, slots=True)
class Expected:
    """A file as its record has it; `size` is None where only the digest is known."""

    sha256: str
    size: int | None


def files_of(record: Record, format: str) -> dict[str, Expected]:
    """The files that a finished fragment has, by name."""
    out = {part_name(record.fragment, format): Expected(record.sha256, record.bytes)}
    if record.quarantine_sha256:
        out[quarantine_name(record.fragment)] = Expected(record.quarantine_sha256, None)
    return out


def problems_of(storage: Storage, wanted: Mapping[str, Expected]) -> Iterator[Problem]:
    """The files that are not there, or not of that size and digest; in the order of their names."""
    names = sorted(wanted)
    with ThreadPoolExecutor(THREADS) as threads:
        for found in threads.map(lambda name: _problem(storage, name, wanted[name]), names):
            if found is not None:
                yield found


def verify(output: str, *, allow_http: bool = False) -> Verdict:
    """Look at every file of a run. Raises `NotFound` where there is none, and `RunFailed` for a plan that is none."""
    ledger = Ledger(open_storage(output, allow_http=allow_http))
    plan = ledger.plan()
    if plan is None:
        raise NotFound("not_found", "there is no run", path=ledger.storage.url, help="start one: fivefold score --help")
    out = Verdict(plan.run_id, ledger.storage.url)
    if not _readable(out, SUCCESS, lambda: ledger.published):
        out.problems.append(Problem(SUCCESS, "unpublished", "the run is not finished"))
    records = _records(out, ledger, plan)
    format = str(plan.facts.get("format"))
    wanted = {name: each for record in records.values() for name, each in files_of(record, format).items()}
    out.files, out.bytes = len(wanted), sum(each.size or 0 for each in wanted.values())
    out.problems += problems_of(ledger.storage, wanted)
    out.problems += _extra(ledger.storage, plan, wanted)
    report = _readable(out, REPORT, lambda: ledger.report(plan))
    if isinstance(report, dict):
        out.problems += _miscounted(report, plan, records)
    elif report is None and not any(problem.file == REPORT for problem in out.problems):
        out.problems.append(Problem(REPORT, "missing", "there is no report"))
    return out


def _records(out: Verdict, ledger: Ledger, plan: Plan) -> dict[str, Record]:
    found = {}
    for fragment in plan.fragments:
        name = record_name(fragment.id)
        record = _readable(out, name, lambda fragment=fragment: ledger.record(fragment))
        if isinstance(record, Record):
            found[fragment.id] = record
        elif not any(problem.file == name for problem in out.problems):
            out.problems.append(Problem(name, "missing", f"{fragment.name} is not finished"))
    return found


def _readable(out: Verdict, name: str, read: Any) -> Any:
    """What is read, None where it cannot be, which is a problem then."""
    try:
        return read()
    except RunFailed as err:
        out.problems.append(Problem(name, "unreadable", err.message))
        return None


def _problem(storage: Storage, name: str, wanted: Expected) -> Problem | None:
    digest, size = hashlib.sha256(), 0
    try:
        with storage.open(name) as file:
            while block := file.read(BLOCK):
                digest.update(block)
                size += len(block)
    except FileNotFoundError:
        return Problem(name, "missing", "there is no such file")
    except NotFound:
        return Problem(name, "missing", "there is no such file")
    except (FivefoldError, OSError) as err:
        if isinstance(err.__cause__, FileNotFoundError):
            return Problem(name, "missing", "there is no such file")
        return Problem(name, "unreadable", str(err))
    if wanted.size is not None and size != wanted.size:
        word = "short" if size < wanted.size else "long"
        return Problem(name, word, f"expected {wanted.size:,} bytes, got {size:,}")
    if digest.hexdigest() != wanted.sha256:
        return Problem(name, "changed", f"expected sha256 {wanted.sha256}, got {digest.hexdigest()}")
    return None


def _extra(storage: Storage, plan: Plan, wanted: Mapping[str, Expected]) -> Iterator[Problem]:
    """Files that a reader of the output, or of its ledger, would take for this run's."""
    for name in storage.names(""):
        if name.startswith(PART) and name not in wanted:
            yield Problem(name, "extra", "no record has such a part")
    for name in storage.names(QUARANTINE):
        if f"{QUARANTINE}/{name}" not in wanted:
            yield Problem(f"{QUARANTINE}/{name}", "extra", "no record has such a quarantine")
    known = {record_name(fragment.id) for fragment in plan.fragments} | {PLAN}
    for name in storage.names(FOLDER):
        if f"{FOLDER}/{name}" not in known:
            yield Problem(f"{FOLDER}/{name}", "extra", "the plan has no such fragment")


def _miscounted(report: Mapping[str, Any], plan: Plan, records: Mapping[str, Record]) -> Iterator[Problem]:
    """Where the report and the records disagree."""
    for name in ("rows", "scored", "quarantined"):
        count = sum(getattr(record, name) for record in records.values())
        if report[name] != count:
            yield Problem(REPORT, "count", f"{name}: {report[name]:,} in the report, {count:,} in the ledger")
    if report["codes"] != codes(records.values()):
        yield Problem(REPORT, "count", "codes: others in the report than in the ledger")
    broken = [asdict(each) for record in records.values() for each in record.broken]
    if report.get("broken", []) != broken:
        yield Problem(REPORT, "count", "broken: other places in the report than in the ledger")
    reported_parts = {str(part.get("part")): part for part in report["parts"]}
    for record in records.values():
        name = part_name(record.fragment, str(plan.facts.get("format")))
        part = reported_parts.pop(name, None)
        if part is None:
            yield Problem(name, "count", "the report has no such part")
            continue
        for key in ("rows", "scored", "quarantined", "bytes", "sha256"):
            if part.get(key) != getattr(record, key):
                yield Problem(
                    name, "count", f"{key}: {part.get(key)} in the report, {getattr(record, key)} in the ledger"
                )
        reported = [(each.get("scored"), each.get("quarantined")) for each in part.get("files", [])]
        if reported != [(each.scored, each.quarantined) for each in record.files]:
            yield Problem(name, "count", "files: other counts in the report than in the ledger")
    for name in reported_parts:
        yield Problem(PurePosixPath(name).name, "count", "the report has a part that the ledger has not")
