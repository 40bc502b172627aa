"""Whatever rows are made of, both transports answer or refuse them as the core does: class, code, path and message."""

from __future__ import annotations

import dataclasses
import datetime as dt
import enum
import math
import uuid
from collections.abc import Iterator
from decimal import Decimal
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from tests.support.both_transports import serving

from fivefold.client import Client
from fivefold.core.bundle.bundle import Bundle
from fivefold.core.contract.contract import Contract
from fivefold.core.errors import ContractError, FivefoldError
from fivefold.core.readers.records import Records

_ECHO = b"""
class Echo:
    def predict(self, columns):
        return {name: columns[name] for name in columns}
"""
_FIELDS: list[dict[str, Any]] = [
    {"name": "low", "dtype": "float32", "minimum": 0, "maximum": 60, "nullable": True, "unit": "mm"},
    {"name": "wide", "dtype": "float64"},
    {"name": "count", "dtype": "int16", "minimum": 0, "nullable": True, "null_value": -1},
    {"name": "big", "dtype": "int64"},
    {"name": "flag", "dtype": "bool"},
    {"name": "site", "dtype": "string", "enum": ["left", "right", "?"], "nullable": True, "null_value": "gone"},
    {"name": "raw", "dtype": "bytes", "maxLength": 4},
    {"name": "pair", "dtype": "float32", "shape": [2]},
]
_GOOD: dict[str, Any] = {
    "low": 1.5, "wide": 2.5, "count": 3, "big": 4, "flag": True, "site": "left", "raw": b"ab", "pair": [1.0, 2.0],
}  # fmt: skip


@pytest.fixture(scope="module")
def contract() -> Contract:
    about = {"format": 1, "name": "echo", "version": "1.0.0"}
    return Contract.from_json(about | {"inputs": _FIELDS, "outputs": _FIELDS})


@pytest.fixture(scope="module")
def clients(contract: Contract, tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, Client]]:
    bundle = Bundle.write(
        tmp_path_factory.mktemp("echo") / "bundle",
        contract=contract,
        model={"model/echo_model.py": _ECHO},
        runtime="python",
        entry="echo_model:Echo",
        golden=([_GOOD | {"raw": "YWI="}], [_GOOD | {"raw": "YWI="}]),
        tolerance=0.0,
    )
    with serving([bundle]) as urls:
        opened = {name: Client(url) for name, url in urls.items()}
        yield opened
        for client in opened.values():
            client.close()


Outcome = tuple[Any, ...]


def outcome(client: Client, data: Any) -> Outcome:
    """The predictions, or everything that an error says."""
    try:
        return "answered", client.predict(data).predictions
    except FivefoldError as error:
        return refusal(error)


def refusal(error: FivefoldError) -> Outcome:
    details = [(each.code, each.path, each.message) for each in error.details]
    return type(error), error.code, error.path, error.message, error.help, details


class Side(enum.Enum):
    LEFT = "left"


class Text(enum.StrEnum):
    LEFT = "left"


@dataclasses.dataclass
class Row:
    """A row as an object."""

    low: float = 1.5
    wide: float = 2.5
    count: int = 3
    big: int = 4
    flag: bool = True
    site: str = "left"
    raw: bytes = b"ab"
    pair: tuple[float, float] = (1.0, 2.0)


_MOMENT = dt.datetime(2024, 2, 29, 12, 30)
_DAY = np.datetime64("2024-02-29T12:30", "ns")


