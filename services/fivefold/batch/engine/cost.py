"""What the work of a run is worth in seconds of one core, and whether Ray's workers save more than they take to start.

An estimate from what is known before anything is read: the bytes of the files, their rows, and what a row costs the
model, which `Scorer` measures when it opens it. How far it is from what the work really takes is left to `local_first`.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence

from fivefold.batch.plan.planning import Fragment

RAY_SECONDS = 3.0
"""What starting a Ray takes longer than starting one process, on two cores at rest."""

BYTES_PER_SECOND = {"parquet": 250e6, "csv": 30e6, "jsonl": 30e6}
"""Reading, checking and writing on one core, without the model: at least about so much of each format."""

UNPACKED = 10
"""Bytes of text in a byte of compressed text, rather too many than too few."""

ROW_BYTES = 20
"""Of text, for the rows of which nobody knows the number: short ones, so that they are rather too many."""


class Cost:
    """The work of fragments, in seconds of one core. `row_seconds` is what a row costs the model."""

    def __init__(self, fragments: Sequence[Fragment]) -> None:
        """Of all fragments of a run, as a row group's share of its file is known by its rows."""
        self._rows: Counter[str] = Counter()
        for fragment in fragments:
            for source, part in fragment.ranges:
                self._rows[source.url] += part.rows or 0
        self.row_seconds = 0.0

    def of(self, fragments: Iterable[Fragment]) -> float:
        """The work of some of them."""
        return sum(map(self._one, fragments))

    def _one(self, fragment: Fragment) -> float:
        seconds = 0.0
        for source, part in fragment.ranges:
            if source.format == "parquet":
                size = source.size * (part.rows or 0) / max(self._rows[source.url], 1)
            else:
                size = source.size * UNPACKED if source.compressed else part.end - part.start
            rows = size / ROW_BYTES if part.rows is None else part.rows
            seconds += size / BYTES_PER_SECOND[source.format] + rows * self.row_seconds
        return seconds


def ray_pays(seconds: float, workers: int) -> bool:
    """Whether so many workers finish this much work earlier than one that need not wait for Ray."""
    return workers > 1 and seconds * (1 - 1 / workers) > RAY_SECONDS
