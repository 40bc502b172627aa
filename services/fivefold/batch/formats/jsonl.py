"""JSON lines: one record a line, read by the core's own reader of lines."""

from __future__ import annotations

import re
from dataclasses import replace
from typing import Any

import numpy as np
import pyarrow as pa

from fivefold.batch.formats import scan
from fivefold.batch.formats.chunk import Chunk, ReadRequest, RefusedRows, cannot_be_opened
from fivefold.batch.formats.scan import MAX_LINE
from fivefold.batch.formats.text_file import RecordSlice, TextFile, in_order, too_long
from fivefold.batch.storage.broken_stream import StreamBroken
from fivefold.batch.storage.sources import SourceFile
from fivefold.core.errors import ContractError
from fivefold.core.readers.exact_json import loads
from fivefold.core.readers.lines import Lines


class JsonLines(TextFile):
    """Reads JSON lines. A record is strict: a name beside the contract is refused unless it is carried."""

    def __init__(self, request: ReadRequest) -> None:
        super().__init__(request)
        self._lines = Lines(request.fields, request.carried)

    def check_layout(self, source: SourceFile) -> list[str]:
        """Nothing is ignored, and nothing is known before a line is read."""
        try:
            with source.text(self.request.allow_http) as stream:
                # What is not compressed as its name says is seen before anything is scored.
                if source.compressed:
                    stream.read(1)
            self._refuse_strange(source)
        except StreamBroken as err:
            if not self.request.allow_broken:
                raise cannot_be_opened(source.url, f"{err.reason}, before its first line is read") from err
        return []

    def kinds(self, source: SourceFile) -> dict[str, Any] | None:
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

    def _chunk(self, source: SourceFile, part: RecordSlice) -> Chunk:  # noqa: ARG002  # of CSV it decides the header
        rows = np.flatnonzero(~part.broken)
        text, spans = part.text(rows)
        read = self._lines.read(text, spans)
        refusals = [_refusal(part, int(rows[index]), error) for index, error in read.refused]
        refusals += [part.refusal(int(index), too_long(MAX_LINE)) for index in np.flatnonzero(part.broken)]
        carried = dict(zip(self.request.carried, read.carried, strict=True))
        return Chunk(read.columns, part.row + rows[read.rows], carried, in_order(refusals))

    def _nothing(self, refusals: list[RefusedRows]) -> Chunk:
        read = self._lines.read(b"", [])
        return Chunk(read.columns, read.rows, dict(zip(self.request.carried, read.carried, strict=True)), refusals)


_STRINGS = re.compile(rb'"(?:[^"\\]|\\.)*"', re.DOTALL)


def _refusal(part: RecordSlice, index: int, error: ContractError) -> RefusedRows:
    """A line that is refused; the file's last one may be no bad row but the place where the file was cut off."""
    refusal = part.refusal(index, error)
    raw = part.raw(index)
    if error.code != "malformed" or raw.endswith(b"\n") or not raw.lstrip().startswith(b"{"):
        return refusal
    bare = _STRINGS.sub(b"", raw)
    if b'"' not in bare and bare.count(b"{") <= bare.count(b"}"):
        return refusal
    cut_off = ContractError("malformed", f"expected a line of JSON, got a file that ends in the middle of one: {error}")
    return replace(refusal, error=cut_off, broken=True)
