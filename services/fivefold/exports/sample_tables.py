"""Data sets as Arrow tables with a type for every column: data frames, Arrow tables, records, and files of them.

Types come from the data alone. What had to be decided on the way is said per column, and columns that are no features
(a saved index) are named. Reading data under a contract is left to core's readers.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn

from fivefold.core.errors import ContractInvalid
from fivefold.exports import sample_cells
from fivefold.exports.sample_headers import refuse_doubled

if TYPE_CHECKING:
    import pyarrow as pa

_INDEX = re.compile(r"__index_level_\d+__\Z")


@dataclass(frozen=True)
class Table:
    """An Arrow table of columns with distinct headers.

    `notes` are sentences on a column, `index` the columns that are a row's number or label, with the reason.
    """

    arrow: pa.Table
    notes: Mapping[str, Sequence[str]] = field(default_factory=dict)
    index: Mapping[str, str] = field(default_factory=dict)


def load(data: Any) -> Table:
    """A table from a pandas frame, an Arrow table, a mapping of columns, a list of records, or the path of a .parquet,
    .csv, .tsv, .json, .jsonl or .ndjson file. Raises `ContractInvalid` for what is not a table.
    """
    import pyarrow as pa

    try:
        if isinstance(data, str | Path):
            table = _file(Path(data))
        elif isinstance(data, pa.Table):
            table = Table(data, index=_index(data))
        elif hasattr(data, "columns") and hasattr(data, "dtypes"):
            table = _frame(data)
        elif isinstance(data, Mapping):
            table = _columns([str(name) for name in data], list(data.values()))
        elif isinstance(data, Sequence) and not isinstance(data, bytes | bytearray):
            table = _records(data, "row")
        else:
            raise ContractInvalid(f"expected a data frame, a table or a path, got {type(data).__name__}")
    except OSError as err:
        raise ContractInvalid(f"cannot read {data}: {err.strerror or err}") from err
    except (pa.ArrowException, ValueError) as err:
        raise ContractInvalid(f"cannot read the data: {err}") from err
    refuse_doubled(table.arrow.column_names)
    return table


def _file(path: Path) -> Table:
    kind = path.suffix.lower()
    if kind in (".parquet", ".pq"):
        import pyarrow.parquet as pq

        table = pq.read_table(path)
        return Table(table, index=_index(table))
    if kind in (".csv", ".tsv"):
        return _csv(path, "\t" if kind == ".tsv" else ",")
    if kind in (".jsonl", ".ndjson"):
        lines = [(number, line) for number, line in enumerate(path.read_bytes().split(b"\n"), 1) if line.strip()]
        return _records([_json(line) for _, line in lines], f"{path.name}, line", [number for number, _ in lines])
    if kind == ".json":
        rows = _json(path.read_bytes())
        rows = rows.get("instances") if isinstance(rows, dict) else rows
        if not isinstance(rows, list):
            raise ContractInvalid(f"{path.name}: expected an array of records")
        return _records(rows, f"{path.name}, record")
    raise ContractInvalid(f"{path.name}: expected a .parquet, .csv, .tsv, .json, .jsonl or .ndjson file")


def _json(text: bytes) -> Any:
    return json.loads(text, parse_constant=_no_constant)


def _no_constant(token: str) -> NoReturn:
    raise ContractInvalid(f"{token} is not JSON", help="write null for what is missing")


def _index(table: pa.Table) -> dict[str, str]:
    """The columns that pandas saved its index in."""
    try:
        named = (table.schema.pandas_metadata or {}).get("index_columns", [])
    except (ValueError, AttributeError):  # metadata that another program wrote
        named = []
    return {
        name: f"column {name!r}: left out, pandas saved its index in it; take it in with --features"
        for name in table.column_names
        if name in [item for item in named if isinstance(item, str)] or _INDEX.match(name)
    }


def _csv(path: Path, delimiter: str) -> Table:
    """CSV as the contract spells it, and what other writers mean: only an empty unquoted cell is null by itself."""
    import pyarrow as pa

    table = csv_texts(path, delimiter, refuse_doubled)
    headers = table.column_names
    arrays, notes = {}, {}
    for header in headers:
        arrays[header], notes[header] = sample_cells.typed(table.column(header).combine_chunks(), header)
    if len(headers) == 1 and any(sign in headers[0] for sign in ";\t|"):
        notes[headers[0]].append(f"the only column is {headers[0]!r}: cells are separated by {delimiter!r} here")
    index = {}
    if headers and not headers[0] and _counts(arrays[""]):
        index[""] = "the first column has no header and counts the rows: left out, pandas writes its index so"
    return Table(pa.table(list(arrays.values()), list(arrays)), notes, index)


def csv_texts(path: Path, delimiter: str, check: Callable[[Sequence[str]], None] | None = None) -> pa.Table:
    """The cells of a CSV as texts, an empty unquoted one as null; `check` sees the headers before a row is read."""
    import pyarrow as pa
    from pyarrow import csv

    parse = csv.ParseOptions(delimiter=delimiter, newlines_in_values=True)
    with csv.open_csv(path, parse_options=parse) as reader:
        headers = reader.schema.names
    if check is not None:
        check(headers)
    convert = csv.ConvertOptions(
        column_types=dict.fromkeys(headers, pa.string()),
        null_values=[""],
        strings_can_be_null=True,
        quoted_strings_can_be_null=False,
    )
    return csv.read_csv(path, parse_options=parse, convert_options=convert)


def _counts(values: Any) -> bool:
    import pyarrow as pa

    if not pa.types.is_integer(values.type) or values.null_count or not len(values):
        return False
    start = values[0].as_py()
    return start in (0, 1) and bool(values.equals(pa.array(range(start, start + len(values)), values.type)))


def _frame(frame: Any) -> Table:
    if hasattr(frame, "to_arrow"):
        return Table(frame.to_arrow())
    headers = [str(name) for name in frame.columns]
    refuse_doubled(headers)
    return _columns(headers, [frame.iloc[:, at] for at in range(len(headers))])


def _records(rows: Sequence[Any], noun: str, numbers: Sequence[int] | None = None) -> Table:
    for at, row in enumerate(rows):
        if not isinstance(row, Mapping):
            raise ContractInvalid(f"{noun} {numbers[at] if numbers else at + 1}: expected an object")
    headers = list(dict.fromkeys(name for row in rows for name in row))
    return _columns(headers, [[row.get(name) for row in rows] for name in headers])


def _columns(headers: Sequence[str], columns: Sequence[Any]) -> Table:
    import pyarrow as pa

    return Table(pa.table([_array(values, name) for name, values in zip(headers, columns, strict=True)], list(headers)))


def _array(values: Any, column: str) -> Any:
    """One column; refused with its name where its values have no type in common."""
    import pyarrow as pa

    try:
        return pa.array(values, from_pandas=True)
    except (pa.ArrowException, OverflowError, TypeError, ValueError) as err:
        return _uncommon(list(values), column, err)


def _uncommon(values: list[Any], column: str, cause: Exception) -> Any:
    import numpy as np
    import pyarrow as pa

    known = [(row, value) for row, value in enumerate(values, 1) if not _missing(value)]
    kinds: dict[str, tuple[int, Any]] = {}
    for row, value in known:
        kind = "boolean" if isinstance(value, bool | np.bool_) else type(value).__name__
        kind = "number" if kind != "boolean" and isinstance(value, int | float | np.number) else kind
        kinds.setdefault(kind, (row, value))
    if set(kinds) == {"number"} and not any(isinstance(value, complex | np.complexfloating) for _, value in known):
        whole = all(isinstance(value, int | np.integer) for _, value in known)
        wanted = [None if _missing(value) else int(value) if whole else float(value) for value in values]
        try:
            return pa.array(wanted, pa.uint64() if whole else pa.float64())
        except (pa.ArrowException, OverflowError):
            row, value = next((row, value) for row, value in known if not -(2**63) <= value < 2**64 or value < 0)
            why = f"column {column!r} holds {value!r} in row {row}, and no integer type holds all its values"
    elif len(kinds) > 1:
        parts = [f"{value!r} (a {kind}) in row {row}" for kind, (row, value) in list(kinds.items())[:2]]
        why = f"column {column!r} holds {' and '.join(parts)}"
    else:
        why = f"column {column!r}: {next(iter(kinds), type(values).__name__)} has no dtype in a contract ({cause})"
    raise ContractInvalid(
        why, path=f"inputs[{column!r}]", help=f"make it one number or text a row, or leave it out: --drop {column}"
    ) from cause


def _missing(value: Any) -> bool:
    return value is None or type(value).__name__ in ("NAType", "NaTType") or (_is_nan(value))


def _is_nan(value: Any) -> bool:
    return isinstance(value, float) and math.isnan(value)
