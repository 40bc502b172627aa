"""Two runs compared row by row: what one has and the other lacks, and where their answers differ and by how much.

Rows are matched by input file and row number, whatever fragments the runs were cut into, and read as a stream.
"""

from __future__ import annotations

import itertools
import json
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.csv
import pyarrow.json
import pyarrow.parquet as pq

from fivefold.batch.ledger import REPORT
from fivefold.batch.output import CONTRACT, MODEL, ROW
from fivefold.batch.places import Place, place
from fivefold.core.errors import NotFound, RunFailed

ROWS = 65_536


@dataclass(slots=True)
class Column:
    """How one column differs: in how many rows, and by how much at most (numbers alone)."""

    rows: int = 0
    largest: float = 0.0


@dataclass(slots=True)
class Comparison:
    """What two runs have in common and what not. `first` is the first row that differs: file, row, column, values."""

    both: int = 0
    only_first: int = 0
    only_second: int = 0
    differing: int = 0
    columns: dict[str, Column] = field(default_factory=dict)
    only_columns: tuple[str, ...] = ()
    first: dict[str, Any] | None = None

    @property
    def same(self) -> bool:
        """Whether the same rows have the same answers."""
        return not (self.only_first or self.only_second or self.differing or self.only_columns)


def compare(first: str, second: str, *, clear: bool = False) -> Comparison:
    """Compare two published runs. Raises `NotFound` where there is none, `RunFailed` for runs over different files."""
    runs = [_Run(place(url, clear=clear)) for url in (first, second)]
    files = [set(run.files) for run in runs]
    if files[0] != files[1]:
        odd = sorted(files[0] ^ files[1])[0]
        raise RunFailed("run_conflict", f"the runs are over different files: {odd} is one of only one of them")
    out = Comparison()
    for file in sorted(files[0]):
        _compare_file(out, file, runs[0].tables(file), runs[1].tables(file))
    return out


class _Run:
    def __init__(self, where: Place) -> None:
        text = where.read(REPORT)
        if text is None:
            raise NotFound("not_found", "there is no published run", path=where.url)
        report = json.loads(text)
        self._place, self._format = where, report["output_format"]
        self.files: dict[str, list[tuple[str, int, int | None]]] = {item["file"]: [] for item in report["files"]}
        for part in sorted(report["parts"], key=lambda part: part["row"]):
            start = 0
            for inside in part.get("files", ()):
                self.files[inside["file"]].append((part["part"], start, inside["scored"]))
                start += inside["scored"]
            if "files" not in part:
                self.files[part["file"]].append((part["part"], 0, None))

    def tables(self, file: str) -> Iterator[pa.Table]:
        """The rows of a file's parts, in order, some at a time."""
        for name, start, count in self.files[file]:
            with self._place.open(name) as stream:
                tables = _tables(stream, self._format)
                yield from tables if count is None else _within(tables, start, count)


def _within(tables: Iterator[pa.Table], start: int, count: int) -> Iterator[pa.Table]:
    """The rows of one file in a part that has several."""
    for table in tables:
        if start < len(table) and count:
            some = table.slice(start, count)
            yield some
            count -= len(some)
        start = max(0, start - len(table))


def _tables(stream: Any, format: str) -> Iterator[pa.Table]:
    if format == "parquet":
        for batch in pq.ParquetFile(stream).iter_batches(ROWS):
            yield pa.Table.from_batches([batch])
    elif format == "csv":
        yield pa.csv.read_csv(stream, convert_options=pa.csv.ConvertOptions(strings_can_be_null=True))
    else:
        text = stream.read()
        if text:
            yield pa.json.read_json(pa.BufferReader(text))


