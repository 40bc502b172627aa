"""The core itself, a row at a time: what the readers and the scorer answer without a wire."""

from __future__ import annotations

from collections.abc import Sequence

from fivefold.core.columns import Columns
from fivefold.core.errors import FivefoldError
from fivefold.core.runtime.scorer import Scorer
from fivefold.parity.expected_answers import read
from fivefold.parity.question_rows import Question
from fivefold.parity.row_answers import RowAnswer, RowRefused
from fivefold.parity.runtimes.asked_runtime import Runtime


class CoreRuntime(Runtime):
    """One scorer in this process."""

    def ask(self, asked: Sequence[Question]) -> list[RowAnswer]:
        with Scorer.open(self.bundle) as scorer:
            return [self._answer(scorer, question) for question in asked]

    def _answer(self, scorer: Scorer, question: Question) -> RowAnswer:
        columns = read(self.view, question)
        if not isinstance(columns, Columns):
            return columns
        try:
            return scorer.score(columns)
        except FivefoldError as error:
            return RowRefused.of(error)
