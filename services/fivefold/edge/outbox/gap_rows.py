"""What leaves an outbox, and the gap records that stand for what left without having been delivered.

Each function changes one lane's rows inside of a transaction of the caller's, and the lane's counts with them. When
something has to leave is decided elsewhere.
"""

from __future__ import annotations

import contextlib
import uuid
from collections.abc import Sequence
from pathlib import Path

import apsw

from fivefold.core.errors import RunFailed
from fivefold.edge.outbox import lane_rows
from fivefold.edge.outbox.lane_rows import LANE_BITS, LaneState
from fivefold.edge.outbox.stored import CORRUPT, HUB_LOST, QUOTA, Gap, Stored

_HIGHEST = 2**LANE_BITS - 2**40
"""From there on the numbers that are left are too few to go on with."""


def forget(db: apsw.Connection, lane: LaneState, through: int, id: str) -> int:
    """Delete what the hub has, whose last line has this id there, if that is known; how many events that were."""
    ids = lane_rows.line_ids(db, lane, through)
    lane_rows.keep_acked_id(db, lane, through, id or (ids.pop() if len(ids) == 1 else ""))
    events, gaps, size = lane_rows.totals(db, lane, 0, through)
    lane_rows.delete_rows(db, lane, 0, through)
    lane.events -= events
    lane.gaps -= gaps
    lane.bytes -= size
    lane.acked = through
    _clip(db, lane, through)
    return events


def _clip(db: apsw.Connection, lane: LaneState, through: int) -> None:
    """A gap that the hub has a part of shrinks to the rest."""
    with contextlib.closing(lane_rows.select_rows(db, lane, through + 1, 1)) as rows:
        row = next(rows, None)
    stored = None if row is None else lane_rows.stored_of(lane, row)
    if stored is not None and stored.gap is not None and stored.gap.first <= through:
        rest = Gap(through + 1, min(stored.gap.count, stored.seq - through), stored.gap.reason)
        lane_rows.delete_rows(db, lane, stored.seq, stored.seq)
        lane_rows.insert_rows(db, [lane_rows.gap_row(lane.key(stored.seq), stored.id, stored.at_ms, rest)])


def drop_oldest(db: apsw.Connection, lane: LaneState, over: int, now_ms: int) -> int:
    """Delete the oldest events until so many bytes are free, or none is left; the bytes that are."""
    freed = 0
    runs: list[tuple[int, int]] = []
    with contextlib.closing(lane_rows.select_sizes(db, lane, lane.acked + 1)) as rows:
        for seq, gap, size in rows:
            if gap:
                continue
            if freed >= over:
                break
            freed += size
            if runs and runs[-1][1] == seq - 1:
                runs[-1] = runs[-1][0], seq
            else:
                runs.append((seq, seq))
    for first, last in runs:
        if first <= lane.sent:
            lane_rows.keep_ids(db, lane, first, min(last, lane.sent))
        lane_rows.delete_rows(db, lane, first, last)
        lane.events -= last - first + 1
        lane.dropped += last - first + 1
        # What a hub may have seen already and what it has not are two records: it knows the first one's numbers.
        if first <= lane.sent < last:
            _add_gap(db, lane, first, lane.sent, QUOTA, now_ms)
            first = lane.sent + 1
        _add_gap(db, lane, first, last, QUOTA, now_ms)
    lane.bytes -= freed
    return freed


def _add_gap(db: apsw.Connection, lane: LaneState, first: int, last: int, reason: str, now_ms: int) -> None:
    """A record of events that are gone; the one right before it grows, where no hub can have seen that."""
    count = last - first + 1
    before = lane_rows.select_row(db, lane, first - 1) if first - 1 > lane.sent else None
    if before is not None and before.gap is not None and before.gap.reason == reason:
        lane_rows.delete_rows(db, lane, before.seq, before.seq)
        lane.gaps -= 1
        first, count = before.gap.first, before.gap.count + count
    lane_rows.insert_rows(db, [lane_rows.gap_row(lane.key(last), _new_id(), now_ms, Gap(first, count, reason))])
    lane.gaps += 1


