"""A numpy column of a table means what the list of its values does: the same columns, the same findings."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from fivefold.core.contract.contract import Contract
from fivefold.core.readers.records import Records

_FIELDS: list[dict[str, Any]] = [
    {"name": "x", "dtype": "float32", "minimum": -1, "maximum": 60, "nullable": True},
    {"name": "x", "dtype": "float64", "enum": [0.5, 2]},
    {"name": "x", "dtype": "float16"},
    {"name": "x", "dtype": "int8", "nullable": True, "null_value": -1, "minimum": 0},
    {"name": "x", "dtype": "uint64"},
    {"name": "x", "dtype": "int64", "maximum": 2**60},
    {"name": "x", "dtype": "bool", "nullable": True, "null_value": False},
    {"name": "x", "dtype": "string"},
    {"name": "x", "dtype": "float32", "shape": [2]},
]


def reader(field: dict[str, Any]) -> Records:
    about = {"format": 1, "name": "n", "version": "1", "outputs": [{"name": "y", "dtype": "bool"}]}
    return Records(Contract.from_json(about | {"inputs": [field]}).inputs)


@settings(max_examples=200, deadline=None)
@given(
    st.sampled_from(_FIELDS),
    st.sampled_from(["b1", "i1", "i8", "u8", "f2", "f4", "f8", ">f4", ">i2"]).flatmap(
        lambda dtype: arrays(dtype, st.sampled_from([(0,), (1,), (3,), (2, 2), (1, 3), (70,)]))
    ),
)
def test_an_array_is_its_list(field: dict[str, Any], array: np.ndarray[Any, Any]) -> None:
    """Whatever the array's dtype, byte order and shape."""
    records = reader(field)
    found = records.read_table(len(array), [("x", array)])
    listed = records.read_table(len(array), [("x", array.tolist())])

    assert found.columns.equals(listed.columns)
    assert found.columns["x"].dtype == records.fields[0].numpy_dtype
    assert found.violations == listed.violations
    assert found.bad.tolist() == listed.bad.tolist()


@pytest.mark.parametrize(
    ("columns", "code"), [([("x", [1.0]), ("x", [1.0])], "duplicate_field"), ([("y", [1.0])], "unknown_field")]
)
def test_names_of_a_table(columns: Any, code: str) -> None:
    """As of records: twice is once too often, and what is no field is refused."""
    reading = reader({"name": "x", "dtype": "float64", "default": 1}).read_table(1, columns)

    assert [(each.code, each.path) for each in reading.violations] == [(code, f"inputs.{columns[0][0]}")]
