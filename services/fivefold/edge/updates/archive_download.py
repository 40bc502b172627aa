"""An archive onto the device's disk, chunk by chunk, each held against its hash before the next one is asked for.

A download that breaks off goes on behind the last good chunk, in this process or a later one, after a look at the
chunks that are there. A chunk that is not what the release says is asked for again, and after `ATTEMPTS` without a good
one the download ends; nothing of it is served. Where the bytes come from is left to `release_source`.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import IO, Final

from fivefold.core.errors import BundleInvalid, FivefoldError, RunFailed, Unavailable
from fivefold.edge.updates.descriptor import ARCHIVE, ArchiveChunks
from fivefold.edge.updates.device_models import storage_failed

ATTEMPTS: Final = 4
"""Requests in a row that bring no good chunk."""

LONGEST_PAUSE: Final = 30.0
"""Seconds; a server that asks for more is asked again at the next look for releases."""

RESERVE: Final = 64 << 20
"""Bytes that a download leaves free on the disk: events that wait for the network lie on it too."""


def download_archive(
    chunks: ArchiveChunks,
    part: Path,
    bytes_from: Callable[[int], Iterator[bytes]],
    *,
    reserve: int = RESERVE,
    pause: Callable[[float], None],
    check: Callable[[], None] = lambda: None,
) -> None:
    """Complete the file `part`, of chunks that are each the release's.

    `bytes_from` gives the archive's bytes from an offset on, and may break off with `Unavailable`. `pause` waits so
    many seconds before another attempt; `check` is called between pieces, and what it raises ends the download. Raises
    `Unavailable` where the bytes do not come, `BundleInvalid` where they are others, and `RunFailed` where the disk has
    no room, and then leaves none of it there.
    """
    try:
        _complete(chunks, part, bytes_from, reserve, pause, check)
    except OSError as err:
        # Events that wait for the network need the room more.
        with contextlib.suppress(OSError):
            part.unlink(missing_ok=True)
        raise storage_failed(part, err) from err


def _complete(
    chunks: ArchiveChunks,
    part: Path,
    bytes_from: Callable[[int], Iterator[bytes]],
    reserve: int,
    pause: Callable[[float], None],
    check: Callable[[], None],
) -> None:
    with os.fdopen(os.open(part, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600), "r+b") as file:
        done = _good(chunks, file, check)
        failed = 0
        while done < len(chunks.chunks):
            check()
            _check_room(part, chunks.size - done * chunks.chunk_bytes, reserve)
            before = done
            problem: FivefoldError | None = None
            try:
                for chunk in _cut(chunks, done, bytes_from(done * chunks.chunk_bytes), check):
                    file.write(chunk)
                    done += 1
            except (Unavailable, BundleInvalid) as err:
                problem = err
            file.flush()
            if done == len(chunks.chunks):
                break
            failed = 0 if done > before else failed + 1
            problem = problem or Unavailable("not_ready", "the archive ended before its end")
            if failed >= ATTEMPTS or (problem.retry_after or 0) > LONGEST_PAUSE:
                raise problem
            pause(problem.retry_after or 0.1 * 2**failed)
        os.fsync(file.fileno())


def _good(chunks: ArchiveChunks, file: IO[bytes], check: Callable[[], None]) -> int:
    """How many chunks from the start are there and good; what is behind them is cut off."""
    count = 0
    for index, wanted in enumerate(chunks.chunks):
        check()
        data = file.read(chunks.chunk_size(index))
        if len(data) < chunks.chunk_size(index) or hashlib.sha256(data).hexdigest() != wanted:
            break
        count = index + 1
    file.seek(min(count * chunks.chunk_bytes, chunks.size))
    file.truncate()
    return count


def _cut(chunks: ArchiveChunks, first: int, pieces: Iterator[bytes], check: Callable[[], None]) -> Iterator[bytes]:
    """Whole chunks from `first` on, each of them good; raises `BundleInvalid` at one that is not."""
    held = bytearray()
    index = first
    for piece in pieces:
        check()
        held += piece
        while index < len(chunks.chunks) and len(held) >= chunks.chunk_size(index):
            size = chunks.chunk_size(index)
            chunk = bytes(held[:size])
            got = hashlib.sha256(chunk).hexdigest()
            if got != chunks.chunks[index]:
                raise BundleInvalid(f"chunk {index}: expected sha256 {chunks.chunks[index]}, got {got}", path=ARCHIVE)
            yield chunk
            del held[:size]
            index += 1
        if index == len(chunks.chunks):
            return


def _check_room(part: Path, needed: int, reserve: int) -> None:
    free = shutil.disk_usage(part.parent).free
    if free < needed + reserve:
        raise RunFailed(
            "storage_failed",
            f"the archive needs {needed:,} more bytes beside a reserve of {reserve:,}, and {free:,} are free",
            path=str(part),
            help="make room on the device's disk; the download goes on by itself",
        )
