"""Protocol version 1 between devices and hubs: paths, headers, limits, and what a hub replies.

    POST /v1/edge/{device}/lanes/{lane}/events?after=ID   a batch of lines -> BatchReply, or 409 with a Conflict
    GET  /v1/edge/{device}/watermark?outbox=HEX           -> Watermarks
    PUT  /v1/edge/{device}/report                         DeviceReport

A device sends `Authorization: Bearer KEY` and the id of its outbox. Within an outbox each lane counts 1, 2, 3 ...
without holes, so a hub sees a hole, and what it has already. Errors are Fivefold's error JSON.

`after` is the id of the line in front of the batch, which the device has had acknowledged; empty where it does not know
it. A hub that has another line there, or other content under one of the batch's numbers, refuses the batch as that of a
copied outbox. Devices that send no `after` know nothing of that; their contradicting lines go into quarantine. It is in
the query, and not a header, so that a page at another origin needs no more than hubs have always allowed.
"""

from __future__ import annotations

import re
from typing import Any, Final

import msgspec

OUTBOX_HEADER: Final = "x-fivefold-outbox"
MEDIA_TYPE: Final = "application/x-ndjson"

MAX_LINES: Final = 500
MAX_BATCH_BYTES: Final = 1024 * 1024
"""Of a batch, inflated."""
MAX_LINE_BYTES: Final = 256 * 1024
MAX_SEQ: Final = 2**53 - 1
"""Every number up to here is exact in JavaScript too."""

DEVICE_ID: Final = re.compile(r"[a-z0-9][a-z0-9._-]{0,62}\Z")
OUTBOX_ID: Final = re.compile(r"[0-9a-f]{32}\Z")
LANE_NAME: Final = re.compile(r"[a-z][a-z0-9_-]{0,31}\Z")

SEQUENCE_GAP: Final = "sequence_gap"
"""The code of a 409: the first line is more than one above the watermark."""
OUTBOX_COPIED: Final = "outbox_copied"
"""The code of a 409: another outbox with this one's id has sent other events under its numbers."""
AFTER: Final = "after"
"""The name in the query."""


def events_path(device: str, lane: str) -> str:
    """Where batches of a lane go."""
    return f"/v1/edge/{device}/lanes/{lane}/events"


def watermark_path(device: str) -> str:
    """Where a hub says what it has."""
    return f"/v1/edge/{device}/watermark"


def report_path(device: str) -> str:
    """Where a device says how it stands."""
    return f"/v1/edge/{device}/report"


class RejectedLine(msgspec.Struct, frozen=True, kw_only=True):
    """A line that a hub has taken into quarantine: it is acknowledged and blocks nothing."""

    seq: int
    code: str
    message: str


class BatchReply(msgspec.Struct, frozen=True, kw_only=True):
    """The reply to a batch (200): everything up to `acked_through` is stored at the hub."""

    acked_through: int
    rejected: list[RejectedLine] = []
    id: str = ""
    """The id of the line there, where it is known and not the batch's last one."""


class Conflict(msgspec.Struct, frozen=True, kw_only=True):
    """The reply to a batch that does not go on from what the hub has (409): nothing was stored."""

    acked_through: int
    code: str = SEQUENCE_GAP
    """`sequence_gap` or `outbox_copied`."""
    error: str = ""
    id: str = ""
    """As a `BatchReply`'s."""


class Watermarks(msgspec.Struct, frozen=True, kw_only=True):
    """What a hub has of an outbox, lane by lane; a lane that it does not name has 0."""

    outbox: str
    lanes: dict[str, int]
    ids: dict[str, str] = {}
    """The id of the line at a watermark, where it is known."""


class ModelReport(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A model on a device."""

    name: str
    version: str
    digest: str
    state: str
    """`active`, `testing`, `rolled_back` or `refused`."""
    release: int | None = None
    reason: str | None = None


class DeviceReport(msgspec.Struct, frozen=True, kw_only=True):
    """How a device stands."""

    outbox: str
    backlog: dict[str, int]
    """Events that wait, by lane."""
    oldest: str | None
    """The device's clock when the oldest of them was stored, RFC 3339."""
    software: str
    models: list[ModelReport] = []
    stopped: dict[str, str] = {}
    """Lanes of which nothing is sent, with the reason's code."""


def to_json(reply: Any) -> bytes:
    """A reply or a report as it travels."""
    return msgspec.json.encode(reply)
