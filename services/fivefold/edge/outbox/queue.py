"""The outbox of a device: what it has accepted, on its disk, in the order in which it was accepted.

An append is on the disk when it returns (write-ahead log, full synchronisation); appends of many threads share one
transaction. Who sends what lies here, and what a hub says of it, is `fivefold.edge.sync`'s.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from fivefold.edge.outbox.stored import LANES, OutboxStatus, Stored


class Outbox:
    """A durable queue with lanes, for any number of threads of one process.

    `with Outbox(path, quota_bytes=...)` closes it. All methods raise `RunFailed(storage_failed)` where the disk fails.
    """

    id: str
    """32 hex digits, made with the file."""

    def __init__(
        self, path: str | Path, *, quota_bytes: int, policy: str = "reject_new", lanes: Sequence[str] = LANES
    ) -> None:
        """Open the file `path`, and make it, and the directories above it, where there is none.

        `policy` says what happens at the quota: `reject_new` or `drop_oldest`. `lanes` are most urgent first.
        Raises `RunFailed(run_conflict)` where another process (or this one) has it open, `BundleInvalid` for a file
        that is no outbox, a newer one's or a corrupt one, `RunFailed(storage_failed)`, `ValueError` for arguments.
        """
        raise NotImplementedError

    def append(self, lane: str, events: Sequence[tuple[str, bytes]]) -> list[int]:
        """Store events `(id, body)`, all or none; their numbers, once they are on the disk.

        A body is a JSON object in UTF-8 without the members `seq` and `id`, made by `fivefold.edge.sync.event_body`.
        Raises `RunFailed(storage_failed)` (HTTP 507) where the quota or the disk is full: nothing of them is kept;
        `ContractError(too_large)` for a body of more than `MAX_BODY_BYTES`; `ValueError` for an unknown lane.
        """
        raise NotImplementedError

    def pending(self, lane: str, most: int, max_bytes: int) -> list[Stored]:
        """The oldest that waits, contiguous, at most so many and of so many bytes, but one at least where one waits.

        An event that cannot be read any more is replaced by a gap record (`corrupt`) first.
        """
        raise NotImplementedError

    def mark_sent(self, lane: str, through: int) -> None:
        """Note, before they are sent, that a hub may see the numbers up to `through`."""
        raise NotImplementedError

    def ack(self, lane: str, through: int) -> int:
        """Forget what the hub has, up to `through`; how many events that were. Never more than was marked as sent."""
        raise NotImplementedError

    def stop(self, lane: str, code: str, acked_through: int) -> None:
        """Keep everything of a lane, and have nothing sent of it until `resume`: `hub_behind` or `hub_invalid`."""
        raise NotImplementedError

    def resume(self, lane: str) -> Stored | None:
        """Let a stopped lane go on, at the price of what the hub has lost: the gap record that says so.

        None where the lane was not stopped.
        """
        raise NotImplementedError

    def wait(self, seconds: float) -> bool:
        """Wait until something was appended since the last call, or so long; whether something was."""
        raise NotImplementedError

    def wake(self) -> None:
        """End a `wait`, whoever waits."""
        raise NotImplementedError

    def status(self) -> OutboxStatus:
        """How it stands: counts, bytes, the oldest, gaps."""
        raise NotImplementedError

    def close(self) -> None:
        """Close the file; what is waiting to be stored is stored first. A second time does nothing."""
        raise NotImplementedError

    def __enter__(self) -> Outbox:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()
