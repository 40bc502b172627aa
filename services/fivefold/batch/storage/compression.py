"""Text behind its compression, to the last byte that can be decoded: gzip, bzip2 and Zstandard.

A stream that breaks off gives everything before the break first; then reading raises `StreamBroken`, once and for all.
What a break means for the rows is left to `formats`.
"""

from __future__ import annotations

import bz2
import zlib
from collections.abc import Callable
from typing import IO, Any

from fivefold.batch.storage.broken_stream import BreakableStream, StreamBroken

NAMES = {".gz": "gzip", ".bz2": "bzip2", ".zst": "Zstandard"}

STORED = 256 * 1024
"""Bytes that are read from the store at a time."""

DECODED = 4 * 1024 * 1024
"""Bytes that are decoded at a time, at most."""

FINE = 4096
"""Bytes asked for at a time near a break."""


class Unpacked(BreakableStream):
    """The decoded bytes of a file."""

    def __init__(self, file: IO[bytes], compressed: str) -> None:
        """For the suffix of the file's name."""
        super().__init__()
        self._chunks: Callable[[], bytes]
        self._chunks = _Zstandard(file).next if compressed == ".zst" else _Members(file, compressed).next
        self._break: StreamBroken | None = None

    def _next(self, size: int) -> bytes | None:  # noqa: ARG002  # as many as the decoder has
        if self._break is not None:
            raise self._break
        try:
            return self._chunks() or None
        except _Rest as last:
            self._break = last.broken
            return last.data


class _Inflate:
    """zlib's decoder with the manners of bz2's: it keeps what it has not decoded yet."""

    def __init__(self) -> None:
        self._decoder = zlib.decompressobj(wbits=31)

    @property
    def eof(self) -> bool:
        return self._decoder.eof

    @property
    def unused_data(self) -> bytes:
        return self._decoder.unused_data

    @property
    def needs_input(self) -> bool:
        return not self._decoder.unconsumed_tail

    def decompress(self, data: bytes, max_length: int) -> bytes:
        return self._decoder.decompress(self._decoder.unconsumed_tail + data, max_length)

    def ends_with_zeros(self) -> bytes | None:
        """What a trailer that ends with zeros still gives; None where it is no trailer that they end."""
        trial = self._decoder.copy()
        out = b"".join(trial.decompress(b"\0") for _ in range(_TRAILER) if not trial.eof)
        return out if trial.eof else None


class _Members:
    """The members of a gzip or bzip2 file, some bytes at a time. Zeros behind one are padding, as tapes leave it."""

    def __init__(self, file: IO[bytes], compressed: str) -> None:
        self._file, self._name = file, NAMES[compressed]
        self._make: Any = _Inflate if compressed == ".gz" else bz2.BZ2Decompressor
        self._decoder: Any = None
        self._left = b""
        self._read = self._begin = 0
        """Bytes read from the store; where the member begins there."""
        self._offset = self._before = 0
        """Bytes decoded; those before the member."""
        self._solid = _solid(file) if compressed == ".gz" else None

    def next(self) -> bytes:
        """The next decoded bytes, none at the end; raises `StreamBroken`."""
        while True:
            if self._decoder is None and not self._start():
                return b""
            data = self._more() if self._decoder.needs_input else b""
            if self._decoder.needs_input and not data:
                return self._at_the_end()
            try:
                out: bytes = self._decoder.decompress(data, DECODED)
            except _WRONG as err:
                return self._before_the_break(err)
            self._offset += len(out)
            if self._decoder.eof:
                self._left, self._decoder = self._decoder.unused_data, None
            if out:
                return out

    def _more(self) -> bytes:
        if self._left:
            data, self._left = self._left, b""
            return data
        most = STORED if self._solid is None else min(STORED, self._solid - self._read)
        data = self._file.read(most)
        self._read += len(data)
        return data

    def _start(self) -> bool:
        """Begin the next member; False where there is none."""
        data = self._more()
        while self._offset and data and not data.strip(b"\0"):
            data = self._more()
        if self._offset:
            data = data.lstrip(b"\0")
        if not data and (self._offset or self._read):
            return False
        if not data:
            raise self._break("got an empty file")
        self._left, self._decoder = data, self._make()
        self._begin, self._before = self._read - len(data), self._offset
        return True

    def _at_the_end(self) -> bytes:
        if self._solid is None:
            raise self._break("got a file that ends in the middle of it")
        out: bytes | None = self._decoder.ends_with_zeros()
        if out is None:
            raise self._break(f"got nothing but zeros from byte {self._solid} of the file on")
        self._decoder = None
        self._offset += len(out)
        return out

    def _before_the_break(self, err: Exception) -> bytes:
        """What the bytes before the one that cannot be decoded give: the member once more, at last byte by byte."""
        end = self._read
        self._file.seek(self._begin)
        decoder, left, out = self._make(), end - self._begin, bytearray()
        given = self._offset - self._before
        try:
            while left:
                data = self._file.read(min(STORED, left))
                left -= len(data)
                fine = left == 0
                for at in range(0, len(data), 1 if fine else len(data)):
                    step = data[at : at + 1] if fine else data
                    while step or not decoder.needs_input:
                        some = decoder.decompress(step, DECODED)
                        step = b""
                        out += some[min(given, len(some)) :]
                        given -= min(given, len(some))
        except _WRONG as exact:
            err = exact
        self._offset += len(out)
        raise _Rest(bytes(out), self._reason(err, bool(out)))

    def _reason(self, err: Exception, some: bool) -> StreamBroken:
        reason = str(err).rpartition("decompressing data: ")[2] or type(err).__name__
        if self._offset == self._before and not some and ("header" in reason or self._make is not _Inflate):
            self._file.seek(self._begin)
            shown = self._file.read(12)
            if self._begin:
                return self._break(f"got other bytes behind its end: {shown!r}", whole=True)
            return self._break(f"got a file that begins with {shown!r}")
        return self._break(f"got a broken stream: {reason}", whole="data check" in reason or "length check" in reason)

    def _break(self, reason: str, whole: bool = False) -> StreamBroken:
        return StreamBroken(f"expected {self._name}, {reason}", self._offset, whole=whole)


