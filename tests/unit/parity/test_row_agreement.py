"""What is the same, and what is not: by a bit, by a code, by a path, by a class."""

from __future__ import annotations

import numpy as np
import pytest
from tests.support.bundles import contract as contract_of
from tests.support.bundles import field

from fivefold.core.columns import Columns
from fivefold.parity.question_rows import Question
from fivefold.parity.row_agreement import RowComparison, RuntimeAgreement
from fivefold.parity.row_answers import RowAnswer, RowRefused, RowUnreadable

CONTRACT = contract_of(
    [field("a")],
    [field("score", "float64"), field("p", shape=[2], labels=["no", "yes"]), field("rank", "int64")],
)
BIT = float(np.nextafter(0.5, 1))


def answer(score: float = 0.5, p: tuple[float, float] = (0.25, 0.75), rank: int = 3) -> Columns:
    """One row of outputs."""
    arrays = {
        "score": np.array([score]),
        "p": np.array([p], np.float32),
        "rank": np.array([rank], np.int64),
    }
    return Columns(CONTRACT.outputs, arrays, 1)


def compared(wanted: RowAnswer, given: RowAnswer, limit: float = 0.0) -> RuntimeAgreement:
    """What a comparison of one row finds."""
    out = RuntimeAgreement("it")
    RowComparison(CONTRACT.outputs, limit).compare(out, [Question(7, "valid", "{}")], [wanted], [given])
    return out


def test_equal_answers_agree() -> None:
    """In every count."""
    found = compared(answer(), answer())

    assert (found.status, found.differing, found.largest) == ("agrees", 0, 0.0)
    assert (found.classed, found.same_class) == (1, 1)


def test_a_bit_is_found_where_bits_are_asked_for() -> None:
    """And shown in full, with its row and its place."""
    found = compared(answer(), answer(score=BIT))

    assert found.status == "differs"
    assert found.largest == BIT - 0.5
    assert found.examples == [f"row 7 (valid): outputs.score: expected 0.5, got {BIT!r}"]


def test_a_bit_within_the_tolerance_is_only_counted() -> None:
    """As the largest difference."""
    found = compared(answer(), answer(score=BIT), limit=1e-5)

    assert (found.status, found.largest) == ("agrees", BIT - 0.5)


@pytest.mark.parametrize("given", [answer(score=float("nan")), answer(rank=4), answer(p=(0.75, 0.25))])
def test_other_answers_differ_whatever_the_tolerance(given: Columns) -> None:
    """NaN for a number, another integer, another class."""
    assert compared(answer(), given, limit=0.1).status == "differs"


def test_another_class_is_counted_apart() -> None:
    """Though both numbers are within the tolerance."""
    found = compared(answer(p=(0.4999999, 0.5000001)), answer(p=(0.5000001, 0.4999999)), limit=1e-5)

    assert (found.classed, found.same_class, found.differing) == (1, 0, 0)


WRONG_TYPE = RowRefused((("wrong_type", "inputs.a[0]"),))


@pytest.mark.parametrize(
    "given",
    [
        answer(),
        RowUnreadable("nothing came"),
        RowRefused((("out_of_range", "inputs.a[0]"),)),
        RowRefused((("wrong_type", "inputs.a"),)),
        RowRefused((("wrong_type", "inputs.a[0]"), ("missing_field", "inputs.b"))),
    ],
)
def test_a_refusal_is_the_same_in_code_and_path_alone(given: RowAnswer) -> None:
    """All of them, in their order."""
    assert compared(WRONG_TYPE, WRONG_TYPE).same_refusal == 1
    found = compared(WRONG_TYPE, given)

    assert (found.status, found.refused, found.same_refusal) == ("differs", 1, 0)


@pytest.mark.parametrize("given", [WRONG_TYPE, RowUnreadable("nothing came")])
def test_no_answer_to_a_good_row_differs(given: RowAnswer) -> None:
    """Whatever comes instead."""
    assert compared(answer(), given).status == "differs"


def test_lost_answers_fail() -> None:
    """No row is passed over in silence."""
    out = RuntimeAgreement("it")
    RowComparison(CONTRACT.outputs, 0.0).compare(out, [Question(0, "valid", "{}")], [answer()], [])

    assert (out.status, out.reason) == ("failed", "0 answers to 1 rows")


def test_a_large_answer_is_measured_by_its_size() -> None:
    """The limit is relative above 1, and so is what is held against it."""
    found = compared(answer(score=1e6), answer(score=1e6 + 0.5), limit=1e-5)

    assert (found.status, found.largest, found.largest_scaled) == ("agrees", 0.5, 5e-7)
    assert found.to_json()["largest_scaled_difference"] == 5e-7
    assert compared(answer(), answer(score=float("nan"))).to_json()["largest_scaled_difference"] is None
