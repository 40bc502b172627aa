"""Batches of events into the store: what is new is stored and the watermark moved, in the caller's one transaction.

For every (device, outbox, lane) the store has the watermark: the place up to which the lane is accounted for without a
hole. A line at or below it is known and is not applied again; the next one is applied; one behind a hole is not looked
at, so that nothing is ever acknowledged that is not here. A poison line is kept in quarantine and moves the watermark
like an event, and so is a known line whose content is another than what is stored: nothing that came is thrown away.
A batch of an outbox that is a copy (`copied_outboxes`) is refused as a whole instead.

Reading lines is `fivefold.edge.sync`'s, who may send them the application's.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Final

import msgspec

from fivefold.edge.hub.copied_outboxes import line_id, note_copy, note_given_up
from fivefold.edge.hub.database import HubConnection, Row
from fivefold.edge.hub.missing_numbers import note_missing
from fivefold.edge.outbox.stored import LANES
from fivefold.edge.sync.event_bodies import GAP
from fivefold.edge.sync.lane_batches import LaneLine, Poison
from fivefold.edge.sync.lane_protocol import RejectedLine

CONFLICT: Final = "event_conflict"


@dataclass(frozen=True, slots=True)
class DeviceBatch:
    """What one request brings."""

    device: str
    outbox: str
    lane: str
    lines: Sequence[LaneLine]
    after: str | None = None
    """The id of the line before the first one, by the device's word; empty where it does not know. None: a device that
    never says, whose copies are not told apart."""


@dataclass(slots=True)
class Applied:
    """What has become of a batch."""

    acked_through: int
    """The watermark, after it."""

    rejected: list[RejectedLine] = field(default_factory=list)
    stored: int = 0
    known: int = 0
    hole: bool = False
    """Its first line lies behind a hole, and nothing was done."""
    copied: str = ""
    """Why its outbox is a copy of the one that this lane came from; nothing was done."""
    id: str = ""
    """The id of the line at the watermark, where that is not the batch's own last one."""


@dataclass(frozen=True, slots=True)
class StoredEvent:
    """An event in the store; `received` is in milliseconds since 1970, `body` its line as it came."""

    position: int
    device: str
    outbox: str
    lane: str
    seq: int
    kind: str
    id: str
    received: int
    body: bytes


def apply_batches(connection: HubConnection, batches: Sequence[DeviceBatch], now: int) -> list[Applied]:
    """Apply batches in their order, within a transaction that holds off all others; `now` is in milliseconds."""
    ((head,),) = connection.execute("SELECT position FROM hub_head WHERE name = 'events'")
    begun = head
    out = []
    for batch in batches:
        applied, head = _apply(connection, batch, head, now)
        out.append(applied)
    if head != begun:
        connection.execute("UPDATE hub_head SET position = ? WHERE name = 'events'", (head,))
    connection.execute_many(
        "UPDATE hub_devices SET seen = ? WHERE id = ?", [(now, device) for device in {each.device for each in batches}]
    )
    return out


