"""Parquet: row groups, read a chunk at a time, judged as Arrow columns by the core's own reader.

A page that cannot be read makes its whole row group one refusal: rows behind it cannot be told apart. Decoding is
pyarrow's; what a value may be is core's.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from types import MappingProxyType
from typing import IO, Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from fivefold.batch.formats import footer
from fivefold.batch.formats.carried_values import json_values, not_text, readable, readable_type
from fivefold.batch.formats.chunk import (
    BrokenUnit,
    Check,
    Chunk,
    Range,
    ReadRequest,
    RefusedRows,
    cannot_be_opened,
    nothing,
)
from fivefold.batch.formats.csv import check_names
from fivefold.batch.formats.footer import Group
from fivefold.batch.storage.sources import SourceFile
from fivefold.core.columns import Columns
from fivefold.core.errors import ContractError
from fivefold.core.readers.arrow import Arrow
from fivefold.core.readers.arrow_numpy import from_numpy

BUFFER = 1024 * 1024
"""Bytes of a column that are read ahead: a row group is never held whole."""


class Parquet:
    """Reads Parquet files; a column that no field answers to, and that is not carried, is ignored."""

    def __init__(self, request: ReadRequest) -> None:
        self.request = request
        self._arrow = Arrow(request.fields)
        self._footers: dict[str, list[Group]] = {}
        self._known = request.known

    def check_layout(self, source: SourceFile) -> list[str]:
        """Check the schema."""
        with source.random(self.request.allow_http) as stream:
            try:
                file = self._file(source, stream)
            except _Footless:
                if self.request.allow_broken:
                    return []
                raise
            self._groups(file, source, stream)
            names = _names(file, source)
            ignored = check_names(names, self.request, source.url)
            doubled = next((name for name in names if name in self._known and names.count(name) > 1), None)
            if doubled is not None:
                raise ContractError("duplicate_field", f"the file has the column {doubled!r} twice", path=source.url)
            return ignored

    def kinds(self, source: SourceFile) -> dict[str, Any] | None:
        """The schema's names and types."""
        with source.random(self.request.allow_http) as stream:
            try:
                file = self._file(source, stream)
            except _Footless:
                return None
            names = _names(file, source)
            return {name: readable_type(kind) for name, kind in zip(names, file.schema_arrow.types, strict=True)}

    def ranges(self, source: SourceFile, target: int, check: Check = nothing) -> Sequence[Range]:
        """Row groups that follow each other, together about `target` bytes as stored."""
        out: list[Range] = []
        start = row = rows = size = 0
        with source.random(self.request.allow_http) as stream:
            check()
            try:
                file = self._file(source, stream)
            except _Footless:
                return [Range(0, 0, 0, None)]
            groups = self._groups(file, source, stream)
            for group, about in enumerate(groups):
                rows += about.rows
                size += about.size
                if size >= target:
                    out.append(Range(start, group + 1, row, rows))
                    start, row, rows, size = group + 1, row + rows, 0, 0
            if rows:
                out.append(Range(start, len(groups), row, rows))
        return out

    def read(
        self, source: SourceFile, part: Range, broken: Mapping[int, str] = MappingProxyType({})
    ) -> Iterator[Chunk]:
        """The rows of some row groups; those in `broken` are one refusal each."""
        row = part.row
        with source.random(self.request.allow_http) as stream:
            try:
                file = self._file(source, stream)
            except _Footless as error:
                yield self._nothing([RefusedRows(0, ContractError("malformed", error.message), rows=0, broken=True)])
                return
            names = [name for name in dict.fromkeys(file.schema_arrow.names) if name in self._known]
            # Rows are counted by what is read: without a column the footer alone would say how many there are.
            names = names or file.schema_arrow.names[:1]
            for group in range(part.start, part.end):
                rows = file.metadata.row_group(group).num_rows
                if group in broken:
                    yield self._broken_group(file, group, row, rows, broken[group])
                else:
                    yield from self._group(file, group, names, row)
                row += rows

    def _file(self, source: SourceFile, stream: IO[bytes]) -> Any:
        try:
            # A local file is read by Arrow itself, without the interpreter between.
            file: Any = source.url if source.local else stream
            return pq.ParquetFile(file, buffer_size=BUFFER, pre_buffer=False, page_checksum_verification=True)
        except UnicodeDecodeError as err:
            raise ContractError("not_utf8", "the name of a column is no UTF-8", path=source.url) from err
        except (pa.ArrowException, OSError) as err:
            if footer.is_encrypted(stream, source.size):
                raise footer.encrypted(source.url) from err
            reason = str(err).splitlines()[0][:300]
            raise _Footless.at(source.url, f"expected a Parquet file: {reason}") from err

    def _groups(self, file: Any, source: SourceFile, stream: IO[bytes]) -> list[Group]:
        """What the footer says of each row group, as it is believed."""
        if source.url not in self._footers:
            schema = file.metadata.schema
            repeated = [schema.column(at).max_repetition_level > 0 for at in range(len(schema))]
            self._footers[source.url] = footer.groups(stream, source.size, source.url, repeated)
        return self._footers[source.url]

    def _group(self, file: Any, group: int, names: list[str], row: int) -> Iterator[Chunk]:
        rows, first = file.metadata.row_group(group).num_rows, row
        batches = file.iter_batches(self.request.chunk_rows, row_groups=[group], columns=names, use_threads=False)
        while True:
            try:
                batch = next(batches, None)
            except (pa.ArrowException, OSError) as err:
                raise BrokenUnit(group, str(err).splitlines()[0][:300]) from err
            given = row - first + (0 if batch is None else batch.num_rows)
            if given > rows or (batch is None and given != rows):
                raise BrokenUnit(group, f"its footer says {rows} rows, and it has {'more' if given > rows else given}")
            if batch is None:
                return
            yield self._chunk(batch, row)
            row += batch.num_rows

    def _chunk(self, batch: Any, row: int) -> Chunk:
        reading = self._arrow.read(batch)
        numbers = np.arange(row, row + batch.num_rows)
        carried = {name: readable(batch.column(name)) for name in self.request.carried}
        odd = {at: name for name, values in carried.items() for at in not_text(values)}
        if not reading.violations and not odd:
            return Chunk(reading.columns, numbers, carried)
        columns, bad = reading.columns, reading.bad
        if odd:
            bad = bad.copy()
            bad[list(odd)] = True
            columns = columns.take(~bad[~reading.bad])
        refusals = []
        for index in np.flatnonzero(bad).tolist():
            one = batch.slice(index, 1)
            try:
                self._arrow.read(one).accept()
                raise _no_text(odd[index])
            except ContractError as error:
                refusals.append(RefusedRows(row + index, error, values_of(one)))
        good = from_numpy(~bad, pa.bool_())
        carried = {name: values.filter(good) for name, values in carried.items()}
        return Chunk(columns, numbers[~bad], carried, refusals)

    def _broken_group(self, file: Any, group: int, row: int, rows: int, reason: str) -> Chunk:
        error = ContractError("malformed", f"row group {group} cannot be read, {rows} rows: {reason}")
        carried = {name: pa.array([], file.schema_arrow.field(name).type) for name in self.request.carried}
        return self._nothing([RefusedRows(row, error, rows=rows, broken=True)], carried)

    def _nothing(self, refusals: list[RefusedRows], carried: dict[str, Any] | None = None) -> Chunk:
        carried = carried or {name: pa.array([], pa.null()) for name in self.request.carried}
        columns = Columns(
            self.request.fields,
            {field.name: np.empty((0, *field.shape), field.numpy_dtype) for field in self.request.fields},
            0,
        )
        return Chunk(columns, np.zeros(0, np.int64), carried, refusals)


