"""CSV (RFC 4180, a header; comma and UTF-8 unless asked otherwise): cells by Arrow's parser where it reads as we do.

A regular expression of the contract's own describes the rows whose cells mean the same to Arrow and to core's reader
of cells; it may only accept. Every other row, and every row that then breaks the contract, is cut into cells here and
read by that reader alone. A byte order mark before the header is passed over; before any other record it is refused.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import replace
from functools import cache
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.csv
import re2

from fivefold.batch.formats import scan
from fivefold.batch.formats.chunk import Chunk, ReadRequest, RefusedRows, by_name, cannot_be_opened
from fivefold.batch.formats.dialect import TextDialect
from fivefold.batch.formats.dialect_hints import hinted
from fivefold.batch.formats.text_file import BOM, RecordSlice, TextFile, in_order, too_long
from fivefold.batch.storage.sources import SourceFile
from fivefold.core.columns import Columns
from fivefold.core.errors import ContractError
from fivefold.core.fields.field import Field
from fivefold.core.fields.suggestion import nearest
from fivefold.core.readers.arrow import Arrow
from fivefold.core.readers.arrow_numpy import from_numpy
from fivefold.core.readers.text import Text


@cache
def _cell(delimiter: str) -> re.Pattern[bytes]:
    """A cell of a record, quoted or bare, and what is behind it."""
    mark = re.escape(delimiter).encode()
    return re.compile(rb'(?:"((?:[^"]++|"")*+)"|([^"' + mark + rb"\n][^" + mark + rb"\n]*+|))(" + mark + rb"|\Z)")


# JSON's numbers, as far as Arrow's are the same: neither a bare -0, which is an integer without a sign, nor so many
# digits that one of the two would round them otherwise.
_FLOAT = r"(?:-?(?:0|[1-9][0-9]{0,18})(?:\.[0-9]+(?:[eE][+-]?[0-9]{1,2})?|[eE][+-]?[0-9]{1,2})|-?[1-9][0-9]{0,18}|0)"
_INTEGER = r"(?:-?[1-9][0-9]{0,17}|0)"
_QUOTED = r'"(?:[^"]|"")*"'

_DELIMITERS = {";": "';'", "\t": "tab", "|": "'|'", ",": "','"}
"""Delimiters that files are written with, and how `--delimiter` takes them."""


class Csv(TextFile):
    """Reads CSV files; a column that no field answers to, and that is not carried, is ignored."""

    quotes = True
    headed = True

    def __init__(self, request: ReadRequest) -> None:
        super().__init__(request)
        self._text = Text(request.fields)
        self._readers: dict[tuple[str, ...], _RecordReader] = {}
        self._headers: dict[str, tuple[str, ...]] = {}

    def check_layout(self, source: SourceFile) -> list[str]:
        """Check the header."""
        try:
            self._refuse_strange(source)
            header = self._header(source)
        except ContractError as error:
            if self.request.allow_broken and isinstance(error.__cause__, scan.Break):
                return []
            raise
        try:
            ignored = check_names(header, self.request, source.url)
        except ContractError as error:
            mark = self._other_delimiter(header)
            if error.code != "missing_field" or mark is None:
                raise
            raise ContractError(error.code, error.message, path=error.path, help=f"--delimiter {mark}") from error
        # The contract's columns and the carried ones, each counted once: a header may have a hundred thousand others.
        known = self.request.known
        doubled = next((name for name in header if name in known and header.count(name) > 1), None)
        if doubled is not None:
            raise ContractError("duplicate_field", f"the header has {doubled!r} twice", path=source.url)
        return ignored

    def _other_delimiter(self, header: tuple[str, ...]) -> str | None:
        """What the header's names seem to be parted by, where it is not the delimiter; as the option takes it."""
        if len(header) > 1:
            return None
        return next((option for mark, option in _DELIMITERS.items() if mark in header[0]), None)

    def kinds(self, source: SourceFile) -> dict[str, Any] | None:
        """The header's names, all of them text."""
        try:
            return dict.fromkeys(self._header(source), pa.string())
        except ContractError:
            # What is wrong with it, `check_layout` says.
            return None

    def _header(self, source: SourceFile) -> tuple[str, ...]:
        if source.url not in self._headers:
            try:
                with self._open(source) as (stream, offset):
                    block = next(scan.blocks(stream, quotes=True, offset=offset, delimiter=self._delimiter), None)
            except scan.Break as err:
                raise cannot_be_opened(source.url, f"{err.reason}, before its header is read") from err
            if block is None or not len(block.starts):
                raise ContractError("malformed", "expected a header, got an empty file", path=source.url)
            cells = _cells(block.data[block.starts[0] : block.ends[0]], self._delimiter)
            if cells is None or block.broken[0]:
                raise ContractError("malformed", "the header is no line of CSV in UTF-8", path=source.url)
            self._headers[source.url] = tuple(cell or "" for cell in cells)
        return self._headers[source.url]

    def _chunk(self, source: SourceFile, part: RecordSlice) -> Chunk:
        header = self._header(source)
        reader = self._readers.get(header)
        if reader is None:
            reader = self._readers[header] = _RecordReader(header, self.request)
        return reader.read(part)

    def _nothing(self, refusals: list[RefusedRows]) -> Chunk:
        carried = {name: pa.array([], pa.string()) for name in self.request.carried}
        columns = self._text.read([field.name for field in self.request.fields], []).columns
        return Chunk(columns, np.zeros(0, np.int64), carried, refusals)


