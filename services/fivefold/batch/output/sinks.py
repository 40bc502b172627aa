"""The files that a fragment becomes: its answers in one of three formats, and its quarantine.

Every option that decides a byte is fixed here, so the same fragment gives the same files whenever and wherever it is
scored. Rows keep the order of the input. Where files go, and when they count, is left to `score` and `ledger`.
"""

from __future__ import annotations

import base64
import contextlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import msgspec
import numpy as np
import pyarrow as pa
import pyarrow.csv
import pyarrow.parquet as pq

from fivefold.batch.formats import carried_values
from fivefold.batch.formats.chunk import RefusedRows, by_name
from fivefold.batch.output.ledger import BrokenInput
from fivefold.batch.storage.sources import SourceFile
from fivefold.core.columns import Array, Columns
from fivefold.core.errors import ContractInvalid
from fivefold.core.fields.field import Field
from fivefold.core.outcome import Refusal, utf8
from fivefold.core.readers.arrow_numpy import from_numpy
from fivefold.core.view import View
from fivefold.exports.arrow_schema import arrow_type

ROW, MODEL, CONTRACT = "_row", "_model", "_contract"

ROW_GROUP = 128 * 1024
"""Rows of a row group of Parquet."""


@dataclass(frozen=True, slots=True)
class Layout:
    """The columns of the output: `_row`, `_model`, `_contract`, what is carried, what the model answers.

    `kept` are the contract's inputs that are carried, as they were read; `foreign` the columns beside the contract, as
    they came.
    """

    model: str
    contract: str
    kept: tuple[Field, ...]
    foreign: tuple[str, ...]
    outputs: tuple[Field, ...]

    @property
    def asked(self) -> dict[str, tuple[str, ...]]:
        """The carried columns, each with the names that a file may have it under."""
        return {field.name: (field.name, *field.aliases) for field in self.kept} | {
            name: (name,) for name in self.foreign
        }

    @classmethod
    def of(cls, view: View, model: str, columns: Sequence[str]) -> Layout:
        """The layout of a run that carries `columns`. Raises `ContractInvalid` where two columns have one name."""
        inputs = by_name(view.inputs)
        kept = tuple(inputs[name] for name in columns if name in inputs)
        foreign = tuple(name for name in columns if name not in inputs)
        names = [ROW, MODEL, CONTRACT, *(field.name for field in kept), *foreign, *(f.name for f in view.outputs)]
        twice = next((name for name in names if names.count(name) > 1), None)
        if twice is not None:
            raise ContractInvalid(
                f"the output would have two columns {twice!r}", help=f"leave {twice} out of --columns"
            )
        return cls(model, view.name, kept, foreign, view.outputs)


class Sink(Protocol):
    """A file of answers that is being written."""

    def write(self, rows: Array, kept: Columns, foreign: Mapping[str, Any], outputs: Columns) -> None:
        """Add rows: their numbers in the file, the inputs, the carried values, the answers."""

    def close(self) -> None:
        """The file is whole."""

    def abandon(self) -> None:
        """The file will not be wanted."""


def sink(format: str, path: Path, layout: Layout) -> Sink:
    """A new file of a format."""
    kinds: dict[str, type[ParquetSink] | type[CsvSink] | type[JsonSink]]
    kinds = {"parquet": ParquetSink, "csv": CsvSink, "jsonl": JsonSink}
    return kinds[format](path, layout)


