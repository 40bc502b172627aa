"""A contract drafted from data, for a person to edit.

What the data shows becomes law: dtypes, ranges, the values of strings that repeat, nullability, array shapes. Data
shows neither units nor meaning nor the values that have not come yet, so the draft is a start and never the last
word. Tables are read with pyarrow (and pandas, for its frames); reading data under a finished contract is left to the
core's readers.
"""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from fivefold.core.contract import Contract, Field
from fivefold.core.errors import ContractInvalid
from fivefold.exports.naming import identifier

if TYPE_CHECKING:
    import pyarrow as pa

MAX_ENUM = 32
"""Strings with more distinct values than this, or seen less than twice each on average, are drafted without an enum."""

_LEGAL = re.compile(r"[A-Za-z_][A-Za-z0-9_.\-]{0,127}\Z")
_FIXED = "every row of an array field has the same shape"


def draft(
    data: Any, name: str, *, outputs: Sequence[str | Field], version: str = "1.0.0", description: str | None = None
) -> Contract:
    """Draft a contract from a pandas frame, a pyarrow table, or the path of a .parquet, .csv, .jsonl or .ndjson file.

    `outputs` are fields as they stand, or names of columns that hold the model's answers: those columns are outputs and
    not inputs. A column whose name is not legal in a contract gets one that is, and keeps the other in its description.
    Raises `ContractInvalid` for data that has no place in a contract (ragged arrays, times, nested records).
    """
    table = read(data)
    if not table.num_rows:
        raise ContractInvalid("no rows to draft from")
    answers = [output for output in outputs if isinstance(output, str)]
    absent = [column for column in answers if column not in table.column_names]
    if absent:
        raise ContractInvalid(f"no column {absent[0]!r} to draft an output from", path="outputs")
    names = _names(table.column_names)
    inputs = [
        _column(table.column(column), column, names[column], f"inputs[{column!r}]")
        for column in table.column_names
        if column not in answers
    ]
    drafted = [
        output.to_json()
        if isinstance(output, Field)
        else _answer(_column(table.column(output), output, names[output], f"outputs[{output!r}]"))
        for output in outputs
    ]
    about = {} if description is None else {"description": description}
    head = {"format": 1, "name": name, "version": version, **about}
    return Contract.from_json({**head, "inputs": inputs, "outputs": drafted})


def read(data: Any) -> pa.Table:
    """The data as an Arrow table, numbers and text untouched. Raises `ContractInvalid` for what is not a table."""
    import pyarrow as pa

    if isinstance(data, pa.Table):
        return data
    try:
        if isinstance(data, str | Path):
            return _read_file(Path(data))
        if hasattr(data, "columns") and hasattr(data, "dtypes"):
            return pa.Table.from_pandas(data.rename(columns=str), preserve_index=False)
    except (pa.ArrowException, ValueError) as err:
        raise ContractInvalid(f"cannot read the data: {err}") from err
    except OSError as err:
        raise ContractInvalid(f"cannot read {data}: {err.strerror or err}") from err
    raise ContractInvalid(f"expected a data frame, a table or a path, got {type(data).__name__}")


def _read_file(path: Path) -> pa.Table:
    kind = path.suffix.lower()
    if kind == ".parquet":
        import pyarrow.parquet as pq

        table: pa.Table = pq.read_table(path)
        return table
    if kind == ".csv":
        return _read_csv(path)
    if kind in (".jsonl", ".ndjson"):
        return _read_lines(path)
    raise ContractInvalid(f"{path.name}: expected a .parquet, .csv, .jsonl or .ndjson file")


def _read_csv(path: Path) -> pa.Table:
    """CSV as the contract spells it: only an empty unquoted cell is null, only true and false are booleans."""
    import pyarrow as pa
    from pyarrow import csv

    options = {
        "null_values": [""],
        "true_values": ["true"],
        "false_values": ["false"],
        "strings_can_be_null": True,
        "quoted_strings_can_be_null": False,
    }
    table = csv.read_csv(path, convert_options=csv.ConvertOptions(**options))
    # A cell that looks like a time is text: contracts have no times.
    texts = {column.name: pa.string() for column in table.schema if pa.types.is_temporal(column.type)}
    return csv.read_csv(path, convert_options=csv.ConvertOptions(**options, column_types=texts)) if texts else table


def _read_lines(path: Path) -> pa.Table:
    import pyarrow as pa

    rows = []
    for number, line in enumerate(path.read_bytes().splitlines(), 1):
        if line.strip():
            row = json.loads(line)
            if not isinstance(row, dict):
                raise ContractInvalid(f"{path.name}, line {number}: expected an object")
            rows.append(row)
    columns = list(dict.fromkeys(name for row in rows for name in row))
    return pa.table({name: pa.array([row.get(name) for row in rows]) for name in columns})