class _RecordReader:
    """Reads records under one header."""

    def __init__(self, header: tuple[str, ...], request: ReadRequest) -> None:
        self._header = header
        self._carried = {name: header.index(name) for name in request.carried if name in header}
        self._text, self._fields = Text(request.fields), by_name(request.fields)
        self._dialect, self._na, self._words = request.dialect, frozenset(request.dialect.na), request.dialect.words
        booleans = by_name([field for field in request.fields if field.kind == "bool" and not field.shape])
        self._booleans = [at for at, name in enumerate(header) if self._words and name in booleans]
        self._fast = (
            None if any(field.shape or field.kind == "bytes" for field in request.fields) else _Fast(header, request)
        )

    def read(self, part: RecordSlice) -> Chunk:
        whole = np.flatnonzero(~part.broken)
        if self._fast is None:
            return self._exactly(part, np.arange(len(part)))
        clean, columns, carried = self._fast.read(part, whole)
        if len(clean) == len(part):
            return Chunk(columns, part.row + clean, carried)
        left = np.ones(len(part), np.bool_)
        left[clean] = False
        rest = self._exactly(part, np.flatnonzero(left))
        if not len(rest.numbers):
            return Chunk(columns, part.row + clean, carried, rest.refusals)
        numbers = np.concatenate([part.row + clean, rest.numbers])
        order = np.argsort(numbers, kind="stable")
        both = {
            name: pa.concat_arrays([values, rest.carried[name]]).take(pa.array(order))
            for name, values in carried.items()
        }
        return Chunk(Columns.concat([columns, rest.columns]).take(order), numbers[order], both, rest.refusals)

    def _exactly(self, part: RecordSlice, rows: Any) -> Chunk:
        """Some records, by the reader of cells."""
        refusals: list[RefusedRows] = []
        given: list[list[str | None]] = []
        at: list[int] = []
        for index in rows.tolist():
            raw = part.raw(index)
            cells = (
                None if part.broken[index] or raw.startswith(BOM) else _cells(raw, self._dialect.delimiter, self._na)
            )
            if cells is None:
                refusals.append(part.refusal(index, _unreadable(raw, bool(part.broken[index]))))
            else:
                for column in self._booleans if len(cells) == len(self._header) else ():
                    cells[column] = self._words.get(cells[column] or "", cells[column])
                given.append(cells)
                at.append(index)
        reading = self._text.read(self._header, given)
        for index in np.flatnonzero(reading.bad).tolist():
            try:
                self._text.read(self._header, [given[index]]).accept()
            except ContractError as error:
                cells_of = dict(zip(self._header, given[index]))
                refusal = part.refusal(at[index], hinted(error, cells_of, self._fields))
                refusals.append(replace(refusal, cells=cells_of))
        good = np.flatnonzero(~reading.bad)
        carried = {
            name: pa.array([given[index][column] for index in good.tolist()], pa.string())
            for name, column in self._carried.items()
        }
        return Chunk(reading.columns, part.row + np.array(at, np.int64)[good], carried, in_order(refusals))