def cover_corrupt(db: apsw.Connection, lane: LaneState, ranges: Sequence[tuple[int, int]], now_ms: int) -> None:
    """Put gap records where nothing can be read, and count the lane anew."""
    for first, last in ranges:
        lane_rows.delete_rows(db, lane, first, last)
        lane.corrupt += last - first + 1
        gap = Gap(first, last - first + 1, CORRUPT)
        lane_rows.insert_rows(db, [lane_rows.gap_row(lane.key(last), _new_id(), now_ms, gap)])
    lane.events, lane.gaps, lane.bytes = lane_rows.totals(db, lane, 0, lane.next)


def begin_anew(db: apsw.Connection, lane: LaneState, now_ms: int) -> None:
    """Have nothing of a lane be at a hub: what waits keeps its numbers, behind a record of no events for those before.

    For a hub that does not know the outbox by its new id.
    """
    lane_rows.keep_acked_id(db, lane, lane.next, "")
    if lane.acked:
        gap = Gap(1, 0, HUB_LOST)
        lane_rows.insert_rows(db, [lane_rows.gap_row(lane.key(lane.acked), _new_id(), now_ms, gap)])
        lane.gaps += 1
    lane.acked = lane.sent = 0
    lane.stop = None


def accept_loss(db: apsw.Connection, lane: LaneState, hub: int, hub_id: str, now_ms: int, path: Path) -> Stored | None:
    """Go on from what a hub says that it has; the gap record for what that costs, None where it costs nothing.

    `hub_id` is that of the hub's last line, where it is known.

    A hub that has less than it had: the numbers between are covered. A hub that has more than was ever sent: what
    waits gets numbers above that, behind a record of no events, so that the hub does not take it for what it has.
    Raises `RunFailed(run_conflict)` where those numbers would be too high.
    """
    if lane.acked <= hub <= lane.sent:
        return None
    if hub < lane.acked:
        # `count` is the most that it can be: some of the numbers may have been gap records themselves.
        last, gap = lane.acked, Gap(hub + 1, lane.acked - hub, HUB_LOST)
        lane.acked = hub
    else:
        if hub > _HIGHEST - (lane.next - lane.acked):
            raise RunFailed(
                "run_conflict",
                f"the hub says that it has {hub} events of lane {lane.name!r}: no number is left above that",
                path=str(path),
                help="keep the file and move it aside: with none there, a new one is made, which begins at 1",
            )
        _renumber(db, lane, hub + 1 - lane.acked)
        last, gap = hub + 1, Gap(hub + 1, 0, HUB_LOST)
        lane.acked = lane.sent = hub
    id = _new_id()
    lane_rows.keep_acked_id(db, lane, hub, hub_id)
    lane_rows.insert_rows(db, [lane_rows.gap_row(lane.key(last), id, now_ms, gap)])
    lane.gaps += 1
    return Stored(lane.name, last, id, b"", now_ms, gap)


def _renumber(db: apsw.Connection, lane: LaneState, by: int) -> None:
    """Give every row of a lane a higher number."""
    seqs = [seq for seq, _, _ in lane_rows.select_sizes(db, lane, 0)]
    # From the highest on, so that none takes another's place.
    for seq in reversed(seqs):
        stored = lane_rows.select_row(db, lane, seq)
        if stored is not None and stored.gap is not None:
            moved = Gap(stored.gap.first + by, stored.gap.count, stored.gap.reason)
            lane_rows.delete_rows(db, lane, seq, seq)
            lane_rows.insert_rows(db, [lane_rows.gap_row(lane.key(seq + by), stored.id, stored.at_ms, moved)])
        else:
            db.execute("UPDATE events SET key = ? WHERE key = ?", (lane.key(seq + by), lane.key(seq)))
    lane.next += by


def _new_id() -> str:
    return str(uuid.uuid4())
