"""What a reader of files is asked for, and what it gives: chunks of rows, the good ones apart from the refused.

Writing refused rows down is left to `fivefold.batch.output.sinks`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any, Protocol

from fivefold.batch.formats.dialect import TextDialect
from fivefold.batch.storage.sources import SourceFile
from fivefold.core.columns import Array, Columns
from fivefold.core.errors import ContractError, FivefoldError
from fivefold.core.fields.field import Field

Check = Callable[[], None]


@dataclass(frozen=True, slots=True)
class Range:
    """A part of a file: bytes `start` to `end` of text, or row groups of Parquet.

    `row` is the number of its first row in the file, `line` of its first line, both from 0. `rows` is None where only
    reading will tell.
    """

    start: int
    end: int
    row: int
    rows: int | None
    line: int = 0


@dataclass(frozen=True, slots=True)
class RefusedRows:
    """A row that is quarantined, or `rows` of them that cannot be told apart.

    `row` counts from 0 in the file, `line` from 1; `offset` and `size` are bytes of the file, as it is behind its
    compression. `raw` is the row as it stood: bytes of text, or a mapping of column to value. The error's path is as of
    a request with this one row. `broken` where a stream or a row group breaks off, which is no row's own matter; behind
    the break of a stream nobody knows of rows, so that `rows` may be 0.
    """

    row: int
    error: FivefoldError
    raw: bytes | Mapping[str, Any] | None = None
    line: int | None = None
    offset: int | None = None
    size: int | None = None
    rows: int = 1
    broken: bool = False
    cells: Mapping[str, Any] | None = None
    """The row's cells by column where `raw` is text that has to be cut into them."""
    given: Mapping[str, Any] = field(default_factory=dict)
    """What the file's path says about the row, by column."""


@dataclass(slots=True)
class Chunk:
    """Some rows of a file. `numbers` are the good rows' numbers in the file (int64); `carried` has their values of the
    columns beside the contract, an Arrow array or a list of JSON values for each."""

    columns: Columns
    numbers: Array
    carried: dict[str, Any]
    refusals: list[RefusedRows] = field(default_factory=list)


_PLAIN = TextDialect()


@dataclass(frozen=True, slots=True)
class ReadRequest:
    """What is wanted of every file: the contract's fields, columns to carry beside them, rows in a chunk."""

    fields: tuple[Field, ...]
    carried: tuple[str, ...] = ()
    strict: bool = False
    chunk_rows: int = 8192
    allow_http: bool = False
    """Whether stores may be talked to without https."""
    dialect: TextDialect = _PLAIN
    allow_broken: bool = False
    """Whether a file that breaks off before its first row is read as far as it goes, instead of refused."""
    some_given: bool = False
    """Whether a field of the contract comes from elsewhere than the file, and is not among `fields`."""

    @property
    def known(self) -> set[str]:
        """The names of all columns that are not ignored."""
        return {*by_name(self.fields), *self.carried}


def by_name(fields: Sequence[Field]) -> dict[str, Field]:
    """Fields by every name that a file may have them under."""
    return {name: field for field in fields for name in (field.name, *field.aliases)}


def nothing() -> None:
    """Nothing."""


class Format(Protocol):
    """One format of files."""

    def check_layout(self, source: SourceFile) -> list[str]:
        """Check the file's head before anything is scored; the names of columns that will be ignored.

        Raises `ContractError` where a required or carried column is missing, or the file is not one of the format.
        """

    def kinds(self, source: SourceFile) -> Mapping[str, Any]:
        """The Arrow types of the carried columns, as far as the file says."""

    def ranges(self, source: SourceFile, target: int, check: Check = nothing) -> Sequence[Range]:
        """The whole file as ranges of about `target` bytes. What `check` raises now and then ends it."""

    def read(
        self, source: SourceFile, part: Range, broken: Mapping[int, str] = MappingProxyType({})
    ) -> Iterator[Chunk]:
        """The rows of a range, in order.

        Raises `BrokenUnit` where a unit of the file turns out to be unreadable after some of its rows were given; with
        that unit among `broken`, which has the reasons, it is given as one refusal.
        """


class BrokenUnit(Exception):
    """A unit of a file that breaks off while it is read."""

    def __init__(self, unit: int, reason: str) -> None:
        super().__init__(reason)
        self.unit, self.reason = unit, reason


def cannot_be_opened(url: str, reason: str) -> ContractError:
    """The error of a file that breaks off before there is a row."""
    return ContractError(
        "malformed",
        reason,
        path=url,
        help="repair the file or leave it out; --allow-torn scores what can be read of it, here nothing",
    )
