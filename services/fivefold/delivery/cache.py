"""The cache of bundles: a directory with one `.tar` a digest.

    DIGEST.tar     a bundle that was verified when it was put here
    .DIGEST.part   being filled; whoever holds its lock fills it

An entry appears whole, by rename. The lock dies with its holder, so what a killed process leaves is taken over by the
next one. Whether an entry is still what it was, is left to whoever opens it: disks rot, and directories have other
owners.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import IO

from fivefold.core.atomic import put_file
from fivefold.core.errors import BundleInvalid, Unavailable

POLL_SECONDS = 0.05


class Cache:
    """A cache in one directory, which is made when it is first filled."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory

    def entry(self, digest: str) -> Path:
        """Where the bundle of that digest lies, if it is there."""
        return self.directory / f"{digest}.tar"

    @contextlib.contextmanager
    def turn(self, digest: str, deadline: float) -> Iterator[Part]:
        """This process's turn at filling an entry, for the length of a `with`; nothing unfinished is left behind.

        Raises `Unavailable` where others still fill it at `deadline` (of `time.monotonic`), and `BundleInvalid` where
        the directory cannot be written.
        """
        path = self.directory / f".{digest}.part"
        try:
            file = _locked(path, deadline)
        except OSError as err:
            raise cannot_write(self.directory, err) from err
        with file:
            part = Part(path, file)
            try:
                yield part
            finally:
                # Still under the lock, or it might be the next one's.
                if not part.kept:
                    path.unlink(missing_ok=True)


class Part:
    """An entry that is being filled."""

    def __init__(self, path: Path, file: IO[bytes]) -> None:
        self.path, self.file = path, file
        self.kept = False

    def restart(self) -> None:
        """Forget what was written."""
        self.file.seek(0)
        self.file.truncate()

    def keep(self, entry: Path) -> None:
        """Make it the entry, in place of an older one."""
        self.file.flush()
        put_file(self.path, entry)
        self.kept = True


def cannot_write(directory: Path, err: OSError) -> BundleInvalid:
    """The error of a directory that takes no bundles."""
    return BundleInvalid(
        f"cannot write to {directory}: {err.strerror or err}",
        help="name a directory that can be written, with room: FIVEFOLD_BUNDLE_CACHE=DIR",
    )


def default() -> Path:
    """The user's own cache directory, or one for temporary files where that cannot be written."""
    home = Path(os.environ.get("XDG_CACHE_HOME") or Path("~/.cache").expanduser()) / "fivefold" / "bundles"
    with contextlib.suppress(OSError):
        home.mkdir(parents=True, exist_ok=True)
        if os.access(home, os.W_OK | os.X_OK):
            return home
    return Path(tempfile.gettempdir()) / f"fivefold-{os.getuid()}" / "bundles"


def _locked(path: Path, deadline: float) -> IO[bytes]:
    while True:
        path.parent.mkdir(parents=True, exist_ok=True)
        flags = os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC
        file = os.fdopen(os.open(path, flags, 0o666), "r+b")
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            # Whoever held it may have made an entry of it, or removed it, before the lock was ours.
            if path.exists() and os.path.samestat(path.stat(), os.fstat(file.fileno())):
                file.truncate()
                return file
            file.close()
        except BlockingIOError:
            file.close()
            if time.monotonic() >= deadline:
                raise Unavailable("not_ready", f"another process is still filling {path}") from None
            time.sleep(POLL_SECONDS)
        except BaseException:
            file.close()
            raise
