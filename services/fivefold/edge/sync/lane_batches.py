"""Lines and batches: written by devices, read by hubs.

A line is one JSON object and begins with its number, `{"seq":7,`, so that a hub can tell the number of a line that it
cannot read otherwise. Authentication, and what is done with lines, are left to the hub.
"""

from __future__ import annotations

import gzip
import itertools
import re
import zlib
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, Final

import msgspec

from fivefold.core.errors import ContractError, ProtocolError
from fivefold.edge.outbox.stored import GAP_REASONS, Gap, Stored
from fivefold.edge.sync.event_bodies import GAP, KINDS, timestamp
from fivefold.edge.sync.lane_protocol import MAX_BATCH_BYTES, MAX_LINE_BYTES, MAX_LINES, MAX_SEQ

LINE_OVERHEAD: Final = 128
"""What a line has at most beside an event's body: its number and its id."""

_LEVEL: Final = 6
_BEGINNING: Final = re.compile(rb'\s{0,16}\{\s{0,16}"seq"\s{0,16}:\s{0,16}([1-9][0-9]{0,15})\s{0,16}[,}]')


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


class _LineMembers(msgspec.Struct, kw_only=True):
    seq: int
    id: str = ""
    at: str = ""
    kind: str
    from_seq: int | None = None
    to_seq: int | None = None
    count: int | None = None
    reason: str | None = None


_read_line = msgspec.json.Decoder(_LineMembers)
_read_object = msgspec.json.Decoder(dict[str, Any])


def encode_line(stored: Stored) -> bytes:
    """An event, or a gap record, as its line, with the line feed."""
    gap = stored.gap
    if gap is not None:
        members = {
            "seq": stored.seq,
            "id": stored.id,
            "at": timestamp(stored.at_ms),
            "kind": GAP,
            "from_seq": gap.first,
            "to_seq": stored.seq,
            "count": gap.count,
            "reason": gap.reason,
        }
        return msgspec.json.encode(members) + b"\n"
    begun = b'{"seq":%d,"id":%s' % (stored.seq, msgspec.json.encode(stored.id))
    rest = stored.body[1:]
    return begun + (rest if rest.lstrip()[:1] == b"}" else b"," + rest) + b"\n"


def encode_batch(stored: Sequence[Stored]) -> LaneBatch:
    """What is sent for some of a lane, contiguous and ascending. Raises `ValueError` where it is not, or is empty."""
    for before, after in itertools.pairwise(stored):
        if after.first != before.seq + 1:
            raise ValueError(f"{after.first} does not follow {before.seq}")
    plain = b"".join(map(encode_line, stored))
    if not plain or len(stored) > MAX_LINES or len(plain) > MAX_BATCH_BYTES:
        raise ValueError(f"{len(stored)} lines of {len(plain)} bytes are no batch")
    return LaneBatch(stored[0].first, stored[-1].seq, len(stored), len(plain), gzip.compress(plain, _LEVEL, mtime=0))


def inflated(body: bytes, encoding: str | None) -> bytes:
    """A batch's bytes without their `Content-Encoding` (gzip, identity or None), never more than `MAX_BATCH_BYTES`.

    Raises `ContractError` (`too_large`, `malformed`) and `ProtocolError(unsupported_media_type)`.
    """
    coding = (encoding or "identity").strip().lower()
    if coding == "gzip":
        inflate = zlib.decompressobj(wbits=31)
        try:
            plain = inflate.decompress(body, MAX_BATCH_BYTES + 1)
        except zlib.error as err:
            raise ContractError("malformed", f"the batch is no gzip: {err}") from None
        if len(plain) <= MAX_BATCH_BYTES and (not inflate.eof or inflate.unused_data):
            raise ContractError("malformed", "the batch is no gzip: it ends too early or has something behind it")
    elif coding == "identity":
        plain = body
    else:
        raise ProtocolError("unsupported_media_type", f"expected a batch in gzip or identity, got {coding[:40]!r}")
    if len(plain) > MAX_BATCH_BYTES:
        raise ContractError("too_large", f"expected a batch of at most {MAX_BATCH_BYTES} bytes, inflated")
    return plain


