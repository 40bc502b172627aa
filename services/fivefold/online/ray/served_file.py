"""What the replicas of a local run serve, as a file in the run's directory: replicas that start read it, and go by it.

The run writes it, one turn after the other, and tells Ray Serve of the turn (`user_config`); each replica goes over to
it while it answers, and says in a file of its own beside it whether it could. Which bundles are served, and whether
they may be, is left to the run.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Final

import msgspec

from fivefold.core import atomic

NAME: Final = "served.json"

TURN: Final = "turn"
"""What `user_config` says."""


class ServedBundles(msgspec.Struct, frozen=True, kw_only=True):
    """One turn: references of bundles, the digests that they had when they were tried, and default versions."""

    turn: int
    models: list[str]
    defaults: dict[str, str]
    digests: list[str]


class TurnReport(msgspec.Struct, frozen=True, kw_only=True):
    """What a replica says: the turn that it has come to, and why it has not gone over to it; empty: it has."""

    pid: int
    turn: int
    error: str = ""


class ServedFile:
    """The file and the reports beside it."""

    def __init__(self, path: str | Path) -> None:
        self.path = Path(path)

    def read(self) -> ServedBundles:
        """What is served. Raises `OSError` and `msgspec.MsgspecError`."""
        return msgspec.json.decode(self.path.read_bytes(), type=ServedBundles)

    def write(self, served: ServedBundles) -> None:
        """Have that served by whoever reads the file from now on. Raises `OSError`."""
        atomic.replace_file(self.path, msgspec.json.encode(served), mode=0o600)

    def report(self, turn: int, error: str = "") -> None:
        """Say as a replica that the turn has come here. Raises `OSError`."""
        report = TurnReport(pid=os.getpid(), turn=turn, error=error)
        atomic.replace_file(self.path.with_suffix(f".{report.pid}"), msgspec.json.encode(report), mode=0o600)

    def reports(self) -> list[TurnReport]:
        """What the replicas that live have said last."""
        return [
            msgspec.json.decode(path.read_bytes(), type=TurnReport)
            for path in self.path.parent.glob(f"{self.path.stem}.*")
            if path.suffix[1:].isdigit() and _lives(int(path.suffix[1:]))
        ]


def _lives(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        pass
    return True
