"""Where a bundle's bytes come from and go to: a directory or a `.tar`.

Both sources list their files without following links and read each file once; what is read is what will be verified and
served, so a file that changes underneath is never served unverified. Nothing is unpacked to disk. What a bundle's files
have to be is left to `fivefold.core.bundle.bundle`.
"""

from __future__ import annotations

import io
import os
import stat
import tarfile
from collections.abc import Mapping
from pathlib import Path
from typing import Final, Protocol

from fivefold.core import redact
from fivefold.core.bundle.manifest import MAX_FILES, shown
from fivefold.core.errors import BundleInvalid

BLOCK: Final = 512

_KINDS: Final = {
    b"1": "a hard link",
    b"2": "a symbolic link",
    b"3": "a character device",
    b"4": "a block device",
    b"6": "a named pipe",
    b"x": "an extended header",
    b"g": "an extended header",
    b"L": "a long name",
    b"K": "a long link",
    b"S": "a sparse file",
}


class Source(Protocol):
    """Named files, sized without being read."""

    def sizes(self) -> Mapping[str, int]:
        """Path inside the bundle to size in bytes, of every file."""

    def read(self, path: str, limit: int) -> bytes:
        """The bytes of a listed file; `BundleInvalid` where there are more than `limit`."""


def source(path: Path, max_bytes: int) -> Source:
    """The files at `path`, a directory or a `.tar`; raises `BundleInvalid` where it is neither, or holds more."""
    try:
        if path.is_dir():
            return Directory(path)
        with os.fdopen(os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC), "rb") as file:
            info = os.fstat(file.fileno())
            if not stat.S_ISREG(info.st_mode):
                raise BundleInvalid(f"{path} is neither a directory nor a .tar")
            limit = capacity(max_bytes)
            data = file.read(min(limit, info.st_size) + 1)
    except OSError as err:
        raise BundleInvalid(f"cannot read {redact.address(str(path))}: {err.strerror}") from None
    if len(data) > limit:
        raise BundleInvalid(f"the archive is larger than {limit:,} bytes", path=shown(path.name))
    return Tar(data, path.name)


def capacity(max_bytes: int) -> int:
    """How many bytes the `.tar` of a bundle may have whose files have `max_bytes` together."""
    # Headers, padding and the end take at most four blocks a file and two tar records.
    return max_bytes + 4 * BLOCK * MAX_FILES + 2 * tarfile.RECORDSIZE


