"""Appends become rows: their numbers, the keys that came before, and what has to go where the quota is full.

Each call works within a transaction of the caller's, on lanes that are the caller's copies; putting appends of several
threads together is `group_commit`'s.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import apsw

from fivefold.core.errors import FivefoldError, RunFailed
from fivefold.edge.outbox import append_keys, gap_rows, lane_rows
from fivefold.edge.outbox.group_commit import Append
from fivefold.edge.outbox.lane_rows import EventRow, LaneState


@dataclass(frozen=True, slots=True)
class Quota:
    """How much may wait, and what happens beyond that."""

    bytes: int
    order: Sequence[str]
    """The lanes, most urgent first."""
    drop_oldest: bool
    path: Path
    """The outbox's file, for what is said."""


def store_group(
    db: apsw.Connection, states: dict[str, LaneState], group: Sequence[Append], quota: Quota, now_ms: int
) -> None:
    """Store a group of appends, each of them whole or, with its `error` set, not at all."""
    rows = list[EventRow]()
    for each in group:
        state = states[each.lane]
        each.error, each.seqs = None, []
        known, fresh = _known(db, state, each)
        need = sum(lane_rows.row_bytes(id, body) for id, body in fresh)
        over = sum(one.bytes for one in states.values()) + need - quota.bytes
        if over > 0:
            # What was stored just now may be what has to go.
            lane_rows.insert_rows(db, rows)
            rows.clear()
            if (error := _make_quota(db, states, each.lane, over, quota, now_ms)) is not None:
                each.error = error
                continue
        seqs = range(state.next, state.next + len(fresh))
        rows += [lane_rows.event_row(state.key(seq), id, now_ms, body) for seq, (id, body) in zip(seqs, fresh)]
        each.seqs = _numbered(db, state, each, known, list(seqs))
        state.next += len(fresh)
        state.events += len(fresh)
        state.bytes += need
    lane_rows.insert_rows(db, rows)


def _known(db: apsw.Connection, lane: LaneState, append: Append) -> tuple[list[list[int]], list[tuple[str, bytes]]]:
    """Part by part the numbers that its key has already, and the events that have none yet."""
    if not append.parts:
        return [], list(append.events)
    known, fresh, at = [], list[tuple[str, bytes]](), 0
    for key, count in append.parts:
        seqs = append_keys.find_key(db, lane, key)
        known.append(seqs if len(seqs) == count else [])
        fresh += [] if known[-1] else append.events[at : at + count]
        at += count
    return known, fresh


def _numbered(
    db: apsw.Connection, lane: LaneState, append: Append, known: list[list[int]], fresh: list[int]
) -> list[int]:
    """The numbers of all of an append's events, of which `fresh` are new; their keys are kept."""
    if not append.parts:
        return fresh
    out, at = list[int](), 0
    for (key, count), seqs in zip(append.parts, known, strict=True):
        if not seqs:
            seqs, at = fresh[at : at + count], at + count
            append_keys.keep_key(db, lane, key, seqs)
        out += seqs
    return out


def _make_quota(
    db: apsw.Connection, states: dict[str, LaneState], lane: str, over: int, quota: Quota, now_ms: int
) -> FivefoldError | None:
    """Drop the oldest of this lane and of less urgent ones, those first; the error where that is not allowed or not
    enough."""
    droppable = [states[name] for name in reversed(quota.order[quota.order.index(lane) :])]
    if not quota.drop_oldest or sum(state.bytes for state in droppable) < over:
        return RunFailed(
            "storage_failed",
            f"the outbox is full: {quota.bytes} bytes, {over} too few",
            path=str(quota.path),
            help="it empties when the hub can be reached; or give it a larger quota",
        )
    for state in droppable:
        if over > 0:
            over -= gap_rows.drop_oldest(db, state, over, now_ms)
    return None
