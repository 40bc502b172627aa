"""A sample of real requests, kept in a file: JSON lines `{"contract": "NAME@VERSION", "inputs": record}`.

What was answered is offered row by row, under the caller's contract version, and a reservoir (Vitter's algorithm R)
keeps each row with the same chance, however many come: at most `record_rows` lines, `MOST_BYTES` of them. The event
loop only draws, and copies the few rows that were drawn; a thread redacts, encodes and writes them. The file appears
whole, every `SECONDS` at most, and is its owner's alone. A recorder that cannot keep up, or not write, drops what comes
and says so once in the log; no request ever waits for it.

Reading such files is left to `fivefold.behaviour` and `fivefold check --traffic`.
"""

from __future__ import annotations

import contextlib
import json
import logging
import os
import queue
import random
import re
import socket
import threading
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np

from fivefold.core import atomic
from fivefold.core.settings import SettingsError
from fivefold.core.telemetry import describe, log
from fivefold.serving.redaction import Redaction
from fivefold.serving.scheduler import Scheduler

if TYPE_CHECKING:
    from collections.abc import Iterable

    from fivefold.core.columns import Columns
    from fivefold.core.view import View, Views
    from fivefold.serving.limits import ServingLimits
    from fivefold.serving.steps import InferenceSteps

T = TypeVar("T")

SECONDS = 5.0
"""Between two writings of the file."""

MOST_BYTES = 64 * 1024 * 1024
"""What the lines of one process hold together; beyond it those that were kept longest give way."""

LINE_BYTES = 1024 * 1024
"""A longer line is dropped."""

PENDING_BYTES = 16 * 1024 * 1024
"""What may wait for the thread."""

LOOKED_AT = 1024
"""Rows of one request that are offered: of a larger one so many, evenly spread."""

_FIRST = np.zeros(1, np.int64)


