"""Good and broken rows of Parquet: columns of the contract's types, of wider ones, of a wrong one, and torn pages."""

from __future__ import annotations

import random
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final

from loadtest.batch.fault_kinds import KEY, NAMES, SHARE, FaultyFiles, Kind, Row, RowFault

GROUP: Final = 500
"""Rows of a good row group."""

TORN_ROWS: Final = 16
"""Rows of a row group that cannot be read, at most."""

CHECKED: Final = 0.1
"""The share of the rows in each file that has a kind of its own."""

Cells = dict[str, Any]


def _cell(name: str, value: Any) -> Any:
    def apply(cells: Cells) -> None:
        cells[name] = value

    return apply


def _nothing(_: Cells) -> None:
    """The whole file, or its pages, are broken, not this row."""


PLAIN_KINDS: Final = (
    Kind("out of range", "out_of_range", "amount", _cell("amount", 1000.5)),
    Kind("null", "null_not_allowed", "count", _cell("count", None)),
    Kind("NaN", "not_finite", "amount", _cell("amount", float("nan"))),
    Kind("infinity", "not_finite", "amount", _cell("amount", float("inf"))),
    Kind("not in the enum", "not_in_enum", "site", _cell("site", b"middle")),
    Kind("bad UTF-8", "not_utf8", "note", _cell("note", b"pl\xffain")),
    Kind("too long", "too_long", "note", _cell("note", b"x" * 41)),
    Kind("pattern", "pattern_mismatch", "code", _cell("code", b"ab1")),
)
WIDE: Final = Kind("beyond int32", "out_of_range", "count", _cell("count", 2**40))
FRACTION: Final = Kind("fraction for an integer", "wrong_type", "count", _cell("count", 3.5))
TEXT: Final = Kind("wrong type", "wrong_type", "amount", _nothing)
TORN: Final = Kind("torn page", "malformed", "", _nothing)
KINDS: Final = (*PLAIN_KINDS, WIDE, FRACTION, TEXT, TORN)


def write(directory: Path, rows: Sequence[Row], rng: random.Random) -> FaultyFiles:
    """Write rows as Parquet files."""
    each = len(rows) // SHARE // len(KINDS)
    size = int(len(rows) * CHECKED)
    left = list(rows)
    injected: list[RowFault] = []
    answers: dict[int, float] = {}

    def some(count: int) -> list[Row]:
        taken, left[:] = left[:count], left[count:]
        return taken

    def file(name: str, chosen: Sequence[Row], kinds: Sequence[Kind], types: Mapping[str, str]) -> None:
        places = sorted(rng.sample(range(len(chosen)), each * len(kinds)))
        dealt = [kinds[index % len(kinds)] for index in range(len(places))]
        rng.shuffle(dealt)
        broken = dict(zip(places, dealt))
        injected.extend(kind.fault(name, at) for at, kind in broken.items())
        answers.update((row.id, row.score) for at, row in enumerate(chosen) if at not in broken)
        _table(directory / name, chosen, broken, types, [GROUP] * (len(chosen) // GROUP + 1))

    file("wide.parquet", some(size), (WIDE,), {"count": "int64"})
    file("float.parquet", some(size), (FRACTION,), {"count": "float64", "amount": "float64"})
    file("text.parquet", some(each), (TEXT,), {"amount": "string"})
    _torn(directory / "torn.parquet", some(size), each, injected, answers)
    file("plain.parquet", left, PLAIN_KINDS, {})
    return FaultyFiles("parquet", directory, len(rows), injected, answers)


def _torn(path: Path, rows: Sequence[Row], bad: int, injected: list[RowFault], answers: dict[int, float]) -> None:
    """Row groups between good ones that are damaged in their pages: in a header, or in what a checksum covers."""
    sizes = [TORN_ROWS] * (bad // TORN_ROWS) + [bad % TORN_ROWS] * bool(bad % TORN_ROWS)
    good, more = divmod(len(rows) - bad, len(sizes) + 1)
    groups: list[int] = []
    for size in sizes:
        groups += [good, size]
    groups.append(good + more)
    at = 0
    for index, size in enumerate(groups):
        if index % 2:
            injected.append(TORN.fault(path.name, at, rows=size))
        else:
            answers.update((row.id, row.score) for row in rows[at : at + size])
        at += size
    _table(path, rows, {}, {}, groups)
    _damage(path, [index for index in range(len(groups)) if index % 2])


def _damage(path: Path, groups: Sequence[int]) -> None:
    import pyarrow.parquet as pq

    metadata = pq.read_metadata(path)
    places = []
    for turn, group in enumerate(groups):
        about = metadata.row_group(group).column(1 + NAMES.index("amount"))
        end = about.data_page_offset + about.total_compressed_size
        places.append((about.data_page_offset, b"\xff" * 4) if turn % 2 else (end - 1, None))
    with path.open("r+b") as file:
        for at, data in places:
            file.seek(at)
            if data is None:
                data = bytes([file.read(1)[0] ^ 0xFF])
                file.seek(at)
            file.write(data)


def _table(
    path: Path, rows: Sequence[Row], broken: Mapping[int, Kind], types: Mapping[str, str], groups: Sequence[int]
) -> None:
    """Write rows in row groups of so many; text is written as bytes are, whatever they are."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    usual = {
        "amount": "float64",
        "count": "int32",
        "active": "bool",
        "site": "string",
        "code": "string",
        "note": "string",
    }
    wanted = usual | dict(types)
    cells = [_bytes(row) for row in rows]
    for at, kind in broken.items():
        kind.apply(cells[at])
    columns = [pa.array([row.id for row in rows], pa.int64())]
    for name in NAMES:
        values = [each[name] for each in cells]
        if wanted[name] != "string":
            columns.append(pa.array(values, getattr(pa, {"bool": "bool_"}.get(wanted[name], wanted[name]))()))
        elif usual[name] != "string":
            columns.append(pa.array([str(value) for value in values], pa.string()))
        else:
            columns.append(pa.array(values, pa.binary()).view(pa.string()))
    table = pa.Table.from_arrays(columns, [KEY, *NAMES])
    # The pages of one column are damaged: a dictionary's page before them would be hit instead.
    texts = [name for name in NAMES if usual[name] == "string"]
    with pq.ParquetWriter(path, table.schema, use_dictionary=texts, write_page_checksum=True) as writer:
        at = 0
        for size in groups:
            if table.num_rows > at:
                writer.write_table(table.slice(at, size), max(1, size))
            at += size


def _bytes(row: Row) -> Cells:
    return {
        name: value.encode() if isinstance(value, str) else value for name, value in row.record().items() if name != KEY
    }