def _apply(connection: HubConnection, batch: DeviceBatch, head: int, now: int) -> tuple[Applied, int]:
    where = (batch.device, batch.outbox, batch.lane)
    through, pruned = _mark(connection, where)
    applied = Applied(through)
    known = _StoredLines(connection, where, batch.lines, through, pruned)
    if batch.after is not None and (found := _copy(connection, where, batch, known, through)):
        applied.copied, applied.id = found, line_id(connection, where, through)
        note_copy(connection, where, through, now)
        return applied, head
    events: list[Row] = []
    kept: list[Row] = []
    missing = 0
    for line in batch.lines:
        fault = line.poison
        if line.seq <= applied.acked_through:
            applied.known += 1
            fault = known.compare(line)
            if fault is None:
                continue
            if fault.code == CONFLICT:
                kept.append(_quarantined(where, line, fault, now))
        elif line.first > applied.acked_through + 1:
            applied.hole = line is batch.lines[0]
            break
        else:
            # A record covers numbers under which nothing came, and of an unreadable one only the line itself came.
            missing += line.seq - applied.acked_through - (line.kind != GAP)
            applied.acked_through = line.seq
            if fault is None:
                head += 1
                applied.stored += 1
                events.append((head, *where, line.seq, line.kind, line.id, now, line.raw))
                continue
            kept.append(_quarantined(where, line, fault, now))
        applied.rejected.append(RejectedLine(seq=line.seq, code=fault.code, message=fault.message))
    if events:
        connection.execute_many(
            "INSERT INTO hub_events (position, device, outbox, lane, seq, kind, id, received, body) "
            "VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)",
            events,
        )
    if kept:
        connection.execute_many(
            "INSERT INTO hub_quarantine (device, outbox, lane, seq, digest, code, message, received, raw) "
            "VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?) ON CONFLICT (device, outbox, lane, seq, digest) DO NOTHING",
            kept,
        )
    if applied.acked_through > through:
        connection.execute(
            "INSERT INTO hub_watermarks (device, outbox, lane, through, pruned, advanced) VALUES (?, ?, ?, ?, 0, ?) "
            "ON CONFLICT (device, outbox, lane) DO UPDATE SET through = excluded.through, advanced = excluded.advanced",
            (*where, applied.acked_through, now),
        )
    if missing:
        note_missing(connection, where, missing)
    last = batch.lines[-1]
    if last.kind == GAP and last.seq == through:
        # The device knows the record alone, from now on.
        note_given_up(connection, where, last.seq, last.id)
    if batch.after is not None and applied.acked_through != last.seq:
        applied.id = line_id(connection, where, applied.acked_through)
    return applied, head


def _copy(
    connection: HubConnection, where: tuple[str, str, str], batch: DeviceBatch, known: _StoredLines, through: int
) -> str:
    """How a batch contradicts what this lane has from the same outbox; empty where it does not.

    Two devices never give two events the same id. So a batch goes on where the lane ends only if it knows the lane's
    last line by its id, and if it repeats known lines, they are the same.
    """
    first = batch.lines[0].first
    if first == through + 1:
        here = line_id(connection, where, through)
        if here and batch.after and here != batch.after:
            return f"{through} is stored as {here}, and not as {batch.after[:64]}"
        return ""
    for line in batch.lines:
        if line.seq <= through and known.contradicts(line):
            return f"{line.seq} is stored with other content"
        if line.seq == through and line.kind != GAP and line.id:
            here = line_id(connection, where, through)
            if here and here != line.id and not known.has(through):
                return f"{through} is stored as {here}, and not as {line.id}"
    return ""


def _mark(connection: HubConnection, where: tuple[str, str, str]) -> tuple[int, int]:
    rows = connection.execute(
        "SELECT through, pruned FROM hub_watermarks WHERE device = ? AND outbox = ? AND lane = ?", where
    )
    return (rows[0][0], rows[0][1]) if rows else (0, 0)


def _quarantined(where: tuple[str, str, str], line: LaneLine, fault: Poison, now: int) -> Row:
    return (*where, line.seq, digest_of(line.raw), fault.code, fault.message, now, line.raw)


def digest_of(raw: bytes) -> str:
    """The hexadecimal SHA-256 of a line."""
    return hashlib.sha256(raw).hexdigest()


class _StoredLines:
    """What the store has of the places that a batch's known lines name."""

    def __init__(
        self,
        connection: HubConnection,
        where: tuple[str, str, str],
        lines: Sequence[LaneLine],
        through: int,
        pruned: int,
    ) -> None:
        self._bodies: dict[int, tuple[str, bytes]] = {}
        """Kind and line of what is stored."""
        self._faults: dict[int, dict[str, Poison]] = {}
        self._pruned = pruned
        places = [line.seq for line in lines if line.seq <= through]
        if not places:
            return
        span = (*where, min(places), max(places))
        clause = "WHERE device = ? AND outbox = ? AND lane = ? AND seq BETWEEN ? AND ?"
        found, bad = connection.execute(_BODY + clause, span), connection.execute(_QUARANTINED + clause, span)
        self._bodies = {seq: (kind, bytes(body)) for seq, kind, body in found}
        for seq, digest, code, message in bad:
            self._faults.setdefault(seq, {})[digest] = Poison(code, message)

    def has(self, seq: int) -> bool:
        """Whether what came at a number is here."""
        return seq in self._bodies or seq in self._faults

    def contradicts(self, line: LaneLine) -> bool:
        """Whether two events have come under one number. A gap record may stand for an event, in both directions."""
        stored = self._bodies.get(line.seq)
        if line.kind == GAP or (stored is not None and stored[0] == GAP):
            return False
        if stored is not None:
            return not _same(stored[1], line.raw)
        return line.seq in self._faults and digest_of(line.raw) not in self._faults[line.seq]

    def compare(self, line: LaneLine) -> Poison | None:
        """What to tell of a line that is known: nothing where it is the same, and again what was told of it before."""
        stored = self._bodies.get(line.seq)
        if stored is not None and _same(stored[1], line.raw):
            return None
        if line.kind == GAP and stored is not None and stored[0] != GAP:
            # The device gave up events whose acknowledgement it never heard: they are here.
            return None
        before = self._faults.get(line.seq, {}).get(digest_of(line.raw))
        if before is not None:
            return before
        if line.seq <= self._pruned:
            # What was stored there is gone, with nothing to compare.
            return None
        if stored is not None:
            what = f"{line.seq} is stored with other content"
        elif line.seq in self._faults:
            what = f"{line.seq} is in quarantine with other content"
        else:
            what = f"{line.seq} was reported lost before"
        return Poison(CONFLICT, f"{what}; this line is kept in quarantine")


