"""A stream of bytes that may break off: everything before the break is given first.

How the bytes come about is left to `compression` and `formats.dialect`; what a break means for the rows to `formats`.
"""

from __future__ import annotations

import abc


class StreamBroken(Exception):
    """A stream that cannot be read further. `offset` counts the decoded bytes before it; `whole` says that the data
    before it came to its proper end, so that only what follows, or a checksum, is wrong."""

    def __init__(self, reason: str, offset: int, *, whole: bool = False) -> None:
        super().__init__(reason)
        self.reason, self.offset, self.whole = reason, offset, whole


class BreakableStream(abc.ABC):
    """A stream with `read` and `peek`; it does not close what it reads from."""

    def __init__(self) -> None:
        self._ready = bytearray()
        self._broken: StreamBroken | None = None
        self._ended = False

    def read(self, size: int) -> bytes:
        """`size` bytes, fewer at the end; raises `StreamBroken` where there would be none because of a break."""
        self._fill(size)
        if not self._ready and self._broken is not None and size:
            raise self._broken
        out = bytes(memoryview(self._ready)[:size])
        del self._ready[:size]
        return out

    def peek(self, size: int) -> bytes:
        """The next `size` bytes, which stay; fewer, or none, before a break."""
        self._fill(size)
        return bytes(memoryview(self._ready)[:size])

    def _fill(self, size: int) -> None:
        while len(self._ready) < size and not self._ended:
            try:
                data = self._next(size)
            except StreamBroken as err:
                self._broken, self._ended = err, True
            else:
                self._ready += data or b""
                self._ended = data is None

    @abc.abstractmethod
    def _next(self, size: int) -> bytes | None:
        """Some more bytes, about `size` where that is known to matter; None at the end. Raises `StreamBroken`."""
