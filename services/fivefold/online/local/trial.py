"""Follows a process that opens bundles (`opening`), and says what it has found, or why nothing of it may be served.

A model that hangs, holds the interpreter's lock, crashes or exits costs that process alone. What is done with bundles
that can be served is left to who asks.
"""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from fivefold.core.bundle.manifest import MODEL_DIRECTORY
from fivefold.core.errors import BundleInvalid
from fivefold.local import processes
from fivefold.online.local import opening
from fivefold.online.local.child import Child, Ended


class TrialFailed(Exception):
    """What was asked for cannot be served, for a reason that is no bundle's own; the message says which."""


@dataclass(frozen=True, slots=True)
class Tried:
    """What can be served: the announcement of it, name, version and bundle of each model in their order, the contracts
    (as `Live.to_json`), and what callers of the models before it lose, one sentence each."""

    text: str
    models: list[dict[str, str]]
    served: dict[str, Any]
    changes: list[str]

    @property
    def digests(self) -> list[str]:
        """The bundles' digests, in the order of their references."""
        return [model["bundle"] for model in self.models]


def try_bundles(
    order: opening.OpeningOrder,
    log: Path,
    environment: Mapping[str, str],
    seconds: float,
    *,
    wake: int,
    turn: Callable[[], None],
) -> Tried:
    """Open bundles in a process of their own; each model may take `seconds`, and what it prints goes to `log`.

    `turn` is called at least once a second and whenever the descriptor `wake` can be read; what it raises ends the
    trial. Raises what the bundles are refused for, `BundleInvalid` for a model that hangs or ends the process, and
    `TrialFailed`.
    """
    trial = Child("fivefold.online.local.opening", log, environment)
    try:
        trial.order(order.to_json())
        return _follow(trial, seconds, wake, turn)
    finally:
        _end(trial)


def _follow(trial: Child, seconds: float, wake: int, turn: Callable[[], None]) -> Tried:
    model, until = "", None
    while True:
        try:
            report = trial.report(until, wake, turn)
        except Ended:
            if not model:
                raise TrialFailed(f"the bundles could not be opened{trial.output()}") from None
            raise BundleInvalid(
                f"the model {model!r} ended the process that loaded and tested it ({trial.how()})",
                path=MODEL_DIRECTORY,
                help=f"it printed{trial.output()}" if trial.output() else None,
            ) from None
        if report is None:
            from fivefold.core.runtime.scorer import took_too_long

            raise took_too_long(model, seconds)
        match report["event"]:
            case opening.FETCHING:
                until = None
            case opening.TESTING:
                # Who holds the interpreter's lock keeps the other side from saying so itself.
                model, until = report["model"], time.monotonic() + seconds + 1
            case opening.REFUSED:
                raise opening.error_of(report["error"])
            case opening.UNUSABLE:
                raise TrialFailed(report["error"])
            case opening.DONE:
                return Tried(report["text"], report["models"], report["served"], report["changes"])


def _end(trial: Child) -> None:
    """End the process with all that a model has started in it."""
    pids = [trial.process.pid, *processes.descendants(trial.process.pid)]
    for pid in pids if trial.process.poll() is None else ():
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.kill(pid, signal.SIGKILL)
    # One in the middle of reading from a disk that hangs is killed when that ends.
    with contextlib.suppress(subprocess.TimeoutExpired):
        trial.process.wait(5)
    trial.close()
