"""Publishing: once every row is accounted for, the report and then `_SUCCESS`, each created once.

Two runs that finish together both come here; the first report stands, and readers that wait for `_SUCCESS` never see a
part of a run.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

from fivefold.batch.ledger import REPORT, SUCCESS, FileCounts, Ledger, Record, codes, part_name, quarantine_name
from fivefold.batch.plan import Plan
from fivefold.core.errors import InternalError


def totals(plan: Plan, records: Mapping[str, Record]) -> dict[str, int]:
    """Rows, scored and quarantined of a whole run. Raises `InternalError` where they do not add up."""
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
    plan: Plan, records: Mapping[str, Record], *, resumed: int, seconds: float, working: float, output: str
) -> dict[str, Any]:
    """What run.json says.

    `resumed` are rows that an earlier start had finished, `seconds` what this one took, `working` without the workers'
    start.
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
            for (source, _), each in zip(fragment.pieces, counted, strict=True)
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
        "ignored_columns": list(plan.ignored),
        "passed_over": [{"path": path, "reason": reason} for path, reason in plan.passed_over],
        "files": list(files.values()),
        "parts": parts,
    }


def publish(ledger: Ledger, report: Mapping[str, Any]) -> dict[str, Any]:
    """Make the run visible, and give the report that stands."""
    text = json.dumps(report, indent=2, ensure_ascii=False) + "\n"
    ledger.place.create(REPORT, text.encode("utf-8", "backslashreplace"))
    ledger.place.create(SUCCESS, b"")
    standing = ledger.place.read(REPORT)
    assert standing is not None
    out: dict[str, Any] = json.loads(standing)
    return out
