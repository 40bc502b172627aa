"""From patterns to the files of a run: each with its format, its size and its identity.

An identity changes when a file does: size and time of change on a disk (or the content's digest, where that is asked
for), the entity tag in an object store. What is inside of a file is left to `formats`.
"""

from __future__ import annotations

import contextlib
import glob
import hashlib
import io
import os
import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import IO, Any

from fivefold.batch import stores
from fivefold.batch.compression import Unpacked
from fivefold.batch.places import storing
from fivefold.core.contract import nearest
from fivefold.core.errors import NotFound, ProtocolError

SUFFIXES = {
    ".parquet": "parquet",
    ".pq": "parquet",
    ".csv": "csv",
    ".jsonl": "jsonl",
    ".ndjson": "jsonl",
}
COMPRESSED = (".gz", ".bz2", ".zst")

READ_BYTES = 1024 * 1024

_WILD = re.compile(r"[*?\[]")


@dataclass(frozen=True, slots=True)
class Source:
    """One input file. `size` is in bytes as stored; `compressed` is the suffix that says how, or empty."""

    url: str
    format: str
    compressed: str
    size: int
    identity: str

    @property
    def local(self) -> bool:
        """Whether it is a file of this machine's (or a shared) file system."""
        return not stores.is_remote(self.url)

    def open(self, clear: bool = False) -> IO[bytes]:
        """The stored bytes. Raises `RunFailed` `run_conflict` where the file is no longer the one that was planned."""
        if self.local:
            with storing(self.url):
                file = Path(self.url).open("rb", buffering=READ_BYTES)  # noqa: SIM115  # the caller closes it
                stat = os.fstat(file.fileno())
            if not self.identity.startswith(("sha256:", _identity(stat))):
                file.close()
                raise stores.changed(self.url)
            return file
        return io.BufferedReader(self._object(clear), stores.READ_BYTES)

    def random(self, clear: bool = False) -> IO[bytes]:
        """The stored bytes for a reader that goes to and fro and asks for what it wants; raises as `open` does."""
        return self.open() if self.local else self._object(clear)  # type: ignore[return-value]  # it is read only

    def _object(self, clear: bool) -> stores.ObjectFile:
        tag = self.identity.partition("etag:")[2] or None
        return stores.ObjectFile(self.url, self.size, tag, clear)

    @contextlib.contextmanager
    def text(self, clear: bool = False) -> Iterator[Any]:
        """The bytes behind the compression, as a file with `read` and `peek`; reading raises `compression.StreamBroken`
        behind the last byte before a break."""
        with self.open(clear) as file:
            yield Unpacked(file, self.compressed) if self.compressed else file


def find(patterns: Sequence[str], *, digests: bool = False, clear: bool = False) -> list[Source]:
    """The files of the patterns, sorted by URL, each once.

    A pattern is a path or an `s3://` or `gs://` URL with `*`, `?`, `[…]` and `**`; a directory stands for the files
    below it whose names say their format, hidden ones (`.` or `_` first) left out. Raises `NotFound` for a pattern
    without a file and `ProtocolError` for a file of no known format.
    """
    found: dict[str, Source] = {}
    for pattern in patterns:
        before = len(found)
        some = _objects(pattern, clear) if stores.is_remote(pattern) else _files(pattern, digests)
        matched = False
        for source in some:
            matched = True
            found[source.url] = source
        if not matched and len(found) == before:
            raise NotFound("not_found", f"no file matches {pattern}", help="quote the pattern, so that it comes whole")
    return [found[url] for url in sorted(found)]


def format_of(url: str) -> tuple[str, str] | None:
    """Format and compression by the name's suffixes, None for another name."""
    name = url.lower()
    compressed = next((suffix for suffix in COMPRESSED if name.endswith(suffix)), "")
    suffix = PurePosixPath(name.removesuffix(compressed)).suffix
    format = SUFFIXES.get(suffix)
    if format is None or (format == "parquet" and compressed):
        return None
    return format, compressed


