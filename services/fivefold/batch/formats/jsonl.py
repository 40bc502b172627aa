"""JSON lines: one record a line, read by the core's own reader of lines."""

from __future__ import annotations

import re
from dataclasses import replace
from typing import Any

import numpy as np
import pyarrow as pa

from fivefold.batch.formats import scan
from fivefold.batch.formats.chunk import Fault, Needs, Piece, cannot_be_opened
from fivefold.batch.formats.scan import MAX_LINE
from fivefold.batch.formats.text_file import Part, TextFile, in_order, too_long
from fivefold.batch.storage.compression import StreamBroken
from fivefold.batch.storage.sources import Source
from fivefold.core.errors import ContractError
from fivefold.core.readers.exact_json import loads
from fivefold.core.readers.lines import Lines


class JsonLines(TextFile):
    """Reads JSON lines. A record is strict: a name beside the contract is refused unless it is carried."""

    def __init__(self, needs: Needs) -> None:
        super().__init__(needs)
        self._lines = Lines(needs.fields, needs.carried)

    def look(self, source: Source) -> list[str]:
        """Nothing is ignored, and nothing is known before a line is read."""
        try:
            with source.text(self.needs.clear) as stream:
                # What is not compressed as its name says is seen before anything is scored.
                if source.compressed:
                    stream.read(1)
            self._refuse_strange(source)
        except StreamBroken as err:
            if not self.needs.allow_broken:
                raise cannot_be_opened(source.url, f"{err.reason}, before its first line is read") from err
        return []

    def kinds(self, source: Source) -> dict[str, Any] | None:
        """The first record's names: others may have more of them. What is carried becomes text."""
        try:
            with self._open(source) as (stream, offset):
                block = next(scan.blocks(stream, quotes=False, offset=offset), None)
        except scan.Break:
            return None
        if block is None or not len(block.starts):
            return {}
        try:
            record = loads(block.data[block.starts[0] : block.ends[0]])
        except ContractError:
            return {}
        names = list(record) if isinstance(record, dict) else []
        return dict.fromkeys(names, pa.string())

    def _piece(self, source: Source, part: Part) -> Piece:  # noqa: ARG002  # of CSV it decides the header
        rows = np.flatnonzero(~part.broken)
        text, places = part.text(rows)
        read = self._lines.read(text, places)
        faults = [_fault(part, int(rows[index]), error) for index, error in read.refused]
        faults += [part.fault(int(index), too_long(MAX_LINE)) for index in np.flatnonzero(part.broken)]
        carried = dict(zip(self.needs.carried, read.carried, strict=True))
        return Piece(read.columns, part.row + rows[read.rows], carried, in_order(faults))

    def _nothing(self, faults: list[Fault]) -> Piece:
        read = self._lines.read(b"", [])
        return Piece(read.columns, read.rows, dict(zip(self.needs.carried, read.carried, strict=True)), faults)


_STRINGS = re.compile(rb'"(?:[^"\\]|\\.)*"', re.DOTALL)


def _fault(part: Part, index: int, error: ContractError) -> Fault:
    """A line that is refused; the file's last one may be no bad row but the place where the file was cut off."""
    fault = part.fault(index, error)
    raw = part.raw(index)
    if error.code != "malformed" or raw.endswith(b"\n") or not raw.lstrip().startswith(b"{"):
        return fault
    bare = _STRINGS.sub(b"", raw)
    if b'"' not in bare and bare.count(b"{") <= bare.count(b"}"):
        return fault
    cut = ContractError("malformed", f"expected a line of JSON, got a file that ends in the middle of one: {error}")
    return replace(fault, error=cut, broken=True)
