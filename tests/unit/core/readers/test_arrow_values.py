"""Values that Arrow spells in its own ways: decimals to the last digit, and encodings that change nothing."""

from __future__ import annotations

import datetime as dt
from decimal import Decimal
from fractions import Fraction
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.support.bundles import contract, field

from fivefold.core.readers.arrow import Arrow


def read(values: Any, dtype: str, **rules: Any) -> Any:
    """A column under one field: the reading."""
    return Arrow(contract([field("x", dtype, **rules)], [field("y")]).inputs).read(pa.record_batch({"x": values}))


def codes(values: Any, dtype: str, **rules: Any) -> list[str | None]:
    """The code of each row, None for a good one."""
    found = []
    for row in range(len(values)):
        reading = read(values.slice(row, 1), dtype, **rules)
        found.append(reading.violations[0].code if reading.violations else None)
    return found


WIDTHS = [(pa.decimal32, 9), (pa.decimal64, 18), (pa.decimal128, 38), (pa.decimal256, 76)]


@st.composite
def columns(draw: st.DrawFn) -> Any:
    """Decimals of one type: its width and scale, negative ones too, with digits of every number, and nulls."""
    make, most = draw(st.sampled_from(WIDTHS))
    precision = draw(st.integers(1, most))
    scale = draw(st.integers(-30, precision + 30))
    digits = st.integers(1, precision).flatmap(lambda count: st.integers(-(10**count) + 1, 10**count - 1))
    rows = draw(st.lists(st.none() | digits, min_size=1, max_size=12))
    values = [None if row is None else Decimal((row < 0, tuple(map(int, str(abs(row)))), -scale)) for row in rows]
    whole = [None, *(None if row is None else Decimal(row) for row in rows)]
    plain = pa.array(whole, make(precision, 0))
    return values, pa.Array.from_buffers(make(precision, scale), len(whole), plain.buffers()).slice(1)


@settings(max_examples=80)
@given(columns(), st.sampled_from(["float64", "float32", "float16"]))
def test_a_decimal_is_rounded_once_from_all_its_digits(pair: Any, dtype: str) -> None:
    """To the double that Python parses, then to the field's own width; null is NaN; beyond it is out of range."""
    values, array = pair
    reading = read(array, dtype, nullable=True)

    with np.errstate(over="ignore"):
        wide = [np.nan if value is None else np.float64(float(value)).astype(dtype) for value in values]
    fine = [value for value in wide if not np.isinf(value)]
    np.testing.assert_array_equal(reading.columns["x"], np.array(fine, dtype))
    assert reading.bad.tolist() == [bool(np.isinf(value)) for value in wide]
    assert {violation.code for violation in reading.violations} <= {"out_of_range"}


@settings(max_examples=80)
@given(columns(), st.sampled_from(["int64", "uint64", "int8", "uint32"]))
def test_a_decimal_is_an_integer_exactly(pair: Any, dtype: str) -> None:
    """Every digit stays; a fraction is of the wrong type, however small, and what does not fit is out of range."""
    values, array = pair
    info = np.iinfo(dtype)

    def expected(value: Decimal | None) -> str | None:
        if value is None:
            return "null_not_allowed"
        exact = Fraction(value)
        if exact.denominator != 1:
            return "wrong_type"
        return None if int(info.min) <= exact <= int(info.max) else "out_of_range"

    assert codes(array, dtype) == [expected(value) for value in values]
    good = [int(value) for value in values if value is not None and expected(value) is None]
    assert read(array, dtype).columns["x"].tolist() == good


def test_bounds_and_enums_see_the_exact_value() -> None:
    """What a person wrote as a limit is inside of it, in a field of either width."""
    cents = pa.array([Decimal("0.07"), Decimal("1.10"), Decimal("4.35")], pa.decimal128(9, 2))

    for dtype in ("float64", "float32"):
        assert codes(cents, dtype, enum=[0.07, 1.1, 4.35]) == [None] * 3
        assert codes(cents, dtype, minimum=0.07, maximum=4.35) == [None] * 3
    assert codes(cents, "float64", maximum=4.349) == [None, None, "out_of_range"]
    large = pa.array([Decimal(2**53 + 1), Decimal(2**53)], pa.decimal128(38, 0))
    assert codes(large, "int64", enum=[2**53 + 1]) == [None, "not_in_enum"]
    assert codes(large, "int64", maximum=2**53) == ["out_of_range", None]


def test_decimals_in_lists_and_dictionaries() -> None:
    """Flat or nested, of equal lengths or not, with nulls, and behind a dictionary."""
    values = [Decimal(2**53 + 1), Decimal(7)]
    listed = pa.array([values, None, values[::-1], values[:1]], pa.list_(pa.decimal256(40, 0)))
    kept = read(listed.slice(0, 1), "int64", shape=[2])
    assert kept.columns["x"].tolist() == [[2**53 + 1, 7]]
    assert codes(listed, "int64", shape=[2]) == [None, "null_not_allowed", None, "wrong_shape"]
    assert read(listed, "int64", shape=[2]).columns["x"].tolist() == [[2**53 + 1, 7], [7, 2**53 + 1]]
    coded = pa.array([*values, *values], pa.decimal128(38, 0)).dictionary_encode()
    assert read(coded, "int64").columns["x"].tolist() == [2**53 + 1, 7] * 2
    assert read(pa.array([Decimal("-1.50")], pa.decimal64(9, 2)), "float64").columns["x"].tolist() == [-1.5]