class _Fast:
    """Reads the records that Arrow's parser understands as core does."""

    def __init__(self, header: tuple[str, ...], request: ReadRequest) -> None:
        fields = by_name(request.fields)
        grammar, types, names = [], {}, []
        for at, name in enumerate(header):
            field = fields.get(name)
            grammar.append(_grammar(field, at == 0, request.dialect))
            if field or name in request.carried:
                types[str(at)] = _arrow_type(field)
                names.append(name)
        options = re2.Options()
        options.max_mem = 64 << 20
        options.log_errors = False
        self._rows = re2.compile(f"(?:{re2.escape(request.dialect.delimiter).join(grammar)}\r?\n)*".encode(), options)
        self._read = pa.csv.ReadOptions(use_threads=False, column_names=[str(at) for at in range(len(header))])
        self._convert = pa.csv.ConvertOptions(
            column_types=types,
            include_columns=list(types),
            null_values=["", *request.dialect.na],
            true_values=["true", *request.dialect.booleans[:1]],
            false_values=["false", *request.dialect.booleans[1:]],
            strings_can_be_null=True,
            quoted_strings_can_be_null=False,
        )
        self._delimiter = request.dialect.delimiter
        self._names, self._types = names, list(types.values())
        self._carried = [name for name in request.carried if name in header]
        self._arrow = Arrow(request.fields)

    def read(self, part: RecordSlice, rows: Any) -> tuple[Any, Columns, dict[str, Any]]:
        """The indexes of the records that are good, their columns, and their carried cells."""
        text, clean = self._clean(part, rows)
        table = self._parse(text) if len(clean) else None
        if table is None or table.num_rows != len(clean):
            clean, columns = clean[:0], [pa.array([], kind) for kind in self._types]
        else:
            columns = [column.combine_chunks() for column in table.columns]
        found = pa.RecordBatch.from_arrays(columns, self._names)
        reading = self._arrow.read(found)
        carried = {name: found.column(self._names.index(name)) for name in self._carried}
        if reading.violations:
            clean = clean[~reading.bad]
            good = from_numpy(~reading.bad, pa.bool_())
            carried = {name: values.filter(good) for name, values in carried.items()}
        return clean, reading.columns, carried

    def _parse(self, text: bytes) -> Any:
        self._read.block_size = len(text) + 1
        parse = pa.csv.ParseOptions(
            delimiter=self._delimiter, newlines_in_values=b'"' in text, ignore_empty_lines=False
        )
        try:
            return pa.csv.read_csv(
                pa.BufferReader(text), read_options=self._read, parse_options=parse, convert_options=self._convert
            )
        except pa.ArrowInvalid:
            return None

    def _clean(self, part: RecordSlice, rows: Any) -> tuple[bytes, Any]:
        """The text of the records that the grammar knows, and which ones they are."""
        text, spans = part.text(rows)
        if text and not text.endswith(b"\n"):
            text += b"\n"
        ends = np.array([end for _, end in spans], np.int64)
        if len(ends):
            ends[-1] = len(text)
        at, parts, odd = 0, [], []
        while at < len(text):
            match = self._rows.match(text, at)
            stop = match.end() if match else at
            if stop > at:
                parts.append(text[at:stop])
            if stop == len(text):
                break
            index = int(np.searchsorted(ends, stop, "right"))
            odd.append(index)
            at = int(ends[index])
        return (text if not odd else b"".join(parts)), np.delete(rows, odd) if odd else rows


