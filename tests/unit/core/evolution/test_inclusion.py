from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import HealthCheck, event, example, given, settings
from hypothesis import strategies as st
from tests.support.contract_values import values
from tests.support.evolving_contracts import field_of, field_pairs

from fivefold.core.errors import ContractInvalid
from fivefold.core.evolution.inclusion import Misfit, covered, misfits
from fivefold.core.evolution.inclusion import example as legal_example
from fivefold.core.fields.field import ABSENT, Field
from fivefold.core.readers.records import Records


def read(field: Field, value: Any) -> Any:
    """The value as the field has it, as JSON; ABSENT where its reader refuses it."""
    reading = Records((field,)).read([{"x": value}])
    return ABSENT if reading.violations else reading.columns.to_list(field)[0]


def same(one: Any, two: Any) -> bool:
    return type(one) is type(two) and one == two if isinstance(one, bool | str) else bool(one == two)


def shows(sender: Field, receiver: Field, witness: Any) -> bool:
    """Whether a value is one of the sender's that the receiver refuses or changes."""
    sent = read(sender, witness)
    got = read(receiver, sent)
    return sent is not ABSENT and (got is ABSENT or not same(sent, got))


@settings(max_examples=100, deadline=None)
@given(st.data())
def test_what_fits_is_accepted_and_equal_and_a_witness_shows_what_does_not(data) -> None:
    """Readers decide, not the code that compares fields."""
    sender, receiver = data.draw(field_pairs())
    found = misfits(sender, receiver)
    event(f"misfits {len(found)}")

    for misfit in found:
        if misfit.witness is not ABSENT:
            json.dumps(misfit.witness, allow_nan=False)
            assert misfit.decided
            assert shows(sender, receiver, misfit.witness), misfit
    if not found:
        for _ in range(8):
            sent = read(sender, data.draw(values(sender)))
            if sent is not ABSENT and not holds_nan(sent):
                got = read(receiver, sent)
                assert got is not ABSENT
                assert same(sent, got)


def holds_nan(value: Any) -> bool:
    if isinstance(value, list):
        return any(map(holds_nan, value))
    return isinstance(value, float) and (value != value or value in (float("inf"), float("-inf")))


@pytest.mark.full
@pytest.mark.rare
@pytest.mark.timeout(900)
@settings(max_examples=1_500, deadline=None, suppress_health_check=list(HealthCheck))
@given(st.data())
def test_what_fits_is_accepted_and_equal_at_length(data) -> None:
    """The same for twelve thousand values."""
    test_what_fits_is_accepted_and_equal_and_a_witness_shows_what_does_not.hypothesis.inner_test(data)


@settings(max_examples=100, deadline=None)
@given(field_pairs())
@example((field_of(dtype="string", pattern="a^"), field_of()))
def test_an_example_is_legal(pair) -> None:
    """Whatever is offered as an example of a field, its reader accepts."""
    field = pair[0]
    found = legal_example(field)

    if found is not ABSENT:
        for size in reversed(field.shape):
            found = [found] * size
        assert read(field, found) is not ABSENT


BIG = 2**53


