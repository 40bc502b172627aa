"""What patterns match on a disk: every file once, and every path that is passed over with the reason.

A directory that a pattern matches stands for the files below it, as Spark and others write a table as a directory.
Hidden names (`_` or `.` first) below it are passed over unless the pattern itself spells them; so is what a run of ours
keeps beside its answers. What is a table of another kind (Delta, Iceberg, Hudi) is refused: its directory holds rows
that the table no longer has. Formats, sizes and identities are left to `sources`.
"""

from __future__ import annotations

import os
import re
import stat
from collections.abc import Iterator
from pathlib import Path

from fivefold.batch.storage.folder_logs import FolderLogs
from fivefold.batch.storage.names import HIDDEN, LEDGER, SUCCESS, Found, hidden, matcher, undecodable
from fivefold.core.errors import AccessError, NotFound, RunFailed
from fivefold.core.fields.suggestion import nearest

_WILD = re.compile(r"[*?\[]")


def files(pattern: str, found: Found) -> bool:
    """Add what a pattern matches to `found`; whether that was anything at all, passed over or not.

    Raises `AccessError` for a directory that must not be read, `NotFound` for a link that leads nowhere, and
    `ProtocolError` for a table that is more than its files.
    """
    bare = pattern.removeprefix("file://") if pattern.startswith("file:///") else pattern
    walk = _DirectoryWalk(found, bare)
    if os.path.lexists(bare):
        return walk.given(Path(bare).absolute())
    if not _WILD.search(bare):
        raise _nothing(pattern, Path(bare).absolute())
    path = Path(bare).absolute()
    parts = path.parts
    first = next(at for at, part in enumerate(parts) if _WILD.search(part))
    return walk.matching(Path(*parts[:first]), parts[first:], ())


def _nothing(pattern: str, path: Path) -> NotFound:
    parent = path.parent
    names = [path.name for path in parent.iterdir()] if parent.is_dir() and os.access(parent, os.R_OK) else []
    help = nearest(path.name, names) or "quote the pattern, so that it comes whole"
    return NotFound("not_found", f"no file matches {pattern}", help=help)


Above = tuple[tuple[int, int], ...]
"""The directories on the way, by device and inode."""

CIRCLE, NO_FILE = "a link back to a directory above it", "neither a file nor a directory"


class _DirectoryWalk:
    """One pattern's way through the directories."""

    def __init__(self, found: Found, pattern: str) -> None:
        self.found, self.pattern = found, pattern
        self._logs = FolderLogs(found)

    def given(self, path: Path) -> bool:
        """A path that the pattern is, letter by letter."""
        return self._take(path, path.name, explicit=True, above=())

    def matching(self, directory: Path, parts: tuple[str, ...], above: Above) -> bool:
        """What the rest of a pattern matches in a directory."""
        part, rest = parts[0], parts[1:]
        if not _WILD.search(part):
            path = directory / part
            if not os.path.lexists(path):
                return False
            return self.matching(path, rest, above) if rest else self._take(path, part, explicit=True, above=())
        if part == "**":
            return self._anywhere(directory, rest, above)
        matches = matcher(part)
        hit = False
        for entry in _entries(directory):
            if not matches.fullmatch(entry.name):
                continue
            path, explicit = directory / entry.name, part[0] in HIDDEN
            if not rest:
                hit |= self._take(path, entry.name, explicit=explicit, above=above)
            elif _is_directory(path) and (explicit or not self._passed(path, entry.name)):
                hit |= self.matching(path, rest, above)
        return hit

    def _anywhere(self, directory: Path, rest: tuple[str, ...], above: Above) -> bool:
        """`**`: the directory itself and all below it, links followed but not in a circle."""
        if not _is_directory(directory):
            return False
        here = _identity(directory)
        if here in above:
            self.found.pass_over(str(directory), CIRCLE)
            return False
        if not rest:
            return self._below(directory, above)
        hit = self.matching(directory, rest, (*above, here))
        for entry in _entries(directory):
            path = directory / entry.name
            if _is_directory(path) and not self._passed(path, entry.name):
                hit |= self._anywhere(path, rest, (*above, here))
        return hit

    def _take(self, path: Path, name: str, *, explicit: bool, above: Above) -> bool:
        """A path that a pattern matches; `explicit` where the pattern spells it."""
        if not explicit and self._passed(path, name):
            return True
        mode = _stat(path).st_mode
        if stat.S_ISDIR(mode):
            return self._below(path, above)
        if not stat.S_ISREG(mode):
            if explicit:
                raise RunFailed("storage_failed", "expected a file, got a pipe, a socket or a device", path=str(path))
            self.found.pass_over(str(path), NO_FILE)
            return True
        if _WILD.search(self.pattern) and not os.path.lexists(self.pattern):
            self._logs.refuse_table(_Directory(path.parent))
        self.found.add(str(path), named=True)
        return True

    def _below(self, directory: Path, above: Above) -> bool:
        """All files below a directory that stands for them."""
        here = _identity(directory)
        if here in above:
            self.found.pass_over(str(directory), CIRCLE)
            return True
        self._logs.refuse_table(_Directory(directory))
        for entry in _entries(directory):
            path = directory / entry.name
            if self._passed(path, entry.name):
                continue
            mode = _stat(path).st_mode
            if stat.S_ISDIR(mode):
                self._below(path, (*above, here))
            elif stat.S_ISREG(mode):
                self.found.add(str(path), named=False)
            else:
                self.found.pass_over(str(path), NO_FILE)
        return True

    def _passed(self, path: Path, name: str) -> bool:
        """Whether a path is passed over by its name, and by the logs beside and above it."""
        reason = "hidden" if hidden(name) else None
        if reason is None:
            log = self._logs.of(_Directory(path.parent))
            reason = None if log is None else log.reason(name, file=not _is_directory(path))
        if reason is not None:
            self.found.pass_over(str(path), reason)
        return reason is not None


