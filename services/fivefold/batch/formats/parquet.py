"""Parquet: row groups, read a chunk at a time, judged as Arrow columns by the core's own reader.

A page that cannot be read makes its whole row group one fault: rows behind it cannot be told apart. Decoding is
pyarrow's; the values' law is core's.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from types import MappingProxyType
from typing import IO, Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from fivefold.batch.formats.csv import check_names
from fivefold.batch.formats.piece import Check, Fault, Needs, Piece, Range, Torn, cannot_be_opened, nothing
from fivefold.batch.sources import Source
from fivefold.core.columns import Columns
from fivefold.core.errors import ContractError
from fivefold.core.readers.arrow import Arrow

BUFFER = 1024 * 1024
"""Bytes of a column that are read ahead: a row group is never held whole."""


class Parquet:
    """Reads Parquet files; a column that no field answers to, and that is not carried, is ignored."""

    def __init__(self, needs: Needs) -> None:
        self.needs = needs
        self._arrow = Arrow(needs.fields)
        self._known = {name for field in needs.fields for name in (field.name, *field.aliases)} | set(needs.carried)

    def look(self, source: Source) -> list[str]:
        """Check the schema."""
        with source.random(self.needs.clear) as stream:
            try:
                names = self._file(source, stream).schema_arrow.names
            except _Footless:
                if self.needs.allow_broken:
                    return []
                raise
            return check_names(names, self.needs, source.url)

    def kinds(self, source: Source) -> dict[str, Any] | None:
        """The schema's names and types."""
        with source.random(self.needs.clear) as stream:
            try:
                schema = self._file(source, stream).schema_arrow
            except _Footless:
                return None
            return {field.name: field.type for field in schema}

    def cut(self, source: Source, target: int, check: Check = nothing) -> Sequence[Range]:
        """Row groups that follow each other, together about `target` bytes as stored."""
        out: list[Range] = []
        start = row = rows = size = 0
        with source.random(self.needs.clear) as stream:
            check()
            try:
                metadata = self._file(source, stream).metadata
            except _Footless:
                return [Range(0, 0, 0, None)]
            for group in range(metadata.num_row_groups):
                about = metadata.row_group(group)
                rows += about.num_rows
                size += sum(about.column(column).total_compressed_size for column in range(about.num_columns))
                if size >= target:
                    out.append(Range(start, group + 1, row, rows))
                    start, row, rows, size = group + 1, row + rows, 0, 0
            if rows:
                out.append(Range(start, metadata.num_row_groups, row, rows))
        return out

    def read(self, source: Source, part: Range, torn: Mapping[int, str] = MappingProxyType({})) -> Iterator[Piece]:
        """The rows of some row groups; those in `torn` are one fault each."""
        row = part.row
        with source.random(self.needs.clear) as stream:
            try:
                file = self._file(source, stream)
            except _Footless as error:
                yield self._nothing([Fault(0, ContractError("malformed", error.message), rows=0, broken=True)])
                return
            names = [name for name in dict.fromkeys(file.schema_arrow.names) if name in self._known]
            for group in range(part.start, part.end):
                rows = file.metadata.row_group(group).num_rows
                if group in torn:
                    yield self._torn(file, group, row, rows, torn[group])
                else:
                    yield from self._group(file, group, names, row)
                row += rows

    def _file(self, source: Source, stream: IO[bytes]) -> Any:
        try:
            # A local file is read by Arrow itself, without the interpreter between.
            file: Any = source.url if source.local else stream
            return pq.ParquetFile(file, buffer_size=BUFFER, pre_buffer=False, page_checksum_verification=True)
        except (pa.ArrowException, OSError) as err:
            reason = str(err).splitlines()[0][:300]
            raise _Footless.at(source.url, f"expected a Parquet file: {reason}") from err

    def _group(self, file: Any, group: int, names: list[str], row: int) -> Iterator[Piece]:
        rows, first = file.metadata.row_group(group).num_rows, row
        batches = file.iter_batches(self.needs.chunk_rows, row_groups=[group], columns=names, use_threads=False)
        while True:
            try:
                batch = next(batches, None)
            except (pa.ArrowException, OSError) as err:
                raise Torn(group, str(err).splitlines()[0][:300]) from err
            given = row - first + (0 if batch is None else batch.num_rows)
            if given > rows or (batch is None and given != rows):
                raise Torn(group, f"its footer says {rows} rows, and it has {'more' if given > rows else given}")
            if batch is None:
                return
            yield self._piece(batch, row)
            row += batch.num_rows

    def _piece(self, batch: Any, row: int) -> Piece:
        reading = self._arrow.read(batch)
        places = np.arange(row, row + batch.num_rows)
        carried = {name: batch.column(name) for name in self.needs.carried}
        if not reading.violations:
            return Piece(reading.columns, places, carried)
        faults = []
        for index in np.flatnonzero(reading.bad).tolist():
            one = batch.slice(index, 1)
            try:
                self._arrow.read(one).accept()
            except ContractError as error:
                faults.append(Fault(row + index, error, values_of(one)))
        good = pa.array(~reading.bad)
        carried = {name: values.filter(good) for name, values in carried.items()}
        return Piece(reading.columns, places[~reading.bad], carried, faults)

    def _torn(self, file: Any, group: int, row: int, rows: int, reason: str) -> Piece:
        error = ContractError("malformed", f"row group {group} cannot be read, {rows} rows: {reason}")
        carried = {name: pa.array([], file.schema_arrow.field(name).type) for name in self.needs.carried}
        return self._nothing([Fault(row, error, rows=rows, broken=True)], carried)

    def _nothing(self, faults: list[Fault], carried: dict[str, Any] | None = None) -> Piece:
        carried = carried or {name: pa.array([], pa.null()) for name in self.needs.carried}
        columns = Columns(
            self.needs.fields,
            {field.name: np.empty((0, *field.shape), field.numpy_dtype) for field in self.needs.fields},
            0,
        )
        return Piece(columns, np.zeros(0, np.int64), carried, faults)


class _Footless(ContractError):
    """A file that has no footer, so that nobody can say what is in it."""

    @classmethod
    def at(cls, url: str, reason: str) -> _Footless:
        """With what to do about it."""
        error = cannot_be_opened(url, reason)
        return cls(error.code, error.message, path=error.path, help=error.help)


def values_of(batch: Any) -> dict[str, Any]:
    """The values of a batch's one row, by column; bytes where text is none."""
    out = {}
    for name, values in zip(batch.schema.names, batch.columns, strict=True):
        try:
            out[name] = values[0].as_py()
        except UnicodeDecodeError:
            out[name] = values.cast(pa.large_string()).view(pa.large_binary())[0].as_py()
    return out