@pytest.mark.parametrize(
    ("sender", "receiver", "expected"),
    [
        ({"dtype": "int32"}, {"dtype": "float64"}, []),
        ({"dtype": "int8"}, {"dtype": "float16"}, []),
        ({"dtype": "float32"}, {"dtype": "float64"}, []),
        ({"dtype": "int64"}, {"dtype": "float64"}, ["dtype"]),
        ({"dtype": "int64", "minimum": -BIG, "maximum": BIG}, {"dtype": "float64"}, []),
        ({"dtype": "int64", "minimum": BIG, "maximum": BIG + 1}, {"dtype": "float64"}, ["dtype"]),
        ({"dtype": "int64", "minimum": BIG + 2, "maximum": BIG + 2}, {"dtype": "float64"}, []),
        ({"dtype": "uint64"}, {"dtype": "int64"}, ["dtype"]),
        ({"dtype": "int16"}, {"dtype": "float16"}, ["dtype"]),
        ({"dtype": "int16", "minimum": -2048, "maximum": 2048}, {"dtype": "float16"}, []),
        ({"dtype": "float64"}, {"dtype": "float32"}, ["dtype"]),
        ({"dtype": "float64", "enum": [0.5, 1]}, {"dtype": "float32"}, []),
        ({"dtype": "float64", "enum": [0.1]}, {"dtype": "float32"}, ["dtype"]),
        ({"dtype": "float64", "minimum": 3, "maximum": 3}, {"dtype": "int8"}, []),
        ({"dtype": "float64", "minimum": 2**52, "maximum": 2**53}, {"dtype": "int64"}, []),
        ({"dtype": "float16", "minimum": 1024}, {"dtype": "int32"}, []),
        ({"dtype": "float16", "minimum": 1023}, {"dtype": "int32"}, ["dtype"]),
        ({"dtype": "int8"}, {"dtype": "int32", "minimum": -200}, []),
        ({"dtype": "int8"}, {"dtype": "int32", "minimum": -100}, ["minimum"]),
        ({"dtype": "int32", "maximum": 7}, {"dtype": "int8", "maximum": 7}, ["dtype"]),
        ({"dtype": "float32", "maximum": 0.7}, {"maximum": 0.7}, []),
        ({"dtype": "float32", "minimum": 0.7}, {"minimum": 0.7}, ["minimum"]),
        ({"dtype": "float32", "enum": [0.1]}, {"enum": [0.1]}, ["enum"]),
        ({"dtype": "int8", "minimum": 1, "maximum": 3}, {"dtype": "int8", "enum": [3, 2, 1]}, []),
        ({"dtype": "int8", "minimum": 1, "maximum": 3}, {"dtype": "int8", "enum": [3, 1, 7]}, ["enum"]),
        ({"minimum": 0, "maximum": 1}, {"enum": [0, 1]}, ["enum"]),
        ({"dtype": "int8", "enum": [1, 9], "maximum": 5}, {"dtype": "int8", "enum": [1]}, []),
        ({"nullable": True}, {}, ["nullable"]),
        ({"nullable": True}, {"allow_nan": True}, ["nullable"]),
        ({"allow_nan": True}, {"nullable": True}, ["allow_nan"]),
        ({"allow_nan": True, "minimum": 0, "maximum": 1}, {"nullable": True}, []),
        ({"allow_nan": True}, {"allow_nan": True, "maximum": 1.7976931348623157e308}, ["maximum"]),
        ({"dtype": "int8", "nullable": True, "null_value": -1}, {"nullable": True}, []),
        (
            {"dtype": "int8", "nullable": True, "null_value": -1},
            {"dtype": "int8", "nullable": True, "null_value": 0},
            [],
        ),
        ({"dtype": "int8"}, {"dtype": "int8", "minimum": 0, "nullable": True, "null_value": -1}, ["minimum"]),
        ({"dtype": "string"}, {"dtype": "bytes"}, ["kind"]),
        ({"dtype": "bytes"}, {"dtype": "string"}, ["kind"]),
        ({"dtype": "bool"}, {"dtype": "int8"}, ["kind"]),
        (
            {"enum": [9], "maximum": 1, "nullable": True},
            {"dtype": "bytes", "nullable": True, "null_value": ""},
            ["kind"],
        ),
        ({"dtype": "int8"}, {"dtype": "bool"}, ["kind"]),
        ({"shape": [4]}, {"shape": [2, 2]}, ["shape"]),
        ({"shape": [2, 2]}, {"shape": [4]}, ["shape"]),
        ({}, {"shape": [1]}, ["shape"]),
        ({"unit": "mm"}, {"unit": "cm"}, ["unit"]),
        ({"shape": [2], "labels": ["a", "b"]}, {"shape": [2], "labels": ["b", "a"]}, ["labels"]),
        ({"dtype": "string", "enum": ["ab", "abc"]}, {"dtype": "string", "minLength": 2}, []),
        ({"dtype": "string", "enum": ["ab", "abc"]}, {"dtype": "string", "maxLength": 2}, ["max_length"]),
        ({"dtype": "string", "enum": ["ab", "abc"]}, {"dtype": "string", "pattern": "^ab.?$"}, []),
        ({"dtype": "string", "enum": ["ab"]}, {"dtype": "string", "enum": ["abc"]}, ["enum"]),
        ({"dtype": "string", "maxLength": 2}, {"dtype": "string", "maxLength": 3}, []),
        ({"dtype": "string"}, {"dtype": "string", "maxLength": 3}, ["max_length"]),
        ({"dtype": "string"}, {"dtype": "string", "minLength": 1}, ["min_length"]),
        ({"dtype": "string", "pattern": "^[ab]$"}, {"dtype": "string", "enum": ["b", "a", "c"]}, []),
        ({"dtype": "string", "pattern": "^[ab]$"}, {"dtype": "string", "maxLength": 1, "minLength": 1}, []),
        ({"dtype": "string", "pattern": "^[ab]{2,3}$"}, {"dtype": "string", "maxLength": 2}, ["max_length"]),
        ({"dtype": "string", "pattern": "^[a-c]{1,3}$"}, {"dtype": "string", "pattern": r"^\w{1,4}$"}, []),
        ({"dtype": "string", "pattern": "abc"}, {"dtype": "string", "pattern": "b"}, []),
        ({"dtype": "string", "pattern": "b"}, {"dtype": "string", "pattern": "abc"}, ["pattern"]),
        ({"dtype": "string", "pattern": "^(a|b)(a|b)$"}, {"dtype": "string", "pattern": "^[ab]{2}$"}, []),
        ({"dtype": "string"}, {"dtype": "string", "pattern": "^"}, []),
        ({"dtype": "string"}, {"dtype": "string", "pattern": "^.{0,9}$"}, ["pattern"]),
        ({"dtype": "string", "maxLength": 0}, {"dtype": "string", "pattern": "^$|a"}, []),
        ({"dtype": "bytes", "maxLength": 2}, {"dtype": "bytes", "maxLength": 3, "minLength": 1}, ["min_length"]),
    ],
)
def test_aspects_by_example(sender, receiver, expected) -> None:
    """What fits, and in which aspect the rest does not."""
    sender, receiver = field_of(**sender), field_of(**receiver)
    found = misfits(sender, receiver)

    assert [misfit.aspect for misfit in found] == expected
    assert all(shows(sender, receiver, m.witness) for m in found if m.witness is not ABSENT)


