"""The footer of a Parquet file, read before Arrow is asked about it: rows and stored size of each row group.

Arrow ends the process where a column has no metadata, or metadata that it has no key for; one flipped bit is enough. So
whatever is asked of a column is read here, from Thrift's compact protocol (the structures are those of
`parquet-format`'s parquet.thrift), and Arrow decodes pages alone, where it raises.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import IO

from fivefold.core.errors import ContractError

TAIL = 64 * 1024
"""Bytes from the end that are read at once; most footers are shorter."""

MOST_ROWS = 2**53
"""More of them no file has, and no reader of JSON would count."""

DEEPEST = 16

_MAGIC = b"PARE"

_FILE_ROWS, _FILE_GROUPS, _FILE_ENCRYPTION = 3, 4, 8
_GROUP_COLUMNS, _GROUP_ROWS = 1, 3
_CHUNK_META, _CHUNK_CRYPTO, _CHUNK_ENCRYPTED = 3, 8, 9
_META_VALUES, _META_SIZE = 5, 7
_STOP, _TRUE, _FALSE, _BYTE, _DOUBLE, _BINARY, _LIST, _SET, _MAP, _STRUCT, _UUID = 0, 1, 2, 3, 7, 8, 9, 10, 11, 12, 13
_INTEGERS = (4, 5, 6)


@dataclass(frozen=True, slots=True)
class Group:
    """A row group: its rows, its bytes as stored, the fewest and the most values of a column."""

    rows: int
    size: int
    values: tuple[int, int]


def is_encrypted(stream: IO[bytes], size: int) -> bool:
    """Whether the file's last bytes say that not even its footer can be read."""
    stream.seek(max(0, size - len(_MAGIC)))
    return stream.read(len(_MAGIC)) == _MAGIC


def groups(stream: IO[bytes], size: int, url: str, repeated: Sequence[bool]) -> list[Group]:
    """The row groups of a file of `size` bytes that begins and ends as Parquet does; `repeated` says of each column
    whether a row may have several values of it.

    Raises `ContractError` `malformed` for an encrypted file, and for a footer whose numbers cannot be true.
    """
    stream.seek(max(0, size - TAIL))
    tail = stream.read(TAIL)
    length = int.from_bytes(tail[-8:-4], "little")
    if length + 8 > len(tail):
        stream.seek(max(0, size - 8 - length))
        tail = stream.read(length + 8)
    try:
        found, rows, hidden = _CompactProtocol(tail[-8 - length : -8]).file()
    except (IndexError, ValueError, RecursionError) as err:
        raise _malformed(url, "the footer breaks off") from err
    if hidden:
        raise encrypted(url)
    for index, group in enumerate(found):
        if group is None or group.rows < 0 or group.size < 0:
            raise _malformed(url, f"row group {index} of the footer is none")
        fewest, most = group.values
        # A column without repetition has a value a row, any other one at least that.
        least, all_of_them = fewest == group.rows or all(repeated), most == group.rows or any(repeated)
        if fewest < group.rows or not least or not all_of_them:
            reason = f"row group {index} has {group.rows:,} rows, and its columns {fewest:,} to {most:,} values"
            raise _malformed(url, reason)
    whole = [group for group in found if group is not None]
    total = sum(group.rows for group in whole)
    if total != rows or total > MOST_ROWS:
        raise _malformed(url, f"the footer says {rows:,} rows, and its row groups have {total:,}")
    return whole


def _malformed(url: str, reason: str) -> ContractError:
    return ContractError("malformed", f"expected a Parquet file: {reason}", path=url)


def encrypted(url: str) -> ContractError:
    """The error of a file that needs a key."""
    return ContractError(
        "malformed",
        "expected a Parquet file that can be read without a key, got an encrypted one",
        path=url,
        help="write it anew without encryption",
    )


