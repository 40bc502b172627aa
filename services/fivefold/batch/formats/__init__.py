"""The formats of input files: how each is cut, and how a piece of it becomes columns.

    scan       bytes -> records: lines, or what a quoted cell makes of them
    text       what CSV and JSON lines share: cutting a file, reading a range of it
    parquet    row groups
    paths      what a file's path says about its rows
    carried    one type for each carried column
    piece      what a reader gives: good rows, carried columns, faults

A `Format` knows no model and no output; which value is legal is core's to say.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from fivefold.batch.formats.chunk import Fault, Format, Needs, Piece, Range

if TYPE_CHECKING:
    from fivefold.batch.formats.paths import Reader

__all__ = ["Fault", "Format", "Needs", "Piece", "Range", "of"]


def of(name: str, needs: Needs) -> Format:
    """The reader of a format."""
    from fivefold.batch.formats.paths import WithPaths

    return WithPaths(_kind(name), needs)


def _kind(name: str) -> Callable[[Needs], Reader]:
    if name == "parquet":
        from fivefold.batch.formats.parquet import Parquet

        return Parquet
    if name == "csv":
        from fivefold.batch.formats.csv import Csv

        return Csv
    from fivefold.batch.formats.jsonl import JsonLines

    return JsonLines