class ParquetSink:
    """Parquet in row groups of `ROW_GROUP` rows. A carried column has the type it came with, or text."""

    def __init__(self, path: Path, layout: Layout) -> None:
        self._path, self._layout = path, layout
        self._writer: Any = None
        self._waiting: list[Any] = []
        self._rows = 0

    def write(self, rows: Array, kept: Columns, foreign: Mapping[str, Any], outputs: Columns) -> None:
        """Add rows."""
        layout = self._layout
        columns: dict[str, Any] = {
            ROW: from_numpy(rows, pa.int64()),
            MODEL: _same(layout.model, len(rows)),
            CONTRACT: _same(layout.contract, len(rows)),
        }
        columns |= {field.name: to_arrow(field, kept) for field in layout.kept}
        columns |= {name: carried_values.for_parquet(foreign[name]) for name in layout.foreign}
        columns |= {field.name: to_arrow(field, outputs) for field in layout.outputs}
        self._waiting.append(pa.RecordBatch.from_arrays(list(columns.values()), list(columns)))
        self._rows += len(rows)
        if self._rows >= ROW_GROUP:
            self._flush()

    def close(self) -> None:
        """Write what waits, and the footer."""
        self._flush()
        self._writer.close()

    def abandon(self) -> None:
        """Let go of the file."""
        _let_go(self._writer)

    def _flush(self) -> None:
        table = pa.Table.from_batches(self._waiting)
        if self._writer is not None and not len(table):
            return
        if self._writer is None:
            kinds = (pa.types.is_string, pa.types.is_dictionary)
            texts = [field.name for field in table.schema if any(is_kind(field.type) for is_kind in kinds)]
            self._writer = pq.ParquetWriter(
                str(self._path),
                table.schema,
                version="2.6",
                compression="snappy",
                use_dictionary=texts,
                column_encoding={ROW: "DELTA_BINARY_PACKED"},
                data_page_version="1.0",
                data_page_size=1024 * 1024,
                write_batch_size=1024,
                write_statistics=True,
                write_page_checksum=True,
                store_schema=False,
            )
            self._writer.add_key_value_metadata(self._types(table.schema))
        # What is over a whole group begins the next one, so that groups do not depend on how rows came in.
        whole = len(table) // ROW_GROUP * ROW_GROUP if self._rows >= ROW_GROUP else len(table)
        self._writer.write_table(table.slice(0, whole), ROW_GROUP)
        self._waiting = table.slice(whole).to_batches() or [self._waiting[0].slice(0, 0)]
        self._rows -= whole

    def _types(self, schema: Any) -> dict[str, bytes]:
        """Arrow's schema, where Parquet alone would forget what a carried column was."""
        if not any(carried_values.needs_schema(schema.field(name).type) for name in self._layout.foreign):
            return {}
        own = {MODEL: pa.string(), CONTRACT: pa.string()}
        plain = pa.schema([pa.field(each.name, own.get(each.name, each.type)) for each in schema])
        return {"ARROW:schema": base64.b64encode(plain.serialize())}


class CsvSink:
    """CSV with a header; arrays are JSON, bytes base64, null an empty cell and the empty string `""`."""

    def __init__(self, path: Path, layout: Layout) -> None:
        self._path, self._layout = path, layout
        self._writer: Any = None

    def write(self, rows: Array, kept: Columns, foreign: Mapping[str, Any], outputs: Columns) -> None:
        """Add rows."""
        layout = self._layout
        columns: dict[str, Any] = {
            ROW: from_numpy(rows, pa.int64()),
            MODEL: pa.repeat(layout.model, len(rows)),
            CONTRACT: pa.repeat(layout.contract, len(rows)),
        }
        columns |= {field.name: _cells(field, kept) for field in layout.kept}
        columns |= {name: carried_values.for_csv(foreign[name]) for name in layout.foreign}
        columns |= {field.name: _cells(field, outputs) for field in layout.outputs}
        batch = pa.RecordBatch.from_arrays(list(columns.values()), list(columns))
        if self._writer is None:
            self._writer = pa.csv.CSVWriter(str(self._path), batch.schema)
        self._writer.write_batch(batch)

    def close(self) -> None:
        """Nothing more comes."""
        self._writer.close()

    def abandon(self) -> None:
        """Let go of the file."""
        _let_go(self._writer)


class JsonSink:
    """JSON lines, one object a row."""

    def __init__(self, path: Path, layout: Layout) -> None:
        self._layout = layout
        self._file = path.open("wb", buffering=1024 * 1024)
        self._encoder = msgspec.json.Encoder(enc_hook=str)
        self._names = [
            *(ROW, MODEL, CONTRACT),
            *(field.name for field in layout.kept),
            *layout.foreign,
            *(field.name for field in layout.outputs),
        ]

    def write(self, rows: Array, kept: Columns, foreign: Mapping[str, Any], outputs: Columns) -> None:
        """Add rows."""
        layout, count = self._layout, len(rows)
        columns = [
            rows.tolist(),
            [layout.model] * count,
            [layout.contract] * count,
            *(kept.to_list(field) for field in layout.kept),
            *(carried_values.json_values(foreign[name]) for name in layout.foreign),
            *(outputs.to_list(field) for field in layout.outputs),
        ]
        names = self._names
        lines = [dict(zip(names, row)) for row in zip(*columns, strict=True)]
        self._file.write(self._encoder.encode_lines(lines))

    def close(self) -> None:
        """Nothing more comes."""
        self._file.close()

    def abandon(self) -> None:
        """Let go of the file."""
        _let_go(self._file)


