"""JSON lines: one record a line, read by the core's own reader of lines."""

from __future__ import annotations

import numpy as np

from fivefold.batch.formats.piece import Fault, Needs, Piece
from fivefold.batch.formats.scan import MAX_LINE
from fivefold.batch.formats.text import Part, TextFile, in_order, too_long
from fivefold.batch.sources import Source
from fivefold.core.readers.lines import Lines


class JsonLines(TextFile):
    """Reads JSON lines. A record is strict: a name beside the contract is refused unless it is carried."""

    def __init__(self, needs: Needs) -> None:
        super().__init__(needs)
        self._lines = Lines(needs.fields, needs.carried)

    def look(self, source: Source) -> list[str]:
        """Nothing is ignored, and nothing is known before a line is read."""
        source.open(self.needs.clear).close()
        return []

    def _piece(self, source: Source, part: Part) -> Piece:  # noqa: ARG002  # of CSV it decides the header
        rows = np.flatnonzero(~part.broken)
        text, places = part.text(rows)
        read = self._lines.read(text, places)
        faults = [part.fault(int(rows[index]), error) for index, error in read.refused]
        faults += [part.fault(int(index), too_long(MAX_LINE)) for index in np.flatnonzero(part.broken)]
        carried = dict(zip(self.needs.carried, read.carried, strict=True))
        return Piece(read.columns, part.row + rows[read.rows], carried, in_order(faults))

    def _nothing(self, faults: list[Fault]) -> Piece:
        read = self._lines.read(b"", [])
        return Piece(read.columns, read.rows, dict(zip(self.needs.carried, read.carried, strict=True)), faults)
