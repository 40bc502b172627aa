"""What the commands say of an outbox: how it stands, what lies in it, and how a stopped lane goes on.

`status` and `show` read a file that a running gateway has open; `resume` needs it for itself. Words and exit statuses
are the command's.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from fivefold.edge.outbox.stored import OutboxStatus, Stored


def status(path: str | Path) -> OutboxStatus:
    """How the outbox in a file stands. Raises `NotFound`, `BundleInvalid`, `RunFailed(storage_failed)`."""
    raise NotImplementedError


def show(path: str | Path, *, lane: str | None = None, first: int = 1, most: int | None = None) -> Iterator[Stored]:
    """What waits, lane by lane, oldest first, from a number on; nothing is changed. Raises as `status`."""
    raise NotImplementedError


def resume(path: str | Path, *, lane: str | None = None, accept_loss: bool = False) -> list[Stored]:
    """Let stopped lanes go on (or the one named): the gap records that say what it costs, empty where none is stopped.

    Raises `RunFailed(run_conflict)` without `accept_loss`, and while a gateway has the file open; and as `status`.
    """
    raise NotImplementedError
