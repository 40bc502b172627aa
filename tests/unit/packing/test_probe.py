"""The probe: legal rows only, and among them what a contract allows and data seldom holds."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from tests.support.contract_values import contracts, every_rule

from fivefold.core.check.findings import Findings
from fivefold.core.check.values import column
from fivefold.core.columns import Columns
from fivefold.core.contract.contract import Contract
from fivefold.core.errors import ContractInvalid
from fivefold.core.readers.records import Records
from fivefold.packing import golden
from fivefold.packing.cover import cover
from fivefold.packing.generated import generate, legal, row_bytes
from fivefold.packing.probe import COVER_MOST, PROBE_BYTES, Probe, probe
from fivefold.packing.rare import RARE_MOST, chosen
from fivefold.packing.special import specials


def contract_of(*inputs: dict[str, Any]) -> Contract:
    """A contract of the given input fields."""
    outputs = [{"name": "y", "dtype": "float64"}]
    return Contract.from_json(
        {"format": 1, "name": "asked", "version": "1.0.0", "inputs": list(inputs), "outputs": outputs}
    )


def field(name: str = "x", dtype: str = "float64", **keywords: Any) -> dict[str, Any]:
    return {"name": name, "dtype": dtype, **keywords}


def is_legal(columns: Columns) -> bool:
    """Whether core's check takes every value as it stands."""
    findings = Findings(columns.fields, columns.rows)
    for index, one in enumerate(columns.fields):
        nulls = columns.nulls(one.name)
        again = column(findings, index, columns[one.name], nulls if nulls.any() else None)
        if not np.array_equal(again, columns[one.name], equal_nan=one.kind == "float"):
            return False
    return not findings


def alone(asked: Probe, sort: str) -> Columns:
    return asked.columns.take(np.array(asked.span(sort), np.int64))


@pytest.mark.full
@settings(max_examples=60, deadline=None, suppress_health_check=list(HealthCheck))
@given(contracts(most=4))
def test_every_row_is_legal_and_every_rare_value_is_there(contract: Contract) -> None:
    """Whatever the contract: rows read back as they are; nulls, small enumerations and both bounds are asked."""
    try:
        asked = probe(contract, None, "seed")
    except ContractInvalid:
        # No text that fits a pattern and its lengths, or no value of an enum that other rules leave.
        assert any(one.pattern or one.enum for one in contract.inputs)
        return

    columns = asked.columns
    read = Records(contract.inputs).read(columns.to_records())
    assert read.violations == ()
    assert read.columns.equals(columns)
    assert is_legal(columns)
    assert sum(asked.sorts.values()) == asked.rows <= golden.PROBE_MADE + COVER_MOST
    for one in contract.inputs:
        values, nulls = columns[one.name], columns.nulls(one.name)
        whole = nulls.reshape(asked.rows, -1)
        assert not one.nullable or whole.all(axis=1).any()
        live = values[~nulls]
        for value in legal(one, one.enum or ()):
            assert value in live.tolist() or (one.nullable and value == one.null)
        for bound in (one.limits.low, one.limits.high):
            if bound is not None and one.enum is None:
                assert bound in values


def test_the_same_contract_data_and_seed_give_the_same_rows() -> None:
    """A pack that is repeated asks the same."""
    contract = every_rule()

    first, again, other = (probe(contract, None, seed) for seed in ("a", "a", "b"))

    assert first.columns.equals(again.columns)
    assert first.sorts == again.sorts
    assert not first.columns.equals(other.columns)


def test_six_nulls_in_thirty_thousand_rows_are_asked() -> None:
    """Evenly spaced rows miss them; a rare category, a rare number, and the ends of each column are there too."""
    contract = contract_of(
        field("age", nullable=True),
        field("site", "string", maxLength=9),
        field("code", "int32"),
        field("dose"),
        field("grade", nullable=True),
    )
    nulls = (7, 4001, 9999, 12345, 20001, 29995)
    records = [
        {
            "age": None if row in nulls else row / 3,
            "site": "seldom" if row == 17_001 else ("left", "right")[row % 2],
            "code": 9 if row == 20_003 else row % 4,
            "dose": {21_111: -1e3, 21_113: 2e3}.get(row, float(row % 97) + 0.5),
            "grade": None if row == 12_347 or row in nulls[:2] else float(row % 3),
        }
        for row in range(30_000)
    ]

    asked = probe(contract, golden.from_data(records, contract), "seed")

    data = alone(asked, "data")
    assert data.nulls("age").sum() == 6
    assert (data.nulls("age") & data.nulls("grade")).sum() == 2
    assert (~data.nulls("age") & data.nulls("grade")).sum() == 1
    assert "seldom" in data["site"]
    assert 9 in data["code"]
    assert {-1e3, 2e3} <= set(data["dose"].tolist())
    assert "of data (7 with a null)" in asked.described()
    assert asked.sorts["data"] <= golden.PROBE_MOST + RARE_MOST


