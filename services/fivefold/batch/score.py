"""One fragment: read, check, score, write, a chunk at a time; then its files are put in place and its record is made.

Nothing of it is held but the chunk in work. A row that the model fails on is found by halving and quarantined alone.
Which fragment is whose is left to `run`; what dies in between has left nothing that counts.
"""

from __future__ import annotations

import hashlib
import resource
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from fivefold.batch import formats
from fivefold.batch.formats.piece import Fault, Format, Needs, Piece, Torn
from fivefold.batch.ledger import Ledger, Record, part_name, quarantine_name
from fivefold.batch.output import Layout, Quarantine, sink
from fivefold.batch.places import Scratch, storing
from fivefold.batch.plan import Fragment
from fivefold.core.columns import Columns
from fivefold.core.errors import ContractError, FivefoldError, ModelFailed, RunFailed
from fivefold.core.scorer import Scorer


@dataclass(slots=True)
class Counts:
    """What has become of a fragment's rows."""

    scored: int = 0
    quarantined: int = 0


class FragmentScorer:
    """Scores fragments with one opened model into one place."""

    def __init__(self, scorer: Scorer, ledger: Ledger, scratch: Scratch, needs: Needs, layout: Layout, format: str) -> None:
        self._scorer, self._ledger, self._scratch = scorer, ledger, scratch
        self._needs, self._layout, self._format = needs, layout, format
        self._readers: dict[str, Format] = {}

    def score(
        self, fragment: Fragment, *, attempt: int = 1, most_bad: int | None = None, seen: Callable[[], None] = lambda: None
    ) -> Record:
        """Score a fragment, put its files in place and make its record; gives the record that stands.

        `seen` is called after each chunk, and what it raises ends the work. Raises `RunFailed` `too_many_bad_rows` above
        `most_bad` quarantined rows, `storage_failed` where the output cannot be written.
        """
        started = time.perf_counter()
        part, quarantine = (self._scratch.path / f"{fragment.id}.{kind}" for kind in ("part", "quarantine"))
        torn: frozenset[int] = frozenset()
        try:
            with storing(self._ledger.place.url):
                while True:
                    try:
                        counts, codes = self._write(fragment, part, quarantine, torn, most_bad, seen)
                        break
                    except Torn as err:
                        # Rows before the tear are out already, so the fragment is begun anew without that unit.
                        torn |= {err.unit}
                standing = self._ledger.record(fragment.id)
                if standing is not None:
                    return standing
                refused = quarantine.exists()
                record = Record(
                    fragment.id,
                    counts.scored + counts.quarantined,
                    counts.scored,
                    counts.quarantined,
                    codes,
                    part.stat().st_size,
                    _sha256(part),
                    _sha256(quarantine) if refused else "",
                    attempt,
                    round(time.perf_counter() - started, 3),
                    peak_memory(),
                )
            place = self._ledger.place
            if refused:
                place.put(quarantine, quarantine_name(fragment.id))
            place.put(part, part_name(fragment.id, self._format))
            return record if self._ledger.finish(record) else self._standing(record)
        finally:
            part.unlink(missing_ok=True)
            quarantine.unlink(missing_ok=True)

    def close(self) -> None:
        """Let go of the model and of what is unfinished."""
        self._scorer.close()
        self._scratch.close()

    def _standing(self, ours: Record) -> Record:
        theirs = self._ledger.record(ours.fragment)
        if theirs is None or (theirs.sha256, theirs.quarantine_sha256) != (ours.sha256, ours.quarantine_sha256):
            raise RunFailed("run_conflict", f"fragment {ours.fragment} came out twice, with other bytes")
        return theirs

    def _write(
        self,
        fragment: Fragment,
        part: Path,
        quarantine: Path,
        torn: frozenset[int],
        most_bad: int | None,
        seen: Callable[[], None],
    ) -> tuple[Counts, dict[str, int]]:
        quarantine.unlink(missing_ok=True)
        counts = Counts()
        faults = Quarantine(quarantine, fragment.source.url)
        answers = sink(self._format, part, self._layout)
        reader = self._reader(fragment.source.format)
        empty = True
        try:
            for piece in reader.read(fragment.source, fragment.range, torn):
                answered, piece = self._answer(piece)
                if len(piece.places) or empty:
                    answers.write(piece.places, piece.columns, piece.carried, answered)
                    empty = False
                faults.write(piece.faults)
                counts.scored += len(piece.places)
                counts.quarantined = faults.rows
                if most_bad is not None and faults.rows > most_bad:
                    raise too_many(faults.rows, most_bad)
                seen()
            answers.close()
        except BaseException:
            answers.abandon()
            raise
        finally:
            faults.close()
        return counts, faults.codes

    def _reader(self, format: str) -> Format:
        if format not in self._readers:
            self._readers[format] = formats.of(format, self._needs)
        return self._readers[format]

    def _answer(self, piece: Piece) -> tuple[Columns, Piece]:
        """The answers to a piece's good rows, and the piece without the rows that the model fails on."""
        try:
            return self._scorer.score(piece.columns), piece
        except (ModelFailed, ContractError) as error:
            failed: dict[int, FivefoldError] = {}
            parts = list(self._halves(piece.columns, 0, error, failed))
        good = np.ones(len(piece.places), np.bool_)
        good[list(failed)] = False
        faults = [Fault(int(piece.places[row]), error, _values(piece.columns, row)) for row, error in failed.items()]
        kept = Piece(
            piece.columns.take(good),
            piece.places[good],
            {name: _keep(values, good) for name, values in piece.carried.items()},
            sorted([*piece.faults, *faults], key=lambda fault: fault.row),
        )
        nothing = piece.columns.slice(0, 0)
        return Columns.concat(parts) if parts else self._scorer.score(nothing), kept

    def _halves(self, columns: Columns, first: int, error: FivefoldError, failed: dict[int, FivefoldError]):  # type: ignore[no-untyped-def]  # an iterator of columns
        if columns.rows == 1:
            failed[first] = error
            return
        middle = columns.rows // 2
        for start, stop in ((0, middle), (middle, columns.rows)):
            half = columns.slice(start, stop)
            try:
                yield self._scorer.score(half)
            except (ModelFailed, ContractError) as again:
                yield from self._halves(half, first + start, again, failed)


def too_many(bad: int, most: int | None) -> RunFailed:
    """The error of a run that refuses more rows than it may."""
    limit = f", and at most {most:,} may be" if most is not None else ""
    return RunFailed(
        "too_many_bad_rows",
        f"{bad:,} rows are quarantined{limit}",
        help="look into quarantine/; then allow more with --max-bad-fraction or --max-bad-rows and run the same command "
        "again: what is finished stays",
    )


def peak_memory() -> int:
    """Bytes that this process has had resident at most."""
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak * 1024


def _values(columns: Columns, row: int) -> dict[str, object]:
    return columns.slice(row, row + 1).to_records()[0]


def _keep(values: object, good: np.ndarray) -> object:  # type: ignore[type-arg]  # a mask
    import pyarrow as pa

    if isinstance(values, pa.Array):
        return values.filter(pa.array(good))
    assert isinstance(values, list)
    return [value for value, keep in zip(values, good.tolist(), strict=True) if keep]


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