def decode_batch(body: bytes) -> list[LaneLine]:
    """The lines of an inflated batch, contiguous and ascending; a line that is no event carries `poison`.

    A line is poison where it is no JSON object, has no known kind or no id, is longer than `MAX_LINE_BYTES`, or is a
    gap record that covers nothing. One whose number cannot be told either has the number behind the line before it, or
    in front of the one that follows.
    Raises `ContractError`: `too_large` for more than `MAX_LINES`, `malformed` for an empty batch, for numbers that are
    not contiguous and where no line has a number: then the batch as a whole cannot be taken.
    """
    raw = body.split(b"\n", MAX_LINES + 1)
    if raw[-1] == b"":
        raw.pop()
    if len(raw) > MAX_LINES:
        raise ContractError("too_large", f"expected a batch of at most {MAX_LINES} lines")
    if not raw:
        raise ContractError("malformed", "expected a batch of lines, got none")
    lines = _numbered(list(map(_decoded, raw)))
    for before, after in itertools.pairwise(lines):
        if after.first != before.seq + 1:
            raise ContractError(
                "malformed", f"expected the numbers of a batch without holes, got {after.first} after {before.seq}"
            )
    return lines


def beyond(line: LaneLine, watermark: int) -> LaneLine | None:
    """What of a line is new above a watermark: all of it, the rest of a gap that begins below, or None."""
    if line.seq <= watermark:
        return None
    if line.first > watermark or line.gap is None:
        return line
    rest = replace(line.gap, first=watermark + 1, count=min(line.gap.count, line.seq - watermark))
    return replace(line, first=watermark + 1, gap=rest)


def _decoded(raw: bytes) -> LaneLine:
    """A line; its number is 0 where it cannot be told."""
    if len(raw) > MAX_LINE_BYTES:
        return _poison(raw, "too_large", f"expected a line of at most {MAX_LINE_BYTES} bytes, got {len(raw)}")
    try:
        # The whole object first: members that nobody knows here are an event's too, and have to be JSON.
        _read_object.decode(raw)
        line = _read_line.decode(raw)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as err:
        return _poison(raw, "malformed", f"the line is no event: {str(err)[:200]}")
    if not 0 < line.seq <= MAX_SEQ:
        return _poison(raw, "malformed", f"the line is no event: its seq is {line.seq}")
    if line.kind not in KINDS:
        return _poison(raw, "malformed", f"expected a line of kind {', '.join(KINDS)}, got {line.kind[:40]!r}")
    if line.kind != GAP:
        if not 0 < len(line.id) <= 64 or not line.id.isprintable():
            return _poison(raw, "malformed", "expected an event with an id of 1 to 64 printable characters")
        return LaneLine(line.seq, line.seq, line.kind, line.id, line.at, raw)
    first, count = line.from_seq, line.count
    if (
        first is None
        or count is None
        or not 0 < first <= line.seq == line.to_seq
        or not 0 <= count <= line.seq - first + 1
        or line.reason not in GAP_REASONS
        or not line.id.isprintable()
    ):
        poison = _poison(raw, "malformed", "expected a gap with from_seq, to_seq, count and reason that fit its seq")
        # What it covers is passed, whatever else is wrong with it: it must not look like a hole.
        return replace(poison, first=first, seq=line.seq) if first is not None and 0 < first <= line.seq else poison
    return LaneLine(first, line.seq, GAP, line.id, line.at, raw, Gap(first, count, line.reason))


def _poison(raw: bytes, code: str, message: str) -> LaneLine:
    begun = _BEGINNING.match(raw)
    seq = int(begun[1]) if begun else 0
    if seq > MAX_SEQ:
        seq = 0
    return LaneLine(seq, seq, "", "", "", raw, poison=Poison(code, message))


def _numbered(lines: list[LaneLine]) -> list[LaneLine]:
    """Lines whose number could not be told get the one that is left for them."""
    known = next((at for at, line in enumerate(lines) if line.seq), None)
    if known is None:
        raise ContractError("malformed", "no line of the batch has a number", help='a line begins with {"seq":7,')
    for at in range(known - 1, -1, -1):
        lines[at] = replace(lines[at], first=lines[at + 1].first - 1, seq=lines[at + 1].first - 1)
    if lines[0].first < 1:
        raise ContractError("malformed", f"{known} lines without a number before number {lines[known].first}")
    for at in range(known + 1, len(lines)):
        if not lines[at].seq:
            lines[at] = replace(lines[at], first=lines[at - 1].seq + 1, seq=lines[at - 1].seq + 1)
    return lines