def test_rare_nulls_of_single_elements_are_asked() -> None:
    """The classic [rows, 30] field: each element is a feature of its own."""
    contract = contract_of(field("X", "float32", shape=[30], nullable=True))
    block = np.zeros((20_000, 30), np.float32)
    block[:, 0] = np.where(np.arange(20_000) % 2, np.nan, 1)
    block[13_001, 17] = np.nan
    rows = golden.LegalRows(Columns(contract.inputs, {"X": block}, 20_000), "block")

    asked = probe(contract, rows, "seed")

    assert 13_001 in chosen(rows, golden.PROBE_MOST)
    single = alone(asked, "null").nulls("X")
    assert all((single[:, element] & (single.sum(axis=1) <= 2)).any() for element in range(30))
    assert single.all(axis=1).any()


def test_one_field_is_null_on_rows_where_no_other_is() -> None:
    """Another rare value beside it could hide what null does."""
    contract = contract_of(*(field(name, nullable=True) for name in "abcd"))

    asked = probe(contract, None, "seed")

    nulls = np.stack([alone(asked, "null").nulls(name) for name in "abcd"], axis=1)
    assert nulls.sum(axis=1).tolist() == [1] * 12
    assert nulls.sum(axis=0).tolist() == [3] * 4
    assert all(alone(asked, "all null").nulls(name).all() for name in "abcd")
    assert asked.sorts["all null"] == 4


def test_null_is_not_the_value_that_stands_for_it() -> None:
    """Where null_value is itself legal it is asked as a value too."""
    contract = contract_of(field("k", "int16", nullable=True, null_value=0, minimum=0, maximum=500))

    asked = probe(contract, None, "seed")

    assert 0 in alone(asked, "value")["k"] or 0 in alone(asked, "bound")["k"]
    assert asked.sorts["null"] == 3


@pytest.mark.parametrize(
    ("given", "wanted"),
    [
        (field(minimum=-2.5, maximum=7), [-2.5, 7, 0, np.finfo("float32").tiny, -np.finfo("float32").tiny]),
        (field(dtype="float32", minimum=0.1, maximum=0.7), [np.float32(0.1), np.float32(0.7)]),
        (field(dtype="float16", minimum=0.1), [np.float16(0.1)]),
        (field(minimum=3), [3]),
        (field(maximum=-3), [-3]),
        (field(minimum=-1e308, maximum=1e308), [-1e308, 1e308, 0]),
        (field(dtype="int64"), [0, 1, -1, 2**24 + 1, -(2**24) - 1, 2**53 + 1, -(2**53) - 1]),
        (field(dtype="int64", minimum=-(2**63), maximum=2**63 - 1), [-(2**63), 2**63 - 1]),
        (field(dtype="uint64", maximum=2**64 - 1), [0, 1, 2**53 + 1, 2**63, 2**63 + 1, 2**64 - 1]),
        (field(dtype="int32", minimum=1, maximum=9), list(range(1, 10))),
        (field(dtype="uint8"), [0, 255]),
        (field(dtype="int16"), [-(2**15), 2**15 - 1]),
        (field(dtype="float32", enum=[0.1, 0.2, 5]), [np.float32(0.1), np.float32(0.2), 5]),
        (field(dtype="int8", enum=[-3, 100]), [-3, 100]),
        (field(dtype="bool"), [False, True]),
        (field(dtype="string", enum=["left", "right", "both sides"]), ["left", "right", "both sides"]),
        (field(dtype="int32", default=77), [77]),
        (field(dtype="string", default="by default"), ["by default"]),
        (field(dtype="bytes", minLength=1, maxLength=3), [b"\x00", b"\xff"]),
    ],
)
def test_what_a_field_allows_is_asked_in_a_row_of_its_own(given: dict[str, Any], wanted: list[Any]) -> None:
    """Bounds in the field's own dtype, zero and its neighbours, integers beyond floats, each value of a short list."""
    contract = contract_of(given, field("other"))

    asked = probe(contract, None, "seed")

    single = asked.columns["x"][asked.span("made").stop :]
    assert set(wanted) <= set(single.tolist()) | set(single)
    assert is_legal(asked.columns)


def test_fields_meet_their_ends_together() -> None:
    """All at their least, all at their most, all zero."""
    contract = contract_of(*(field(name, minimum=-1, maximum=index + 1) for index, name in enumerate("abc")))

    asked = probe(contract, None, "seed")

    ends = np.stack([alone(asked, "ends")[name] for name in "abc"], axis=1).tolist()
    assert [-1, -1, -1] in ends
    assert [1, 2, 3] in ends
    assert [alone(asked, "all zero")[name].tolist() for name in "abc"] == [[0]] * 3


