"""An event as JSON, as an outbox stores it: everything but its number and its id, which the line gets in front."""

from __future__ import annotations

import time
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

import msgspec

from fivefold.core.outcome import Refusal

PREDICTION = "prediction"
REFUSAL = "refusal"
GAP = "gap"
KINDS = (PREDICTION, REFUSAL, GAP)


def event_body(kind: str, members: Mapping[str, Any], *, at_ms: int | None = None) -> bytes:
    """An event's JSON object: `at` (now, where not given, in milliseconds since 1970), `kind`, and its members.

    Raises `ValueError` for a kind that is none and for members that are the line's own.
    """
    if kind not in (PREDICTION, REFUSAL):
        raise ValueError(f"{kind!r} is no kind of event")
    if own := {"seq", "id", "at", "kind"} & members.keys():
        raise ValueError(f"{', '.join(sorted(own))}: the line's own")
    return msgspec.json.encode({"at": timestamp(at_ms), "kind": kind, **members})


def prediction_body(
    *, model: str, version: str, contract: str, bundle: str, input: Any, output: Any, at_ms: int | None = None
) -> bytes:
    """A prediction: which model, by which contract (`NAME@VERSION`) and bundle (its digest), what came and what went.

    `input` and `output` are JSON, or `msgspec.Raw` of it.
    """
    members = {
        "model": model,
        "version": version,
        "contract": contract,
        "bundle": bundle,
        "input": input,
        "output": output,
    }
    return event_body(PREDICTION, members, at_ms=at_ms)


def refusal_body(refusal: Refusal, *, at_ms: int | None = None) -> bytes:
    """What was refused, with the reason."""
    return event_body(REFUSAL, {"refusal": refusal.to_json()}, at_ms=at_ms)


def timestamp(at_ms: int | None = None) -> str:
    """RFC 3339 in UTC with milliseconds, of now where not given; a clock beyond the year 9999 is written as its end."""
    ms = time.time_ns() // 1_000_000 if at_ms is None else at_ms
    ms = min(max(ms, 0), 253_402_300_799_999)
    return datetime.fromtimestamp(ms // 1000, UTC).strftime("%Y-%m-%dT%H:%M:%S") + f".{ms % 1000:03d}Z"
