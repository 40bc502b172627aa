"""What every runtime is held against: the core's readers and scorer, in this process, all rows together.

The core itself is held against the golden answers that travel in the bundle, and against itself a row at a time.
"""

from __future__ import annotations

from collections.abc import Sequence

from fivefold.core.columns import Columns
from fivefold.core.errors import ContractError
from fivefold.core.runtime.rows import score_rows
from fivefold.core.runtime.scorer import Scorer
from fivefold.core.view import View
from fivefold.parity.question_rows import Question
from fivefold.parity.row_answers import RowAnswer, RowRefused


def read(view: View, question: Question) -> Columns | RowRefused:
    """The row as a V1 request with it alone is read."""
    try:
        return view.records.read_json(b'{"instances":[' + question.text.encode() + b"]}").accept()
    except ContractError as error:
        return RowRefused.of(error)


def expected(scorer: Scorer, view: View, asked: Sequence[Question]) -> list[RowAnswer]:
    """The core's answer to each row."""
    found: list[RowAnswer] = [read(view, question) for question in asked]
    good = [at for at, each in enumerate(found) if isinstance(each, Columns)]
    if not good:
        return found
    together = Columns.concat([each for each in found if isinstance(each, Columns)])
    answers, failed = score_rows(scorer, together, view)
    answered = (at for row, at in enumerate(good) if row not in failed)
    for row, at in enumerate(answered):
        found[at] = answers.slice(row, row + 1)
    for row, error in failed.items():
        found[good[row]] = RowRefused.of(error)
    return found


def golden(scorer: Scorer, found: Sequence[RowAnswer]) -> list[RowAnswer]:
    """The same with the bundle's own golden answers, which are the first rows asked."""
    _, answers = scorer.bundle.golden()
    return [*(answers.slice(row, row + 1) for row in range(answers.rows)), *found[answers.rows :]]