def _known(url: str) -> tuple[str, str]:
    found = format_of(url)
    if found is None:
        suffix = PurePosixPath(url).suffix
        known = f"{', '.join(SUFFIXES)} (text also as {', '.join(COMPRESSED)})"
        raise ProtocolError(
            "unsupported_media_type",
            f"expected a file of {known}, got {suffix or 'no suffix'}",
            path=url,
            help=nearest(suffix, SUFFIXES),
        )
    return found


def _files(pattern: str, digests: bool) -> Iterable[Source]:
    bare = pattern.removeprefix("file://")
    path = Path(bare)
    if path.is_dir():
        names = [
            str(file)
            for file in sorted(path.rglob("*"))
            if format_of(file.name) and not any(part[0] in "._" for part in file.relative_to(path).parts)
        ]
    else:
        names = [str(path)] if path.exists() else glob.glob(bare, recursive=True)  # noqa: PTH207  # absolute patterns too
    for name in sorted(names):
        absolute = Path(name).absolute()
        if absolute.is_dir():
            continue
        format, compressed = _known(str(absolute))
        with storing(absolute):
            stat = absolute.stat()
            identity = _content(absolute) if digests else _identity(stat)
        yield Source(str(absolute), format, compressed, stat.st_size, identity)


def _identity(stat: os.stat_result) -> str:
    return f"{stat.st_size} bytes, changed {stat.st_mtime_ns}"


def _content(path: Path) -> str:
    with path.open("rb") as file:
        return f"sha256:{hashlib.file_digest(file, 'sha256').hexdigest()}"


def _objects(pattern: str, clear: bool) -> Iterable[Source]:
    scheme, bucket, key = stores.split(pattern)
    wild = _WILD.search(key)
    # Stores list by whole segments of a path.
    prefix = key[: wild.start()].rpartition("/")[0] if wild else key.rstrip("/")
    with stores.speaking_of(pattern):
        store = stores.store(pattern, clear)
        if not wild and key and not key.endswith("/"):
            try:
                items = [store.head(key)]
            except FileNotFoundError:
                items = []
            if items:
                yield _object(scheme, bucket, items[0])
                return
        matches = _matcher(key) if wild else None
        listed = [item for some in store.list(prefix or None, chunk_size=1000) for item in some]
    for item in sorted(listed, key=lambda item: item["path"]):
        path = item["path"]
        inside = path.removeprefix(prefix).lstrip("/").split("/")
        if matches is not None and not matches.fullmatch(path):
            continue
        if matches is None and (format_of(path) is None or any(part[:1] in ("_", ".") for part in inside)):
            continue
        yield _object(scheme, bucket, item)


def _object(scheme: str, bucket: str, item: Any) -> Source:
    url = f"{scheme}://{bucket}/{item['path']}"
    format, compressed = _known(url)
    tag = item.get("e_tag")
    stamp = f"etag:{tag}" if tag else f"changed {item['last_modified'].isoformat()}"
    return Source(url, format, compressed, item["size"], f"{item['size']} bytes, {stamp}")


def _matcher(pattern: str) -> re.Pattern[str]:
    """A pattern of paths as a regular expression: `*` and `?` stay within a folder, `**/` is any number of them."""
    out, at = "", 0
    while at < len(pattern):
        if pattern.startswith("**/", at):
            out, at = out + "(?:[^/]+/)*", at + 3
        elif pattern.startswith("**", at):
            out, at = out + ".*", at + 2
        elif pattern[at] == "[" and "]" in pattern[at + 2 :]:
            end = pattern.index("]", at + 2)
            inside = pattern[at + 1 : end].replace("\\", r"\\")
            out, at = out + f"[{'^' + inside[1:] if inside[0] == '!' else inside}]", end + 1
        else:
            out += {"*": "[^/]*", "?": "[^/]"}.get(pattern[at], re.escape(pattern[at]))
            at += 1
    return re.compile(out, re.DOTALL)