class _Rest(Exception):
    """The last bytes before a break, and the break."""

    def __init__(self, data: bytes, broken: StreamBroken) -> None:
        super().__init__()
        self.data, self.broken = data, broken


_WRONG = (zlib.error, OSError, EOFError, ValueError)
_TRAILER = 16
"""Zeros with which a gzip member may well end: its checksum and its length are eight bytes."""


def _solid(file: IO[bytes]) -> int | None:
    """Where a file's last bytes begin that are nothing but zeros, as a disk leaves them that was not written; None
    where there are too few of them."""
    size = file.seek(0, 2)
    end = size
    while end:
        start = max(0, end - STORED)
        file.seek(start)
        some = file.read(end - start).rstrip(b"\0")
        end = start + len(some)
        if some:
            break
    file.seek(0)
    return end if size - end >= 4 * _TRAILER else None


class _Zstandard:
    """The frames of a Zstandard file. Arrow's stream loses what it decoded in a call that fails, so near a break the
    file is read again in ever smaller steps."""

    def __init__(self, file: IO[bytes]) -> None:
        self._file = file
        self._offset = 0
        self._steps = [STORED * 4, FINE, 1]
        self._stream: Any = None

    def next(self) -> bytes:
        """The next decoded bytes, none at the end; raises `StreamBroken`."""
        import pyarrow as pa

        while True:
            try:
                if self._stream is None:
                    self._stream = self._opened()
                out: bytes = self._stream.read(self._steps[0])
            except (pa.ArrowException, OSError, EOFError) as err:
                self._stream = None
                if len(self._steps) > 1:
                    del self._steps[0]
                    continue
                raise self._broken(str(err).splitlines()[0][:200]) from err
            if not out and not self._offset and not self._file.seek(0, 2):
                raise StreamBroken("expected Zstandard, got an empty file", 0)
            self._offset += len(out)
            return out

    def _broken(self, reason: str) -> StreamBroken:
        other = "frame descriptor" in reason
        if other and not self._offset:
            self._file.seek(0)
            return StreamBroken(f"expected Zstandard, got a file that begins with {self._file.read(12)!r}", 0)
        return StreamBroken(f"expected Zstandard, got a broken stream: {reason}", self._offset, whole=other)

    def _opened(self) -> Any:
        import pyarrow as pa

        self._file.seek(0)
        # It would close the file with itself.
        stream = pa.CompressedInputStream(pa.PythonFile(_Open(self._file), mode="r"), "zstd")
        left = self._offset
        while left:
            left -= len(stream.read(min(left, STORED)))
        return stream


class _Open:
    """A file whose user does not close it."""

    def __init__(self, file: IO[bytes]) -> None:
        self._file = file
        self.closed = False

    def read(self, size: int = -1) -> bytes:
        return self._file.read(size)

    def seek(self, offset: int, whence: int = 0) -> int:
        return self._file.seek(offset, whence)

    def tell(self) -> int:
        return self._file.tell()

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def writable(self) -> bool:
        return False

    def close(self) -> None:
        self.closed = True
