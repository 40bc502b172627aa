"""What the commands say of an outbox: how it stands, what lies in it, and how a stopped lane goes on.

All of it works on a file that a running gateway has open. Words and exit statuses are the command's.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from fivefold.core.errors import RunFailed
from fivefold.edge.outbox import lane_rows
from fivefold.edge.outbox.lane_rows import LaneState
from fivefold.edge.outbox.queue_file import QueueFile
from fivefold.edge.outbox.stored import OUTBOX_COPIED, LaneStatus, OutboxStatus, Stored

_ROWS: Final = 200


def status(path: str | Path) -> OutboxStatus:
    """How the outbox in a file stands; its quota and policy are the gateway's, and 0 and empty here.

    Raises `NotFound`, `RunFailed` (`input_broken`, `storage_failed`).
    """
    with _opened(path) as file, file.failing():
        lanes = [lane.status(lane_rows.oldest_ms(file.db, lane)) for lane in lane_rows.read_lanes(file.db, file.path)]
        return OutboxStatus(
            id=file.id,
            path=str(path),
            policy="",
            quota_bytes=0,
            used_bytes=sum(lane.bytes for lane in lanes),
            lanes=tuple(lanes),
            broken=None,
        )


def show(path: str | Path, *, lane: str | None = None, first: int = 1, most: int | None = None) -> Iterator[Stored]:
    """What waits, lane by lane, oldest first, from a number on, at most so many; what cannot be read is left out.

    Nothing is changed. Raises `ValueError` for an unknown lane, and as `status`.
    """
    with _opened(path) as file:
        for state in _chosen(file, lane):
            at = first
            while most is None or most > 0:
                # In steps, so that no long read stands in a gateway's way.
                with (
                    file.failing(),
                    contextlib.closing(
                        lane_rows.select_rows(file.db, state, at, _ROWS if most is None else min(_ROWS, most))
                    ) as selected,
                ):
                    rows = list(selected)
                if not rows:
                    break
                at = state.seq(rows[-1][0]) + 1
                for row in rows:
                    stored = lane_rows.stored_of(state, row)
                    if stored is not None:
                        most = None if most is None else most - 1
                        yield stored


def resume(path: str | Path, *, lane: str | None = None, accept_loss: bool = False) -> list[LaneStatus]:
    """Consent that stopped lanes (or the one named) go on: those lanes, empty where none is stopped.

    A running sender asks the hub again within seconds, one that is started later when it starts; what is lost then
    becomes a gap record. An outbox that is a copy goes on under an id of its own, all lanes of it, which loses nothing.
    Raises `RunFailed(run_conflict)` without `accept_loss` where a lane is stopped and something would be lost,
    `ValueError` for an unknown lane, and as `status`.
    """
    with _opened(path) as file:
        stopped = [state for state in _chosen(file, lane) if state.stop is not None]
        losing = [state for state in stopped if state.stop is not None and state.stop.code != OUTBOX_COPIED]
        if losing and not accept_loss:
            raise RunFailed("run_conflict", "; ".join(map(_cost, losing)), path=str(path), help="--accept-loss goes on")
        with file.failing(), file.transaction():
            for state in stopped:
                file.db.execute("INSERT OR IGNORE INTO consents VALUES (?)", (state.index,))
        return [state.status(None) for state in stopped]


def _cost(lane: LaneState) -> str:
    assert lane.stop is not None
    hub = lane.stop.acked_through
    if hub < lane.acked:
        return f"lane {lane.name!r}: the hub had {lane.acked} and now has {hub}: what it lost is not here any more"
    return (
        f"lane {lane.name!r}: the hub says that it has {hub}, and {lane.sent} were sent: what it has is not from here"
    )


def _chosen(file: QueueFile, lane: str | None) -> list[LaneState]:
    with file.failing():
        states = lane_rows.read_lanes(file.db, file.path)
    if lane is not None and lane not in {state.name for state in states}:
        raise ValueError(f"no lane {lane!r} in this outbox: {', '.join(state.name for state in states)}")
    return [state for state in states if lane in (None, state.name)]


@contextlib.contextmanager
def _opened(path: str | Path) -> Iterator[QueueFile]:
    file = QueueFile(Path(path), writer=False)
    try:
        yield file
    finally:
        file.close()
