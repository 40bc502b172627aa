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

from fivefold.batch.carried import json_values, not_text, readable, readable_type
from fivefold.batch.formats.csv import check_names
from fivefold.batch.formats.piece import Check, Fault, Needs, Piece, Range, Torn, cannot_be_opened, nothing
from fivefold.batch.sources import Source
from fivefold.core.columns import Columns
from fivefold.core.errors import ContractError
from fivefold.core.readers.arrow import Arrow

BUFFER = 1024 * 1024
"""Bytes of a column that are read ahead: a row group is never held whole."""


SIGNATURE = 28
"""Bytes behind the footer of a file whose footer alone is not encrypted: a nonce and a tag."""

MOST_ROWS = 2**53
"""More of them no file has, and no reader of JSON would count."""


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
                names = _names(self._file(source, stream), source)
            except _Footless:
                if self.needs.allow_broken:
                    return []
                raise
            ignored = check_names(names, self.needs, source.url)
            doubled = next((name for name in names if name in self._known and names.count(name) > 1), None)
            if doubled is not None:
                raise ContractError("duplicate_field", f"the file has the column {doubled!r} twice", path=source.url)
            return ignored

    def kinds(self, source: Source) -> dict[str, Any] | None:
        """The schema's names and types."""
        with source.random(self.needs.clear) as stream:
            try:
                file = self._file(source, stream)
            except _Footless:
                return None
            names = _names(file, source)
            return {name: readable_type(kind) for name, kind in zip(names, file.schema_arrow.types, strict=True)}

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
            _plausible(metadata, source)
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
            # Rows are counted by what is read: without a column the footer alone would say how many there are.
            names = names or file.schema_arrow.names[:1]
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
            footer = _footer(source, stream)
            opened = pq.ParquetFile(file, buffer_size=BUFFER, pre_buffer=False, page_checksum_verification=True)
            if footer - opened.metadata.serialized_size == SIGNATURE:
                raise _encrypted(source)
            return opened
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
        carried = {name: readable(batch.column(name)) for name in self.needs.carried}
        odd = {at: name for name, values in carried.items() for at in not_text(values)}
        if not reading.violations and not odd:
            return Piece(reading.columns, places, carried)
        columns, bad = reading.columns, reading.bad
        if odd:
            bad = bad.copy()
            bad[list(odd)] = True
            columns = columns.take(~bad[~reading.bad])
        faults = []
        for index in np.flatnonzero(bad).tolist():
            one = batch.slice(index, 1)
            try:
                self._arrow.read(one).accept()
                raise _no_text(odd[index])
            except ContractError as error:
                faults.append(Fault(row + index, error, values_of(one)))
        good = pa.array(~bad)
        carried = {name: values.filter(good) for name, values in carried.items()}
        return Piece(columns, places[~bad], carried, faults)

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


def _names(file: Any, source: Source) -> list[str]:
    try:
        names: list[str] = file.schema_arrow.names
    except UnicodeDecodeError as err:
        raise ContractError("not_utf8", "the name of a column is no UTF-8", path=source.url) from err
    if not names:
        raise ContractError("malformed", "expected columns, got a file that has none", path=source.url)
    return names


def _footer(source: Source, stream: IO[bytes]) -> int:
    """The length of the footer as the file's last bytes say it. Raises `ContractError` for an encrypted one."""
    if source.size < 12:
        return 0
    stream.seek(source.size - 8)
    last = stream.read(8)
    if last[4:] == b"PARE":
        raise _encrypted(source)
    return int.from_bytes(last[:4], "little")


def _encrypted(source: Source) -> ContractError:
    # Arrow ends the process where it meets a column that it has no key for, so such a file is not read at all.
    return ContractError(
        "malformed",
        "expected a Parquet file that can be read without a key, got an encrypted one",
        path=source.url,
        help="write it anew without encryption",
    )


def _plausible(metadata: Any, source: Source) -> None:
    """Refuse a footer whose numbers of rows are none, or not those of its columns."""
    columns = range(metadata.num_columns)
    flat = next((at for at in columns if not metadata.schema.column(at).max_repetition_level), None)
    total = 0
    for group in range(metadata.num_row_groups):
        about = metadata.row_group(group)
        rows, total = about.num_rows, total + about.num_rows
        if rows < 0 or total > MOST_ROWS:
            raise ContractError("malformed", f"expected a number of rows, the footer says {rows:,}", path=source.url)
        if flat is not None and about.num_columns > flat and about.column(flat).num_values != rows:
            values = about.column(flat).num_values
            reason = f"row group {group} has {rows:,} rows, and a column of it {values:,} values"
            raise ContractError("malformed", f"the footer contradicts itself: {reason}", path=source.url)


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
