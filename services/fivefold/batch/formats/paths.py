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

from fivefold.batch.formats.chunk import Check, Chunk, Range, ReadRequest, by_name, nothing
from fivefold.batch.storage.names import partitions
from fivefold.batch.storage.sources import SourceFile
from fivefold.core.columns import Columns
from fivefold.core.errors import ContractError
from fivefold.core.fields.field import Field
from fivefold.core.readers.text import Text

FILE = "_file"

_ZEROS = re.compile(r"\A(-?)0+(?=[0-9])")


class Reader(Protocol):
    """A format that reads what is in a file, and nothing of its path."""

    def check_layout(self, source: SourceFile) -> list[str]:
        """As `Format.check_layout`."""

    def ranges(self, source: SourceFile, target: int, check: Check = nothing) -> Sequence[Range]:
        """As `Format.ranges`."""

    def read(
        self, source: SourceFile, part: Range, broken: Mapping[int, str] = MappingProxyType({})
    ) -> Iterator[Chunk]:
        """As `Format.read`."""

    def kinds(self, source: SourceFile) -> Mapping[str, Any] | None:
        """The file's columns and their Arrow types; None where it breaks off before anybody knows."""


class WithPaths:
    """A format of which a file's path may say more."""

    def __init__(self, make: Callable[[ReadRequest], Reader], request: ReadRequest) -> None:
        self._make, self._request = make, request
        self._wanted = by_name(request.fields)
        self._readers: dict[frozenset[str], Reader] = {}
        self._whole = self._reader(frozenset())
        self._given: dict[str, dict[str, str | None]] = {}

    def check_layout(self, source: SourceFile) -> list[str]:
        """Check the file's head, and its path."""
        given = self._values(source)
        ignored = self._reader(frozenset(given)).check_layout(source)
        if given:
            self._cells(source, given)
        return ignored

    def ranges(self, source: SourceFile, target: int, check: Check = nothing) -> Sequence[Range]:
        """The whole file as ranges."""
        return self._whole.ranges(source, target, check)

    def kinds(self, source: SourceFile) -> dict[str, Any]:
        """The Arrow types of the carried columns, as far as somebody knows."""
        if not self._request.carried:
            return {}
        given = self._values(source)
        found = self._whole.kinds(source)
        known = dict(found or {}) | dict.fromkeys(given, pa.string())
        if source.format == "jsonl":
            known |= dict.fromkeys(self._request.carried, pa.string())
        return {name: known[name] for name in self._request.carried if name in known}

    def read(
        self, source: SourceFile, part: Range, broken: Mapping[int, str] = MappingProxyType({})
    ) -> Iterator[Chunk]:
        """The rows of a range."""
        given = self._values(source)
        chunks = self._reader(frozenset(given)).read(source, part, broken)
        if not given:
            yield from chunks
            return
        cells = self._cells(source, given)
        for chunk in chunks:
            yield replace(
                chunk,
                columns=_merged(self._request.fields, chunk.columns, cells),
                carried={
                    name: pa.repeat(pa.scalar(given[name], pa.string()), len(chunk.numbers))
                    if name in given
                    else chunk.carried[name]
                    for name in self._request.carried
                },
                refusals=[replace(refusal, given=given) for refusal in chunk.refusals],
            )

    def _values(self, source: SourceFile) -> dict[str, str | None]:
        """What is taken from a file's path."""
        if source.url not in self._given:
            known = partitions(source.url) | ({FILE: source.url} if FILE in self._request.carried else {})
            wanted = {name for name in known if name in self._request.carried or name in self._wanted}
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
            request = replace(
                self._request,
                fields=tuple(field for field in self._request.fields if field.name not in fields),
                carried=tuple(name for name in self._request.carried if name not in given),
                some_given=bool(fields),
            )
            self._readers[given] = self._make(request)
        return self._readers[given]

    def _cells(self, source: SourceFile, given: Mapping[str, str | None]) -> Columns:
        """The contract's fields that a path gives, as one row."""
        names = [name for name in given if name in self._wanted]
        fields = {self._wanted[name].name: self._wanted[name] for name in names}
        values = [_cell(self._wanted[name], given[name], self._request.dialect.words) for name in names]
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