SPELLED = pa.array([3, 3, 200], pa.int64())


@pytest.mark.parametrize(
    "values",
    [
        SPELLED,
        SPELLED.dictionary_encode(),
        pa.RunEndEncodedArray.from_arrays([2, 3], [3, 200]),
        SPELLED.cast(pa.uint8()),
        SPELLED.cast(pa.uint64()),
        SPELLED.cast(pa.float16()),
        SPELLED.cast(pa.float32()),
        SPELLED.cast(pa.decimal128(23, 4)),
    ],
    ids=lambda values: str(values.type),
)
def test_integers_in_any_encoding(values: Any) -> None:
    """The values decide, and they are the same ones."""
    assert read(values, "int64").columns["x"].tolist() == [3, 3, 200]
    assert read(values, "float32").columns["x"].tolist() == [3, 3, 200]
    assert codes(values, "int8") == [None, None, "out_of_range"]


def test_integers_at_the_edge_of_binary64() -> None:
    """They stay exact in an integer field, and are rounded once in a float field."""
    for kind, value in ((pa.int64(), 2**53 + 1), (pa.int64(), -(2**63)), (pa.uint64(), 2**64 - 1)):
        array = pa.array([value, None], kind)
        wide = "uint64" if value > 0 else "int64"
        assert read(array, wide, nullable=True, null_value=0).columns["x"].tolist() == [value, 0]
        assert read(array, "float64", nullable=True).columns["x"][0] == float(value)
    assert codes(pa.array([2**63], pa.uint64()), "int64") == ["out_of_range"]


def test_a_float_is_what_it_is() -> None:
    """A tenth in 32 bits is not the tenth of 64 bits, and is the tenth of a field of 32."""
    tenth = pa.array([0.1], pa.float32())
    assert codes(tenth, "float32", enum=[0.1]) == [None]
    assert codes(tenth, "float64", enum=[0.1]) == ["not_in_enum"]
    assert codes(tenth, "float64", maximum=0.1) == ["out_of_range"]


@pytest.mark.parametrize(
    "values",
    [
        pa.array(["a", "b"], pa.large_string()),
        pa.array(["a", "b"], pa.string_view()),
        pa.array(["a", "b"]).dictionary_encode(),
        pa.RunEndEncodedArray.from_arrays([1, 2], ["a", "b"]),
    ],
    ids=lambda values: str(values.type),
)
def test_text_in_any_encoding(values: Any) -> None:
    """It is text."""
    assert read(values, "string").columns["x"].tolist() == ["a", "b"]


@pytest.mark.parametrize(
    "values",
    [
        pa.array([[1, 2], [3, 4]], pa.large_list(pa.int32())),
        pa.array([[1, 2], [3, 4]], pa.list_(pa.int32(), 2)),
        pa.array([[1, 2], [3, 4]], pa.list_view(pa.int32())),
        pa.array([[1, 2], [3, 4]], pa.large_list_view(pa.int32())),
        pa.FixedShapeTensorArray.from_numpy_ndarray(np.array([[1, 2], [3, 4]], np.int32)),
    ],
    ids=lambda values: str(values.type),
)
def test_lists_in_any_encoding(values: Any) -> None:
    """They are the field's array."""
    assert read(values, "float32", shape=[2]).columns["x"].tolist() == [[1, 2], [3, 4]]


def test_a_tensor_has_its_own_shape() -> None:
    """One of another shape with as many elements is refused."""
    tensors = pa.FixedShapeTensorArray.from_numpy_ndarray(np.arange(12, dtype=np.int64).reshape(2, 2, 3))
    assert read(tensors, "int64", shape=[2, 3]).columns["x"][1].tolist() == [[6, 7, 8], [9, 10, 11]]
    assert codes(tensors, "int64", shape=[3, 2]) == ["wrong_shape"] * 2
    assert codes(tensors.slice(1), "int64", shape=[2, 3]) == [None]


DAY = dt.datetime(2024, 1, 1)


@pytest.mark.parametrize(
    ("values", "name"),
    [
        (pa.array([DAY], pa.timestamp("us")), "timestamp"),
        (pa.array([DAY.date()]), "date32"),
        (pa.array([dt.time(1)]), "time64"),
        (pa.array([dt.timedelta(1)]), "duration"),
        (pa.array([True]), "bool"),
        (pa.array(["1"]), "string"),
        (pa.array([{"a": 1}]), "struct"),
        (pa.array([[("a", 1)]], pa.map_(pa.string(), pa.int64())), "map"),
        (pa.array([[1]]), "list"),
        (pa.array([b"0123456789abcdef"], pa.uuid()), "uuid"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_what_is_no_number_is_refused_by_name(values: Any, name: str) -> None:
    """A date has no number that everybody agrees on."""
    for dtype in ("float64", "int64"):
        reading = read(values, dtype)
        (violation,) = reading.violations
        assert violation.code == "wrong_type"
        assert name in violation.message
    assert codes(pa.nulls(1), "float64") == ["null_not_allowed"]
    assert codes(pa.array([1]), "bool") == ["wrong_type"]
    assert codes(pa.array([1]), "string") == ["wrong_type"]
