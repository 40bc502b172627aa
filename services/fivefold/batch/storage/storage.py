"""Where a run keeps its output: a directory, or a prefix in an object store.

A file appears whole or not at all, and `create` gives a name to the first who asks for it. Unfinished files stand in a
directory of this run's own; those of runs that died are removed by the next one. What the files mean is left to the
caller.
"""

from __future__ import annotations

import contextlib
import errno
import os
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import IO, Any, Protocol

from fivefold.core.atomic import put_file, sync_directory
from fivefold.core.errors import RunFailed
from fivefold.local.scratch import Scratch
from fivefold.stores import object_store

UNFINISHED = "_temporary"


class Place(Protocol):
    """An output place; names are relative, with `/`. All methods raise `RunFailed` `storage_failed`."""

    url: str

    def read(self, name: str) -> bytes | None:
        """The file's bytes; None where there is none."""

    def create(self, name: str, data: bytes) -> bool:
        """Write a new file; False, and nothing written, where there is one already."""

    def names(self, folder: str) -> list[str]:
        """The names of the files directly in a folder, without the folder's own; empty where there is none."""

    def put(self, finished: Path, name: str) -> None:
        """Make a finished local file the one of that name."""

    def open(self, name: str) -> IO[bytes]:
        """A file to read."""

    def scratch(self) -> Scratch:
        """A directory for unfinished files from which `put` takes them."""


def place(url: str, *, clear: bool = False) -> Place:
    """The place that a path or URL names."""
    return Bucket(url, clear) if object_store.is_remote(url) else Directory(url)


class Directory:
    """A directory on this machine, or on a disk that all machines of a cluster share."""

    def __init__(self, url: str) -> None:
        self.path = Path(url.removeprefix("file://")).absolute()
        self.url = str(self.path)

    def read(self, name: str) -> bytes | None:
        """The file's bytes."""
        with storing(self.path / name):
            try:
                return (self.path / name).read_bytes()
            except (FileNotFoundError, NotADirectoryError):
                return None
            except IsADirectoryError as err:
                raise RunFailed(
                    "run_conflict", "expected a file, got a directory", path=str(self.path / name), help="remove it"
                ) from err

    def create(self, name: str, data: bytes) -> bool:
        """Write a new file: linked under its name when it is whole, which the system does once."""
        target = self.path / name
        with storing(target):
            target.parent.mkdir(parents=True, exist_ok=True)
            part = target.with_name(f".{target.name}.{os.urandom(6).hex()}.part")
            try:
                with part.open("xb") as file:
                    file.write(data)
                    file.flush()
                    os.fsync(file.fileno())
                os.link(part, target)
            except FileExistsError:
                return False
            finally:
                part.unlink(missing_ok=True)
            sync_directory(target.parent)
        return True

    def names(self, folder: str) -> list[str]:
        """The files in a folder."""
        with storing(self.path / folder):
            try:
                return sorted(entry.name for entry in os.scandir(self.path / folder) if not entry.name.startswith("."))
            except (FileNotFoundError, NotADirectoryError):
                return []

    def put(self, finished: Path, name: str) -> None:
        """Rename the file; its bytes are on the disk before its name is."""
        target = self.path / name
        with storing(target):
            target.parent.mkdir(parents=True, exist_ok=True)
            put_file(finished, target)

    def open(self, name: str) -> IO[bytes]:
        """A file to read."""
        with storing(self.path / name):
            return (self.path / name).open("rb")

    def scratch(self) -> Scratch:
        """A directory beside the output, on the same disk; those whose run is dead are removed."""
        home = self.path / UNFINISHED
        with storing(home):
            return _Unfinished(home)


class Bucket:
    """A prefix in an object store, where a put is atomic; unfinished files lie in the machine's temporary directory."""

    def __init__(self, url: str, clear: bool) -> None:
        self.url = url.rstrip("/")
        self._prefix = object_store.split(self.url)[2]
        with object_store.speaking_of(self.url):
            self._store = object_store.store(url, clear)
        self._clear = clear

    def _key(self, name: str) -> str:
        return f"{self._prefix}/{name}" if self._prefix else name

    def read(self, name: str) -> bytes | None:
        """The object's bytes."""
        with object_store.speaking_of(f"{self.url}/{name}"):
            try:
                return bytes(self._store.get(self._key(name)).bytes())
            except FileNotFoundError:
                return None

    def create(self, name: str, data: bytes) -> bool:
        """Put with `If-None-Match: *`, or the store's own word for that."""
        from obstore.exceptions import AlreadyExistsError

        with object_store.speaking_of(f"{self.url}/{name}"):
            try:
                self._store.put(self._key(name), data, mode="create")
            except AlreadyExistsError:
                return False
        return True

    def names(self, folder: str) -> list[str]:
        """The objects directly below a prefix."""
        prefix = self._key(folder).rstrip("/")
        with object_store.speaking_of(f"{self.url}/{folder}"):
            found = self._store.list_with_delimiter(prefix or None)["objects"]
        return sorted(item["path"].rpartition("/")[2] for item in found)

    def put(self, finished: Path, name: str) -> None:
        """Upload the file, in parts where it is large; it appears with the last one."""
        with object_store.speaking_of(f"{self.url}/{name}"), finished.open("rb") as file:
            self._store.put(self._key(name), file)
        finished.unlink()

    def open(self, name: str) -> IO[bytes]:
        """An object to read."""
        import io

        url = f"{self.url}/{name}"
        with object_store.speaking_of(url):
            size = self._store.head(self._key(name))["size"]
        return io.BufferedReader(object_store.ObjectFile(url, size, None, self._clear), object_store.READ_BYTES)

    def scratch(self) -> Scratch:
        """A directory for temporary files on this machine."""
        home = Path(tempfile.gettempdir()) / f"fivefold-{os.getuid()}{UNFINISHED}"
        with storing(home):
            return _Unfinished(home)


class _Unfinished(Scratch):
    """The last one removes the place for them, too."""

    def close(self) -> None:
        """Remove the directory."""
        super().close()
        with contextlib.suppress(OSError):
            self.path.parent.rmdir()


_FULL = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}


@contextlib.contextmanager
def storing(path: Path | str) -> Iterator[Any]:
    """Turn an error of the file system into `RunFailed` `storage_failed` at that path."""
    try:
        yield
    except OSError as err:
        full = err.errno in _FULL
        raise RunFailed(
            "storage_failed",
            f"cannot write: {err.strerror or err}" if full else f"{err.strerror or err}",
            path=str(path),
            help="make room, then run the same command again: it goes on where it stopped" if full else None,
        ) from err