class Directory:
    """The files below a directory. The directory itself may be a link; nothing below it may."""

    def __init__(self, path: Path) -> None:
        self._root = path
        self._sizes: dict[str, int] = {}
        self._walk("")

    def sizes(self) -> Mapping[str, int]:
        """Path to size of every file, as listed at the start."""
        return self._sizes

    def _walk(self, inside: str) -> None:
        entries = sorted(os.scandir(self._root / inside), key=lambda entry: entry.name)
        if not entries and inside:
            raise BundleInvalid("an empty directory is no part of a bundle", path=shown(inside))
        for entry in entries:
            path = f"{inside}/{entry.name}" if inside else entry.name
            mode = entry.stat(follow_symlinks=False)
            if stat.S_ISDIR(mode.st_mode):
                if path.count("/") > 32:
                    raise BundleInvalid("nested too deeply", path=shown(path))
                self._walk(path)
            elif stat.S_ISREG(mode.st_mode):
                self._sizes[path] = mode.st_size
                if len(self._sizes) > MAX_FILES + 2:
                    raise BundleInvalid(f"more than {MAX_FILES} files", path=shown(path))
            else:
                kind = "a symbolic link" if stat.S_ISLNK(mode.st_mode) else "not a regular file"
                raise BundleInvalid(f"expected a regular file, got {kind}", path=shown(path))

    def read(self, path: str, limit: int) -> bytes:
        """The file's bytes; no link is followed on the way to it."""
        # Every step is opened relative to the one before and refuses links, so that a directory swapped for a link
        # after the listing is not followed out of the bundle.
        *parents, name = path.split("/")
        flags = os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC
        try:
            at = os.open(self._root, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
            try:
                for parent in parents:
                    inner = os.open(parent, flags | os.O_DIRECTORY, dir_fd=at)
                    os.close(at)
                    at = inner
                file = os.open(name, flags | os.O_NONBLOCK, dir_fd=at)
            finally:
                os.close(at)
            with os.fdopen(file, "rb") as stream:
                if not stat.S_ISREG(os.fstat(file).st_mode):
                    raise BundleInvalid("expected a regular file", path=shown(path))
                data = stream.read(limit + 1)
        except OSError as err:
            raise BundleInvalid(f"cannot read it: {err.strerror}", path=shown(path)) from err
        if len(data) > limit:
            raise BundleInvalid(f"expected at most {limit:,} bytes", path=shown(path))
        return data


class Tar:
    """The regular files of a plain tar that is already in memory.

    A strict reader of the two header forms that `tar` writes for short names (POSIX ustar and GNU), because a lenient
    one passes bytes that nobody checked: every header byte is under its checksum, padding and the end are zero.
    """

    def __init__(self, data: bytes, name: str) -> None:
        self._data = memoryview(data)
        self._name = shown(name)
        self._places: dict[str, tuple[int, int]] = {}
        directories: list[str] = []
        at = 0
        while True:
            header = data[at : at + BLOCK]
            if len(header) < BLOCK:
                raise BundleInvalid("the archive ends too early", path=self._name)
            if not any(header):
                break
            path, kind, size = self._header(header)
            start, at = at + BLOCK, at + BLOCK + -(-size // BLOCK) * BLOCK
            if at > len(data):
                raise BundleInvalid("the archive ends inside the file", path=shown(path))
            if any(data[start + size : at]):
                raise BundleInvalid("the padding behind the file is not zero", path=shown(path))
            if kind == b"5":
                directories.append(path.rstrip("/"))
                continue
            if path in self._places:
                raise BundleInvalid("the archive holds the file twice", path=shown(path))
            self._places[path] = (start, size)
            if len(self._places) > MAX_FILES + 2:
                raise BundleInvalid(f"more than {MAX_FILES} files", path=shown(path))
        rest = data[at:]
        if len(rest) < 2 * BLOCK or len(rest) % BLOCK or rest.count(0) != len(rest):
            raise BundleInvalid("the end of the archive is not made of zero blocks", path=self._name)
        for directory in directories:
            inside = f"{directory}/"
            if directory not in ("", ".") and not any(path.startswith(inside) for path in self._places):
                raise BundleInvalid("an empty directory is no part of a bundle", path=shown(directory))

    def sizes(self) -> Mapping[str, int]:
        """Path to size of every file, as listed at the start."""
        return {path: size for path, (_, size) in self._places.items()}

    def read(self, path: str, limit: int) -> bytes:
        start, size = self._places[path]
        if size > limit:
            raise BundleInvalid(f"expected at most {limit:,} bytes", path=shown(path))
        return bytes(self._data[start : start + size])

    def _header(self, header: bytes) -> tuple[str, bytes, int]:
        path = header[:100].split(b"\0", 1)[0].decode("latin-1").removeprefix("./")
        where = shown(path) or self._name
        total = sum(header) - sum(header[148:156]) + 8 * ord(" ")
        if header[148:156] != b"%06o\0 " % total:
            compressed = header[:2] == b"\x1f\x8b" or header[:3] in (b"BZh", b"\xfd7z")
            if compressed:
                raise BundleInvalid(
                    "the archive is compressed", path=self._name, help="unpack it to a plain .tar first"
                )
            raise BundleInvalid("the header of the file is damaged", path=where)
        kind = header[156:157]
        if kind not in (b"0", b"\0", b"5"):
            found = _KINDS.get(kind, f"a member of type {kind!r}")
            help = "write the archive with the bundle command, or with tar --format=ustar" if kind in b"xgLK" else None
            raise BundleInvalid(f"expected a regular file, got {found}", path=where, help=help)
        if header[257:263] not in (b"ustar\0", b"ustar ") or any(header[345:500]):
            raise BundleInvalid("expected a plain ustar header with a name of at most 100 bytes", path=where)
        digits = header[124:136].rstrip(b" \0")
        if not digits or not all(byte in b"01234567" for byte in digits):
            raise BundleInvalid("the size in the header is not a number", path=where)
        size = int(digits, 8)
        if kind == b"5" and size:
            raise BundleInvalid("a directory with content", path=where)
        return path, kind, size


def tar_bytes(files: Mapping[str, bytes]) -> bytes:
    """The files as one `.tar`: the same files, the same bytes, whoever writes it, when and where.

    Members are sorted by path, of mode 0644, owner and group 0 and time 0 (POSIX.1-1988 ustar).
    """
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w", format=tarfile.USTAR_FORMAT) as archive:
        for path in sorted(files):
            info = tarfile.TarInfo(path)
            info.size, info.mode, info.mtime = len(files[path]), 0o644, 0
            archive.addfile(info, io.BytesIO(files[path]))
    return out.getvalue()