def _compare_file(out: Comparison, file: str, ours: Iterator[pa.Table], theirs: Iterator[pa.Table]) -> None:
    left, right = _next(ours), _next(theirs)
    while left is not None and right is not None:
        rows = [table.column(ROW).to_numpy() for table in (left, right)]
        # Up to the smaller of the two last rows both are complete.
        end = min(rows[0][-1], rows[1][-1])
        cuts = [int(np.searchsorted(each, end, "right")) for each in rows]
        _compare(out, file, left.slice(0, cuts[0]), right.slice(0, cuts[1]))
        left = left.slice(cuts[0]) if cuts[0] < len(left) else _next(ours)
        right = right.slice(cuts[1]) if cuts[1] < len(right) else _next(theirs)
    out.only_first += (len(left) if left is not None else 0) + sum(map(len, ours))
    out.only_second += (len(right) if right is not None else 0) + sum(map(len, theirs))


def _next(tables: Iterator[pa.Table]) -> pa.Table | None:
    """The next table that has rows."""
    return next((table for table in tables if len(table)), None)


def _compare(out: Comparison, file: str, left: pa.Table, right: pa.Table) -> None:
    rows = [table.column(ROW).to_numpy() for table in (left, right)]
    common, at, there = np.intersect1d(rows[0], rows[1], assume_unique=True, return_indices=True)
    out.both += len(common)
    out.only_first += len(rows[0]) - len(common)
    out.only_second += len(rows[1]) - len(common)
    names = [[name for name in table.column_names if name not in (ROW, MODEL, CONTRACT)] for table in (left, right)]
    odd = [name for name in itertools.chain(*names) if (name in names[0]) != (name in names[1])]
    out.only_columns = tuple(dict.fromkeys((*out.only_columns, *odd)))
    left, right = left.take(at), right.take(there)
    anywhere = np.zeros(len(common), np.bool_)
    first: tuple[int, str] | None = None
    for name in names[0]:
        if name in odd:
            continue
        differs, largest = _differs(left.column(name), right.column(name))
        if differs.any():
            column = out.columns.setdefault(name, Column())
            column.rows += int(differs.sum())
            column.largest = max(column.largest, largest)
            where = int(np.argmax(differs))
            first = (where, name) if first is None or where < first[0] else first
            anywhere |= differs
    out.differing += int(anywhere.sum())
    if out.first is None and first is not None:
        where, name = first
        values = [table.column(name)[where].as_py() for table in (left, right)]
        out.first = {"file": file, "row": int(common[where]), "column": name, "values": values}


def _differs(left: Any, right: Any) -> tuple[Any, float]:
    """Where two columns differ, and by how much at most; null is equal to null, NaN to NaN."""
    ours, theirs = (_numbers(values) for values in (left, right))
    if ours is not None and theirs is not None and ours.shape == theirs.shape:
        with np.errstate(invalid="ignore"):
            gap = np.abs(ours - theirs)
        same = (ours == theirs) | (np.isnan(ours) & np.isnan(theirs))
        gap = np.where(same, 0.0, gap).reshape(len(ours), -1)
        largest = float(np.nanmax(gap, initial=0.0))
        return ~same.reshape(len(ours), -1).all(axis=1), largest
    pairs = zip(left.to_pylist(), right.to_pylist(), strict=True)
    return np.array([one != other for one, other in pairs], np.bool_), 0.0


def _numbers(values: Any) -> Any:
    """A column of numbers, or of lists of as many, as binary64; None for anything else, integers beyond 2^53 too."""
    kind, array = values.type, values.combine_chunks()
    shape: list[int] = [len(array)]
    while pa.types.is_fixed_size_list(kind) or pa.types.is_list(kind):
        count = len(array)
        array = array.flatten()
        if not count or len(array) % count:
            return None
        shape.append(len(array) // count)
        kind = array.type
    if not (pa.types.is_floating(kind) or pa.types.is_integer(kind)):
        return None
    numbers = array.to_numpy(zero_copy_only=False)
    if numbers.dtype.kind in "iu" and len(numbers) and max(abs(int(numbers.min())), abs(int(numbers.max()))) > 2**53:
        return None
    return numbers.astype(np.float64).reshape(shape)
