"""Cells of CSV are typed by what their writers mean, and each decision is said."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fivefold.core.fields.field import Field
from fivefold.core.readers.text import Text
from fivefold.exports.sample_cells import MISSING, respelled, typed


def of(*cells: str | None) -> tuple[list[object], str, str]:
    """The values, their Arrow type and the notes, as one text."""
    values, notes = typed(pa.array(cells, pa.string()), "x")
    return values.to_pylist(), str(values.type), "; ".join(notes)


def test_what_is_spelt_as_json_is_typed_without_a_word() -> None:
    """Integers, floats, booleans, text and nothing."""
    assert of("1", "-2", None) == ([1, -2, None], "int64", "")
    assert of("18446744073709551615", "0") == ([2**64 - 1, 0], "uint64", "")
    assert of("1.5", "2", "1e3") == ([1.5, 2.0, 1000.0], "double", "")
    assert of("true", "false", None) == ([True, False, None], "bool", "")
    assert of("a", "b", "") == (["a", "b", ""], "string", "")
    assert of(None, None) == ([None, None], "null", "")


@pytest.mark.parametrize(
    "word", ["NA", "N/A", "nan", "NaN", "null", "NULL", "None", "-", "?", "#N/A", "<NA>", " NA ", ""]
)
def test_words_for_missing_are_null_among_numbers(word: str) -> None:
    """A column of numbers stays one; the word, its count and its first row are said."""
    values, kind, note = of("1", word, "3", word)

    assert (values, kind) == ([1, None, 3, None], "int64")
    assert f"{word!r} is taken for null (2 cells, the first in row 2)" in note
    assert "leave those cells empty" in note


def test_words_alone_are_text() -> None:
    """A column without a number says nothing of numbers."""
    assert of("NA", "NA")[:2] == (["NA", "NA"], "string")
    values, kind, note = of("red", "NA", "blue")
    assert (values, kind) == (["red", "NA", "blue"], "string")
    assert "'NA' in row 2 is text here (1 cell) and missing for pandas" in note


def test_booleans_of_other_writers() -> None:
    """pandas writes True and False, with an empty cell or a word for missing."""
    values, kind, note = of("True", "False", None, "NA")

    assert (values, kind) == ([True, False, None, None], "bool")
    assert "'True' in row 1 is taken for a boolean" in note
    assert "'NA' is taken for null (1 cell, the first in row 4)" in note
    assert of("yes", "no") == (["yes", "no"], "string", "")


def test_numbers_spelt_otherwise() -> None:
    """A bare point, a plus sign and blanks are numbers to everybody else."""
    values, kind, note = of("1", ".5", "5.", "+7", " 8 ")

    assert (values, kind) == ([1.0, 0.5, 5.0, 7.0, 8.0], "double")
    assert "'.5' in row 2 is taken for a number" in note
    assert of("1", "+7")[:2] == ([1, 7], "int64")


@pytest.mark.parametrize(
    ("cells", "note"),
    [
        (["1", "2", "many"], "text, because 'many' in row 3 is no number (1 of 3 cells)"),
        (["1", "2", "NA", "many"], "text, because 'many' in row 4 is no number"),
        (["007", "123", "008"], "'007' in row 1 is no number (2 of 3 cells): leading zeros"),
        (["1,234", "2,000", "3"], "'1,234' in row 1 is no number (2 of 3 cells): a decimal comma or a separator"),
        (["1,5", "2,75"], "a decimal comma"),
        (["1.234.567", "1'000"], "a separator of thousands"),
        (["1.5", "inf", "-Infinity"], "'inf' in row 2 is no number (2 of 3 cells): CSV has no spelling for infinity"),
        (["$1.50", "$2"], "a unit or a currency"),
        (["50%", "7%"], "a unit or a currency"),
        (["2024-01-02", "2024-01-03"], "'2024-01-02' in row 1 looks like a time"),
        (["2024-01-02T10:00:00Z", "2024-01-03 11:00"], "looks like a time"),
        (["1/2/2024", "10:30"], "looks like a time"),
        (["1", "99999999999999999999"], "'99999999999999999999' in row 2 is beyond 64 bits"),
        (["1.5", "1e400"], "text, because '1e400' in row 2 is beyond 64 bits"),
        (["2024-01-02", "NA"], "'2024-01-02' in row 1 looks like a time"),
    ],
)
def test_text_that_looks_like_more(cells: list[str], note: str) -> None:
    """It stays as it is written, and the cell that made it text is named."""
    values, kind, said = of(*cells)

    assert (values, kind) == (cells, "string")
    assert note in said


def test_plain_text_is_no_matter() -> None:
    """A number among words is no number column."""
    assert of("red", "blue", "3") == (["red", "blue", "3"], "string", "")


NUMBERS = st.integers(-(2**63), 2**63 - 1) | st.floats(allow_nan=False, allow_infinity=False)


@given(st.lists(st.one_of(NUMBERS.map(repr), st.sampled_from(sorted(MISSING)), st.none()), min_size=1))
def test_numbers_survive_words(cells: Sequence[str | None]) -> None:
    """Every number keeps its value, every word is null, and the contract's reader agrees on the cells respelled."""
    values, _ = typed(pa.array(cells, pa.string()), "x")
    known = [cell for cell in cells if cell is not None and cell not in MISSING]
    if not known:
        assert values.to_pylist() == list(cells)
        return

    whole = all("." not in cell and "e" not in cell for cell in known)
    want = [None if cell is None or cell in MISSING else int(cell) if whole else float(cell) for cell in cells]
    assert values.to_pylist() == want

    field = Field("x", "int64", nullable=True, null_value=0) if whole else Field("x", "float64", nullable=True)
    reading = Text([field]).read(["x"], [[cell] for cell in respelled(field, cells)])
    assert not reading.violations
    fill = 0 if whole else math.nan
    np.testing.assert_array_equal(reading.columns["x"], [fill if value is None else value for value in want])


def test_cells_are_respelled_for_their_field() -> None:
    """Only what the contract's CSV cannot read changes, and a word stays where null is not allowed."""
    number = Field("x", "float64", nullable=True)
    truth = Field("x", "bool", nullable=True, null_value=False)

    assert respelled(number, ["1", ".5", "-.5", "5.", "5.e3", "+7", " 8 ", "NA", "007", "x", None]) == [
        *["1", "0.5", "-0.5", "5", "5e3", "7", "8", None, "007", "x", None]
    ]
    assert respelled(Field("x", "int64"), ["NA", "?"]) == ["NA", "?"]
    assert respelled(truth, ["True", "FALSE", "true", "NA", "1", None]) == ["true", "false", "true", None, "1", None]
    assert respelled(Field("x", "string", nullable=True, null_value=""), ["NA", "True"]) == ["NA", "True"]
