"""Rows of binary formats: what JSON can say is judged as in JSON, the rest as in other typed columns."""

from __future__ import annotations

import json
import math
from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from tests.support.avro_values import Unsayable, as_held
from tests.support.bundles import contract, field
from tests.support.contract_values import case_contracts, every_rule

from fivefold.core.columns import Columns
from fivefold.core.errors import ContractError
from fivefold.core.fields.field import Field
from fivefold.core.readers.binary_rows import BinaryRows, Fractional, OtherValue, exact_decimal
from fivefold.core.readers.exact_json import loads
from fivefold.core.readers.lines import Lines

CONTRACTS = [*case_contracts(), every_rule()]
SCALARS = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-130, 260),
    st.sampled_from([2**31, -(2**31), 2**53 + 1, 2**63 - 1, -(2**63), 2**63, 2**64 - 1, 2**64, 10**320]),
    st.floats(-1000, 1000, width=32),
    st.sampled_from([0.1, -0.0, 3.0, 0.5, 1e-320, 65519.0, 2.5e15]),
    st.text(max_size=5),
    st.sampled_from(["left", "right", "AB-123", "YWJj", "YQ==", "b", "1"]),
)
VALUES = SCALARS | st.lists(SCALARS, max_size=4) | st.lists(st.lists(SCALARS, max_size=3), max_size=3)


@st.composite
def cases(draw: st.DrawFn) -> tuple[tuple[Field, ...], list[Any]]:
    """Fields, and rows that are about theirs."""
    fields = draw(st.sampled_from(CONTRACTS)).inputs
    names = [name for each in fields for name in (each.name, *each.aliases)]
    record = st.dictionaries(st.sampled_from([*names, "other"]), VALUES, max_size=len(names) + 1)
    full = st.fixed_dictionaries({each.name: VALUES for each in fields})
    return fields, draw(st.lists(record | full | VALUES, min_size=1, max_size=4))


def verdicts(read: Any) -> Any:
    """The good rows, and what is said of the others."""
    return read.rows.tolist(), {row: [(each.code, each.path) for each in error.details] for row, error in read.refused}


def equal(one: Columns, other: Columns) -> bool:
    """Also where one of them has no rows, and none of the blocks."""
    return one.rows == other.rows and (not one.rows or one.equals(other))


@settings(max_examples=60)
@given(cases())
@example((CONTRACTS[0].inputs, [None, [], {}, 7, "x", True, [[]], {"b64": "YQ=="}]))
def test_what_json_says_too_is_judged_as_there(case: tuple[tuple[Field, ...], list[Any]]) -> None:
    """The same columns, codes and paths, row by row and all at once."""
    fields, rows = case
    texts = [json.dumps(row).encode() for row in rows]
    try:
        values = [as_held(fields, loads(text)) for text in texts]
    except Unsayable:
        return

    read, wanted = BinaryRows(fields).read_each(values), Lines(fields).read_each(texts)

    assert verdicts(read) == verdicts(wanted)
    assert equal(read.columns, wanted.columns)