def test_a_witness_is_a_plain_value() -> None:
    """People read it."""
    assert misfits(field_of(maximum=60), field_of(maximum=50)) == [Misfit("maximum", True, 51.0)]
    assert misfits(field_of(dtype="string"), field_of(dtype="string", minLength=1)) == [Misfit("min_length", True, "")]
    assert misfits(field_of(), field_of(dtype="int8"))[0] == Misfit("dtype", True, 0.5)
    assert misfits(field_of(nullable=True), field_of()) == [Misfit("nullable", True, None)]


def test_a_unit_that_one_side_does_not_name_is_not_decided() -> None:
    """Whether it always was that unit nobody can say."""
    assert misfits(field_of(unit="mm"), field_of()) == [Misfit("unit", False)]
    assert misfits(field_of(), field_of(unit="mm")) == [Misfit("unit", False)]


def test_patterns_that_are_too_much_to_compare_are_not_decided() -> None:
    """The walk is bounded, and says so."""
    sender = field_of(dtype="string", pattern="a[ab]{20}c[ab]{20}d")
    receiver = field_of(dtype="string", pattern="a[ab]{20}c[ab]{20}d|zz[ab]{15}")

    assert misfits(receiver, sender)[0].aspect == "pattern"
    assert [misfit.decided for misfit in misfits(sender, receiver)] in ([False], [])


def test_an_unknown_member_takes_what_the_receiver_does_not_know() -> None:
    """A new class is `other` to whoever does not know it."""
    old, new = field_of(dtype="string", enum=["a", "b"]), field_of(dtype="string", enum=["a", "b", "c"])
    assert not covered(new, old)
    old = replace(old, unknown="b")

    assert {misfit.aspect for misfit in misfits(new, old)} <= covered(new, old)
    assert not covered(field_of(), field_of())


def test_an_unknown_label_takes_the_numbers_of_labels_that_the_receiver_does_not_know() -> None:
    """The labels are told by name, so that their order and number may differ."""
    old = replace(field_of(shape=[2], labels=["a", "other"]), unknown="other")

    assert covered(field_of(shape=[3], labels=["c", "a", "other"]), old) == {"shape", "labels"}
    assert not covered(field_of(shape=[1], labels=["other"]), old)


def test_fields_are_legal() -> None:
    """The table above is of legal fields."""
    with pytest.raises(ContractInvalid):
        field_of(minimum="a")