def check_names(names: Sequence[str], request: ReadRequest, url: str) -> list[str]:
    """The columns of a table that are ignored. Raises `ContractError` for one that is missing, or not allowed.

    A table without any column of the contract is refused also where every field has a default: all of its rows would
    get one answer, which is not about them.
    """
    for field in request.fields:
        here = [name for name in (field.name, *field.aliases) if name in names]
        if not here and field.required:
            raise ContractError(
                "missing_field",
                f"{url}: expected a column {field.name!r}, got none of that name",
                path=f"inputs.{field.name}",
                help=nearest(field.name, names),
            )
        if len(here) > 1:
            raise ContractError(
                "duplicate_field", f"{url}: {' and '.join(here)} are one field", path=f"inputs.{field.name}"
            )
    for name in request.carried:
        if name not in names:
            raise ContractError(
                "missing_field", f"{url}: expected a column {name!r} to carry, got none", help=nearest(name, names)
            )
    known = request.known
    ignored = [name for name in dict.fromkeys(names) if name not in known]
    if ignored and request.strict:
        raise ContractError(
            "unknown_field",
            f"{url}: no such field",
            path=f"inputs.{ignored[0]}",
            help=nearest(ignored[0], known) or f"carry it: --columns {ignored[0]}",
        )
    if ignored and not request.some_given and not set(names) & set(by_name(request.fields)):
        first = request.fields[0].name
        raise ContractError(
            "missing_field",
            f"{url}: expected a column of the contract, such as {first!r}, got none of them",
            path=f"inputs.{first}",
            help=nearest(ignored[0], known),
        )
    return ignored


def _cells(record: bytes, delimiter: str = ",", na: frozenset[str] = frozenset()) -> list[str | None] | None:
    """A record's cells: None for an empty one without quotes; None for all where it is no CSV or no UTF-8."""
    line = record[:-1] if record.endswith(b"\n") else record
    line = line[:-1] if line.endswith(b"\r") else line
    out: list[str | None] = []
    at = 0
    cell = _cell(delimiter)
    while True:
        match = cell.match(line, at)
        if match is None:
            return None
        quoted, bare, more = match.groups()
        try:
            text = quoted.decode().replace('""', '"') if quoted is not None else bare.decode()
            out.append(text if quoted is not None or (text and text not in na) else None)
        except UnicodeDecodeError:
            return None
        if not more:
            return out
        at = match.end()


def _unreadable(raw: bytes, broken: bool) -> ContractError:
    if len(raw) >= scan.MAX_LINE:
        return too_long(scan.MAX_LINE)
    if broken:
        return ContractError("malformed", "expected a line of CSV, got a quote that is not closed where its cell ends")
    if raw.startswith(BOM):
        return ContractError("malformed", "expected a line of CSV, got a byte order mark first")
    try:
        raw.decode()
    except UnicodeDecodeError as err:
        return ContractError("malformed", f"expected UTF-8, got another byte at offset {err.start} of the line")
    return ContractError("malformed", "expected a line of CSV")


def _grammar(field: Field | None, first: bool, dialect: TextDialect) -> str:
    """The cells that Arrow reads as we do; the first one of a record begins with no byte order mark."""
    mark = re2.escape(dialect.delimiter)
    bare_text = rf'[^"{mark}\r\n]'
    start = rf'[^"{mark}\r\n\x{{FEFF}}]' if first else bare_text
    text = f"{_QUOTED}|{start}{bare_text}*"
    if field is None:
        return f"(?:{text})?"
    if field.kind == "string":
        cell = f"(?:{text})"
    else:
        words = "|".join(map(re2.escape, ("true", "false", *dialect.booleans)))
        bare = {"float": _FLOAT, "int": _INTEGER, "bool": f"(?:{words})"}[field.kind]
        null = "".join(f"|{re2.escape(word)}" for word in dialect.na) if field.nullable else ""
        cell = f'(?:{bare}|"{bare}"{null})'
    return f"{cell}?" if field.nullable else cell


def _arrow_type(field: Field | None) -> Any:
    kinds = {"float": pa.float64(), "int": pa.int64(), "bool": pa.bool_(), "string": pa.string()}
    return kinds[field.kind] if field else pa.string()
