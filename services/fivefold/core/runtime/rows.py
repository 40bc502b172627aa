"""Rows scored together, of which the model may fail on some: those are found by halving, and all others are answered.

Where rows come from, and what becomes of those that fail, is left to the caller.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial
from typing import TYPE_CHECKING

from fivefold.core.columns import Columns
from fivefold.core.errors import ContractError, FivefoldError, ModelFailed

if TYPE_CHECKING:
    # With it comes the model runtime, which a caller that has nothing to score does not need.
    from fivefold.core.runtime.scorer import Scorer
    from fivefold.core.view import View


def score_rows(scorer: Scorer, columns: Columns, view: View | None = None) -> tuple[Columns, dict[int, FivefoldError]]:
    """Score rows; gives the answers, and the rows that fail alone with their errors.

    `columns` are those of the view's inputs, the answers those of its outputs (without one: of the model's own
    contract): row for row, in order, without the rows that failed. These are counted from 0 in `columns`, in rising
    order; each error (`ModelFailed`, or `ContractError` `out_of_range` for a number that the model cannot hold) is that
    of the row scored alone. Without a failure the model is called once, with `f` failures among `n` rows at most about
    `2 f log2(n)` times. Whatever else `Scorer.score` raises is raised.
    """
    score = scorer.score if view is None else partial(score_under, scorer, view)
    try:
        return score(columns), {}
    except (ModelFailed, ContractError) as error:
        failed: dict[int, FivefoldError] = {}
        parts = list(_halves(score, columns, 0, error, failed))
    return Columns.concat(parts) if parts else score(columns.slice(0, 0)), failed


def score_under(scorer: Scorer, view: View, columns: Columns) -> Columns:
    """The answers as a caller of that contract version gets them; raises what `Scorer.score` raises."""
    answers = scorer.score(columns if view.into is None else view.into(columns))
    return answers if view.back is None else view.back(answers)


def _halves(
    score: Callable[[Columns], Columns],
    columns: Columns,
    first: int,
    error: FivefoldError,
    failed: dict[int, FivefoldError],
) -> Iterator[Columns]:
    """The answers to rows that have failed together with `error`; those that fail alone go into `failed`."""
    if columns.rows == 1:
        failed[first] = error
        return
    middle = columns.rows // 2
    for start, stop in ((0, middle), (middle, columns.rows)):
        half = columns.slice(start, stop)
        try:
            yield score(half)
        except (ModelFailed, ContractError) as again:
            yield from _halves(score, half, first + start, again, failed)
