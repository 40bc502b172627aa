"""What a caller gives to `predict`, and its answer in the same form.

    list of records          list of records
    one record               one record
    dict of columns          dict of numpy arrays
    pandas DataFrame         pandas DataFrame under the same index
    pyarrow Table            pyarrow Table
    structured array         structured array
    array, fields in order   array, outputs in order

pandas and pyarrow are imported only where something of theirs is given. Every form is read by the core's readers under
the model's contract, so a mistake is refused as the server does it; how columns travel is left to the dialects.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from fivefold.client import table_answers
from fivefold.client.plain_values import array_values, is_easy, is_json, kind_home, plain, rows_with_nulls, with_nulls
from fivefold.core.check.findings import Reading, shown_name
from fivefold.core.columns import Array, Columns
from fivefold.core.errors import ContractError, Violation
from fivefold.core.fields.field import Field, indices
from fivefold.core.fields.suggestion import nearest
from fivefold.core.readers.records import Records


class Given(ABC):
    """Rows in one of the forms."""

    @abstractmethod
    def read(self, records: Records) -> Reading:
        """The rows, read under the fields of `records`."""

    @abstractmethod
    def answer(self, columns: Columns) -> Any:
        """The outputs in the form that the rows had."""


def given(data: Any) -> Given:
    """What `data` is; raises `TypeError` for what is none of the forms."""
    if isinstance(data, Columns):
        # Where they hold null their arrays alone may not say.
        return Named(data.to_lists())
    if isinstance(data, Mapping):
        return Named(data)
    if isinstance(data, np.ndarray):
        return Structured(data) if data.dtype.names else Positional(data)
    home = kind_home(data)
    if home == "pandas" and type(data).__name__ == "DataFrame":
        return Frame(data)
    if home == "pyarrow" and type(data).__name__ in ("Table", "RecordBatch"):
        return ArrowTable(data)
    if isinstance(data, Sequence) and not isinstance(data, str | bytes | bytearray | memoryview):
        return RecordList(data)
    raise TypeError(
        "expected records, a dict of columns, a DataFrame, an Arrow table or an array with a row a line, "
        f"got {type(data).__name__}"
    )


class RecordList(Given):
    """Records, one a row: objects, or arrays with one value a field."""

    def __init__(self, data: Sequence[Any]) -> None:
        easy = list(map(is_easy, data))
        self.rows: list[Any] = [row if as_it_is else plain(row) for row, as_it_is in zip(data, easy, strict=True)]
        self.json = all(as_it_is or is_json(row) for row, as_it_is in zip(self.rows, easy, strict=True))
        """Whether they are JSON as they are, so that they may be sent without a look at the contract."""

    def read(self, records: Records) -> Reading:
        names = indices(records.fields)
        fields = {name: records.fields[index] for name, index in names.items()}
        return records.read(self.rows if self.json else rows_with_nulls(fields, records.fields, self.rows))

    def answer(self, columns: Columns) -> Any:
        return columns.to_records()


class Named(Given):
    """A record, or columns by name: columns are arrays that have one dimension more than their field."""

    def __init__(self, data: Mapping[Any, Any]) -> None:
        self._data = data
        self._columns = False

    def read(self, records: Records) -> Reading:
        names = indices(records.fields)
        sizes = {name: len(records.fields[names[name]].shape) if name in names else 0 for name in map(str, self._data)}
        depths = {str(name): _depth(value) for name, value in self._data.items()}
        self._columns = bool(depths) and min(depths.values()) > 0 and any(depths[name] > sizes[name] for name in depths)
        if not self._columns:
            return RecordList([self._data]).read(records)
        columns = [(str(name), _values(value)) for name, value in self._data.items()]
        rows = len(columns[0][1])
        for name, values in columns:
            if len(values) != rows:
                message = f"expected {rows} values as in the first column, got {len(values)}"
                raise ContractError("malformed", message, path=f"inputs.{shown_name(name)}")
        return _read(records, rows, columns)

    def answer(self, columns: Columns) -> Any:
        return table_answers.arrays(columns) if self._columns else columns.to_records()[0]


class Frame(Given):
    """A pandas DataFrame; its index is no column, and is the answer's."""

    def __init__(self, data: Any) -> None:
        self._data = data

    def read(self, records: Records) -> Reading:
        data = self._data
        columns = [(str(name), _values(data.iloc[:, at])) for at, name in enumerate(data.columns)]
        return _read(records, len(data), columns)

    def answer(self, columns: Columns) -> Any:
        return table_answers.frame(columns, self._data.index)


