"""How text is written where it is not written as we write it: delimiter, words for null, true and false, encoding.

What the words become is the contract's: a word for null is null, one for true is `true`. How bytes are cut into records
is left to `scan`.
"""

from __future__ import annotations

import codecs
from dataclasses import dataclass
from typing import Any

from fivefold.batch.storage.broken_stream import BreakableStream, StreamBroken

_NEVER = '"\r\n\0.+-_[]{}\\'

UTF8 = ("utf-8", "utf8", "ascii", "us-ascii")

_MARKS = (
    (codecs.BOM_UTF32_LE, "UTF-32", "utf-32"),
    (codecs.BOM_UTF32_BE, "UTF-32", "utf-32"),
    (codecs.BOM_UTF16_LE, "UTF-16", "utf-16"),
    (codecs.BOM_UTF16_BE, "UTF-16", "utf-16"),
)


@dataclass(frozen=True, slots=True)
class TextDialect:
    """Of a text file. `na` are bare cells that are null beside the empty one, `booleans` words for true and for false
    beside `true` and `false`; both are CSV's."""

    delimiter: str = ","
    na: tuple[str, ...] = ()
    booleans: tuple[str, ...] = ()
    encoding: str = ""

    @property
    def recoded(self) -> bool:
        """Whether bytes have to become UTF-8 before they can be cut into records."""
        return bool(self.encoding) and self.encoding.lower() not in UTF8

    @property
    def words(self) -> dict[str, str]:
        """The words for true and false, and what they mean."""
        return dict(zip(self.booleans, ("true", "false")))


def wrong(dialect: TextDialect) -> str | None:
    """What is wrong with a dialect, None for a good one."""
    delimiter = dialect.delimiter
    if len(delimiter) != 1 or not delimiter.isascii() or delimiter in _NEVER or delimiter.isalnum():
        return f"delimiter: expected one ASCII character that no number, quote or line end has, got {delimiter!r}"
    for word in (*dialect.na, *dialect.booleans):
        if not word or any(mark in word for mark in (delimiter, '"', "\r", "\n")):
            return f"expected a word without quotes, delimiters and line ends, got {word!r}"
    if dialect.booleans and len(set(dialect.booleans)) != 2:
        return f"booleans: expected a word for true and one for false, got {','.join(dialect.booleans)!r}"
    if dialect.booleans[:1] == ("false",) or dialect.booleans[1:] == ("true",):
        return "booleans: true and false mean what they say"
    if set(dialect.booleans) & set(dialect.na):
        return f"a word for null cannot be one for true or false too: {', '.join(dialect.na)}"
    try:
        codecs.lookup(dialect.encoding or "utf-8")
        "a".encode(dialect.encoding or "utf-8")
    except (LookupError, UnicodeError):
        return f"encoding: unknown: {dialect.encoding!r}"
    return None


def strange(start: bytes) -> tuple[str, str] | None:
    """What the first bytes of a text say that it is, where it is not UTF-8 with line ends of ours, and the way on."""
    for mark, name, encoding in _MARKS:
        if start.startswith(mark):
            return f"expected UTF-8, got {name}, as its byte order mark says", f"--encoding {encoding}"
    head = start[:64]
    for at, encoding in ((1, "utf-16-le"), (0, "utf-16-be")):
        if len(head) >= 8 and not any(head[at : len(head) // 2 * 2 : 2]) and all(head[1 - at : len(head) // 2 * 2 : 2]):
            return "expected UTF-8, got what looks like UTF-16", f"--encoding {encoding}"
    return None


class Recoded(BreakableStream):
    """A stream of another encoding as UTF-8; bytes that it has no character for do not become UTF-8. It breaks off
    where the stream does."""

    def __init__(self, stream: Any, encoding: str) -> None:
        super().__init__()
        self._stream = stream
        self._decoder = codecs.getincrementaldecoder(encoding)("surrogateescape")
        self._offset = 0
        self._flushed = False

    def _next(self, size: int) -> bytes | None:
        if self._flushed:
            return None
        try:
            data = self._stream.read(max(size, 4096))
        except StreamBroken as err:
            raise StreamBroken(err.reason, self._offset, whole=err.whole) from err
        self._flushed = not data
        out: bytes = self._decoder.decode(data, final=self._flushed).encode("utf-8", "surrogatepass")
        self._offset += len(out)
        return out
