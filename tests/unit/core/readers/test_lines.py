"""Records one a line: the typed decoder accepts, the exact reader tells what is wrong with one line alone."""

from __future__ import annotations

import pytest
from tests.support.bundles import contract, field

from fivefold.core.fields.field import Field
from fivefold.core.readers.lines import Lines, Read

FIELDS = contract([field("a", maximum=10), field("b", "string", default="x")], [field("y")]).inputs
BYTES = contract([field("a", "bytes")], [field("y")]).inputs


def read(lines: list[str], fields: tuple[Field, ...] = FIELDS, carried: tuple[str, ...] = ()) -> Read:
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

    def counted(self: Lines, text: bytes, places: object, rows: list[int]) -> Read:
        exactly.append(len(rows))
        return real(self, text, places, rows)  # type: ignore[arg-type]  # as it came

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