class _Footless(ContractError):
    """A file that has no footer, so that nobody can say what is in it."""

    @classmethod
    def at(cls, url: str, reason: str) -> _Footless:
        """With what to do about it."""
        error = cannot_be_opened(url, reason)
        return cls(error.code, error.message, path=error.path, help=error.help)


def _names(file: Any, source: SourceFile) -> list[str]:
    try:
        names: list[str] = file.schema_arrow.names
    except UnicodeDecodeError as err:
        raise ContractError("not_utf8", "the name of a column is no UTF-8", path=source.url) from err
    if not names:
        raise ContractError("malformed", "expected columns, got a file that has none", path=source.url)
    return names


def _no_text(name: str) -> ContractError:
    return ContractError("not_utf8", "expected UTF-8 in a column that is carried", path=f"inputs.{name}[0]")


def values_of(batch: Any) -> dict[str, Any]:
    """The values of a batch's one row, by column; bytes where text is none."""
    return {name: _value(values) for name, values in zip(batch.schema.names, batch.columns, strict=True)}


def _value(values: Any) -> Any:
    try:
        return values[0].as_py()
    except UnicodeDecodeError:
        if pa.types.is_nested(values.type):
            return None
        return values.cast(pa.large_binary())[0].as_py()
    except (pa.ArrowException, ValueError, OverflowError):
        # A moment that Python has no word for.
        return json_values(values)[0]
