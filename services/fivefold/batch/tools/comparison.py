"""Two runs compared row by row: what one has and the other lacks, and where their answers differ and by how much.

Rows are matched by input file and row number, whatever fragments the runs were divided into, and read as a stream.
When two cells are the same is `cells`' matter.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Annotated, Any

import msgspec
import numpy as np
import pyarrow as pa

from fivefold.batch.output.ledger import REPORT, SUCCESS
from fivefold.batch.output.sinks import CONTRACT, MODEL, ROW
from fivefold.batch.storage.output_storage import Storage, open_storage
from fivefold.batch.tools.exact_cells import OutputRows, differs, read
from fivefold.core.errors import FivefoldError, NotFound, RunFailed, first_line


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


def compare(first: str, second: str, *, allow_http: bool = False) -> Comparison:
    """Compare two published runs. Raises `NotFound` where there is none, `RunFailed` for runs over different files."""
    runs = [_ComparedRun(open_storage(url, allow_http=allow_http)) for url in (first, second)]
    files = [set(run.files) for run in runs]
    if files[0] != files[1]:
        odd = sorted(files[0] ^ files[1])[0]
        raise RunFailed("run_conflict", f"the runs are over different files: {odd} is one of only one of them")
    out = Comparison()
    for file in sorted(files[0]):
        _compare_file(out, file, runs[0].rows(file), runs[1].rows(file))
    return out


class _File(msgspec.Struct):
    file: str


class _Inside(msgspec.Struct):
    file: str
    scored: Annotated[int, msgspec.Meta(ge=0)]


class _Part(msgspec.Struct):
    part: str
    file: str
    row: int
    files: list[_Inside] = []
    """The files whose rows follow each other in it, where they are several."""


class _Column(msgspec.Struct):
    name: str
    dtype: str
    shape: list[int]


class _ComparedReport(msgspec.Struct):
    output_format: str
    files: list[_File]
    parts: list[_Part]
    schema: list[_Column] = []
    """The types of the contract's columns; a report of an older version has none."""


class _ComparedRun:
    def __init__(self, where: Storage) -> None:
        data = where.read(REPORT)
        if data is None or where.read(SUCCESS) is None:
            raise NotFound("not_found", "there is no published run", path=where.url)
        try:
            report = msgspec.json.decode(data, type=_ComparedReport)
        except (msgspec.MsgspecError, ValueError, RecursionError) as err:
            raise _unreadable(f"{where.url}/{REPORT}", f"expected the report of a run, {first_line(err)}") from err
        self._storage, self._format = where, report.output_format
        self._types = {column.name: _arrow_type(column) for column in report.schema}
        self.files: dict[str, list[tuple[str, int, int | None]]] = {item.file: [] for item in report.files}
        """Of each file the parts with its rows: their names, where in them its rows begin, and how many they are."""
        for part in sorted(report.parts, key=lambda part: part.row):
            start = 0
            for inside in part.files:
                self.files.setdefault(inside.file, []).append((part.part, start, inside.scored))
                start += inside.scored
            if not part.files:
                self.files.setdefault(part.file, []).append((part.part, 0, None))

    def rows(self, file: str) -> Iterator[OutputRows]:
        """The rows of a file's parts, in order, some at a time."""
        for name, start, count in self.files[file]:
            with self._storage.open(name) as stream:
                found = read(stream, self._format, ROW, self._types)
                # A part is read up to the last row that is wanted of it.
                while count is None or count > 0:
                    try:
                        rows = next(found, None)
                    except FivefoldError:
                        raise
                    except (OSError, KeyError, ValueError, UnicodeError, StopIteration, pa.ArrowException) as err:
                        raise _unreadable(f"{self._storage.url}/{name}", f"cannot be read: {first_line(err)}") from err
                    if rows is None:
                        break
                    if count is None:
                        yield rows
                        continue
                    some = rows.take(np.arange(min(start, len(rows)), min(start + count, len(rows))))
                    start, count = max(0, start - len(rows)), count - len(some)
                    yield some


def _unreadable(path: str, reason: str) -> RunFailed:
    return RunFailed("run_conflict", reason, path=path, help="fivefold batch verify says what else is damaged")


def _arrow_type(column: _Column) -> Any:
    out = {"bool": pa.bool_(), "bytes": pa.binary()}.get(column.dtype) or pa.type_for_alias(column.dtype)
    for size in reversed(column.shape):
        out = pa.list_(out, size)
    return out


def _compare_file(out: Comparison, file: str, ours: Iterator[OutputRows], theirs: Iterator[OutputRows]) -> None:
    left, right = _next(ours), _next(theirs)
    while left is not None and right is not None:
        # Up to the smaller of the two last rows both are complete.
        end = min(left.numbers[-1], right.numbers[-1])
        cuts = [int(np.searchsorted(each.numbers, end, "right")) for each in (left, right)]
        _compare(out, file, left.take(np.arange(cuts[0])), right.take(np.arange(cuts[1])))
        left = left.take(np.arange(cuts[0], len(left))) if cuts[0] < len(left) else _next(ours)
        right = right.take(np.arange(cuts[1], len(right))) if cuts[1] < len(right) else _next(theirs)
    out.only_first += (len(left) if left is not None else 0) + sum(map(len, ours))
    out.only_second += (len(right) if right is not None else 0) + sum(map(len, theirs))


def _next(rows: Iterator[OutputRows]) -> OutputRows | None:
    """The next ones that are any."""
    return next((some for some in rows if len(some)), None)


def _compare(out: Comparison, file: str, left: OutputRows, right: OutputRows) -> None:
    common, at, there = np.intersect1d(left.numbers, right.numbers, assume_unique=True, return_indices=True)
    out.both += len(common)
    out.only_first += len(left) - len(common)
    out.only_second += len(right) - len(common)
    names = [[name for name in rows.columns if name not in (ROW, MODEL, CONTRACT)] for rows in (left, right)]
    odd = [name for name in itertools.chain(*names) if (name in names[0]) != (name in names[1])]
    out.only_columns = tuple(dict.fromkeys((*out.only_columns, *odd)))
    left, right = left.take(at), right.take(there)
    anywhere = np.zeros(len(common), np.bool_)
    first: tuple[int, str] | None = None
    for name in names[0]:
        if name in odd:
            continue
        unlike, largest = differs(left.columns[name], right.columns[name])
        if unlike.any():
            column = out.columns.setdefault(name, Column())
            column.rows += int(unlike.sum())
            column.largest = max(column.largest, largest)
            where = int(np.argmax(unlike))
            first = (where, name) if first is None or where < first[0] else first
            anywhere |= unlike
    out.differing += int(anywhere.sum())
    if out.first is None and first is not None:
        where, name = first
        values = [rows.columns[name].at(where) for rows in (left, right)]
        out.first = {"file": file, "row": int(common[where]), "column": name, "values": values}
