"""Somebody's data as rows of a contract: files, data frames, mappings of columns and lists of records.

Headers are found as they are spelled (`fivefold.packing.spelling`), cells of a CSV as those who write CSVs spell them
(`fivefold.exports.sample_cells`); what is legal is decided by core's readers, as for any request.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from fivefold.core.check.findings import Reading
from fivefold.core.errors import ContractInvalid, FivefoldError
from fivefold.core.fields.field import Field
from fivefold.core.readers.arrow import Arrow
from fivefold.core.readers.records import Records
from fivefold.core.readers.text import Text
from fivefold.exports.sample_cells import respelled
from fivefold.exports.sample_tables import csv_texts
from fivefold.packing.libraries import require
from fivefold.packing.spelling import spelled


def reading_of(data: Any, fields: Sequence[Field]) -> Reading:
    """The data read under the fields; raises `ContractInvalid` for what cannot be read as rows at all."""
    if isinstance(data, str | Path):
        path = Path(data)
        try:
            return _file(path, fields)
        except FivefoldError:
            raise
        except OSError as err:
            raise ContractInvalid(f"cannot read {path}: {err.strerror or err}") from err
        except Exception as err:  # pyarrow's and json's own errors for a file that is not what its name says
            raise ContractInvalid(f"cannot read {path}: {str(err).splitlines()[0]}") from err
    if isinstance(data, Mapping) and isinstance(data.get("instances"), list):
        data = data["instances"]
    if isinstance(data, Sequence):
        return _records(data, fields)
    pa = require("pyarrow")
    if isinstance(data, pa.Table):
        return _table(data, fields)
    pandas = require("pandas")
    frame = data if isinstance(data, pandas.DataFrame) else pandas.DataFrame(data)
    return _table(pa.Table.from_pandas(frame, preserve_index=False), fields)


def _file(path: Path, fields: Sequence[Field]) -> Reading:
    suffix = path.suffix.lower()
    if suffix in (".parquet", ".pq"):
        return _table(require("pyarrow.parquet").read_table(path), fields)
    if suffix in (".csv", ".tsv"):
        return _csv(path, fields, "\t" if suffix == ".tsv" else ",")
    if suffix == ".json":
        return reading_of(json.loads(path.read_text("utf-8-sig")), fields)
    if suffix in (".jsonl", ".ndjson"):
        lines = path.read_text("utf-8-sig").split("\n")
        return reading_of([json.loads(line) for line in lines if line.strip()], fields)
    raise ContractInvalid(f"cannot tell the format of {path}", help="use .parquet, .csv, .tsv, .json or .jsonl")


def _records(data: Sequence[Any], fields: Sequence[Field]) -> Reading:
    known: dict[tuple[str, ...], dict[str, str]] = {}
    rows = []
    for row in data:
        if isinstance(row, dict):
            names = tuple(row)
            if names not in known:
                known[names] = spelled(fields, names)
            row = {name: row[header] for header, name in known[names].items()}
        rows.append(row)
    return Records(fields).read(rows)


def _table(table: Any, fields: Sequence[Field]) -> Reading:
    headers = [str(header) for header in table.column_names]
    known = spelled(fields, headers)
    kept = [index for index, header in enumerate(headers) if header in known]
    table = table.select(kept).rename_columns([known[headers[index]] for index in kept]) if kept else table.slice(0, 0)
    batches = table.combine_chunks().to_batches()
    if not batches:
        raise ContractInvalid("the data has no rows" if kept else "no column of the data is one of the contract")
    return Arrow(fields).read(batches[0])


def _csv(path: Path, fields: Sequence[Field], delimiter: str) -> Reading:
    require("pyarrow.csv")
    table = csv_texts(path, delimiter)
    headers = table.column_names
    known = spelled(fields, headers)
    named = {name: field for field in fields for name in (field.name, *field.aliases)}
    names, columns = [], []
    for header, column in zip(headers, table.columns, strict=True):
        if header in known:
            names.append(known[header])
            columns.append(respelled(named[known[header]], column.to_pylist()))
    return Text(fields).read(names, list(zip(*columns, strict=True)) if columns else [()] * table.num_rows)
