"""A worker's slot: a name that no other living worker of its group has, and that it has again after a restart.

Kafka ends what a dead worker has begun when its successor comes with the same transactional id; without one, readers of
committed events wait until the transaction's time is up. In a StatefulSet the slot is the pod's name; on one machine it
is the first number that nobody holds.
"""

from __future__ import annotations

import fcntl
import hashlib
import os
import socket
import tempfile
from pathlib import Path
from typing import IO

MOST = 1024


class Slot:
    """A slot that is held until `close`, or until the process ends in any way."""

    def __init__(self, group: str, name: str = "", directory: str | Path | None = None) -> None:
        """`name` is taken as it is; without one, the first free number of this machine for the group."""
        self._held: IO[str] | None = None
        if name:
            self.name = name
            return
        home = Path(directory or Path(tempfile.gettempdir()) / f"fivefold-slots-{os.getuid()}")
        home.mkdir(mode=0o700, exist_ok=True)
        if home.lstat().st_uid != os.getuid():
            raise OSError(f"{home} is somebody else's")
        digest = hashlib.sha256(group.encode()).hexdigest()[:16]
        for number in range(MOST):
            file = (home / f"{digest}.{number}").open("w")
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except OSError:
                file.close()
                continue
            self._held = file
            self.name = f"{socket.gethostname()}.{number}"
            return
        raise OSError(f"more than {MOST} workers of the group {group!r} on this machine")

    def close(self) -> None:
        """Let go of it."""
        if self._held is not None:
            self._held.close()
