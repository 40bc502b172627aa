"""What CSV and JSON lines share: a text file is scanned once, divided between records, and read block by block.

Uncompressed text is cut into ranges that each stand alone; compressed text is one, and how many rows it has is known
when it has been read. What a record is, and what is in it, is left to `csv` and `jsonl`.
"""

from __future__ import annotations

import abc
import contextlib
import re
from collections.abc import Iterator, Mapping, Sequence
from types import MappingProxyType
from typing import Any

import numpy as np

from fivefold.batch.formats import scan
from fivefold.batch.formats.chunk import Check, Chunk, Range, ReadRequest, RefusedRows, nothing
from fivefold.batch.formats.dialect import Recoded, strange
from fivefold.batch.storage.sources import SourceFile
from fivefold.core.errors import ContractError

BOM = b"\xef\xbb\xbf"

_START = 64 * 1024
_ALONE = re.compile(rb"\r[^\r\n]")


class TextFile(abc.ABC):
    """A format of records in text; `quotes` and `headed` say which, `_chunk` reads some records of a block."""

    quotes = False
    headed = False

    def __init__(self, request: ReadRequest) -> None:
        self.request = request

    def ranges(self, source: SourceFile, target: int, check: Check = nothing) -> Sequence[Range]:
        """Ranges of about `target` bytes, each ending with a record."""
        if self._streamed(source):
            return [Range(0, source.size, 0, None)]
        out: list[Range] = []
        row = line = rows = 0
        start, first_line = -1, 0
        with self._open(source) as (stream, offset):
            for block in scan.blocks(stream, quotes=self.quotes, offset=offset, delimiter=self._delimiter):
                check()
                ends = block.ends
                if start < 0 and (len(ends) or not self.headed):
                    start = block.offset
                    if self.headed:
                        # The header is no row.
                        start, ends = block.offset + int(ends[0]), ends[1:]
                        first_line = line + int(block.data.count(b"\n", 0, int(block.ends[0])))
                counted = 0
                while True:
                    at = int(np.searchsorted(ends, start + target - block.offset))
                    if at >= len(ends):
                        break
                    end = block.offset + int(ends[at])
                    out.append(Range(start, end, row, rows + at + 1 - counted, first_line))
                    row += rows + at + 1 - counted
                    rows, counted, start = 0, at + 1, end
                    first_line = line + block.data.count(b"\n", 0, int(ends[at]))
                rows += len(ends) - counted
                line += block.newlines
                offset = block.offset + block.size
        if rows:
            out.append(Range(start, offset, row, rows, first_line))
        return out

    def read(
        self,
        source: SourceFile,
        part: Range,
        broken: Mapping[int, str] = MappingProxyType({}),  # noqa: ARG002  # text has no units
    ) -> Iterator[Chunk]:
        """The rows of a range; the one in which a stream breaks off is refused."""
        row, line, offset = part.row, part.line, part.start
        skip = self.headed and self._streamed(source)
        try:
            with self._open(source) as (stream, offset):
                length = None
                if self._streamed(source):
                    yield self._nothing([])
                else:
                    stream.seek(part.start)
                    offset, length = part.start, part.end - part.start
                for block in scan.blocks(
                    stream, quotes=self.quotes, offset=offset, length=length, delimiter=self._delimiter
                ):
                    first, skip = int(skip), skip and not len(block.starts)
                    for begin in range(first, len(block.starts), self.request.chunk_rows):
                        end = min(begin + self.request.chunk_rows, len(block.starts))
                        yield self._chunk(source, RecordSlice(block, begin, end, row, line))
                        row += end - begin
                    line += block.newlines
                    offset = block.offset + block.size
        except scan.Break as err:
            yield self._nothing([broken_off(err, row, line, headless=bool(skip))])

    @abc.abstractmethod
    def _chunk(self, source: SourceFile, part: RecordSlice) -> Chunk:
        """Some records of a block as a chunk."""

    @abc.abstractmethod
    def _nothing(self, refusals: list[RefusedRows]) -> Chunk:
        """No rows but refused ones."""

    def _streamed(self, source: SourceFile) -> bool:
        """Whether the file is read from its beginning to its end: its bytes are not those of its records."""
        return bool(source.compressed) or self.request.dialect.recoded

    @property
    def _delimiter(self) -> str:
        return self.request.dialect.delimiter

    def _refuse_strange(self, source: SourceFile) -> None:
        """Refuse a file whose first bytes say that it is other text than was asked for."""
        if self.request.dialect.recoded:
            return
        with source.text(self.request.allow_http) as stream:
            start = stream.peek(_START)[:_START]
        found = strange(start)
        if found is not None:
            raise ContractError("malformed", found[0], path=source.url, help=found[1])
        if b"\n" not in start and _ALONE.search(start):
            raise ContractError(
                "malformed",
                "expected lines that end with a line feed, got carriage returns alone",
                path=source.url,
                help="write it anew: tr '\\r' '\\n'",
            )

    @contextlib.contextmanager
    def _open(self, source: SourceFile) -> Iterator[tuple[Any, int]]:
        """The text, behind the byte order mark that it may begin with, and the place where that is."""
        dialect = self.request.dialect
        with source.text(self.request.allow_http) as raw:
            stream = Recoded(raw, dialect.encoding) if dialect.recoded else raw
            marked = stream.peek(3)[:3] == BOM
            yield stream, len(stream.read(3)) if marked else 0


