"""Publishing: once every row is accounted for and every part is what its record says, the report and then `_SUCCESS`,
each created once.

Two runs that finish together both come here; the first report stands, and readers that wait for `_SUCCESS` never see a
part of a run. What makes a part another one than its record's is `verify`'s matter.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Any

from fivefold.batch.output.ledger import (
    REPORT,
    SUCCESS,
    FileCounts,
    Ledger,
    Record,
    codes,
    part_name,
    quarantine_name,
    record_name,
)
from fivefold.batch.output.verify import files_of, problems_of
from fivefold.batch.plan.planning import Plan
from fivefold.core.errors import InternalError, RunFailed
from fivefold.core.fields.field import Field


def totals(plan: Plan, records: Mapping[str, Record]) -> dict[str, int]:
    """Rows, scored and quarantined of a whole run. Raises `InternalError` where they do not add up, which records that
    the ledger has read do."""
    rows = scored = quarantined = 0
    for fragment in plan.fragments:
        record = records[fragment.id]
        planned = record.rows if fragment.rows is None else fragment.rows
        if record.rows != planned or record.scored + record.quarantined != record.rows:
            raise InternalError(
                "internal",
                f"{fragment.name}: {planned} rows in, {record.scored} scored and {record.quarantined} quarantined",
            )
        rows += record.rows
        scored += record.scored
        quarantined += record.quarantined
    return {"rows": rows, "scored": scored, "quarantined": quarantined}


def report(
    plan: Plan,
    records: Mapping[str, Record],
    *,
    fields: Sequence[Field],
    resumed: int,
    seconds: float,
    working: float,
    output: str,
) -> dict[str, Any]:
    """What run.json says.

    `fields` are the contract's that the output has, whose types text alone does not tell; `resumed` are rows that an
    earlier start had finished, `seconds` what this one took, `working` without the workers' start.
    """
    counts = totals(plan, records)
    parts = []
    files: dict[str, dict[str, Any]] = {
        source.url: {"file": source.url, "identity": source.identity, "rows": 0, "scored": 0, "quarantined": 0}
        for source in plan.sources
    }
    for fragment in plan.fragments:
        record = records[fragment.id]
        part: dict[str, Any] = {
            "part": part_name(fragment.id, plan.facts["format"]),
            "file": fragment.source.url,
            "row": fragment.range.row,
            "rows": record.rows,
            "scored": record.scored,
            "quarantined": record.quarantined,
            "bytes": record.bytes,
            "sha256": record.sha256,
        }
        if record.quarantine_sha256:
            part["quarantine"] = quarantine_name(fragment.id)
        counted = record.files or (FileCounts(record.scored, record.quarantined),)
        inside = [
            {
                "file": source.url,
                "rows": each.scored + each.quarantined,
                "scored": each.scored,
                "quarantined": each.quarantined,
            }
            for (source, _), each in zip(fragment.ranges, counted, strict=True)
        ]
        if len(inside) > 1:
            # In the order of the part's rows, whose numbers begin anew with each.
            part["files"] = inside
        parts.append(part)
        for each in inside:
            for name in ("rows", "scored", "quarantined"):
                files[str(each["file"])][name] += each[name]
    fresh = counts["rows"] - resumed
    return {
        "format": 1,
        "run_id": plan.run_id,
        **counts,
        "broken": [asdict(each) for fragment in plan.fragments for each in records[fragment.id].broken],
        "codes": codes(records[fragment.id] for fragment in plan.fragments),
        **{name: plan.facts[name] for name in ("model", "version", "bundle", "contract")},
        "seconds": round(seconds, 3),
        "working_seconds": round(working, 3),
        "rows_per_second": round(fresh / working) if working else 0,
        "resumed_rows": resumed,
        "worker_seconds": round(sum(records[fragment.id].seconds for fragment in plan.fragments), 3),
        "worker_peak_bytes": max((records[fragment.id].peak_bytes for fragment in plan.fragments), default=0),
        "output": output,
        "output_format": plan.facts["format"],
        "columns": plan.facts["columns"],
        "schema": [{"name": each.name, "dtype": each.dtype, "shape": list(each.shape)} for each in fields],
        "ignored_columns": list(plan.ignored),
        "passed_over": [{"path": path, "reason": reason} for path, reason in plan.passed_over],
        "files": list(files.values()),
        "parts": parts,
    }


def publish(ledger: Ledger, plan: Plan, records: Mapping[str, Record], report: Mapping[str, Any]) -> dict[str, Any]:
    """Make the run visible, and give the report that stands.

    Raises `RunFailed` `run_conflict` where a file of the output is not the one that was written, or another run's
    report stands.
    """
    check(ledger, plan, records)
    text = json.dumps(report, indent=2, ensure_ascii=False) + "\n"
    ledger.storage.create(REPORT, text.encode("utf-8", "backslashreplace"))
    standing = ledger.report(plan)
    assert standing is not None
    counts = totals(plan, records)
    if any(standing[name] != count for name, count in counts.items()):
        raise RunFailed(
            "run_conflict",
            f"the report that stands has other counts than the {counts['rows']:,} rows of this run",
            path=f"{ledger.storage.url}/{REPORT}",
            help="remove it, and run the same command again: it is written anew from what is finished",
        )
    ledger.storage.create(SUCCESS, b"")
    return standing


def check(ledger: Ledger, plan: Plan, records: Mapping[str, Record]) -> None:
    """Raise `RunFailed` `run_conflict` for the first file of the output that is not the one of its record."""
    format = plan.facts["format"]
    wanted = {name: each for record in records.values() for name, each in files_of(record, format).items()}
    problem = next(iter(problems_of(ledger.storage, wanted)), None)
    if problem is None:
        return
    record = next(record for record in records.values() if problem.file in files_of(record, format))
    raise RunFailed(
        "run_conflict",
        f"the file is not the one that was written: {problem.message}",
        path=f"{ledger.storage.url}/{problem.file}",
        help=f"remove {ledger.storage.url}/{record_name(record.fragment)}, and run the same command again: this "
        "fragment is scored anew",
    )
