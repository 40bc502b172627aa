"""The stages in which Ray starts, and what is said and kept of a start that fails.

The run's directory goes with the run; the last of each of Ray's logs is put elsewhere before that. Starting, and trying
again, is `lifecycle`'s.
"""

from __future__ import annotations

import contextlib
import os
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Final

from fivefold.online.local.child import Child, Ended

AGAIN: Final = {"Ray": 60.0, "Ray Serve": 90.0}
"""What is started first, one after the other, and how many seconds each may take. One that fails is tried once more: no
model has a part in it."""

LAST: Final = "replicas and HAProxy"
LAST_SECONDS: Final = 120.0
"""What is started then; it loads the models, too."""

NEEDS: Final = "about 11 processes and 0.9 GB of memory"
"""What a run takes of its machine, as measured with one replica of the demo model."""

KEPT_BYTES: Final = 1024 * 1024
"""Of the end of each log."""


class RayFailed(Exception):
    """Ray, Serve or a replica did not start, or ended by itself; the message says what it said."""


def stages(models_seconds: float) -> dict[str, float]:
    """All stages in their order, and how many seconds each may take; the models need so many."""
    return AGAIN | {LAST: LAST_SECONDS + models_seconds}


def await_stage(
    ray: Child, stage: str, seconds: float, wake: int, *, starting: Callable[[], None], turn: Callable[[], None]
) -> None:
    """Wait until the process that holds Ray says that a stage of the start has ended. Raises `RayFailed`, and what
    `starting` raises, which is called as by `Child.report`."""
    try:
        report = ray.report(time.monotonic() + seconds, wake, starting)
    except Ended:
        raise RayFailed(f"the server could not start{ray.output()}") from None
    except RayFailed:
        # One that gives up says why, and then ends what it has started.
        with contextlib.suppress(Ended):
            late = ray.report(time.monotonic() + 1, wake, turn)
            if late is not None and late["event"] == "failed":
                raise RayFailed(late["error"]) from None
        raise
    if report is None:
        raise RayFailed(f"{stage} did not start within {seconds:g} seconds{ray.output()}")
    if report["event"] == "failed":
        raise RayFailed(report["error"])


def explained(why: str, directory: Path) -> str:
    """The sentences for a Ray that did not start twice: why, what there is without it, where its logs are now."""
    kept = keep_logs(directory)
    logs = f"; Ray's logs are in {kept}" if kept else ""
    return (
        f"{why}\nhelp: that was the second try. A run needs {NEEDS}; where a machine is busy or short of memory, "
        f"fivefold serve --dev does without Ray{logs}"
    )


def keep_logs(directory: Path) -> Path | None:
    """Put the logs of a run where they stay, and say where; None where there are none, or they cannot be kept."""
    with contextlib.suppress(OSError):
        logs = [*directory.glob("ray/session_*/logs/**/*"), directory / "ray_process.log"]
        logs = [path for path in logs if path.is_file() and not path.is_symlink() and path.stat().st_size]
        if logs:
            # For this user alone: they may quote references.
            place = Path(tempfile.mkdtemp(prefix="fivefold-ray-logs-"))
            for path in logs:
                _copy_end(path, place / path.name)
            return place
    return None


def _copy_end(source: Path, target: Path) -> None:
    with source.open("rb") as file:
        file.seek(max(0, os.fstat(file.fileno()).st_size - KEPT_BYTES))
        target.write_bytes(file.read(KEPT_BYTES))
