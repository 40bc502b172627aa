"""A bundle, opened on this machine, under one version of its contract."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from fivefold.core.errors import ContractError
from fivefold.core.readers.columnar import spelled_by_column
from fivefold.core.runtime.rows import score_under
from fivefold.core.runtime.scorer import Scorer
from fivefold.prediction.question import JsonQuestion, question_of
from fivefold.serving.contract_version import other_version
from fivefold.serving.example_rows import example_rows

if TYPE_CHECKING:
    from fivefold.core.bundle.bundle import Bundle
    from fivefold.core.columns import Columns
    from fivefold.core.view import View


@dataclass(frozen=True, slots=True)
class JsonAnswer:
    """The answer to a question: `body` is REST's, with the metadata; `rows` are its records, None for columns."""

    body: dict[str, Any]
    rows: list[dict[str, Any]] | None


def view_of(bundle: Bundle, contract: str | None) -> View:
    """The contract version that is asked under; raises `ProtocolError` `contract_unsupported`."""
    return bundle.views.find(contract) if contract else bundle.views.default


def example(bundle: Bundle, view: View) -> dict[str, Any] | None:
    """A record that the bundle is known to answer, None where its contract version has none."""
    records = example_rows(bundle, view, 1)[0].to_records()
    return records[0] if records else None


class Predictor:
    """Answers questions. A context manager: it lets go of the model at its end."""

    def __init__(self, bundle: Bundle, contract: str | None = None) -> None:
        """Opens the model and proves its golden rows; raises `BundleInvalid`, and what `view_of` raises."""
        self.bundle = bundle
        self.view = view_of(bundle, contract)
        self.scorer = Scorer.open(bundle)

    def __enter__(self) -> Predictor:
        return self

    def __exit__(self, *_: object) -> None:
        self.scorer.close()

    @property
    def metadata(self) -> dict[str, str]:
        """What every answer says of where it comes from, as REST's does."""
        bundle = self.bundle
        return {
            "model": bundle.name,
            "version": bundle.version,
            "bundle": bundle.digest,
            "contract": self.view.name,
        }

    def question(self, text: bytes) -> JsonQuestion:
        """The question in a JSON text; raises `ContractError`."""
        return question_of(text, self.view.inputs)

    def predict(self, question: JsonQuestion) -> JsonAnswer:
        """The answer as REST gives it: one bad row refuses the whole. Raises `ContractError` with REST's code and path,
        and what `Scorer.score` raises."""
        by_column = False

        def columnar() -> None:
            nonlocal by_column
            by_column = True

        try:
            columns = self.view.records.read_json(question.body, columnar=columnar).accept()
        except ContractError as error:
            raise other_version(error, self.bundle.views) from None
        return self._told(score_under(self.scorer, self.view, columns), by_column)

    def _told(self, columns: Columns, by_column: bool) -> JsonAnswer:
        if by_column:
            return JsonAnswer({"outputs": spelled_by_column(columns), "metadata": self.metadata}, None)
        rows = columns.to_records()
        return JsonAnswer({"predictions": rows, "metadata": self.metadata}, rows)