class Quarantine:
    """The file of a fragment's refused rows, made with the first one: JSON lines.

    A record has the columns that the output carries, as far as the row's cells can be told apart; None for an absent
    one. `source` is the file that the next ones are of.
    """

    def __init__(self, path: Path, source: SourceFile, layout: Layout) -> None:
        self.path, self.source, self._layout = path, source, layout
        self._file: Any = None
        self.rows = 0
        self.codes: dict[str, int] = {}
        self.broken: list[BrokenInput] = []
        """The places where the input breaks off."""

    @property
    def any(self) -> bool:
        """Whether there is a file: a break between two rows has a record, and no row."""
        return self._file is not None

    def write(self, refusals: Sequence[RefusedRows]) -> None:
        """Add refused rows."""
        if not refusals:
            return
        if self._file is None:
            self._file = self.path.open("wb")
        url = self.source.url
        for refused in refusals:
            self.rows += refused.rows
            if refused.broken:
                self.broken.append(
                    BrokenInput(url, refused.row, refused.rows, refused.offset, utf8(str(refused.error)))
                )
            if refused.rows:
                self.codes[refused.error.code] = self.codes.get(refused.error.code, 0) + refused.rows
            self._file.write(self._refusal(refused).to_line())

    def close(self) -> None:
        """Nothing more comes."""
        if self._file is not None:
            self._file.close()

    def _refusal(self, refused: RefusedRows) -> Refusal:
        where: dict[str, Any] = {"file": self.source.url, "row": refused.row}
        for name in ("line", "offset", "size"):
            if (value := getattr(refused, name)) is not None:
                where[name] = value
        if refused.rows != 1:
            where["rows"] = refused.rows
        return Refusal.of(refused.error, where, refused.raw, columns=self._columns(refused))

    def _columns(self, refused: RefusedRows) -> dict[str, Any] | None:
        """What the output carries of the row, as far as its cells can be told apart."""
        if not self._layout.asked or refused.rows != 1:
            return None
        cells = self._cells(refused)
        known = {**(cells or {}), **refused.given}
        return {
            name: _first(known, names)
            for name, names in self._layout.asked.items()
            if cells is not None or any(each in refused.given for each in names)
        }

    def _cells(self, refused: RefusedRows) -> Mapping[str, Any] | None:
        """The row's cells by name; None where it is none that has any."""
        if refused.cells is not None or isinstance(refused.raw, Mapping):
            return refused.cells if refused.cells is not None else refused.raw  # type: ignore[return-value]  # a mapping, see above
        if refused.raw is None or self.source.format != "jsonl":
            return None
        try:
            value = json.loads(refused.raw)
        except (ValueError, RecursionError):
            return None
        return value if isinstance(value, dict) else None


def _first(cells: Mapping[str, Any], names: Sequence[str]) -> Any:
    return next((cells[name] for name in names if name in cells), None)


def _let_go(file: Any) -> None:
    if file is not None:
        # What it still has to write may be what it could not write before.
        with contextlib.suppress(OSError, pa.ArrowException):
            file.close()


def to_arrow(field: Field, columns: Columns) -> Any:
    """A column of the contract as Arrow, nulls as nulls; arrays as fixed-size lists."""
    nulls = columns.nulls(field.name).reshape(-1) if field.nullable else None
    flat = columns[field.name].reshape(-1)
    leaf = arrow_type(field)
    while pa.types.is_fixed_size_list(leaf):
        leaf = leaf.value_type
    out = from_numpy(flat, leaf, nulls)
    for size in reversed(field.shape):
        out = pa.FixedSizeListArray.from_arrays(out, size)
    return out


def _cells(field: Field, columns: Columns) -> Any:
    if field.shape:
        return pa.array([msgspec.json.encode(value).decode() for value in columns.to_list(field)], pa.string())
    if field.kind == "bytes":
        return pa.array(columns.to_list(field), pa.string())
    out = to_arrow(field, columns)
    return out.cast(pa.float32()) if pa.types.is_float16(out.type) else out


def _same(text: str, rows: int) -> Any:
    """A column with the same text in every row."""
    return pa.DictionaryArray.from_arrays(
        from_numpy(np.zeros(rows, np.int32), pa.int32()), from_numpy(np.array([text], object), pa.string())
    )