class ArrowTable(Given):
    """A pyarrow Table or RecordBatch."""

    def __init__(self, data: Any) -> None:
        self._data = data

    def read(self, records: Records) -> Reading:
        import pyarrow as pa

        from fivefold.core.readers.arrow import Arrow

        data = self._data
        table = pa.Table.from_batches([data]) if isinstance(data, pa.RecordBatch) else data
        batches = table.combine_chunks().to_batches() or [pa.RecordBatch.from_pylist([], schema=table.schema)]
        if len(batches) > 1:
            message = "expected a table that fits one record batch, got more text than that"
            raise ContractError("too_large", message, path="inputs", help="send fewer rows at once")
        reader = Arrow(records.fields)
        reading = reader.read(batches[0])
        unknown = sorted(set(reader.ignored(table.schema.names)), key=lambda name: name.encode())
        if unknown:
            known = indices(records.fields)
            first = tuple(
                Violation("unknown_field", f"inputs.{shown_name(name)}", "no such field", nearest(name, known))
                for name in unknown
            )
            return Reading(reading.columns, reading.rows, first + reading.violations, reading.bad)
        return reading

    def answer(self, columns: Columns) -> Any:
        return table_answers.arrow(columns)


class Structured(Given):
    """A structured numpy array of shape [rows], one member a field."""

    def __init__(self, data: Array) -> None:
        if data.ndim != 1:
            raise TypeError(f"expected a structured array of shape [rows], got {list(data.shape)}")
        self._data = data

    def read(self, records: Records) -> Reading:
        columns = [(name, _values(self._data[name])) for name in self._data.dtype.names or ()]
        return _read(records, len(self._data), columns)

    def answer(self, columns: Columns) -> Any:
        return table_answers.structured(columns)


class Positional(Given):
    """An array of shape [rows, fields], scalar fields in their order; of a single field also [rows, *shape]."""

    def __init__(self, data: Array) -> None:
        self._data = data

    def read(self, records: Records) -> Reading:
        data, fields = self._data, records.fields
        alone = fields[0] if len(fields) == 1 else None
        if alone is not None and data.ndim == 1 + len(alone.shape) and data.ndim:
            return _read(records, len(data), [(alone.name, _values(data))])
        if data.ndim != 2 or data.shape[1] != len(fields) or any(field.shape for field in fields):
            raise ContractError("wrong_shape", f"expected {_wanted(fields)}, got {list(data.shape)}", path="inputs")
        columns = [(field.name, _values(data[:, at])) for at, field in enumerate(fields)]
        return _read(records, len(data), columns)

    def answer(self, columns: Columns) -> Any:
        return table_answers.positional(columns)


def _wanted(fields: Sequence[Field]) -> str:
    if any(field.shape for field in fields):
        if len(fields) == 1:
            return f"an array of shape [rows, {', '.join(map(str, fields[0].shape))}]"
        return "columns by name, since fields hold arrays"
    return f"an array of shape [rows, {len(fields)}], one column a field"


def _read(records: Records, rows: int, columns: list[tuple[str, list[Any] | Array]]) -> Reading:
    names = indices(records.fields)
    for at, (name, values) in enumerate(columns):
        field = records.fields[names[name]] if name in names else None
        if field is None:
            continue
        if isinstance(values, np.ndarray) and values.dtype.kind == "f" and field.kind != "float":
            values = plain(values.tolist())
        if isinstance(values, list):
            columns[at] = name, with_nulls(field, values)
    return records.read_table(rows, columns)


def _values(column: Any) -> list[Any] | Array:
    """A column as a numpy array where it is one of plain numbers, else as plain values."""
    if kind_home(column) == "pandas":
        dtype = column.dtype
        column = column.to_numpy() if isinstance(dtype, np.dtype) and dtype.kind in "biuf" else column.tolist()
    elif kind_home(column) == "pyarrow":
        column = column.to_pylist()
    if isinstance(column, np.ndarray):
        if column.dtype.kind in "biuf" and column.dtype.itemsize <= 8 and not isinstance(column, np.ma.MaskedArray):
            return column
        found = array_values(column)
        return found if isinstance(found, list) else [found]
    return [plain(item) for item in column]


def _depth(value: Any) -> int:
    """How many dimensions a value has: 0 for a scalar."""
    if isinstance(value, list | tuple):
        return 1 + (_depth(value[0]) if value else 0)
    if isinstance(value, np.ndarray):
        inner = value.reshape(-1)[0] if value.dtype == object and value.size else None
        return value.ndim + _depth(inner)
    if kind_home(value) in ("pandas", "pyarrow") and hasattr(value, "__len__") and not hasattr(value, "as_py"):
        return 1 + (_depth(value.iloc[0] if hasattr(value, "iloc") else value[0]) if len(value) else 0)
    if kind_home(value) == "pyarrow" and hasattr(value, "values"):
        return 1
    return 0
