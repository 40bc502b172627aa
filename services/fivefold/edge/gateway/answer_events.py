"""An inference as events: one for each row that was answered, one for a request that was refused.

A row is kept as its caller sent it, under the caller's contract version. How an event lies in an outbox and travels is
`fivefold.edge`'s `sync` and `outbox`.
"""

from __future__ import annotations

import math
import os
import time
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from fivefold.core.errors import ContractError, FivefoldError
from fivefold.core.outcome import RAW_BYTES, Refusal
from fivefold.edge.outbox.stored import MAX_BODY_BYTES
from fivefold.edge.sync.event_bodies import prediction_body, refusal_body

if TYPE_CHECKING:
    from fivefold.core.bundle.bundle import Bundle
    from fivefold.core.columns import Columns
    from fivefold.edge.gateway.outbox_writer import IdentifiedEvent
    from fivefold.serving.steps import InferenceSteps

_NAMES: Final = {True: "Infinity", False: "-Infinity"}


def predictions(inference: InferenceSteps[Any, Any]) -> list[IdentifiedEvent]:
    """The events of a request that was answered, row by row. Raises `ContractError(too_large)` for a row that no event
    holds."""
    bundle = inference.model.bundle
    columns = inference.request.reading.columns
    digest = named_digest(bundle)
    now = time.time_ns() // 1_000_000
    identities = event_ids(columns.rows, now)
    out = []
    rows = zip(_records(columns), _records(inference.answered), identities, strict=True)
    for number, (given, answered, identity) in enumerate(rows):
        body = prediction_body(
            model=bundle.name,
            version=bundle.version,
            contract=inference.view.name,
            bundle=digest,
            input=given,
            output=answered,
            at_ms=now,
        )
        if len(body) > MAX_BODY_BYTES:
            raise ContractError(
                "too_large",
                f"row {number} and its answer take {len(body):,} bytes as an event, which may have {MAX_BODY_BYTES:,}",
                path="inputs",
            )
        out.append((identity, body))
    return out


def refusal(inference: InferenceSteps[Any, Any], error: FivefoldError) -> list[IdentifiedEvent]:
    """The event of a request that was refused; `raw` is the begin of its body."""
    bundle = inference.model.bundle
    try:
        raw = inference.given.whole()
    except FivefoldError:
        # A body that cannot be inflated.
        raw = b""
    return refused(
        error,
        raw,
        model=bundle.name,
        version=bundle.version,
        transport=inference.call.transport,
        request_id=inference.call.request_id,
        contract=inference.view.name,
        bundle=named_digest(bundle),
    )


def refused(
    error: FivefoldError, raw: bytes, *, contract: str = "", bundle: str = "", **where: str
) -> list[IdentifiedEvent]:
    """The event of what was refused; `where` says how it came, and which model it was for."""
    record = Refusal.of(error, where, bytes(raw[: 2 * RAW_BYTES]), contract=contract, bundle=bundle)
    now = time.time_ns() // 1_000_000
    return [(event_ids(1, now)[0], refusal_body(record, at_ms=now))]


def named_digest(bundle: Bundle) -> str:
    """A bundle's digest as events and reports name it: `sha256:` and hex digits."""
    return f"sha256:{bundle.digest}"


def event_ids(count: int, now_ms: int) -> list[str]:
    """UUIDs of version 7 (RFC 9562, section 5.7) of one millisecond."""
    random = os.urandom(10 * count).hex()
    head = f"{now_ms & 0xFFFFFFFFFFFF:012x}"
    out = []
    for at in range(0, 20 * count, 20):
        part = random[at : at + 20]
        variant = "89ab"[int(part[3], 16) & 3]
        out.append(f"{head[:8]}-{head[8:]}-7{part[:3]}-{variant}{part[4:7]}-{part[7:19]}")
    return out


def _records(columns: Columns) -> list[dict[str, Any]]:
    """Rows as JSON objects; what JSON has no number for, by its name, so that it does not become null."""
    records = columns.to_records()
    names = [name for name in columns if columns[name].dtype.kind == "f" and not np.isfinite(columns[name]).all()]
    for record in records if names else ():
        for name in names:
            record[name] = _spelled(record[name])
    return records


def _spelled(value: Any) -> Any:
    if isinstance(value, list):
        return [_spelled(item) for item in value]
    if isinstance(value, float) and not math.isfinite(value):
        return "NaN" if math.isnan(value) else _NAMES[value > 0]
    return value