def test_odd_text_is_asked_and_the_data_s_own_words_in_other_hands() -> None:
    """Runs of blanks, tabs, case, accents, the empty string, words that stand for nothing, long text."""
    contract = contract_of(field("note", "string"))
    rows = golden.from_data([{"note": text} for text in ("red fox", "blue whale", "ant")], contract)

    texts = set(alone(probe(contract, rows, "seed"), "text")["note"].tolist())

    odd = {
        "",
        " ",
        "   ",
        "\t",
        "a  b",
        "a\tb",
        "a\nb",
        " a",
        "a ",
        "café",
        "cafe\u0301",
        "日本語",
        "😀",
        "nan",
        "None",
        "NA",
    }
    own = {"RED FOX", "Red Fox", "red  fox", "red\tfox", "  red fox", "blue whale ", "blue  whale", "ANT"}
    assert odd | own <= texts
    assert max(map(len, texts)) == 4096


@pytest.mark.parametrize(
    "given",
    [
        field(dtype="string", pattern="^[A-Z]{2}-\\d{1,3}$"),
        field(dtype="string", pattern="[a-z]", maxLength=12),
        field(dtype="string", minLength=3, maxLength=5),
        field(dtype="string", minLength=6000),
        field(dtype="string", maxLength=0),
        field(dtype="string", shape=[2, 2], nullable=True, null_value=""),
        field(dtype="bytes", minLength=5, maxLength=5),
        field(dtype="bytes", maxLength=0),
    ],
)
def test_odd_text_keeps_lengths_and_patterns(given: dict[str, Any]) -> None:
    """What breaks the contract is not asked."""
    asked = probe(contract_of(given), None, "seed")

    assert is_legal(asked.columns)
    assert asked.sorts["text" if given["dtype"] == "string" else "bytes"]


def test_the_longest_and_the_shortest_text_are_asked() -> None:
    """Lengths are bounds like any others."""
    asked = probe(contract_of(field("code", "string", minLength=2, maxLength=9)), None, "seed")

    assert {len(text) for text in alone(asked, "text")["code"]} >= {2, 9}


def test_nan_and_infinities_are_asked_where_they_are_legal() -> None:
    """In a nullable field NaN is null; an infinity beyond a bound is out of range."""
    contract = contract_of(
        field("a", allow_nan=True),
        field("b", "float32", allow_nan=True, nullable=True, minimum=0),
        field("c", nullable=True),
    )

    asked = probe(contract, None, "seed")

    odd = alone(asked, "not finite")
    assert np.isnan(odd["a"]).any()
    assert {math.inf, -math.inf} <= set(odd["a"].tolist())
    assert (odd["b"] == np.inf).any()
    assert not (odd["b"] == -np.inf).any()
    assert np.isfinite(asked.columns["c"][~asked.columns.nulls("c")]).all()


def test_what_is_not_reached_is_said() -> None:
    """Open ends, long text, long enumerations."""
    contract = contract_of(
        field("x"),
        field("n", "int64", minimum=5),
        field("m", maximum=1),
        field("note", "string"),
        field("site", "string", enum=[f"site {index}" for index in range(3000)]),
        field("k", "int32", enum=list(range(2000))),
        field("closed", minimum=0, maximum=1),
    )

    said = probe(contract, None, "seed").unreached

    assert any(text.startswith("inputs.x has no bounds: asked from -") for text in said)
    assert "inputs.n has no maximum: asked from 5 to 9.0072e+15" in said
    assert any(text.startswith("inputs.m has no minimum: asked from ") and text.endswith(" to 1") for text in said)
    assert "inputs.note allows any number of characters: asked up to 4,096" in said
    assert any(text.startswith("inputs.site allows 3,000 values: asked ") for text in said)
    assert any(text.startswith("inputs.k allows 2,000 values: asked ") for text in said)
    assert not any("closed" in text for text in said)


def test_everything_reached_leaves_nothing_to_say() -> None:
    """Bounds, a short enumeration and a bounded text."""
    contract = contract_of(
        field("a", minimum=0, maximum=1), field("s", "string", enum=["u", "v"]), field("t", "string", maxLength=5)
    )

    assert probe(contract, None, "seed").unreached == ()


def test_a_thousand_fields_share_rows() -> None:
    """Rows stay bounded, every field's every value is asked at least together with others, and that is said."""
    contract = contract_of(*(field(f"x{index}", nullable=True, minimum=-1, maximum=1) for index in range(1000)))

    asked = probe(contract, None, "seed")

    assert asked.rows <= golden.PROBE_MADE + COVER_MOST
    covering = asked.columns.slice(golden.PROBE_MADE, asked.rows)
    for name in covering:
        assert covering.nulls(name).any()
        assert {-1, 0, 1} <= set(covering[name].tolist())
    assert asked.sorts["null"] >= 1000
    assert any("together with others only" in text for text in asked.unreached)


