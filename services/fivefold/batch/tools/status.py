"""How far a run is, from its output alone: it can be asked while the run goes on, and after it has died."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from fivefold.batch.output.ledger import Ledger, codes
from fivefold.batch.storage.output_storage import open_storage
from fivefold.core.errors import NotFound


@dataclass(frozen=True, slots=True)
class Status:
    """A run as its ledger has it. `rows_total` is None where only reading will tell."""

    run_id: str
    state: str
    """`published`, or `unfinished`: whether somebody works on it, the output does not say."""
    fragments: int
    of: int
    rows: int
    rows_total: int | None
    scored: int
    quarantined: int
    codes: dict[str, int]
    report: dict[str, Any] | None
    order: dict[str, Any]


def status(output: str, *, allow_http: bool = False) -> Status:
    """The status of the run in an output; raises `NotFound` where there is none."""
    ledger = Ledger(open_storage(output, allow_http=allow_http))
    plan = ledger.plan()
    if plan is None:
        raise NotFound("not_found", "there is no run", path=ledger.storage.url, help="start one: fivefold score --help")
    records = ledger.records(plan)
    report = ledger.report(plan) if ledger.published else None
    return Status(
        plan.run_id,
        "published" if report is not None else "unfinished",
        len(records),
        len(plan.fragments),
        sum(record.rows for record in records.values()),
        plan.rows,
        sum(record.scored for record in records.values()),
        sum(record.quarantined for record in records.values()),
        codes(records.values()),
        report,
        dict(plan.order),
    )
