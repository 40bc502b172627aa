"""The formats of input files: how each is divided into ranges, and how a chunk of it becomes columns.

    scan       bytes -> records: lines, or what a quoted cell makes of them
    text_file  what CSV and JSON lines share: a file's ranges, reading one of them
    parquet    row groups
    paths      what a file's path says about its rows
    carried_*  one type for each carried column
    chunk      what a reader gives: good rows, carried columns, refused rows

A `Format` knows no model and no output; which value is legal is core's to say.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from fivefold.batch.formats.chunk import Format, ReadRequest

if TYPE_CHECKING:
    from fivefold.batch.formats.paths import Reader


def of(name: str, request: ReadRequest) -> Format:
    """The reader of a format."""
    from fivefold.batch.formats.paths import WithPaths

    return WithPaths(_kind(name), request)


def _kind(name: str) -> Callable[[ReadRequest], Reader]:
    if name == "parquet":
        from fivefold.batch.formats.parquet import Parquet

        return Parquet
    if name == "csv":
        from fivefold.batch.formats.csv import Csv

        return Csv
    from fivefold.batch.formats.jsonl import JsonLines

    return JsonLines
