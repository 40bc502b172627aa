"""The rows of one file, read as `fivefold score` reads them, each answered or refused by itself."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from fivefold.batch import formats
from fivefold.batch.formats.carried_schema import conformed
from fivefold.batch.formats.carried_values import json_values
from fivefold.batch.formats.chunk import BrokenUnit, RefusedRows
from fivefold.batch.output.sinks import ROW, Layout
from fivefold.batch.plan import planning
from fivefold.batch.plan.contract_choice import refuse_other_versions
from fivefold.batch.plan.settings import BatchSettings
from fivefold.batch.storage import sources
from fivefold.batch.work.fragment_scorer import answered, chunks_of
from fivefold.core.errors import ContractError
from fivefold.prediction.predictor import Predictor


@dataclass(frozen=True, slots=True)
class AnsweredRows:
    """Some rows of a file: `_row`, carried columns and answers of the good ones, and what became of the others."""

    records: Sequence[dict[str, Any]]
    refused: Sequence[RefusedRows]


class FileRows:
    """A file under a contract: Parquet, CSV or JSON lines, text also compressed."""

    def __init__(self, predictor: Predictor, path: str, settings: BatchSettings) -> None:
        """Checks the file's layout before a row is read. Raises what `sources.find` and `planning.make` raise, and
        `ProtocolError` for columns of another contract version."""
        self._predictor = predictor
        view, bundle = predictor.view, predictor.bundle
        found = sources.find([path], allow_http=settings.store_http)
        if len(found) > 1:
            message = f"expected one file, got {len(found)}"
            raise ContractError("malformed", message, path=path, help="fivefold score takes directories and patterns")
        self._request = planning.read_request(view, settings)
        self._layout = Layout.of(view, bundle.name, settings.columns)
        self._plan = planning.make(found, planning.facts(bundle, settings), self._request)
        refuse_other_versions(bundle, settings, self._plan.ignored)

    @property
    def ignored(self) -> tuple[str, ...]:
        """Columns of the file that nobody asked for."""
        return self._plan.ignored

    def __iter__(self) -> Iterator[AnsweredRows]:
        """The rows in their order, a chunk at a time. Raises `ContractError` where the file breaks off within."""
        predictor, layout = self._predictor, self._layout
        for fragment in self._plan.fragments:
            for source, part in fragment.ranges:
                reader = formats.of(source.format, self._request)
                try:
                    for read in chunks_of(fragment, source.url, reader.read(source, part)):
                        chunk, answers = answered(
                            predictor.scorer, predictor.view, conformed(read, fragment.carried, source.url)
                        )
                        columns = {
                            ROW: chunk.numbers.tolist(),
                            **{field.name: chunk.columns.to_list(field) for field in layout.kept},
                            **{name: json_values(chunk.carried[name]) for name in layout.foreign},
                            **answers.to_lists(),
                        }
                        rows = [dict(zip(columns, row, strict=True)) for row in zip(*columns.values(), strict=True)]
                        yield AnsweredRows(rows, chunk.refusals)
                except BrokenUnit as err:
                    help = "fivefold score --allow-torn accounts for every row of such a file"
                    raise ContractError("malformed", err.reason, path=source.url, help=help) from err
