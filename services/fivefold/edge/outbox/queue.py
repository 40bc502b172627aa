"""The outbox of a device: what it has accepted, on its disk, in the order in which it was accepted.

An append is on the disk when it returns (write-ahead log, full synchronisation); appends of many threads share one
transaction. Who sends what lies here, and what a hub says of it, is `fivefold.edge.sync`'s.
"""

from __future__ import annotations

import contextlib
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Final, TypeVar

import apsw

from fivefold.core.errors import ContractError, RunFailed
from fivefold.edge.outbox import gap_rows, lane_rows
from fivefold.edge.outbox.append_rows import Quota, store_group
from fivefold.edge.outbox.group_commit import Append, GroupCommit
from fivefold.edge.outbox.lane_rows import LaneState
from fivefold.edge.outbox.queue_file import QueueFile, as_run_failed, is_full
from fivefold.edge.outbox.stored import LANES, MAX_BODY_BYTES, LaneStop, OutboxStatus, Stored

T = TypeVar("T")

REJECT_NEW: Final = "reject_new"
DROP_OLDEST: Final = "drop_oldest"
POLICIES: Final = (REJECT_NEW, DROP_OLDEST)

_FILE_SLACK: Final = 16 * 1024 * 1024


class Outbox:
    """A durable queue with lanes, for any number of threads of one process.

    `with Outbox(path, quota_bytes=...)` closes it. All methods raise `RunFailed(storage_failed)` where the disk fails;
    after a failure that is not a full disk it takes and gives nothing more until it is opened again.
    """

    def __init__(
        self, path: str | Path, *, quota_bytes: int, policy: str = REJECT_NEW, lanes: Sequence[str] = LANES
    ) -> None:
        """Open the file `path`, and make it, and the directories above it, where there is none.

        `quota_bytes` bounds the events that wait, with their ids and 64 bytes for each; the file takes at most twice
        that and 16 MiB. `policy` says what happens at the quota: `reject_new` or `drop_oldest`. `lanes` are most urgent
        first. Raises `RunFailed`: `run_conflict` where another process (or this one) has it open, `input_broken` for a
        file that is no outbox, a newer one's or a corrupt one, `storage_failed`; `ValueError` for arguments.
        """
        if quota_bytes <= 0 or policy not in POLICIES or not lanes or len(set(lanes)) != len(lanes):
            raise ValueError(f"no outbox has quota_bytes={quota_bytes}, policy={policy!r}, lanes={tuple(lanes)}")
        self.path, self.policy, self.quota_bytes = Path(path), policy, quota_bytes
        self._mutex = threading.Lock()
        self._arrived = threading.Event()
        self._closed = False
        self._broken: str | None = None
        self._commit = GroupCommit(self._store)
        self._file = QueueFile(self.path, writer=True, max_bytes=2 * quota_bytes + _FILE_SLACK)
        self.id = self._file.id
        """32 hex digits, made with the file; `renew` alone gives it another."""
        try:
            self._order: list[str] = []
            self._lanes: dict[str, LaneState] = {}
            self._read_lanes()
            new = [name for name in lanes if name not in self._lanes]
            if new:
                self._change(lambda states: self._add_lanes(states, new))
            # A lane that was given up keeps what lies in it, and comes last.
            self._order = [*lanes, *(name for name in self._lanes if name not in lanes)]
        except BaseException:
            self._file.close()
            raise

    @property
    def lanes(self) -> tuple[str, ...]:
        """The lanes' names, most urgent first."""
        return tuple(self._order)

    def append(
        self, lane: str, events: Sequence[tuple[str, bytes]], parts: Sequence[tuple[bytes, int]] = ()
    ) -> list[int]:
        """Store events `(id, body)`, all or none; their numbers, once they are on the disk.

        A body is a JSON object in UTF-8 on one line without the members `seq` and `id`, as `fivefold.edge.sync`'s
        `event_bodies` makes it. `parts` are keys (`append_keys`), each with how many of the events are its; a key that
        was here before, for as many, gives the numbers of then and stores nothing. No key stands there twice.

        Raises `RunFailed(storage_failed)` (HTTP 507) where the quota or the disk is full: nothing of them is kept;
        `ContractError(too_large)` for a body of more than `MAX_BODY_BYTES`; `ValueError` for an unknown lane and for a
        body that is no object on one line.
        """
        self._lane(lane)
        for id, body in events:
            if not 0 < len(id) <= 64 or not id.isprintable() or not id.isascii():
                raise ValueError(f"{id!r} is no id: expected 1 to 64 printable characters")
            if body[:1] != b"{" or body[-1:] != b"}" or b"\n" in body:
                raise ValueError(f"the body of {id} is no JSON object on one line")
            if len(body) > MAX_BODY_BYTES:
                raise ContractError(
                    "too_large", f"expected an event of at most {MAX_BODY_BYTES} bytes, got {len(body)}"
                )
        if not events:
            return []
        seqs = self._commit.submit(Append(lane, events, parts))
        self._arrived.set()
        return seqs

    def pending(self, lane: str, most: int, max_bytes: int) -> list[Stored]:
        """The oldest that waits, contiguous, at most so many and of so many bytes, but one at least where one waits.

        An event that cannot be read any more is replaced by a gap record (`corrupt`) first.
        """
        self._lane(lane)
        while True:
            with self._reading():
                found, unreadable = self._read(self._lanes[lane], most, max_bytes)
            if not unreadable:
                return found
            self._change(partial(self._cover, lane, unreadable))

    def mark_sent(self, lane: str, through: int) -> None:
        """Note, before they are sent, that a hub may see the numbers up to `through`."""
        self._lane(lane)

        def note(states: dict[str, LaneState]) -> None:
            state = states[lane]
            if through >= state.next:
                raise ValueError(f"{through} was never given to an event of {lane}")
            state.sent = max(state.sent, through)

        if through > self._lanes[lane].sent:
            self._change(note, spare=True)

    def ids(self, lane: str, seq: int) -> set[str]:
        """The ids under which a hub may have a number: what stands there, or stood there when it was sent; empty where
        that is not known any more."""
        with self._reading():
            return lane_rows.line_ids(self._file.db, self._lane(lane), seq)

    def ack(self, lane: str, through: int, id: str = "") -> int:
        """Forget what the hub has, up to `through`; how many events that were.

        `id` is that of the hub's line there, where the hub has said it and it is one of `ids`. Raises `ValueError` for
        more than was marked as sent: nobody can have that.
        """
        self._lane(lane)

        def forget(states: dict[str, LaneState]) -> int:
            state = states[lane]
            if through > state.sent:
                raise ValueError(f"{through} of {lane} was never sent")
            return gap_rows.forget(self._file.db, state, through, id)

        # A power cut may take this back: the hub says it again when it is asked.
        return self._change(forget, spare=True, lazy=True) if through > self._lanes[lane].acked else 0

    def stop(self, lane: str, code: str, acked_through: int) -> None:
        """Have nothing sent of a lane until somebody consents to go on: `hub_behind`, `hub_invalid` or `outbox_copied`,
        and what the hub has said. Everything is kept."""
        self._lane(lane)

        def note(states: dict[str, LaneState]) -> None:
            states[lane].stop = LaneStop(code, min(max(acked_through, 0), 2**63 - 1), _now_ms())

        self._change(note, spare=True)

    def stopped(self, lane: str) -> LaneStop | None:
        """Why nothing is sent of a lane, None where it is."""
        return self._lane(lane).stop

    def consented(self, lane: str) -> bool:
        """Whether somebody has consented that a stopped lane goes on (`inspection.resume`)."""
        with self._reading():
            rows = self._file.db.execute("SELECT 1 FROM consents WHERE lane = ?", (self._lane(lane).index,)).fetchall()
        return bool(rows)

    def renew(self) -> None:
        """Go on under another id, as an outbox that no hub has seen: for one that turned out to be a copy.

        Everything that waits keeps its number; the numbers before it are covered by gap records of no events, for they
        are at the hub under the id before. All lanes go on, and consents are used up.
        """

        def anew(states: dict[str, LaneState]) -> None:
            self._file.db.execute("DELETE FROM consents")
            self._file.renew()
            for state in states.values():
                gap_rows.begin_anew(self._file.db, state, _now_ms())

        self._change(anew)
        with self._reading():
            self.id = self._file.id = self._file.read_id()
        self._arrived.set()

    def resume(self, lane: str, acked_through: int, id: str = "") -> Stored | None:
        """Let a stopped lane go on from what the hub says now that it has; the consent is used up.

        `id` is that of the hub's last line, where it is known.

        What the hub had and has lost, and numbers that the hub has taken from somewhere else, become a gap record
        `hub_lost`, which is given back; None where the hub is right again, or the lane was not stopped.
        Raises `RunFailed(run_conflict)` for a number so high that there is no way on.
        """
        self._lane(lane)

        def go_on(states: dict[str, LaneState]) -> Stored | None:
            state = states[lane]
            self._file.db.execute("DELETE FROM consents WHERE lane = ?", (state.index,))
            if state.stop is None:
                return None
            state.stop = None
            return gap_rows.accept_loss(self._file.db, state, acked_through, id, _now_ms(), self.path)

        try:
            gap = self._change(go_on)
        except RunFailed as err:
            if err.code == "run_conflict":
                index = self._lane(lane).index
                self._change(lambda _: self._file.db.execute("DELETE FROM consents WHERE lane = ?", (index,)))
            raise
        self._arrived.set()
        return gap

    def wait(self, seconds: float) -> bool:
        """Wait until something was appended since the last call, or so long; whether something was. For one thread."""
        woken = self._arrived.wait(seconds)
        self._arrived.clear()
        return woken

    def wake(self) -> None:
        """End a `wait`."""
        self._arrived.set()

    def status(self) -> OutboxStatus:
        """How it stands: counts, bytes, the oldest, gaps."""
        with self._mutex:
            states = [self._lanes[name] for name in self._order]
            oldest: list[int | None] = [None for _ in states]
            if self._broken is None and not self._closed:
                with contextlib.suppress(apsw.Error):
                    oldest = [lane_rows.oldest_ms(self._file.db, state) if state.events else None for state in states]
            return OutboxStatus(
                id=self.id,
                path=str(self.path),
                policy=self.policy,
                quota_bytes=self.quota_bytes,
                used_bytes=sum(state.bytes for state in states),
                lanes=tuple(state.status(at) for state, at in zip(states, oldest)),
                broken=self._broken,
            )

    def close(self) -> None:
        """Close the file; appends that come later, or still wait, are refused. A second time does nothing."""
        with self._mutex:
            if not self._closed:
                self._closed = True
                self._file.close()
        self._arrived.set()

    def __enter__(self) -> Outbox:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _lane(self, lane: str) -> LaneState:
        state = self._lanes.get(lane)
        if state is None:
            raise ValueError(f"no lane {lane!r} in this outbox: {', '.join(self._order)}")
        return state

    def _read_lanes(self) -> None:
        with self._file.failing():
            self._lanes = {state.name: state for state in lane_rows.read_lanes(self._file.db, self.path)}
        self._order = [*(name for name in self._order if name in self._lanes), *(set(self._lanes) - set(self._order))]

    def _add_lanes(self, states: dict[str, LaneState], names: Sequence[str]) -> None:
        for name in names:
            states[name] = LaneState(index=max((each.index for each in states.values()), default=0) + 1, name=name)

    def _usable(self) -> None:
        if self._closed:
            raise RunFailed("storage_failed", "the outbox is closed", path=str(self.path))
        if self._broken is not None:
            raise RunFailed(
                "storage_failed",
                f"{self._broken}, and was not opened again since",
                path=str(self.path),
                help="look at the disk, then start again: what was accepted is on it",
            )

    @contextlib.contextmanager
    def _reading(self) -> Iterator[None]:
        with self._mutex:
            self._usable()
            try:
                yield
            except apsw.Error as err:
                raise self._failed(err) from err

    def _failed(self, err: apsw.Error) -> RunFailed:
        failed = as_run_failed(err, self.path)
        if not is_full(err) and not isinstance(err, apsw.BusyError):
            # What a failed synchronisation has left on the disk is not known until the file is opened anew.
            self._broken = failed.message
        return failed

    def _read(self, lane: LaneState, most: int, max_bytes: int) -> tuple[list[Stored], list[tuple[int, int]]]:
        """What waits, and the ranges of numbers between in which nothing can be read."""
        found: list[Stored] = []
        unreadable: list[tuple[int, int]] = []
        expected, left, rows = lane.acked + 1, max_bytes, 0
        with contextlib.closing(lane_rows.select_rows(self._file.db, lane, expected, most)) as selected:
            for row in selected:
                rows += 1
                stored = lane_rows.stored_of(lane, row)
                if stored is None or stored.first > expected:
                    unreadable.append((expected, lane.seq(row[0]) if stored is None else stored.first - 1))
                if stored is not None:
                    left -= lane_rows.row_bytes(stored.id, stored.body)
                    if left < 0 and found:
                        return found, unreadable
                    found.append(stored)
                expected = lane.seq(row[0]) + 1
        if rows < most and expected < lane.next:
            unreadable.append((expected, lane.next - 1))
        return found, unreadable

    def _cover(self, lane: str, unreadable: Sequence[tuple[int, int]], states: dict[str, LaneState]) -> None:
        gap_rows.cover_corrupt(self._file.db, states[lane], unreadable, _now_ms())

    def _store(self, group: list[Append]) -> None:
        """Store a group of appends; the quota decides about each of them alone."""
        rules = Quota(self.quota_bytes, self._order, drop_oldest=self.policy == DROP_OLDEST, path=self.path)
        self._change(lambda states: store_group(self._file.db, states, group, rules, _now_ms()))

    def _change(self, work: Callable[[dict[str, LaneState]], T], *, spare: bool = False, lazy: bool = False) -> T:
        """Do something in one transaction, on copies of the lanes' rows, which then are the lanes'.

        `spare`: on a full disk it may use the reserve. `lazy`: it reaches the disk with the next transaction.
        """
        with self._mutex:
            try:
                self._usable()
                if lazy:
                    with self._file.unsynchronised():
                        out = self._changed(work)
                else:
                    out = self._changed(work)
            except RunFailed as err:
                if not spare or not is_full(err.__cause__):
                    raise
                self._file.make_room()
                return self._changed(work)
            if spare:
                self._file.keep_reserve()
            return out

    def _changed(self, work: Callable[[dict[str, LaneState]], T]) -> T:
        states = {name: replace(state) for name, state in self._lanes.items()}
        try:
            with self._file.transaction():
                out = work(states)
                for name, state in states.items():
                    if state != self._lanes.get(name):
                        lane_rows.write_lane(self._file.db, state)
        except apsw.Error as err:
            raise self._failed(err) from err
        except BaseException as err:
            if not isinstance(err, Exception):
                # It may have come after the commit.
                self._read_lanes()
            raise
        self._lanes = states
        return out


def _now_ms() -> int:
    return time.time_ns() // 1_000_000
