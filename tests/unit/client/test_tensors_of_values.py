"""Arrays that a caller gives to `infer`, as tensors: the same values, or a refusal that names the place."""

from __future__ import annotations

import datetime as dt
from decimal import Decimal
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest

from fivefold.client.array_codec import to_tensor
from fivefold.core.errors import ContractError


@pytest.mark.parametrize(
    ("given", "datatype", "values"),
    [
        ([1, 2], "INT64", [1, 2]),
        ([2**63, 1], "UINT64", [2**63, 1]),
        ([1, 0.5], "FP64", [1.0, 0.5]),
        ([[1.0], [2.0]], "FP64", [[1.0], [2.0]]),
        ([True, np.False_], "BOOL", [True, False]),
        (["a\0", "b"], "BYTES", ["a\0", "b"]),
        ([b"a\0"], "BYTES", [b"a\0"]),
        (np.array(["a"]), "BYTES", ["a"]),
        (np.array([], object), "BYTES", []),
        ([], "FP64", []),
        ([0.5, float("nan")], "FP64", [0.5, float("nan")]),
        (np.float16([0.5]), "FP16", [0.5]),
        (pd.Series([1, 2], dtype="Int8"), "INT64", [1, 2]),
        (pd.Categorical(["a", "b"]), "BYTES", ["a", "b"]),
        (pd.Series([0.5], dtype="float32"), "FP32", [0.5]),
        (pa.array([1, 2]), "INT64", [1, 2]),
    ],
)
def test_values_stay_what_they_are(given: Any, datatype: str, values: list[Any]) -> None:
    found, array = to_tensor("x", given)

    assert found == datatype
    assert repr(array.tolist()) == repr(values)


@pytest.mark.parametrize(
    ("given", "code", "path"),
    [
        ([1, "a"], "wrong_type", "inputs.x"),
        ([True, 2.5], "wrong_type", "inputs.x"),
        ([2**63, -1], "out_of_range", "inputs.x[0]"),
        ([0.5, 2**53 + 1], "wrong_type", "inputs.x[1]"),
        ([0.5, 2**2000], "wrong_type", "inputs.x[1]"),
        ([Decimal("0.1")], "wrong_type", "inputs.x[0]"),
        ([[1.0], [dt.date(2024, 2, 29)]], "wrong_type", "inputs.x[1][0]"),
        (np.array(["2024-02-29"], "M8[ns]"), "wrong_type", "inputs.x"),
        (np.longdouble([1]), "wrong_type", "inputs.x"),
        (np.zeros(1, [("a", "i4")]), "wrong_type", "inputs.x"),
        ([[1.0], [2.0, 3.0]], "wrong_shape", "inputs.x"),
        (["a", "\ud800"], "not_utf8", "inputs.x[1]"),
        (pd.Series([1, None], dtype="Int8"), "null_not_allowed", "inputs.x[1]"),
        (pa.array([1, None]), "null_not_allowed", "inputs.x[1]"),
    ],
)
def test_no_value_becomes_another_one(given: Any, code: str, path: str) -> None:
    """numpy alone would make text of numbers, and floats of what they cannot hold."""
    with pytest.raises(ContractError) as caught:
        to_tensor("x", given)

    assert (caught.value.code, caught.value.path) == (code, path)
