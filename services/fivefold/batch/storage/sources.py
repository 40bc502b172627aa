"""From patterns to the files of a run: each with its format, its size and its identity.

An identity changes when a file does: size and time of change on a disk (or the content's digest, where that is asked
for), the entity tag in an object store. What is inside of a file is left to `formats`.
"""

from __future__ import annotations

import contextlib
import hashlib
import io
import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import IO, Any

from fivefold.batch.storage.buckets import objects
from fivefold.batch.storage.compression import Unpacked
from fivefold.batch.storage.listing import files
from fivefold.batch.storage.names import Found
from fivefold.batch.storage.output_storage import storing
from fivefold.core.errors import NotFound, ProtocolError
from fivefold.core.fields.suggestion import nearest
from fivefold.stores import object_store

SUFFIXES = {
    ".parquet": "parquet",
    ".pq": "parquet",
    ".csv": "csv",
    ".jsonl": "jsonl",
    ".ndjson": "jsonl",
}
COMPRESSED = (".gz", ".bz2", ".zst")

READ_BYTES = 1024 * 1024


@dataclass(frozen=True, slots=True)
class SourceFile:
    """One input file. `size` is in bytes as stored; `compressed` is the suffix that says how, or empty."""

    url: str
    format: str
    compressed: str
    size: int
    identity: str

    @property
    def local(self) -> bool:
        """Whether it is a file of this machine's (or a shared) file system."""
        return not object_store.is_remote(self.url)

    def open(self, allow_http: bool = False) -> IO[bytes]:
        """The stored bytes. Raises `RunFailed` `run_conflict` where the file is no longer the one that was planned."""
        if self.local:
            with storing(self.url):
                file = Path(self.url).open("rb", buffering=READ_BYTES)  # noqa: SIM115  # the caller closes it
                stat = os.fstat(file.fileno())
            if not self.identity.startswith(("sha256:", _identity(stat))):
                file.close()
                raise object_store.changed(self.url)
            return file
        return io.BufferedReader(self._object(allow_http), object_store.READ_BYTES)

    def random(self, allow_http: bool = False) -> IO[bytes]:
        """The stored bytes for a reader that goes to and fro and asks for what it wants; raises as `open` does."""
        return self.open() if self.local else self._object(allow_http)  # type: ignore[return-value]  # it is read only

    def _object(self, allow_http: bool) -> object_store.ObjectFile:
        tag = self.identity.partition("etag:")[2] or None
        return object_store.ObjectFile(self.url, self.size, tag, allow_http)

    @contextlib.contextmanager
    def text(self, allow_http: bool = False) -> Iterator[Any]:
        """The bytes behind the compression, as a file with `read` and `peek`; reading raises `StreamBroken`
        behind the last byte before a break."""
        with self.open(allow_http) as file:
            yield Unpacked(file, self.compressed) if self.compressed else file


@dataclass(frozen=True, slots=True)
class SourceFiles:
    """The files of some patterns, sorted by URL, and what they pass over: path and reason."""

    sources: tuple[SourceFile, ...]
    passed_over: tuple[tuple[str, str], ...]


def find(patterns: Sequence[str], *, digests: bool = False, allow_http: bool = False) -> list[SourceFile]:
    """The files that `search` finds."""
    return list(search(patterns, digests=digests, allow_http=allow_http).sources)


def search(patterns: Sequence[str], *, digests: bool = False, allow_http: bool = False) -> SourceFiles:
    """The files of the patterns, sorted by URL, each once however it is spelled or linked.

    A pattern is a path or an `s3://` or `gs://` URL with `*`, `?`, `[…]` and `**`; a directory stands for the files
    below it whose names say their format. What is not read is passed over with a reason. Raises `NotFound` for a
    pattern without a file, `ProtocolError` for a file of no known format and for a table that is more than its files,
    and what `listing` and `buckets` raise.
    """
    found = Found()
    items: dict[str, Any] = {}
    for pattern in patterns:
        before = found.added
        if object_store.is_remote(pattern):
            items |= objects(pattern, found, allow_http)
        else:
            files(pattern, found)
        if found.added == before:
            raise NotFound(
                "not_found",
                f"no file matches {pattern}{_passed(found.passed)}",
                help="quote the pattern, so that it comes whole",
            )
    sources: dict[Any, SourceFile] = {}
    for url in sorted(found.files):
        known = format_of(url)
        if known is None:
            if found.files[url]:
                raise _unknown(url)
            found.pass_over(url, "its name says no known format")
            continue
        key: Any
        if object_store.is_remote(url):
            source, key, size = _object(url, known, items[url]), url, items[url]["size"]
        else:
            with storing(url):
                stat = Path(url).stat()
                identity = _content(Path(url)) if digests else _identity(stat)
            size, key = stat.st_size, (stat.st_dev, stat.st_ino)
            source = SourceFile(url, *known, size, identity)
        if not size and not found.files[url] and known == ("csv", ""):
            found.pass_over(url, "empty: it has no header, and no rows")
        elif key in sources:
            found.pass_over(url, f"the same file as {sources[key].url}")
        else:
            sources[key] = source
    if not sources:
        raise NotFound("not_found", f"no file can be scored{_passed(found.passed)}", path=patterns[0])
    return SourceFiles(tuple(sources.values()), tuple(sorted(found.passed.items())))


SHOWN = 5
"""Paths that a message names."""


def _passed(passed: Mapping[str, str]) -> str:
    if not passed:
        return ""
    shown = ", ".join(f"{path} ({reason})" for path, reason in sorted(passed.items())[:SHOWN])
    return f"; {len(passed):,} passed over: {shown}{', …' if len(passed) > SHOWN else ''}"


def format_of(url: str) -> tuple[str, str] | None:
    """Format and compression by the name's suffixes, None for another name."""
    name = url.lower()
    compressed = next((suffix for suffix in COMPRESSED if name.endswith(suffix)), "")
    bare = PurePosixPath(name.removesuffix(compressed))
    format = SUFFIXES.get(bare.suffix)
    if bare.suffix == ".json" and bare.name.startswith("part-"):
        # So Spark names its JSON lines; any other file of that name may be one value.
        format = "jsonl"
    if format is None or (format == "parquet" and compressed):
        return None
    return format, compressed


def _unknown(url: str) -> ProtocolError:
    suffix = PurePosixPath(url).suffix
    known = f"{', '.join(SUFFIXES)} (text also as {', '.join(COMPRESSED)})"
    return ProtocolError(
        "unsupported_media_type",
        f"expected a file of {known}, got {suffix or 'no suffix'}",
        path=url,
        help=nearest(suffix, SUFFIXES),
    )


def _identity(stat: os.stat_result) -> str:
    return f"{stat.st_size} bytes, changed {stat.st_mtime_ns}"


def _content(path: Path) -> str:
    with path.open("rb") as file:
        return f"sha256:{hashlib.file_digest(file, 'sha256').hexdigest()}"


def _object(url: str, known: tuple[str, str], item: Any) -> SourceFile:
    tag = item.get("e_tag")
    stamp = f"etag:{tag}" if tag else f"changed {item['last_modified'].isoformat()}"
    return SourceFile(url, *known, item["size"], f"{item['size']} bytes, {stamp}")
