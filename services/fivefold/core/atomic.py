"""Writing to disk all or nothing: a file or a directory appears whole, or not at all, and stays after a power cut.

What the files mean, and which directories may be replaced, is left to the caller.
"""

from __future__ import annotations

import errno
import os
import stat
from collections.abc import Mapping
from pathlib import Path


def replace_file(path: Path, data: bytes, *, through: Path | None = None, mode: int = 0o666) -> None:
    """Write a file so that a reader sees the old bytes or the new ones, never a part.

    The unfinished file stands in the directory `through` (of the same disk), beside `path` where it is not given.
    `mode` is its permissions from the first byte on, before the process's mask.
    """
    part = (through or path.parent) / f".{path.name}.{os.urandom(6).hex()}.part"
    try:
        with os.fdopen(os.open(part, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode), "wb") as file:
            file.write(data)
        put_file(part, path)
    finally:
        part.unlink(missing_ok=True)


def put_file(finished: Path, path: Path) -> None:
    """Rename a finished file of the same disk to `path`, in place of an older one: its bytes are there before its name
    is, and both are when this returns. Raises `OSError`, also where `check_file` does."""
    check_file(path)
    with finished.open("rb") as file:
        os.fsync(file.fileno())
    finished.replace(path)
    sync_directory(path.parent)


def check_file(path: Path) -> None:
    """Raise `OSError` where `path` is a device, a pipe or a socket, or a name of the system's for one.

    To rename a file to /dev/null or /dev/stdout, which root may, would take it from every process of the machine.
    """
    try:
        mode = path.stat().st_mode
    except FileNotFoundError:
        mode = stat.S_IFREG
    # What /dev/stdout leads to may be a file, and what would be replaced is the link.
    named = Path(os.path.realpath(path.parent))
    if named in (_DEVICES, _DEVICES / "fd") or not (stat.S_ISREG(mode) or stat.S_ISDIR(mode)):
        raise OSError(errno.EINVAL, "expected a file to write, got a pipe, a socket or a device", str(path))


_DEVICES = Path("/dev")


def sync_directory(path: Path) -> None:
    """Have the names in a directory reach the disk, where its file system can do that. Raises `OSError`."""
    try:
        handle = os.open(path, os.O_RDONLY | os.O_DIRECTORY)
    except PermissionError:
        # It may be written to and not read.
        return
    try:
        os.fsync(handle)
    except OSError as err:
        if err.errno not in (errno.EINVAL, errno.ENOTSUP):
            raise
    finally:
        os.close(handle)


def replace_directory(target: Path, files: Mapping[str, bytes]) -> None:
    """Write a directory of files beside `target` and put it in its place; what stands there is removed.

    Paths in `files` are relative, with `/`. Two renames swap an older directory, so a reader in between finds nothing
    rather than a mixture. Raises `OSError`, and leaves the older one where it was.
    """
    target.parent.mkdir(parents=True, exist_ok=True)
    token = os.urandom(6).hex()
    part, old = (target.with_name(f".{target.name}.{token}.{word}") for word in ("part", "old"))
    try:
        for path, data in files.items():
            place = part / path
            place.parent.mkdir(parents=True, exist_ok=True)
            with place.open("xb") as file:
                file.write(data)
                file.flush()
                os.fsync(file.fileno())
        for directory in {part / parent for path in files for parent in Path(path).parents}:
            sync_directory(directory)
        if target.exists():
            target.rename(old)
        try:
            part.rename(target)
        except OSError:
            if old.exists():
                old.rename(target)
            raise
        sync_directory(target.parent)
    finally:
        _remove(part)
        _remove(old)


def _remove(directory: Path) -> None:
    if not directory.exists():
        return
    for entry in directory.iterdir():
        if entry.is_dir() and not entry.is_symlink():
            _remove(entry)
        else:
            entry.unlink()
    directory.rmdir()