class Recorder:
    """Keeps a sample of rows. One event loop offers; nothing here raises after the constructor."""

    def __init__(self, path: str | Path, models: Iterable[Views], *, share: float, rows: int, redact: Iterable[str]):
        """`share` of all rows is offered to a sample of `rows`. Raises `SettingsError` for a field that cannot be
        redacted."""
        self.path = own_path(Path(path))
        self._redaction = Redaction(models, redact)
        self._share, self._rows = share, rows
        self._seen = 0
        self._random = random.Random()  # noqa: S311  # no secret
        self._draws = np.random.default_rng()
        self._queue: queue.SimpleQueue[tuple[list[int], View, Columns, int] | None] = queue.SimpleQueue()
        self._pending = 0
        self._lock = threading.Lock()
        self._kept: dict[int, bytes] = {}
        self._bytes = 0
        self._told: set[str] = set()
        self._thread = threading.Thread(target=self._run, name="fivefold-record", daemon=True)
        self._thread.start()

    @classmethod
    def of(cls, settings: ServingLimits, models: Iterable[Views]) -> Recorder | None:
        """The recorder that the settings ask for, if they do."""
        if not settings.record:
            return None
        return cls(
            settings.record,
            models,
            share=settings.record_sample,
            rows=settings.record_rows,
            redact=settings.record_redact,
        )

    def offer(self, view: View, columns: Columns) -> None:
        """The rows of a request that was answered, as its caller sent them."""
        try:
            places, slots = self._drawn(columns.rows)
            if not slots:
                return
            taken = columns.take(places)
            size = _size(taken)
            with self._lock:
                if self._pending + size > PENDING_BYTES:
                    raise BufferError("requests come faster than they are written down")
                self._pending += size
            self._queue.put((slots, view, taken, size))
        except Exception as error:
            self._tell(error)

    def follow(self, models: Iterable[Views]) -> None:
        """Record for models that take the place of those before. Raises `SettingsError`; then nothing has changed."""
        self._redaction = self._redaction.following(models)

    def close(self) -> None:
        """Write what is kept, and end."""
        self._queue.put(None)
        self._thread.join(SECONDS)

    def _drawn(self, rows: int) -> tuple[np.ndarray[Any, np.dtype[np.int64]], list[int]]:
        """Which rows are kept, and each in whose place."""
        if rows == 1:
            if self._share < 1 and self._random.random() >= self._share:
                return _FIRST, []
            slot = self._slot()
            return _FIRST, [slot] if slot >= 0 else []
        looked = np.arange(rows) if rows <= LOOKED_AT else np.linspace(0, rows - 1, LOOKED_AT).astype(np.int64)
        if self._share < 1:
            looked = looked[self._draws.random(len(looked)) < self._share]
        seen = self._seen + np.arange(len(looked))
        self._seen += len(looked)
        drawn = np.where(seen < self._rows, seen, self._draws.integers(0, seen + 1)) if len(seen) else seen
        kept = drawn < self._rows
        return looked[kept], drawn[kept].tolist()

    def _slot(self) -> int:
        """The place of one more row; -1: none."""
        seen, self._seen = self._seen, self._seen + 1
        slot = seen if seen < self._rows else self._random.randrange(seen + 1)
        return slot if slot < self._rows else -1

    def _run(self) -> None:
        written = time.monotonic()
        changed = False
        while True:
            wait = max(0.0, written + SECONDS - time.monotonic()) if changed else None
            try:
                item = self._queue.get(timeout=wait)
            except queue.Empty:
                self._write()
                written, changed = time.monotonic(), False
                continue
            if item is None:
                break
            try:
                self._keep(*item)
            except Exception as error:
                self._tell(error)
            changed = True
            if time.monotonic() - written >= SECONDS:
                self._write()
                written, changed = time.monotonic(), False
        if changed:
            self._write()

    def _keep(self, slots: list[int], view: View, columns: Columns, size: int) -> None:
        with self._lock:
            self._pending -= size
        for slot, record in zip(slots, self._redaction.apply(view, columns.to_records()), strict=True):
            try:
                # JSON has no NaN, and null would be another value.
                text = json.dumps({"contract": view.name, "inputs": record}, ensure_ascii=False, allow_nan=False)
                line = text.encode() + b"\n"
                if len(line) > LINE_BYTES:
                    raise ValueError(f"a record of more than {LINE_BYTES:,} bytes")
            except ValueError as error:
                self._tell(error)
                continue
            self._bytes += len(line) - len(self._kept.pop(slot, b""))
            self._kept[slot] = line
            while self._bytes > MOST_BYTES:
                self._bytes -= len(self._kept.pop(next(iter(self._kept))))

    def _write(self) -> None:
        try:
            atomic.replace_file(self.path, b"".join(self._kept.values()), mode=0o600)
        except OSError as error:
            self._tell(error)

    def _tell(self, error: Exception) -> None:
        """Log what keeps rows from the file, each kind of it once."""
        kind = type(error).__name__
        if kind in self._told:
            return
        self._told.add(kind)
        with contextlib.suppress(Exception):
            line = {"event": "recording", "pattern": "online", "path": str(self.path)}
            log(logging.WARNING, line | describe(error) | {"error": f"requests are not recorded: {error}"})


class RecordingScheduler(Scheduler):
    """Offers every request that it has answered to a recorder."""

    def __init__(self, recorder: Recorder, *rest: Any) -> None:
        super().__init__(*rest)
        self._recorder = recorder

    async def run(self, inference: InferenceSteps[Any, T]) -> T:
        answer = await super().run(inference)
        self._recorder.offer(inference.view, inference.request.reading.columns)
        return answer


def own_path(path: Path) -> Path:
    """The file of this process: replicas that were given one path do not write over each other."""
    host = re.sub(r"[^A-Za-z0-9.\-]", "-", socket.gethostname())
    return path.with_name(f"{path.stem}.{host}-{os.getpid()}{path.suffix}")


def check_recording(settings: ServingLimits, models: Iterable[Views]) -> None:
    """Raise `SettingsError` for a recorder that could not write, or not redact."""
    if not settings.record:
        return
    directory = Path(settings.record).parent
    if not directory.is_dir() or not os.access(directory, os.W_OK):
        raise SettingsError(f"record: there is no directory {directory} that can be written to")
    Redaction(models, settings.record_redact)


def _size(columns: Columns) -> int:
    """About what the columns hold, in bytes."""
    size = 0
    for array in columns.values():
        size += array.nbytes
        if array.dtype == object:
            size += sum(len(value) for value in array.ravel().tolist())
    return size
