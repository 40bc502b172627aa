"""Lines and batches: written by devices, read by hubs.

A line is one JSON object and begins with its number, `{"seq":7,`, so that a hub can tell the number of a line that it
cannot read otherwise. Authentication, and what is done with lines, are left to the hub.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from fivefold.edge.outbox.stored import Gap, Stored


@dataclass(frozen=True, slots=True)
class Poison:
    """Why a line cannot be taken as an event: for the quarantine and for `rejected`."""

    code: str
    message: str


@dataclass(frozen=True, slots=True)
class LaneLine:
    """One line of a batch as a hub reads it."""

    first: int
    """The first number that it stands for: `seq`, but for a gap."""
    seq: int
    kind: str
    """`prediction`, `refusal` or `gap`; empty for a poison line."""
    id: str
    at: str
    raw: bytes
    """The line as it came, without the line feed."""
    gap: Gap | None = None
    poison: Poison | None = None


@dataclass(frozen=True, slots=True)
class LaneBatch:
    """A batch as it is sent."""

    first: int
    last: int
    lines: int
    plain_bytes: int
    body: bytes
    """gzip."""


def encode_line(stored: Stored) -> bytes:
    """An event, or a gap record, as its line, with the line feed."""
    raise NotImplementedError


def encode_batch(stored: Sequence[Stored]) -> LaneBatch:
    """What is sent for some of a lane, contiguous and ascending. Raises `ValueError` where it is not, or is empty."""
    raise NotImplementedError


def inflated(body: bytes, encoding: str | None) -> bytes:
    """A batch's bytes without their `Content-Encoding` (gzip, identity or None), never more than `MAX_BATCH_BYTES`.

    Raises `ContractError` (`too_large`, `malformed`) and `ProtocolError(unsupported_media_type)`.
    """
    raise NotImplementedError


def decode_batch(body: bytes) -> list[LaneLine]:
    """The lines of an inflated batch, contiguous and ascending; a line that is no event carries `poison`.

    A line is poison where it is no JSON object, has no known kind or no id, or is longer than `MAX_LINE_BYTES`.
    Raises `ContractError`: `too_large` for more than `MAX_LINES`, `malformed` for an empty batch, for numbers that
    are not contiguous and for lines whose number cannot be told: then the batch as a whole cannot be taken.
    """
    raise NotImplementedError


def beyond(line: LaneLine, watermark: int) -> LaneLine | None:
    """What of a line is new above a watermark: all of it, the rest of a gap that begins below, or None."""
    raise NotImplementedError
