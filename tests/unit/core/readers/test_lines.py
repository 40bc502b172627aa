"""Records one a line: the typed decoder accepts, the exact reader tells what is wrong with one line alone."""

from __future__ import annotations

import functools
import json
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from tests.support.bundles import contract, field

from fivefold.core.fields.field import Field
from fivefold.core.readers.lines import Lines, ReadLines

FIELDS = contract([field("a", maximum=10), field("b", "string", default="x")], [field("y")]).inputs
BYTES = contract([field("a", "bytes")], [field("y")]).inputs


def read(lines: list[str], fields: tuple[Field, ...] = FIELDS, carried: tuple[str, ...] = ()) -> ReadLines:
    """Read them as they would stand in a file."""
    text = "".join(f"{line}\n" for line in lines).encode()
    places, at = [], 0
    for line in lines:
        places.append((at, at + len(line.encode()) + 1))
        at = places[-1][1]
    return Lines(fields, carried).read(text, places)


def test_good_lines_are_columns() -> None:
    """With defaults."""
    found = read(['{"a": 1}', '{"b": "y", "a": 2.5}'])

    assert found.columns.to_records() == [{"a": 1.0, "b": "x"}, {"a": 2.5, "b": "y"}]
    assert found.rows.tolist() == [0, 1]
    assert found.refused == []


def test_bad_lines_cost_only_themselves() -> None:
    """Whether they break JSON or the contract; what only the exact reader accepts keeps its place."""
    found = read(['{"a": 1}', '{"a": 11}', '{"a": [3]}', '[4, "z"]', '{"a"', '{"a": 5, "c": 1}', '{"a": 6}'])

    assert found.rows.tolist() == [0, 3, 6]
    assert [record["a"] for record in found.columns.to_records()] == [1.0, 4.0, 6.0]
    assert [(row, error.code, error.path) for row, error in found.refused] == [
        (1, "out_of_range", "inputs.a[0]"),
        (2, "wrong_shape", "inputs.a[0]"),
        (4, "malformed", ""),
        (5, "unknown_field", "inputs.c"),
    ]


def test_one_line_that_only_the_exact_reader_can_tell_costs_a_few(monkeypatch: pytest.MonkeyPatch) -> None:
    """Not all that were decoded with it."""
    fields = contract([field("a", "int8")], [field("y")]).inputs
    lines = [f'{{"a": {row % 100}}}' for row in range(1000)]
    lines[700] = '{"a": 99999999999999999999}'
    exactly: list[int] = []
    real = Lines._exactly

    def counted(self: Lines, line: Callable[[int], bytes], rows: list[int]) -> ReadLines:
        exactly.append(len(rows))
        return real(self, line, rows)

    monkeypatch.setattr(Lines, "_exactly", counted)
    found = read(lines, fields)

    assert [(row, error.code, error.path) for row, error in found.refused] == [(700, "out_of_range", "inputs.a[0]")]
    assert found.rows.tolist() == [row for row in range(1000) if row != 700]
    assert found.columns["a"].tolist() == [row % 100 for row in range(1000) if row != 700]
    assert exactly[0] <= 128


def test_a_record_over_two_lines_is_two_bad_lines() -> None:
    """Even beside a line with two records, which would make the number right again."""
    found = read(['{"a": 1,', '"b": "x"}', '{"a": 2} {"a": 3}', '{"a": 4}'])

    assert found.rows.tolist() == [3]
    assert [row for row, _ in found.refused] == [0, 1, 2]


def test_carried_names_are_no_unknown_fields() -> None:
    """Their values come as JSON, absent ones as None, in the order of the good lines."""
    found = read(
        ['{"a": 1, "id": [7]}', '{"a": 99, "id": 8}', '[2, "x"]', '{"a": 3}', '{"id": "9", "a": 4}'], carried=("id",)
    )

    assert found.carried == [[[7], None, None, "9"]]
    assert found.rows.tolist() == [0, 2, 3, 4]


@pytest.mark.parametrize("fields", [FIELDS, BYTES])
def test_carried_numbers_are_plain_whoever_reads_the_line(fields: tuple[Field, ...]) -> None:
    """Large ones too; one that no float holds costs its line alone."""
    record = '{"a": 1, "id": %s}' if fields is FIELDS else '{"a": "AAE=", "id": %s}'
    numbers = ["[9e99]", "1" * 450, "1e999", "-1e16"]
    found = read([*(record % number for number in numbers), '{"a": []}'], fields, carried=("id",))

    assert found.carried == [[[9e99], int("1" * 450), -1e16]]
    assert all(type(each) in (list, int, float) for each in found.carried[0])
    assert type(found.carried[0][0][0]) is float
    assert [(row, error.code, error.path) for row, error in found.refused] == [
        (2, "out_of_range", "inputs.id[0]"),
        (4, found.refused[1][1].code, "inputs.a[0]"),
    ]


def test_fields_without_a_typed_form_are_read_exactly() -> None:
    """Bytes."""
    found = read(['{"a": "AAE="}', '{"a": "AAE"}'], BYTES)

    assert found.columns["a"].tolist() == [b"\x00\x01"]
    assert [(row, error.code) for row, error in found.refused] == [(1, "wrong_type")]


@pytest.mark.parametrize("fields", [FIELDS, BYTES])
def test_no_lines_are_no_rows(fields: tuple[Field, ...]) -> None:
    """And no error."""
    assert read([], fields).columns.rows == 0


# ------------------------------------------------------------------------------------------------ one a message

