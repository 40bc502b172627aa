"""Private directories for what a process keeps on disk while it lives.

One whose process was killed is removed by the next process that makes one in the same place. What lies in it is left to
its owner.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import shutil
import stat
import tempfile
from pathlib import Path

_LOCK = ".lock"
_SHORT = "fivefold-"


class Scratch:
    """A new directory, of mode 0700, locked as long as this object's process lives."""

    def __init__(self, home: Path, prefix: str = "") -> None:
        """Below `home`, which is made, with a name of eight characters after `prefix`. Raises `OSError`."""
        _sweep(home, prefix)
        while True:
            # Another process that ends or begins may remove the parent, or this one before it is locked.
            with contextlib.suppress(FileNotFoundError), contextlib.ExitStack() as undo:
                home.mkdir(parents=True, exist_ok=True)
                self.path = Path(tempfile.mkdtemp(prefix=prefix, dir=home))
                self._lock = undo.enter_context((self.path / _LOCK).open("wb"))
                fcntl.flock(self._lock, fcntl.LOCK_EX)
                if os.path.samestat((self.path / _LOCK).stat(), os.fstat(self._lock.fileno())):
                    undo.pop_all()
                    return

    def close(self) -> None:
        """Remove the directory and what is in it."""
        shutil.rmtree(self.path, ignore_errors=True)
        self._lock.close()


def short() -> Scratch:
    """A directory with a short path, for Ray: a socket's name may have 107 bytes, and Ray's take up to 99 of them after
    the parent's."""
    return Scratch(_short_home(), _SHORT)


def own_short() -> list[Path]:
    """The directories of `short` that processes of this user have made, and nobody else can look into."""
    found = []
    for path in sorted(_short_home().glob(f"{_SHORT}????????/")):
        with contextlib.suppress(OSError):
            about = path.lstat()
            if stat.S_ISDIR(about.st_mode) and about.st_uid == os.geteuid() and not about.st_mode & 0o077:
                found.append(path)
    return found


def _short_home() -> Path:
    preferred = tempfile.gettempdir()
    return Path(preferred if len(preferred) <= 8 else "/tmp")  # noqa: S108  # what is made in it is private


def _sweep(home: Path, prefix: str) -> None:
    """Remove the directories that nobody holds any more. One without a lock is not ours, or is being made."""
    with contextlib.suppress(FileNotFoundError):
        for old in home.glob(f"{prefix}????????/"):
            with contextlib.suppress(OSError), (old / _LOCK).open("rb+") as lock:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
                shutil.rmtree(old, ignore_errors=True)
