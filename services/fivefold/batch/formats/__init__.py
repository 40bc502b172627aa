"""The formats of input files: how each is cut, and how a piece of it becomes columns.

    scan       bytes -> records: lines, or what a quoted cell makes of them
    text       what CSV and JSON lines share: cutting a file, reading a range of it
    parquet    row groups
    piece      what a reader gives: good rows, carried columns, faults

A `Format` knows no model and no output; which value is legal is core's to say.
"""

from __future__ import annotations

from fivefold.batch.formats.piece import Fault, Format, Needs, Piece, Range

__all__ = ["Fault", "Format", "Needs", "Piece", "Range", "of"]


def of(name: str, needs: Needs) -> Format:
    """The reader of a format."""
    if name == "parquet":
        from fivefold.batch.formats.parquet import Parquet

        return Parquet(needs)
    if name == "csv":
        from fivefold.batch.formats.csv import Csv

        return Csv(needs)
    from fivefold.batch.formats.jsonl import JsonLines

    return JsonLines(needs)