MANY = contract(
    [
        field("a", "float64", maximum=10),
        field("b", "string", default="x", maxLength=3),
        field("c", "int8", nullable=True, null_value=0, default=None),
    ],
    [field("y")],
).inputs

JSON: st.SearchStrategy[Any] = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda each: st.lists(each, max_size=3) | st.dictionaries(st.text(max_size=2), each, max_size=3),
    max_leaves=4,
)
GOOD = st.fixed_dictionaries(
    {"a": st.floats(-1e9, 10) | st.integers(-9, 10)},
    optional={"b": st.text("ab\u00e9", max_size=3), "c": st.none() | st.integers(-128, 127), "id": JSON},
)
NEARLY = st.fixed_dictionaries({}, optional={"a": JSON, "b": JSON, "c": JSON, "id": JSON, "more": JSON})
RECORDS = st.one_of(GOOD, GOOD, NEARLY, JSON)


@st.composite
def values(draw: st.DrawFn) -> bytes:
    """A message: a record spelled on one line or on many, cut off, followed by more, or no JSON and no UTF-8 at all."""
    kind = draw(st.integers(0, 7))
    if kind == 0:
        return draw(st.binary(max_size=12))
    text = json.dumps(draw(RECORDS), indent=draw(st.sampled_from([None, 1])), ensure_ascii=draw(st.booleans()))
    whole = text.encode("utf-8", "surrogatepass")
    if kind == 1:
        return whole[: draw(st.integers(0, len(whole)))]
    around = draw(st.sampled_from([b"", b"\n", b" ", b"\r\n", b"\n\n"]))
    return (
        around + whole + draw(st.sampled_from([b"", b"\n", b"\n\n", b"\n{}", b",", b"\0", b"\xff"]) | st.just(around))
    )


reader = functools.cache(Lines)


def verdicts(found: ReadLines) -> tuple[list[Any], list[Any]]:
    """The good ones with what they carry, and the refused ones, each by its position."""
    rows = found.rows.tolist()
    records = found.columns.to_records()
    carried = [[repr(column[at]) for column in found.carried] for at in range(len(rows))]
    bad = [(row, each.code, each.path, str(each), each.help, each.details) for row, each in found.refused]
    return list(zip(rows, map(repr, records), carried)), sorted(bad, key=lambda each: each[0])


def alone(lines: Lines, each: Sequence[bytes]) -> tuple[list[Any], list[Any]]:
    """What `read` has to say on each value as the only line of its text."""
    good, bad = [], []
    for row, value in enumerate(each):
        kept, refused = verdicts(lines.read(value, [(0, len(value))]))
        good += [(row, *rest) for _, *rest in kept]
        bad += [(row, *rest) for _, *rest in refused]
    return good, bad


@given(st.lists(values(), max_size=6), st.sampled_from([MANY, BYTES]), st.sampled_from([(), ("id",)]))
@example([b'{"a": 1}\n{"a": 2}', b""], MANY, ())
@example([b'{"a":', b"1}"], MANY, ())
@example([b'{"a": 1}'] * 3 + [b'{"a":\n1}'], MANY, ("id",))
def test_values_are_judged_as_lines_are_alone(each: list[bytes], fields: tuple[Field, ...], carried: Any) -> None:
    """Whatever they hold and whatever stands beside them: the same columns, the same errors."""
    lines = reader(fields, carried)

    found = lines.read_each(each)

    assert verdicts(found) == alone(lines, each)
    assert found.rows.dtype == np.int64


@pytest.mark.full
@given(st.lists(values().filter(lambda value: b"\n" not in value and value.strip()), max_size=6))
def test_values_without_newlines_are_the_lines_of_a_file(each: list[bytes]) -> None:
    """As `read` has them together; only where a sentence says that a text ends, it counts the newline."""
    lines = reader(MANY, ())
    text, places = b"", []
    for value in each:
        places.append((len(text), len(text) + len(value) + 1))
        text += value + b"\n"

    (good, bad), (wanted, refused) = verdicts(lines.read_each(each)), verdicts(lines.read(text, places))
    assert good == wanted
    assert [each[:3] for each in bad] == [each[:3] for each in refused]


@pytest.mark.parametrize(
    ("value", "code"),
    [(b"", "malformed"), (b"\n", "malformed"), (b"\xff", "malformed"), (b'{"a": 1}\n{"a": 2}', "malformed")],
)
def test_a_value_that_is_no_record_costs_only_itself(value: bytes, code: str) -> None:
    """Between good ones, of which one is spelled over several lines."""
    found = Lines(FIELDS).read_each([b'{"a": 1}', value, b'{\n"a":\n2\n}\n'])

    assert found.columns["a"].tolist() == [1.0, 2.0]
    assert found.rows.tolist() == [0, 2]
    assert [(row, error.code) for row, error in found.refused] == [(1, code)]


def test_a_huge_value_is_read_like_a_small_one() -> None:
    """Or refused for what it holds, not for its length; its neighbours do not notice."""
    blanks = b" " * 4_000_000
    nested = b"[" * 1_000_000 + b"]" * 1_000_000
    found = Lines(FIELDS).read_each([b'{"a": 1}', b'{"a":' + blanks + b"2}", b'{"a": ' + nested + b"}", b'{"a": 3}'])

    assert found.columns["a"].tolist() == [1.0, 2.0, 3.0]
    assert [(row, error.code) for row, error in found.refused] == [(2, "too_large")]


@pytest.mark.parametrize("fields", [FIELDS, BYTES])
def test_no_values_are_no_rows(fields: tuple[Field, ...]) -> None:
    """And no error."""
    assert Lines(fields).read_each([]).columns.rows == 0