@pytest.mark.parametrize(
    ("field", "value", "expected"),
    [
        ("wide", np.float32(0.1), float(np.float32(0.1))),
        ("wide", np.int64(3), 3.0),
        ("wide", Decimal("0.1"), 0.1),
        ("wide", Decimal("1e400"), "out_of_range"),
        ("wide", Decimal("NaN"), "not_finite"),
        ("wide", np.longdouble(1), "wrong_type"),
        ("wide", 1 + 0j, "wrong_type"),
        ("wide", math.inf, "not_finite"),
        ("wide", math.nan, "not_finite"),
        ("wide", np.array(7.5), 7.5),
        ("wide", True, "wrong_type"),
        ("wide", np.True_, "wrong_type"),
        ("wide", None, "null_not_allowed"),
        ("wide", pd.NA, "null_not_allowed"),
        ("low", math.nan, None),
        ("low", math.inf, "not_finite"),
        ("low", pd.NaT, None),
        ("low", 61, "out_of_range"),
        ("count", math.nan, None),
        ("count", pd.NA, None),
        ("count", np.float64("nan"), None),
        ("count", 3.0, 3),
        ("count", 3.5, "wrong_type"),
        ("count", Decimal("3.0"), 3),
        ("count", Decimal("3.00000000000000000000000000000000001"), "wrong_type"),
        ("count", Decimal("1e5000"), "out_of_range"),
        ("count", 10**40, "out_of_range"),
        ("big", float(2**60), 2**60),
        ("big", 2**63 - 1, 2**63 - 1),
        ("big", 2**63, "out_of_range"),
        ("big", np.uint64(2**63), "out_of_range"),
        ("big", Decimal(2**60 + 1), 2**60 + 1),
        ("big", _MOMENT, "wrong_type"),
        ("big", _DAY, "wrong_type"),
        ("big", np.timedelta64(1, "ns"), "wrong_type"),
        ("flag", np.False_, False),
        ("flag", 1, "wrong_type"),
        ("site", np.str_("right"), "right"),
        ("site", Text.LEFT, "left"),
        ("site", Side.LEFT, "wrong_type"),
        ("site", math.nan, None),
        ("site", b"left", "wrong_type"),
        ("site", _MOMENT, "wrong_type"),
        ("site", Decimal(1), "wrong_type"),
        ("site", uuid.UUID(int=0), "wrong_type"),
        ("site", {"left"}, "wrong_type"),
        ("site", "up", "not_in_enum"),
        ("site", "\ud800", "not_utf8"),
        ("raw", bytearray(b"xy"), "eHk="),
        ("raw", memoryview(b"xy"), "eHk="),
        ("raw", "eHk=", "eHk="),
        ("raw", "no base64!", "wrong_type"),
        ("raw", b"12345", "too_long"),
        ("pair", np.array([0.5, 0.25]), [0.5, 0.25]),
        ("pair", (0.5, 0.25), [0.5, 0.25]),
        ("pair", pd.Series([0.5, 0.25]), [0.5, 0.25]),
        ("pair", pa.array([0.5, 0.25]), [0.5, 0.25]),
        ("pair", [0.5, math.inf], "not_finite"),
        ("pair", [0.5], "wrong_shape"),
        ("pair", np.array([_DAY, _DAY]), "wrong_type"),
        ("pair", {0.5, 0.25}, "wrong_type"),
    ],
)
def test_foreign_values(clients: dict[str, Client], field: str, value: Any, expected: Any) -> None:
    """A value of another library is what it means, or refused with its field and row: never quietly another one."""
    rows = [_GOOD, _GOOD | {field: value}]
    found = {name: outcome(client, rows) for name, client in clients.items()}

    assert found["http"] == found["grpc"]
    if isinstance(expected, str) and expected not in ("eHk=", "left", "right"):
        assert found["http"][:2] == (ContractError, expected)
        assert found["http"][2].startswith(f"inputs.{field}[1]")
    else:
        assert found["http"] == ("answered", [_GOOD | {"raw": "YWI="}, _GOOD | {"raw": "YWI="} | {field: expected}])


@pytest.mark.parametrize(
    "row",
    [Row(), tuple(_GOOD.values()), pd.Series(_GOOD, dtype=object), {np.str_(k): v for k, v in _GOOD.items()}],
)
def test_other_kinds_of_records(clients: dict[str, Client], row: Any) -> None:
    """Dataclasses, tuples in field order and rows of a frame are records as well."""
    for client in clients.values():
        assert outcome(client, [row]) == ("answered", [_GOOD | {"raw": "YWI="}])