def broken_off(err: scan.Break, row: int, line: int, *, headless: bool = False) -> RefusedRows:
    """The refusal of a stream that breaks off: of the row in which it does, or of none where it does between two.

    `headless` where the record it breaks off in is the header.
    """
    rest = b"" if headless else err.rest
    error = ContractError("malformed", f"{err.reason}; behind byte {err.offset} nothing is scored")
    begun = bool(rest.strip())
    return RefusedRows(
        row, error, rest if begun else None, line + 1, err.offset, len(rest), rows=int(begun), broken=True
    )


class RecordSlice:
    """Records `begin` to `end` of a block; the first is `row` of the file, the block begins with `line`."""

    def __init__(self, block: scan.Block, begin: int, end: int, row: int, line: int) -> None:
        self.row = row
        self.starts = block.starts[begin:end]
        self.ends = block.ends[begin:end]
        self.broken = block.broken[begin:end]
        self._block, self._line, self._begin = block, line, begin

    def __len__(self) -> int:
        return len(self.starts)

    def raw(self, index: int) -> bytes:
        """A record as it stands, its line's end included."""
        return self._block.data[self.starts[index] : self.ends[index]]

    def text(self, rows: Any) -> tuple[bytes, list[tuple[int, int]]]:
        """Some records (a rising array of indexes) as one text, and where each stands in it."""
        starts, ends = self.starts[rows], self.ends[rows]
        if not len(rows):
            return b"", []
        if len(rows) == len(self) and bool((starts[1:] == ends[:-1]).all()):
            base = int(starts[0])
            return self._block.data[base : int(ends[-1])], list(zip((starts - base).tolist(), (ends - base).tolist()))
        data = self._block.data
        joined = b"".join(data[start:end] for start, end in zip(starts.tolist(), ends.tolist()))
        ends_in_text = np.cumsum(ends - starts)
        return joined, list(zip((ends_in_text - (ends - starts)).tolist(), ends_in_text.tolist()))

    def refusal(self, index: int, error: ContractError) -> RefusedRows:
        """A record that is quarantined."""
        size = int(self.ends[index] - self.starts[index])
        return RefusedRows(
            self.row + index,
            error,
            self.raw(index).rstrip(b"\r\n"),
            self._line + int(self._block.lines[self._begin + index]) + 1,
            self._block.offset + int(self.starts[index]),
            size,
        )


def too_long(most: int) -> ContractError:
    """The error of a line that is not read to its end."""
    return ContractError("too_large", f"expected a line of at most {most:,} bytes, got a longer one")


def in_order(refusals: list[RefusedRows]) -> list[RefusedRows]:
    """Refusals by row."""
    return sorted(refusals, key=lambda refusal: refusal.row)
