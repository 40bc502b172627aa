"""A fragment's files while they are written, and how they come to count: put in their place, then recorded, once.

Unfinished files stand in a run's scratch directory and are nobody's. What is written into them is left to `score`.
"""

from __future__ import annotations

import contextlib
import hashlib
import resource
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pyarrow as pa

from fivefold.batch.formats.chunk import Chunk
from fivefold.batch.output.ledger import FileCounts, Ledger, Record, part_name, quarantine_name
from fivefold.batch.output.sinks import Layout, Quarantine, Sink, sink
from fivefold.batch.plan.planning import Fragment
from fivefold.core.columns import Columns
from fivefold.core.errors import ContractError, RunFailed, first_line
from fivefold.local.scratch import Scratch


class FragmentFiles:
    """The answers and the quarantine of one fragment."""

    def __init__(self, fragment: Fragment, ledger: Ledger, scratch: Scratch, layout: Layout, format: str) -> None:
        self._fragment, self._ledger, self._layout, self._format = fragment, ledger, layout, format
        self._part, self._quarantine_path = (scratch.path / f"{fragment.id}.{kind}" for kind in ("part", "quarantine"))
        self._started = time.perf_counter()
        self._begin()

    def _begin(self) -> None:
        self._quarantine_path.unlink(missing_ok=True)
        self.scored = 0
        self._answers: Sink = sink(self._format, self._part, self._layout)
        self._quarantine = Quarantine(self._quarantine_path, self._fragment.source, self._layout)
        self._blank: tuple[Chunk, Columns] | None = None
        self._written = False
        self.at = 0
        """Which of the fragment's files is written about."""
        self._counts = [FileCounts() for _ in self._fragment.ranges]

    @property
    def quarantined(self) -> int:
        """Rows that were refused so far."""
        return self._quarantine.rows

    @property
    def bad(self) -> int:
        """Of these, the rows that are bad themselves, and not lost where a file is broken."""
        return self._quarantine.rows - sum(each.rows for each in self._quarantine.broken)

    @property
    def codes(self) -> dict[str, int]:
        """The refused rows by code."""
        return dict(self._quarantine.codes)

    def write(self, chunk: Chunk, answers: Columns) -> None:
        """Add a chunk and the answers to its good rows.

        Raises `ContractError` `wrong_type` for a carried column that the output's format cannot hold.
        """
        if len(chunk.numbers):
            self._add(chunk, answers)
        elif self._blank is None:
            self._blank = chunk, answers
        before = self._quarantine.rows
        self._quarantine.write(chunk.refusals)
        self.scored += len(chunk.numbers)
        counts = self._counts[self.at]
        counts.scored += len(chunk.numbers)
        counts.quarantined += self._quarantine.rows - before

    def turn_to(self, at: int) -> None:
        """What comes is of that one of the fragment's files."""
        self.at = at
        self._quarantine.source = self._fragment.ranges[at][0]

    def _add(self, chunk: Chunk, answers: Columns) -> None:
        self._written = True
        with self._holding():
            self._answers.write(chunk.numbers, chunk.columns, chunk.carried, answers)

    @contextlib.contextmanager
    def _holding(self) -> Iterator[None]:
        try:
            yield
        except (OSError, MemoryError):
            raise
        except (pa.ArrowException, ValueError, TypeError, OverflowError) as err:
            foreign = self._layout.foreign
            if not foreign:
                raise
            raise ContractError(
                "wrong_type",
                f"{', '.join(foreign)}: {self._format} cannot hold what is carried: {first_line(err)}",
                path=self._quarantine.source.url,
                help="leave the column out of --columns, or choose another --format",
            ) from err

    def restart(self) -> None:
        """Forget everything."""
        self._answers.abandon()
        self._quarantine.close()
        self._begin()

    def finish(self, attempt: int) -> Record:
        """Put the files in place, make the record, and give the one that stands.

        Raises `RunFailed` `run_conflict` where somebody else's bytes differ.
        """
        if not self._written and self._blank is not None:
            # A file without rows still has its columns.
            self._add(*self._blank)
        with self._holding():
            self._answers.close()
        self._quarantine.close()
        planned, rows = self._fragment.rows, self.scored + self.quarantined
        if planned is not None and rows != planned:
            raise ContractError(
                "malformed",
                f"expected {planned:,} rows in {self._fragment.name}, got {rows:,}",
                path=self._fragment.source.url,
                help="the file is not what it says, or not the one that the run was planned for",
            )
        standing = self._ledger.record(self._fragment)
        if standing is not None:
            return standing
        record = Record(
            self._fragment.id,
            self.scored + self.quarantined,
            self.scored,
            self.quarantined,
            self._quarantine.codes,
            self._part.stat().st_size,
            _sha256(self._part),
            _sha256(self._quarantine_path) if self._quarantine.any else "",
            attempt,
            round(time.perf_counter() - self._started, 3),
            peak_memory(),
            tuple(self._quarantine.broken),
            tuple(self._counts) if self._fragment.more else (),
        )
        storage = self._ledger.storage
        if self._quarantine.any:
            storage.put(self._quarantine_path, quarantine_name(record.fragment))
        storage.put(self._part, part_name(record.fragment, self._format))
        if self._ledger.finish(record):
            return record
        theirs = self._ledger.record(self._fragment)
        if theirs is None or (theirs.sha256, theirs.quarantine_sha256) != (record.sha256, record.quarantine_sha256):
            raise RunFailed("run_conflict", f"{self._fragment.name} came out twice, with other bytes")
        return theirs

    def leave_quarantine(self) -> None:
        """Put the quarantine as far as it goes in its place, for whoever asks why the run has stopped."""
        self._quarantine.close()
        if self._quarantine.any and self._ledger.record(self._fragment) is None:
            self._ledger.storage.put(self._quarantine_path, quarantine_name(self._fragment.id))

    def abandon(self) -> None:
        """Let go of the files and remove what is not in its place."""
        self._answers.abandon()
        self._quarantine.close()
        for path in (self._part, self._quarantine_path):
            path.unlink(missing_ok=True)


def peak_memory() -> int:
    """Bytes that this process has had resident at most."""
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak * 1024


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
