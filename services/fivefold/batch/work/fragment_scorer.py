"""One fragment: read, check, score, write, a chunk at a time; then its files are put in place and its record is made.

Nothing of it is held but the chunk in work. A row that the model fails on is quarantined alone.
Which fragment is whose is left to `run`; what dies in between has left nothing that counts.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa

from fivefold.batch import formats
from fivefold.batch.formats.carried_schema import conformed
from fivefold.batch.formats.carried_values import json_values
from fivefold.batch.formats.chunk import BrokenUnit, Chunk, Format, ReadRequest, RefusedRows
from fivefold.batch.output.ledger import Ledger, Record
from fivefold.batch.output.sinks import Layout
from fivefold.batch.plan.planning import Fragment
from fivefold.batch.storage.output_storage import storing
from fivefold.batch.work.fragment_files import FragmentFiles
from fivefold.core.columns import Columns
from fivefold.core.errors import ContractError, FivefoldError, RunFailed, first_line
from fivefold.core.readers.arrow_numpy import from_numpy
from fivefold.core.runtime.rows import score_rows
from fivefold.local.scratch import Scratch

if TYPE_CHECKING:
    # With it comes the model runtime, which a run that is finished does not need.
    from fivefold.core.runtime.scorer import Scorer
    from fivefold.core.view import View


TOO_MANY = "too_many_bad_rows"


class FragmentScorer:
    """Scores fragments with one opened model into one output."""

    def __init__(
        self,
        scorer: Scorer,
        view: View,
        ledger: Ledger,
        scratch: Scratch,
        request: ReadRequest,
        layout: Layout,
        format: str,
    ) -> None:
        self._scorer, self._view, self._ledger, self._scratch = scorer, view, ledger, scratch
        self._request, self._layout, self._format = request, layout, format
        self._readers: dict[str, Format] = {}
        self.refused: dict[str, int] = {}
        """Rows by code of the fragment in which the limit was exceeded."""

    def score(self, fragment: Fragment, *, attempt: int = 1, most_bad: int | None = None) -> Record:
        """Score a fragment, put its files in place and make its record; gives the record that stands.

        Raises `RunFailed` `too_many_bad_rows` above `most_bad` quarantined rows, which are left to be looked into,
        `storage_failed` where the output cannot be written or the input not be read, and `ContractError` for a file
        that no reader can make sense of.
        """
        broken: dict[int, dict[int, str]] = {}
        with storing(self._ledger.storage.url):
            files = FragmentFiles(fragment, self._ledger, self._scratch, self._layout, self._format)
            try:
                while True:
                    try:
                        self._write(fragment, files, broken, most_bad)
                        return files.finish(attempt)
                    except BrokenUnit as err:
                        # Rows before the break are out already, so the fragment is begun anew without that unit.
                        broken.setdefault(files.at, {})[err.unit] = err.reason
                        files.restart()
            except RunFailed as err:
                if err.code == TOO_MANY:
                    self.refused = files.codes
                    files.leave_quarantine()
                raise
            finally:
                files.abandon()

    def close(self) -> None:
        """Let go of the model and of what is unfinished."""
        self._scorer.close()
        self._scratch.close()

    def _write(
        self, fragment: Fragment, files: FragmentFiles, broken: Mapping[int, Mapping[int, str]], most_bad: int | None
    ) -> None:
        for at, (source, part) in enumerate(fragment.ranges):
            files.turn_to(at)
            reader = self._readers.get(source.format)
            if reader is None:
                reader = self._readers[source.format] = formats.of(source.format, self._request)
            for chunk in chunks_of(fragment, source.url, reader.read(source, part, broken.get(at, {}))):
                files.write(*answered(self._scorer, self._view, conformed(chunk, fragment.carried, source.url)))
                if most_bad is not None and files.bad > most_bad:
                    raise too_many(files.bad, most_bad)


def chunks_of(fragment: Fragment, url: str, chunks: Iterator[Chunk]) -> Iterator[Chunk]:
    """The chunks of one of a fragment's files. Whatever a reader fails on lies in that file, which is named."""
    while True:
        try:
            chunk = next(chunks, None)
        except (FivefoldError, BrokenUnit):
            raise
        except MemoryError as err:
            help = "a smaller FIVEFOLD_CHUNK_ROWS or fewer --workers; what is finished stays"
            raise RunFailed("worker_lost", f"{fragment.name} needs more memory than there is", help=help) from err
        except OSError as err:
            raise RunFailed("storage_failed", f"cannot read: {err.strerror or first_line(err)}", path=url) from err
        except Exception as err:
            help = "what is finished stays; leave the file out, or write it anew"
            raise ContractError("malformed", f"cannot be read: {first_line(err)}", path=url, help=help) from err
        if chunk is None:
            return
        yield chunk


def answered(scorer: Scorer, view: View, chunk: Chunk) -> tuple[Chunk, Columns]:
    """The chunk without the rows that the model fails on, which are refused now, and the answers to the others."""
    answers, failed = score_rows(scorer, chunk.columns, view)
    if not failed:
        return chunk, answers
    good = np.ones(len(chunk.numbers), np.bool_)
    good[list(failed)] = False
    refusals = [_refusal(chunk, row, error) for row, error in failed.items()]
    kept = Chunk(
        chunk.columns.take(good),
        chunk.numbers[good],
        {name: _keep(values, good) for name, values in chunk.carried.items()},
        sorted([*chunk.refusals, *refusals], key=lambda refusal: refusal.row),
    )
    return kept, answers


def _refusal(chunk: Chunk, row: int, error: FivefoldError) -> RefusedRows:
    """A row that the model fails on, with its fields and what it carries."""
    values = _values(chunk.columns, row)
    carried = {name: json_values(column[row : row + 1])[0] for name, column in chunk.carried.items()}
    return RefusedRows(int(chunk.numbers[row]), error, values, cells={**carried, **values})


def too_many(bad: int, most: int | None, *, at_least: bool = False, where: str = "") -> RunFailed:
    """The error of a run that refuses more rows than it may; `at_least` where it stopped before it has seen all, and
    `where` its quarantine lies."""
    limit = f", and at most {most:,} may be" if most is not None else ""
    return RunFailed(
        TOO_MANY,
        f"{'at least ' if at_least else ''}{bad:,} rows are quarantined{limit}",
        path=where,
        help="look into quarantine/; then allow more (--max-bad-fraction, --max-bad-rows) and run it again: what is "
        "finished stays",
    )


def _values(columns: Columns, row: int) -> dict[str, Any]:
    return columns.slice(row, row + 1).to_records()[0]


def _keep(values: Any, good: Any) -> Any:
    """The carried values of the rows that a mask selects."""
    if isinstance(values, pa.Array):
        return values.filter(from_numpy(good, pa.bool_()))
    return [value for value, keep in zip(values, good.tolist(), strict=True) if keep]