def _names(columns: Sequence[str]) -> dict[str, str]:
    """Each column's name in the contract: its own where that is legal, else one made from its letters and digits."""
    out = {column: column for column in columns if _LEGAL.match(column)}
    for column in columns:
        if column in out:
            continue
        base = identifier(re.sub(r"[^A-Za-z0-9]+", "_", column).strip("_")[:100] or "column")
        candidate, count = base, 1
        while candidate in out.values():
            count += 1
            candidate = f"{base}_{count}"
        out[column] = candidate
    return out


def _column(values: Any, column: str, name: str, path: str) -> dict[str, Any]:
    """One drafted field as JSON."""
    flat, shape, nulls = _flatten(values.combine_chunks(), path)
    dtype = _dtype(flat.type, path)
    out: dict[str, Any] = {"name": name, "dtype": dtype, **({"shape": shape} if shape else {})}
    if name != column:
        out["description"] = f"column {column!r} of the data"
    known = flat.drop_null()
    if dtype == "string":
        values = sorted(set(known.to_pylist()))
        if 0 < len(values) <= min(MAX_ENUM, len(known) // 2):
            out["enum"] = values
    elif dtype not in ("bool", "bytes"):
        numbers = known.to_numpy(zero_copy_only=False).astype(dtype)
        nulls = nulls or (numbers.dtype.kind == "f" and bool(np.isnan(numbers).any()))
        out |= _range(numbers)
    if nulls:
        out["nullable"] = True
        if not dtype.startswith("float"):
            out["null_value"] = _null_value(dtype, out, known)
    return out


def _flatten(values: Any, path: str) -> tuple[Any, list[int], bool]:
    """The elements of a column, the shape of a row, and whether a row or an element is null."""
    import pyarrow as pa
    import pyarrow.compute as pc

    shape: list[int] = []
    nulls = bool(values.null_count)
    if isinstance(values.type, pa.FixedShapeTensorType):
        shape, values = list(values.type.shape), values.storage.flatten()
        nulls = nulls or bool(values.null_count)
    lists = (pa.types.is_list, pa.types.is_large_list, pa.types.is_fixed_size_list)
    while any(is_one(values.type) for is_one in lists):
        sizes = pc.unique(pc.list_value_length(values.drop_null())).to_pylist()
        if len(sizes) != 1 or not sizes[0]:
            raise ContractInvalid(f"arrays of {len(sizes)} different sizes or of none", path=path, help=_FIXED)
        shape.append(sizes[0])
        values = values.flatten()
        nulls = nulls or bool(values.null_count)
    if pa.types.is_dictionary(values.type):
        values = values.dictionary_decode()
    if pa.types.is_decimal(values.type):
        values = values.cast(pa.float64(), safe=False)
    if pa.types.is_null(values.type):
        values = values.cast(pa.float64())
    return values, shape, nulls


def _dtype(kind: Any, path: str) -> str:
    import pyarrow as pa

    if pa.types.is_integer(kind):
        return str(kind)
    if pa.types.is_floating(kind):
        return f"float{kind.bit_width}"
    if pa.types.is_boolean(kind):
        return "bool"
    if pa.types.is_string(kind) or pa.types.is_large_string(kind) or pa.types.is_string_view(kind):
        return "string"
    if pa.types.is_binary(kind) or pa.types.is_large_binary(kind) or pa.types.is_fixed_size_binary(kind):
        return "bytes"
    raise ContractInvalid(f"{kind} has no dtype in a contract", path=path, help="turn it into a number or a string")


def _range(numbers: Any) -> dict[str, Any]:
    """The observed ends; infinities open theirs."""
    finite = numbers[np.isfinite(numbers)]
    out: dict[str, Any] = {}
    if len(finite) and not (numbers == -np.inf).any():
        out["minimum"] = _plain(finite.min())
    if len(finite) and not (numbers == np.inf).any():
        out["maximum"] = _plain(finite.max())
    if np.isinf(numbers).any():
        out["allow_nan"] = True
    return out


def _plain(value: Any) -> int | float:
    """A numpy number as a person writes it: the shortest text that rounds back to the same value."""
    return float(str(value)) if value.dtype.kind == "f" else int(value)


def _null_value(dtype: str, field: dict[str, Any], known: Any) -> Any:
    """What the model gets for null: a value that the data does not hold, where the dtype has one to spare."""
    if dtype == "bool":
        return False
    if dtype in ("string", "bytes"):
        taken = set(known.to_pylist())
        return "" if dtype == "bytes" or "" not in taken else "null"
    info = np.iinfo(dtype)
    low, high = field.get("minimum", 0), field.get("maximum", 0)
    if info.min < 0 <= low:
        return -1
    if low > info.min:
        return int(info.min)
    return int(info.max) if high < info.max else 0


def _answer(field: dict[str, Any]) -> dict[str, Any]:
    """A column of known answers as an output: a range seen in data must not make the next answer a failure."""
    dropped = ("minimum", "maximum", "nullable", "null_value", "allow_nan")
    return {keyword: value for keyword, value in field.items() if keyword not in dropped}
