"""Rows are scored together; those that fail alone are told apart, and cost no other row its answer."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.support.bundles import SUM_CONTRACT, write_python, write_sum

from fivefold.core.columns import Columns
from fivefold.core.errors import ContractError, InternalError, ModelFailed
from fivefold.core.runtime.python_runner import PythonRunner
from fivefold.core.runtime.rows import score_rows
from fivefold.core.runtime.scorer import Scorer


def columns(values):
    """Columns of `a`, with `b` 0.5."""
    a = np.array(list(values), np.float32)
    return Columns(SUM_CONTRACT.inputs, {"a": a, "b": np.full(len(a), 0.5, np.float32)}, len(a))


class Picky:
    """In place of a scorer: it answers with `a` twice, and fails on every call that has one of some rows."""

    def __init__(self, *bad, error=None):
        self.bad, self.calls = set(bad), 0
        self.error = error or (lambda value: ModelFailed("model_failed", f"fails on {value:g}"))

    def score(self, given: Columns) -> Columns:
        self.calls += 1
        found = [value for value in given["a"].tolist() if value in self.bad]
        if found:
            raise self.error(found[0])
        total = given["a"] * 2
        arrays = {"total": total.astype(np.float32), "label": (total > 0).astype(np.int64)}
        return Columns(SUM_CONTRACT.outputs, arrays, given.rows)


def test_rows_that_do_not_fail_are_one_call():
    """The answers are the scorer's own."""
    scorer = Picky()

    answers, failed = score_rows(scorer, columns(range(100)))

    assert (answers["total"].tolist(), failed) == ([2.0 * row for row in range(100)], {})
    assert scorer.calls == 1


@given(st.integers(1, 70), st.sets(st.integers(0, 69)))
def test_exactly_the_rows_that_fail_alone_are_left_out(rows, bad):
    """Wherever they stand; each has its own error, and all others their answers in order."""
    bad = {row for row in bad if row < rows}

    answers, failed = score_rows(Picky(*bad), columns(range(rows)))

    assert list(failed) == sorted(bad)
    assert [error.message for error in failed.values()] == [f"fails on {row}" for row in sorted(bad)]
    assert answers["total"].tolist() == [2.0 * row for row in range(rows) if row not in bad]
    assert answers.rows == rows - len(bad)


def test_one_row_costs_two_calls_for_each_halving():
    """So a chunk with one bad row is not scored row by row."""
    scorer = Picky(777)

    _, failed = score_rows(scorer, columns(range(1024)))

    assert list(failed) == [777]
    assert scorer.calls == 1 + 2 * 10


def test_a_number_that_the_model_cannot_hold_is_the_row_s_own_fault():
    """As a request with that row would be refused."""
    error = ContractError("out_of_range", "too large", path="inputs.a[0]")

    answers, failed = score_rows(Picky(1.0, error=lambda _: error), columns(range(3)))

    assert failed == {1: error}
    assert answers["total"].tolist() == [0.0, 4.0]


def test_what_is_no_row_s_fault_is_raised():
    """A defect, a lack of memory and a signal concern all rows."""
    for error in (InternalError("internal", "a defect"), MemoryError(), SystemExit(1), KeyboardInterrupt()):
        scorer = Picky(1.0, error=lambda _, error=error: error)
        with pytest.raises(type(error)):
            score_rows(scorer, columns(range(8)))
        assert scorer.calls == 1


def test_no_row_is_left(tmp_path):
    """Answers without rows have the contract's fields and types; no rows do not call the model."""
    source = b"""
class Sum:
    def predict(self, columns):
        raise SystemExit(3)
"""
    # A model is proven at its opening, where this one would fail.
    with Scorer.open(write_sum(tmp_path / "sum")) as proven:
        model = write_python(tmp_path / "python", source)
        scorer = Scorer(model, PythonRunner(model))
        for rows in (0, 5):
            answers, failed = score_rows(scorer, columns(range(rows)))

            assert answers.rows == 0
            assert answers["total"].dtype == proven.score(columns([1]))["total"].dtype
            assert [error.code for error in failed.values()] == ["model_failed"] * rows
        scorer.close()