_BODY: Final = "SELECT seq, kind, body FROM hub_events "
_QUARANTINED: Final = "SELECT seq, digest, code, message FROM hub_quarantine "


def _same(one: bytes, other: bytes) -> bool:
    """Whether two lines are the same JSON, however it is spelled."""
    if one == other:
        return True
    try:
        left, right = (msgspec.json.encode(msgspec.json.decode(raw), order="sorted") for raw in (one, other))
    except (msgspec.MsgspecError, RecursionError, ValueError):
        return False
    return left == right


def lane_watermarks(connection: HubConnection, device: str, outbox: str) -> dict[str, int]:
    """The watermark of every lane; 0 where nothing has come."""
    rows = connection.execute(
        "SELECT lane, through FROM hub_watermarks WHERE device = ? AND outbox = ?", (device, outbox)
    )
    return dict.fromkeys(LANES, 0) | {str(lane): int(through) for lane, through in rows}


def lane_ids(connection: HubConnection, device: str, outbox: str, through: dict[str, int]) -> dict[str, str]:
    """The ids of the lines at the watermarks, of the lanes where they are known."""
    found = {lane: line_id(connection, (device, outbox, lane), seq) for lane, seq in through.items()}
    return {lane: id for lane, id in found.items() if id}


def head_position(connection: HubConnection) -> int:
    """The position of the last event."""
    ((head,),) = connection.execute("SELECT position FROM hub_head WHERE name = 'events'")
    return int(head)


_COLUMNS: Final = "position, device, outbox, lane, seq, kind, id, received, body"


def events_after(
    connection: HubConnection, position: int, most: int, device: str | None = None, max_bytes: int = 8 << 20
) -> list[StoredEvent]:
    """At most `most` events behind a position, in their order; no more than fit into `max_bytes`, but at least one."""
    chosen, values = ("AND device = ? ", (device,)) if device is not None else ("", ())
    rows = connection.execute(
        f"SELECT {_COLUMNS} FROM hub_events WHERE position > ? {chosen}ORDER BY position LIMIT ?",  # noqa: S608
        (position, *values, most),
    )
    out: list[StoredEvent] = []
    size = 0
    for row in rows:
        size += len(row[8])
        if out and size > max_bytes:
            break
        out.append(StoredEvent(*row))
    return out


@dataclass(frozen=True, slots=True)
class QuarantinedLine:
    """A line that was acknowledged and is no event; `received` is in milliseconds since 1970."""

    device: str
    outbox: str
    lane: str
    seq: int
    code: str
    message: str
    received: int
    raw: bytes


def quarantined_lines(connection: HubConnection, device: str | None, most: int) -> list[QuarantinedLine]:
    """The newest lines in quarantine, of one device where it is named."""
    chosen, values = ("WHERE device = ? ", (device,)) if device is not None else ("", ())
    rows = connection.execute(
        f"SELECT device, outbox, lane, seq, code, message, received, raw FROM hub_quarantine {chosen}"  # noqa: S608
        "ORDER BY received DESC, device, outbox, lane, seq LIMIT ?",
        (*values, most),
    )
    return [QuarantinedLine(*row) for row in rows]