@pytest.mark.parametrize(
    ("rules", "value", "wanted"),
    [
        (field("x"), math.inf, "not_finite"),
        (field("x"), -math.inf, "not_finite"),
        (field("x"), math.nan, "not_finite"),
        (field("x", nullable=True), math.nan, ""),
        (field("x", nullable=True), math.inf, "not_finite"),
        (field("x", allow_nan=True), math.inf, ""),
        (field("x", allow_nan=True), math.nan, ""),
        (field("x", allow_nan=True, maximum=5), math.inf, "out_of_range"),
        (field("x"), 1e39, "out_of_range"),
        (field("x"), 10**400, "out_of_range"),
        (field("x", allow_nan=True), 10**400, "out_of_range"),
        (field("x", allow_nan=True), Fractional("inf"), "out_of_range"),
        (field("x", "int64"), math.nan, "not_finite"),
        (field("x", "int64"), math.inf, "not_finite"),
        (field("x", "int64", nullable=True, null_value=-1), math.nan, "not_finite"),
        (field("x", "int64"), Fractional("inf"), "out_of_range"),
        (field("x", "int64"), 3.0, ""),
        (field("x", "int64"), 3.5, "wrong_type"),
        (field("x", "int64"), 2.0**63, "out_of_range"),
        (field("x", "int8"), 128, "out_of_range"),
        (field("x", "int64"), exact_decimal(3 * 10**20 + 1, 20), "wrong_type"),
        (field("x", "uint64"), exact_decimal(2**64 - 1, 0), ""),
        (field("x", "uint64"), exact_decimal(2**64, 0), "out_of_range"),
        (field("x", "float64"), exact_decimal(3 * 10**20 + 1, 20), ""),
        (field("x", "string"), b"abc", "wrong_type"),
        (field("x", "string"), "a\udcff", "not_utf8"),
        (field("x", "string"), 7, "wrong_type"),
        (field("x", "bytes"), b"abc", ""),
        (field("x", "bytes"), "YWJj", "wrong_type"),
        (field("x", "bytes"), {"b64": "YWJj"}, "wrong_type"),
        (field("x", "bytes", minLength=4), b"abc", "too_short"),
        (field("x", "bytes", shape=[2]), [b"a", b"b"], ""),
        (field("x", "bytes", shape=[2]), [b"a", "YWJj"], "wrong_type"),
        (field("x", "bytes", shape=[2]), b"a", "wrong_shape"),
        (field("x", "bytes", shape=[2]), "YWJj", "wrong_type"),
        (field("x", "float64"), b"abcdefgh", "wrong_type"),
        (field("x", "bool"), 1, "wrong_type"),
        (field("x", "int64"), True, "wrong_type"),
        *((field("x", dtype), OtherValue("a date"), "wrong_type") for dtype in ("int64", "float32", "string", "bytes")),
        (field("x", shape=[2]), OtherValue("a date"), "wrong_type"),
        (field("x", shape=[2]), [1.0, OtherValue("a date")], "wrong_type"),
        (field("x", shape=[2]), [1.0, math.inf], "not_finite"),
    ],
    ids=range(45),
)
@pytest.mark.parametrize("rows", [1, 100], ids=["few", "many"])
def test_what_only_binary_formats_say(rules: dict[str, Any], value: Any, wanted: str, rows: int) -> None:
    """Alone, and among so many that another way is taken."""
    fields = contract([rules, field("z", default=0)], [field("y")]).inputs
    read = BinaryRows(fields).read_each([{"x": value}] * rows)

    assert {error.code for _, error in read.refused} == ({wanted} if wanted else set())
    assert len(read.refused) + len(read.rows) == rows


def test_values_that_bits_tell_apart_stay_apart() -> None:
    """An infinity beside a number that only decimals hold."""
    fields = contract([field("x", "float64")], [field("y")]).inputs
    read = BinaryRows(fields).read_each([{"x": each} for each in (1.5, math.inf, 10**400, exact_decimal(1, 1))])

    assert [(row, error.code) for row, error in read.refused] == [(1, "not_finite"), (2, "out_of_range")]
    assert read.columns["x"].tolist() == [1.5, 0.1]


def test_the_only_field_may_stand_alone_but_not_as_base64() -> None:
    """A record that JSON's readers would take for the value is a record."""
    fields = contract([field("x", "bytes")], [field("y")]).inputs
    read = BinaryRows(fields).read_each([b"ab", [b"ab"], "YWI=", {"b64": "YWI="}, {"x": b"ab"}])

    assert read.columns["x"].tolist() == [b"ab", b"ab", b"ab"]
    assert [(row, error.code) for row, error in read.refused] == [(2, "wrong_type"), (3, "unknown_field")]


def test_no_rows_are_no_columns() -> None:
    """Of the right fields."""
    read = BinaryRows(CONTRACTS[0].inputs).read_each([])

    assert (len(read.columns), read.rows.tolist(), read.refused) == (len(CONTRACTS[0].inputs), [], [])


def test_a_refusal_names_what_came() -> None:
    """In words of the format."""
    fields = contract([field("x", "int64")], [field("y")]).inputs
    ((_, error),) = BinaryRows(fields).read_each([{"x": OtherValue("a timestamp-millis")}]).refused

    assert isinstance(error, ContractError)
    assert str(error) == "inputs.x[0]: expected an integer, got a timestamp-millis"