class _Directory:
    """A directory as `folder_logs` wants it."""

    logged = True

    def __init__(self, path: Path) -> None:
        self._path, self.url, self.name = path, str(path), path.name

    @property
    def parent(self) -> _Directory | None:
        """The directory above."""
        return None if self._path.parent == self._path else _Directory(self._path.parent)

    @property
    def holds_answers(self) -> bool:
        """Whether a run has finished here."""
        return (self._path / LEDGER).is_dir() and (self._path / SUCCESS).exists()

    def read(self, name: str) -> bytes | None:
        """A file's bytes."""
        try:
            return (self._path / name).read_bytes()
        except (FileNotFoundError, NotADirectoryError, IsADirectoryError):
            return None
        except OSError as err:
            raise _refused(self._path / name, err) from err

    def names(self, folder: str) -> list[str]:
        """The names in a folder."""
        try:
            return sorted(path.name for path in (self._path / folder).iterdir())
        except (FileNotFoundError, NotADirectoryError):
            return []
        except OSError as err:
            raise _refused(self._path / folder, err) from err


def _entries(directory: Path) -> Iterator[os.DirEntry[str]]:
    try:
        with os.scandir(directory) as entries:
            return iter(sorted(entries, key=lambda entry: entry.name))
    except (FileNotFoundError, NotADirectoryError):
        return iter(())
    except OSError as err:
        raise _refused(directory, err) from err


def _is_directory(path: Path) -> bool:
    try:
        return stat.S_ISDIR(path.stat().st_mode)
    except OSError:
        return False


def _identity(directory: Path) -> tuple[int, int]:
    about = _stat(directory)
    return about.st_dev, about.st_ino


def _stat(path: Path) -> os.stat_result:
    undecodable(str(path))
    try:
        return path.stat()
    except FileNotFoundError as err:
        raise NotFound("not_found", "the link leads nowhere", path=str(path), help="remove it, or mend it") from err
    except OSError as err:
        raise _refused(path, err) from err


def _refused(path: Path, err: OSError) -> AccessError | RunFailed:
    if isinstance(err, PermissionError):
        return AccessError(
            "forbidden", "cannot be read: permission denied", path=str(path), help="allow it, or leave it out"
        )
    return RunFailed("storage_failed", f"cannot be read: {err.strerror or err}", path=str(path))
