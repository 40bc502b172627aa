"""Bytes to records: where each begins and ends, whatever the size of what is read at a time.

A record is a line. With `quotes` a double quote at the beginning of a cell opens text that may hold line ends, and a
doubled one in there is itself (RFC 4180). Text that is never closed, or goes on behind its end, or is longer than
`MAX_QUOTED`, breaks only the line it begins in: the scan goes on with the next line. Whether a record is cut at some
place therefore depends on the bytes alone, and a file that is read from the beginning of any record gives the same
ones. Empty lines are no records. What a record holds is left to `csv` and `jsonl`.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from typing import IO

import numpy as np

from fivefold.batch.storage.broken_stream import StreamBroken
from fivefold.core.columns import Array

BLOCK = 4 * 1024 * 1024
"""Bytes that are read at a time."""

MAX_QUOTED = 1024 * 1024
"""Bytes of a record that goes on over the end of its line."""

MAX_LINE = 16 * 1024 * 1024
"""Bytes of a line; the rest of a longer one is passed over."""

_NEWLINE, _RETURN, _QUOTE = 10, 13, 34

_SINGLES = 256


class Grammar:
    """Where records end under a delimiter (one byte)."""

    def __init__(self, delimiter: str) -> None:
        self.delimiter = ord(delimiter)
        mark = re.escape(delimiter).encode()
        cell = rb'(?:"(?:[^"]++|"")*+"|[^"' + mark + rb"\n][^" + mark + rb"\n]*+|)"
        self.record = re.compile(cell + rb"(?:" + mark + cell + rb")*+(?:\r?\n|(?P<end>\r?\Z))")
        self.open = re.compile(rb"(?:" + cell + mark + rb')*+"(?:[^"]++|"")*+"?\r?\Z')


@cache
def grammar_of(delimiter: str) -> Grammar:
    """The grammar of a delimiter."""
    return Grammar(delimiter)


class Break(Exception):
    """A stream that breaks off: the reason, the bytes of the record in which it does (or of some, where its quotes
    leave that open), and where they begin."""

    def __init__(self, broken: StreamBroken, rest: bytes, offset: int) -> None:
        super().__init__(broken.reason)
        self.reason, self.rest, self.offset = broken.reason, rest, offset


@dataclass(slots=True)
class Block:
    """Some records that follow each other.

    `starts` and `ends` are places in `data`, an end behind the line's end; `lines` counts line ends from the beginning
    of the block to each record; `broken` marks a record whose quotes, or whose length, make it none. The block covers
    `size` bytes from `offset` on and `newlines` line ends; of a line that is too long, `data` has only the beginning.
    """

    data: bytes
    offset: int
    starts: Array
    ends: Array
    lines: Array
    broken: Array
    size: int
    newlines: int


def blocks(
    stream: IO[bytes], *, quotes: bool, offset: int = 0, length: int | None = None, delimiter: str = ","
) -> Iterator[Block]:
    """The records of a stream that stands at `offset`, of `length` bytes or up to its end.

    Raises `Break` behind the last record that is whole, where the stream breaks off.
    """
    left = length
    rest = b""
    broken_off: StreamBroken | None = None
    while True:
        try:
            chunk = stream.read(BLOCK if left is None else min(BLOCK, left))
        except StreamBroken as err:
            if not err.whole:
                raise Break(err, rest, offset) from err
            chunk, broken_off = b"", err
        if left is not None:
            left -= len(chunk)
        final = not chunk
        data = rest + chunk if rest else chunk
        if not data:
            if broken_off is not None:
                raise Break(broken_off, b"", offset) from broken_off
            return
        ends, broken = _quoted(grammar_of(delimiter), data, final) if quotes else _lines(data, final)
        used = int(ends[-1]) if len(ends) else 0
        if used:
            yield _block(data, offset, ends, broken)
            offset += used
        rest = data[used:]
        if final:
            if broken_off is not None:
                raise Break(broken_off, b"", offset) from broken_off
            return
        if len(rest) > MAX_LINE and b"\n" not in rest:
            try:
                block, rest, left = _pass_over(stream, rest, offset, left)
            except StreamBroken as err:
                raise Break(err, rest[:BLOCK], offset) from err
            yield block
            offset += block.size


def _block(data: bytes, offset: int, ends: Array, broken: Array) -> Block:
    view = np.frombuffer(data, np.uint8)
    starts = np.empty_like(ends)
    starts[0], starts[1:] = 0, ends[:-1]
    used = int(ends[-1])
    newlines = int(np.count_nonzero(view[:used] == _NEWLINE))
    # Most blocks have one line a record; where they have more, each record's own are counted.
    plain = newlines == len(ends) - (view[used - 1] != _NEWLINE)
    lines = np.arange(len(ends)) if plain else np.searchsorted(np.flatnonzero(view[:used] == _NEWLINE), starts)
    sizes = ends - starts
    broken = broken | (sizes > MAX_LINE)
    blank = (sizes == 1) & ((view[starts] == _NEWLINE) | (view[starts] == _RETURN))
    two = sizes == 2
    if two.any():
        blank[two] = (view[starts[two]] == _RETURN) & (view[starts[two] + 1] == _NEWLINE)
    if blank.any():
        starts, ends, lines, broken = starts[~blank], ends[~blank], lines[~blank], broken[~blank]
    return Block(data, offset, starts, ends, lines, broken, used, newlines)


def _lines(data: bytes, final: bool) -> tuple[Array, Array]:
    ends = np.flatnonzero(np.frombuffer(data, np.uint8) == _NEWLINE) + 1
    if final and (not len(ends) or ends[-1] < len(data)):
        ends = np.append(ends, len(data))
    return ends, np.zeros(len(ends), np.bool_)


def _quoted(grammar: Grammar, data: bytes, final: bool) -> tuple[Array, Array]:
    """Ends of records where quotes count, and which of them are broken."""
    view = np.frombuffer(data, np.uint8)
    all_quotes = np.flatnonzero(view == _QUOTE)
    if not len(all_quotes):
        return _lines(data, final)
    all_newlines = np.flatnonzero(view == _NEWLINE)
    parts: list[Array] = []
    broken: list[int] = []
    at = 0
    while at < len(data):
        quotes = all_quotes[np.searchsorted(all_quotes, at) :]
        newlines = all_newlines[np.searchsorted(all_newlines, at) :]
        outside = newlines[np.searchsorted(quotes, newlines) % 2 == 0] + 1
        odd = _first_odd(grammar, view, quotes, outside, at, final)
        if odd is None:
            parts.append(outside)
            at = int(outside[-1]) if len(outside) else at
            if final and at < len(data):
                parts.append(np.array([len(data)]))
            break
        good = outside[: np.searchsorted(outside, odd, "right")]
        parts.append(good)
        at = int(good[-1]) if len(good) else at
        singles: list[int] = []
        undecided = False
        # Odd quotes come in numbers: some more records one by one cost less than looking at all of the block again.
        while at < len(data) and len(singles) < _SINGLES and not undecided:
            end, is_broken = _one(grammar, data, at, final)
            if end is None:
                undecided = True
            else:
                singles.append(end)
                at = end
                if is_broken:
                    broken.append(end)
        parts.append(np.array(singles, np.int64))
        if undecided:
            break
    ends = np.concatenate(parts) if parts else np.zeros(0, np.int64)
    return ends, np.isin(ends, broken)


def _first_odd(grammar: Grammar, view: Array, quotes: Array, outside: Array, at: int, final: bool) -> int | None:
    """The first quote, or beginning of a record, from which on counting quotes does not tell where records end."""
    found: list[int] = []
    if len(quotes):
        opening = np.arange(len(quotes)) % 2 == 0
        before = view[quotes - 1]
        before[quotes == at] = _NEWLINE
        last = len(view) - 1
        after = view[np.minimum(quotes + 1, last)]
        after[quotes == last] = _NEWLINE
        returns = after == _RETURN
        if returns.any():
            # A lone carriage return ends no line.
            behind = view[np.minimum(quotes + 2, last)]
            after[returns & (behind != _NEWLINE) & (quotes + 1 < last)] = 0
            after[returns] = np.where(after[returns] == _RETURN, _NEWLINE, after[returns])
        # Beside another quote it is one half of a doubled one.
        beside = np.where(opening, before, after)
        wrong = np.flatnonzero((beside != grammar.delimiter) & (beside != _NEWLINE) & (beside != _QUOTE))
        if len(wrong):
            found.append(int(quotes[wrong[0]]))
        if len(quotes) % 2 and (final or len(view) - int(quotes[-1]) > MAX_QUOTED):
            found.append(int(quotes[-1]))
    if len(outside):
        starts = np.concatenate([[at], outside[:-1]])
        long = np.flatnonzero(outside - starts > MAX_QUOTED)
        if len(long):
            found.append(int(starts[long[0]]))
    return min(found) if found else None


def _one(grammar: Grammar, data: bytes, at: int, final: bool) -> tuple[int | None, bool]:
    """End of the record that begins at `at`, and whether it is broken; no end where more bytes must tell."""
    match = grammar.record.match(data, at)
    if match is not None:
        whole = final or match["end"] is None
        line = data.find(b"\n", at) + 1 or len(data)
        if match.end() - at <= MAX_QUOTED or match.end() <= line:
            return (match.end(), False) if whole else (None, False)
    elif not final and len(data) - at <= MAX_QUOTED and grammar.open.match(data, at):
        return None, False
    end = data.find(b"\n", at) + 1
    return (end, True) if end else (len(data), True) if final else (None, False)


def _pass_over(stream: IO[bytes], begun: bytes, offset: int, left: int | None) -> tuple[Block, bytes, int | None]:
    """The rest of a line that is too long: what is kept of it as a block, and what was read behind it."""
    size = len(begun)
    while True:
        chunk = stream.read(BLOCK if left is None else min(BLOCK, left))
        if left is not None:
            left -= len(chunk)
        end = chunk.find(b"\n") + 1
        size += end or len(chunk)
        if end or not chunk:
            break
    one, kept = np.ones(1, np.bool_), begun[:BLOCK]
    zero = np.zeros(1, np.int64)
    block = Block(kept, offset, zero, np.array([size]), zero, one, size, int(bool(end)))
    return block, chunk[end:] if end else b"", left