def test_a_large_array_field_gives_few_rows_made_as_arrays() -> None:
    """3x320x320: megabytes a row, so memory bounds the rows; both ends, zero and null are there all the same."""
    contract = contract_of(field("image", "float32", shape=[3, 320, 320], minimum=0, maximum=1, nullable=True))

    asked = probe(contract, None, "seed")

    image = asked.columns["image"]
    assert image.dtype == np.float32
    assert 16 <= asked.rows <= 2 * PROBE_BYTES // row_bytes(contract.inputs)
    flat = image.reshape(asked.rows, -1)
    assert (flat == 0).all(axis=1).any()
    assert (flat == 1).all(axis=1).any()
    assert np.isnan(flat).all(axis=1).any()
    assert any("bytes: asked about" in text for text in asked.unreached)


@pytest.mark.full
def test_the_largest_array_that_a_contract_allows_is_asked() -> None:
    """16,777,216 elements: a handful of rows."""
    asked = probe(contract_of(field("volume", "uint8", shape=[2**24])), None, "seed")

    assert 4 <= asked.rows <= 12
    assert {0, 255} <= set(asked.columns["volume"][:, 0].tolist())


def test_one_row_of_data_is_enough_to_start_from() -> None:
    """Covering rows change that row; made ones stand beside it."""
    contract = contract_of(field("a", nullable=True), field("s", "string", enum=["u", "v"]), field("b"))
    rows = golden.from_data([{"a": 5.5, "s": "u", "b": 5.5}], contract)

    asked = probe(contract, rows, "seed")

    assert list(asked.sorts)[:2] == ["data", "made"]
    assert asked.sorts["data"] == 1
    assert alone(asked, "null").to_records()[0] == {"a": None, "s": "u", "b": 5.5}
    assert asked.columns.slice(0, 1).to_records() == [{"a": 5.5, "s": "u", "b": 5.5}]


def test_data_that_is_null_throughout_is_asked_with_values_too() -> None:
    """A column that the data never fills is filled by made rows."""
    contract = contract_of(field("a", nullable=True), field("b", "float32"))
    rows = golden.from_data([{"a": None, "b": 1.0}] * 40, contract)

    asked = probe(contract, rows, "seed")

    assert alone(asked, "data").nulls("a").all()
    assert not asked.columns.nulls("a").all()


def test_data_helps_where_no_row_can_be_made() -> None:
    """A pattern that no walk fits: the data's rows are asked, and that none was made is said."""
    contract = contract_of(field("code", "string", pattern="^(a|b{1,900})$", minLength=500, maxLength=500))
    rows = golden.from_data([{"code": "b" * 500}], contract)

    asked = probe(contract, rows, "seed")

    assert asked.sorts["data"] == 1
    assert "made" not in asked.sorts
    assert any("no row was made from the contract" in text for text in asked.unreached)
    with pytest.raises(ContractInvalid, match="no text was found"):
        probe(contract, None, "seed")


def test_the_sorts_are_told_in_one_sentence() -> None:
    """What the report says, and what a message says of one row."""
    contract = contract_of(field("a", minimum=0, maximum=1, nullable=True), field("b", minimum=0, maximum=1))
    rows = golden.from_data([{"a": 0.5, "b": 0.25}, {"a": None, "b": 1}], contract)

    asked = probe(contract, rows, "seed")

    assert asked.described().startswith(f"asked {asked.rows:,} rows: 2 of data (1 with a null), 64 made inside")
    assert "3 with one null" in asked.described()
    assert asked.sort_of(0) == "of data"
    assert asked.sort_of(asked.span("null")[0]) == "with one null"
    assert asked.span("text") == range(0)


@pytest.mark.parametrize("most", [1, 2, 5, 40])
def test_few_rows_cover_as_much_as_they_can(most: int) -> None:
    """The number of rows is kept whatever there is to cover."""
    contract = contract_of(*(field(name, nullable=True, minimum=-1, maximum=1) for name in "abc"), field("t", "string"))

    covering = cover(generate(contract.inputs, 8, "seed", nulls=0), "seed", most)

    assert covering.columns.rows == len(covering.sorts) == most
    assert covering.shared > 0


def test_rare_values_of_one_field_come_once() -> None:
    """A minimum of zero is a bound, not also a zero; null comes first."""
    contract = contract_of(field(minimum=0, maximum=1, nullable=True))

    found = specials(contract.inputs[0], np.array([0.5]), "seed")

    assert found[0].null
    assert [(one.sort, float(one.value)) for one in found[1:3]] == [("bound", 0.0), ("bound", 1.0)]
    assert len({repr(one.value) for one in found}) == len(found)
