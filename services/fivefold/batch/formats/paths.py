"""What the path of a file says about its rows: the values of its partitions, and which file it is.

A name that is wanted and that no column has is filled from the path: `dt=2024-01-01/` gives `dt`, as Hive and Spark
write it, and `_file` is the file itself. A value is read as a CSV cell is, by core's reader, and a file whose path has
one that breaks the contract is refused. A column of the file's own always comes first.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from types import MappingProxyType
from typing import Any, Protocol

import numpy as np
import pyarrow as pa

from fivefold.batch.formats.chunk import Check, Needs, Piece, Range, nothing
from fivefold.batch.storage.names import partitions
from fivefold.batch.storage.sources import Source
from fivefold.core.columns import Columns
from fivefold.core.errors import ContractError
from fivefold.core.fields.field import Field
from fivefold.core.readers.text import Text

FILE = "_file"

_ZEROS = re.compile(r"\A(-?)0+(?=[0-9])")


class Reader(Protocol):
    """A format that reads what is in a file, and nothing of its path."""

    def look(self, source: Source) -> list[str]:
        """As `Format.look`."""

    def cut(self, source: Source, target: int, check: Check = nothing) -> Sequence[Range]:
        """As `Format.cut`."""

    def read(self, source: Source, part: Range, torn: Mapping[int, str] = MappingProxyType({})) -> Iterator[Piece]:
        """As `Format.read`."""

    def kinds(self, source: Source) -> Mapping[str, Any] | None:
        """The file's columns and their Arrow types; None where it breaks off before anybody knows."""


class WithPaths:
    """A format whose files may be told more of by their paths."""

    def __init__(self, make: Callable[[Needs], Reader], needs: Needs) -> None:
        self._make, self._needs = make, needs
        self._wanted = {name: field for field in needs.fields for name in (field.name, *field.aliases)}
        self._readers: dict[frozenset[str], Reader] = {}
        self._whole = self._reader(frozenset())
        self._given: dict[str, dict[str, str | None]] = {}

    def look(self, source: Source) -> list[str]:
        """Check the file's head, and its path."""
        given = self._values(source)
        ignored = self._reader(frozenset(given)).look(source)
        if given:
            self._cells(source, given)
        return ignored

    def cut(self, source: Source, target: int, check: Check = nothing) -> Sequence[Range]:
        """The whole file as ranges."""
        return self._whole.cut(source, target, check)

    def kinds(self, source: Source) -> dict[str, Any]:
        """The Arrow types of the carried columns, as far as somebody knows."""
        if not self._needs.carried:
            return {}
        given = self._values(source)
        found = self._whole.kinds(source)
        known = dict(found or {}) | dict.fromkeys(given, pa.string())
        if source.format == "jsonl":
            known |= dict.fromkeys(self._needs.carried, pa.string())
        return {name: known[name] for name in self._needs.carried if name in known}

    def read(self, source: Source, part: Range, torn: Mapping[int, str] = MappingProxyType({})) -> Iterator[Piece]:
        """The rows of a range."""
        given = self._values(source)
        pieces = self._reader(frozenset(given)).read(source, part, torn)
        if not given:
            yield from pieces
            return
        cells = self._cells(source, given)
        for piece in pieces:
            yield replace(
                piece,
                columns=_merged(self._needs.fields, piece.columns, cells),
                carried={
                    name: pa.repeat(pa.scalar(given[name], pa.string()), len(piece.places))
                    if name in given
                    else piece.carried[name]
                    for name in self._needs.carried
                },
                faults=[replace(fault, given=given) for fault in piece.faults],
            )

    def _values(self, source: Source) -> dict[str, str | None]:
        """What is taken from a file's path."""
        if source.url not in self._given:
            known = partitions(source.url) | ({FILE: source.url} if FILE in self._needs.carried else {})
            wanted = {name for name in known if name in self._needs.carried or name in self._wanted}
            columns = self._whole.kinds(source) if wanted else None
            if columns is not None:
                own = {self._wanted[name].name for name in columns if name in self._wanted}
                wanted -= {name for name in wanted if name in columns}
                wanted -= {name for name in wanted if name in self._wanted and self._wanted[name].name in own}
            self._given[source.url] = {name: known[name] for name in wanted if not self._shaped(name)}
        return self._given[source.url]

    def _shaped(self, name: str) -> bool:
        return name in self._wanted and bool(self._wanted[name].shape)

    def _reader(self, given: frozenset[str]) -> Reader:
        """The reader of what the path does not give."""
        if given not in self._readers:
            fields = {self._wanted[name].name for name in given if name in self._wanted}
            needs = replace(
                self._needs,
                fields=tuple(field for field in self._needs.fields if field.name not in fields),
                carried=tuple(name for name in self._needs.carried if name not in given),
            )
            self._readers[given] = self._make(needs)
        return self._readers[given]

    def _cells(self, source: Source, given: Mapping[str, str | None]) -> Columns:
        """The contract's fields that a path gives, as one row."""
        names = [name for name in given if name in self._wanted]
        fields = {self._wanted[name].name: self._wanted[name] for name in names}
        values = [_cell(self._wanted[name], given[name], self._needs.dialect.words) for name in names]
        try:
            return Text(tuple(fields.values())).read(names, [values]).accept()
        except ContractError as error:
            raise ContractError(
                error.code, f"{source.url}: in the path: {error.message}", path=error.path, help=error.help
            ) from error


def _cell(field: Field, text: str | None, words: Mapping[str, str]) -> str | None:
    """A value of a path as a cell: months and hours have zeros before them that no number of JSON has."""
    if text is None:
        return None
    if field.numeric:
        return _ZEROS.sub(r"\1", text, count=1)
    return words.get(text, text) if field.kind == "bool" else text


def _merged(fields: Sequence[Field], read: Columns, cells: Columns) -> Columns:
    """Columns of a file and one row of its path as columns of all fields."""
    arrays, nulls = {}, {}
    for field in fields:
        if field.name in cells:
            arrays[field.name] = np.repeat(cells[field.name], read.rows, axis=0)
            mask = np.repeat(cells.nulls(field.name), read.rows, axis=0)
        else:
            arrays[field.name] = read[field.name]
            mask = read.nulls(field.name)
        if field.null_is_value:
            nulls[field.name] = mask
    return Columns(fields, arrays, read.rows, None, nulls)