class _CompactProtocol:
    """Thrift's compact protocol, as much of it as is needed. Raises `IndexError` at the end of the bytes."""

    def __init__(self, data: bytes) -> None:
        self._data, self._at = data, 0

    def file(self) -> tuple[list[Group | None], int, bool]:
        """The groups, the number of rows, and whether the file is encrypted."""
        found: list[Group | None] = []
        rows, encrypted = -1, False

        def take(field: int, kind: int) -> None:
            nonlocal rows, encrypted
            if field == _FILE_ROWS and kind in _INTEGERS:
                rows = self._integer()
            elif field == _FILE_GROUPS and kind == _LIST:
                for _ in range(self._length(_STRUCT)):
                    group, hidden = self._group()
                    encrypted = encrypted or hidden
                    found.append(group)
            else:
                encrypted = encrypted or field == _FILE_ENCRYPTION
                self._skip(kind)

        self._struct(take)
        return found, rows, encrypted

    def _group(self) -> tuple[Group | None, bool]:
        rows, size, hidden, whole = -1, 0, False, True
        fewest, most = MOST_ROWS, 0

        def take(field: int, kind: int) -> None:
            nonlocal rows, size, hidden, whole, fewest, most
            if field == _GROUP_ROWS and kind in _INTEGERS:
                rows = self._integer()
            elif field == _GROUP_COLUMNS and kind == _LIST:
                for _ in range(self._length(_STRUCT)):
                    values, stored, secret = self._chunk()
                    hidden, whole = hidden or secret, whole and values >= 0
                    size += stored
                    fewest, most = min(fewest, values), max(most, values)
            else:
                self._skip(kind)

        self._struct(take)
        return (Group(rows, size, (fewest, most)) if whole and rows >= 0 else None), hidden

    def _chunk(self) -> tuple[int, int, bool]:
        """Values and stored bytes of a column, -1 values where it has no metadata; whether it is encrypted."""
        values, size, hidden = -1, 0, False

        def about(field: int, kind: int) -> None:
            nonlocal values, size
            if field == _META_VALUES and kind in _INTEGERS:
                values = self._integer()
            elif field == _META_SIZE and kind in _INTEGERS:
                size = self._integer()
            else:
                self._skip(kind)

        def take(field: int, kind: int) -> None:
            nonlocal hidden
            if field == _CHUNK_META and kind == _STRUCT:
                self._struct(about)
            else:
                hidden = hidden or field in (_CHUNK_CRYPTO, _CHUNK_ENCRYPTED)
                self._skip(kind)

        self._struct(take)
        return values, size, hidden

    def _struct(self, take: Callable[[int, int], None]) -> None:
        field = 0
        data = self._data
        while True:
            head = data[self._at]
            self._at += 1
            kind = head & 15
            if kind == _STOP:
                return
            field = field + (head >> 4) if head >> 4 else self._integer()
            take(field, kind)

    def _skip(self, kind: int, depth: int = 0) -> None:
        if kind in _INTEGERS:
            data = self._data
            while data[self._at] > 127:
                self._at += 1
            self._at += 1
        elif kind in (_TRUE, _FALSE):
            return
        elif kind == _BINARY:
            self._pass(self._varint())
        elif kind == _STRUCT and depth < DEEPEST:
            self._struct(lambda _, inner: self._skip(inner, depth + 1))
        elif kind in (_LIST, _SET) and depth < DEEPEST:
            head = self._data[self._at]
            for _ in range(self._length()):
                self._element(head & 15, depth)
        elif kind == _MAP and depth < DEEPEST:
            count = self._varint()
            if count:
                kinds = self._data[self._at]
                self._at += 1
                for _ in range(count):
                    self._element(kinds >> 4, depth)
                    self._element(kinds & 15, depth)
        elif kind in (_BYTE, _DOUBLE, _UUID):
            self._pass({_BYTE: 1, _DOUBLE: 8, _UUID: 16}[kind])
        else:
            raise ValueError(f"no such type: {kind}")

    def _element(self, kind: int, depth: int) -> None:
        """One of a list: there a truth value has a byte of its own."""
        if kind in (_TRUE, _FALSE):
            self._pass(1)
        else:
            self._skip(kind, depth + 1)

    def _length(self, kind: int | None = None) -> int:
        """The head of a list, of that kind of elements if it has any."""
        head = self._data[self._at]
        self._at += 1
        count = head >> 4
        if count == 15:
            count = self._varint()
        if kind is not None and count and head & 15 != kind:
            raise ValueError(f"expected a list of {kind}, got one of {head & 15}")
        return count

    def _pass(self, count: int) -> None:
        self._at += count
        if self._at > len(self._data):
            raise IndexError

    def _varint(self) -> int:
        value = shift = 0
        while True:
            byte = self._data[self._at]
            self._at += 1
            value |= (byte & 127) << shift
            if byte < 128:
                return value
            shift += 7
            if shift > 63:
                raise ValueError("a number of too many bytes")

    def _integer(self) -> int:
        value = self._varint()
        return (value >> 1) ^ -(value & 1)