_ODD: st.SearchStrategy[Any] = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-(2**65), 2**65),
    st.floats(),
    st.floats(width=16).map(np.float16),
    st.sampled_from(["left", "right", "?", "gone", "", "YWI=", "\ud800", "ü"]),
    st.binary(max_size=5),
    st.decimals(allow_nan=True, allow_infinity=True),
    st.lists(st.floats(0, 2), max_size=3),
    st.sampled_from(
        [pd.NA, pd.NaT, _MOMENT, _DAY, _MOMENT.date(), uuid.UUID(int=1), {1}, {"b64": "YWI="}, {"a": 1}, Side.LEFT]
    ),
)
_LEGAL: dict[str, st.SearchStrategy[Any]] = {
    "low": st.one_of(st.none(), st.floats(0, 60), st.integers(0, 60).map(np.int8), st.just(math.nan)),
    "wide": st.one_of(st.floats(allow_nan=False, allow_infinity=False), st.integers(), st.integers(-9, 9).map(Decimal)),
    "count": st.one_of(st.none(), st.integers(-1, 2**15 - 1), st.integers(0, 99).map(float)),
    "big": st.one_of(st.integers(-(2**63), 2**63 - 1), st.integers(-(2**50), 2**50).map(np.int64)),
    "flag": st.one_of(st.booleans(), st.booleans().map(np.bool_)),
    "site": st.sampled_from([None, "left", "right", "?", "gone"]),
    "raw": st.one_of(st.binary(max_size=4), st.just("YWI=")),
    "pair": st.lists(st.floats(0, 60), min_size=2, max_size=2),
}


@st.composite
def rows(draw: st.DrawFn, *, names: bool = True) -> list[dict[str, Any]]:
    """A few records, most of them legal; with `names` some have one too many, or lack one."""
    out = []
    for _ in range(draw(st.integers(1, 4))):
        row = {name: draw(values) for name, values in _LEGAL.items()}
        for name in draw(st.lists(st.sampled_from(list(_LEGAL)), max_size=2)):
            row[name] = draw(_ODD)
        if names and draw(st.integers(0, 9)) == 0:
            row["sight"] = 1
        if names and draw(st.integers(0, 9)) == 0:
            del row["flag"]
        out.append(row)
    return out


_SLOW = settings(
    max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow]
)


def same(found: Outcome, other: Outcome) -> bool:
    return repr(found) == repr(other)


@_SLOW
@given(given_rows=rows())
def test_records(clients: dict[str, Client], contract: Contract, given_rows: list[Any]) -> None:
    """Both transports are as one another, and as the core where the rows are JSON's own values."""
    found = {name: outcome(client, given_rows) for name, client in clients.items()}

    assert same(found["http"], found["grpc"])
    own = all(type(v) in (type(None), bool, int, str, bytes) for row in given_rows for v in row.values())
    if own:
        reading = Records(contract.inputs).read(given_rows)
        try:
            expected: Outcome = ("answered", reading.accept().to_records())
        except ContractError as error:
            expected = refusal(error)
        assert same(found["grpc"], expected)


@_SLOW
@given(given_rows=rows(names=False))
def test_tables_are_their_records(clients: dict[str, Client], given_rows: list[Any]) -> None:
    """A frame of objects and a dict of columns are answered and refused as the list of their rows."""
    columns = {name: [row[name] for row in given_rows] for name in _LEGAL}
    frame = pd.DataFrame({name: pd.Series(values, dtype=object) for name, values in columns.items()})
    expected = outcome(clients["grpc"], given_rows)
    for client in clients.values():
        found = outcome(client, frame)
        if expected[0] == "answered":
            raw = client.predict(frame).predictions
            assert raw.index.equals(frame.index)
            assert [None if item is pd.NA else item for item in raw["count"]] == [r["count"] for r in expected[1]]
            assert list(raw["site"]) == [r["site"] for r in expected[1]]
            assert list(raw["big"]) == [r["big"] for r in expected[1]]
            assert np.array_equal(raw["wide"], [r["wide"] for r in expected[1]])
        else:
            assert same(found, expected)
        if all(type(item) is not dict for values in columns.values() for item in values):
            named = outcome(client, columns)
            assert (named[0] == "answered") == (expected[0] == "answered")
            if named[0] != "answered":
                assert same(named, expected)
