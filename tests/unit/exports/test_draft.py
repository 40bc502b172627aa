"""A draft says what the data shows, and the data that it was drafted from is legal under it."""

from __future__ import annotations

import json
from decimal import Decimal
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fivefold.core.contract.contract import Contract
from fivefold.core.errors import ContractInvalid
from fivefold.core.fields.field import Field
from fivefold.core.readers.arrow import Arrow
from fivefold.core.readers.records import Records
from fivefold.exports.draft import drafted as drafted_with_notes
from fivefold.exports.draft import read

ANSWER = (Field("answer", "float64"),)


def draft(*data: Any, **options: Any) -> Contract:
    return drafted_with_notes(*data, **options).contract


def drafted(table: pa.Table) -> Contract:
    return draft(table, "drawn", outputs=ANSWER)


def one(values: Any, kind: Any = None) -> Field:
    """The field drafted from one column."""
    [field] = drafted(pa.table({"x": pa.array(values, kind)})).inputs
    return field


def test_dtypes_are_the_observed_ones() -> None:
    """Every Arrow type that has a dtype keeps it; a decimal becomes binary64."""
    for name in (
        "int8",
        "int16",
        "int32",
        "int64",
        "uint8",
        "uint16",
        "uint32",
        "uint64",
        "float16",
        "float32",
        "float64",
    ):
        field = one(pa.array(np.array([1, 2], name)))
        assert (field.dtype, field.minimum, field.maximum, field.nullable) == (name, 1, 2, False)

    assert one([True, False]).dtype == "bool"
    assert one([b"a"]).dtype == "bytes"
    assert one(["a"], pa.large_string()).dtype == "string"
    assert one([Decimal("1.5")]).dtype == "float64"


def test_ranges_are_written_short() -> None:
    """A narrow float's end is the shortest number that rounds to it."""
    field = one(pa.array(np.array([0.1, 0.7], np.float32)))

    assert (field.minimum, field.maximum) == (0.1, 0.7)


def test_nulls_are_seen() -> None:
    """A null or NaN makes the field nullable; a null value is one that the data does not hold."""
    assert one([1.5, None]).nullable
    assert one([1.5, float("nan")]).nullable
    assert one([1, None]).null_value == -1
    assert one([-5, None]).null_value == -(2**63)
    assert one([0, None], pa.uint8()).null_value == 255
    assert one([0, 255, None], pa.uint8()).null_value == 0
    assert one(["a", None]).null_value == ""
    assert one(["", None]).null_value == "␀"
    assert one(["", "␀", None]).null_value == "␀␀"
    assert one([None, True]).null_value is False
    assert one([None, None]).dtype == "float64"


def test_null_is_no_legal_value_where_one_can_be_spared() -> None:
    """The empty text, which data without it may not hold either, is the null of text; a value outside of an enum is."""
    text, listed, empty = one(["a", None]), one(["a", "a", None]), one(["", "a", None])

    assert (text.null_value, text.min_length) == ("", 1)
    assert (listed.null_value, listed.enum, listed.min_length) == ("", ("a",), None)
    assert (empty.null_value, empty.min_length) == ("␀", None)
    assert (one([b"a", None]).null_value, one([b"a", None]).min_length) == ("", 1)
    assert one([b"", b"\0", None]).null_value == "AAA="
    assert one(["a", "b"]).min_length is None


def test_an_infinity_opens_its_end() -> None:
    """Infinite values are allowed where they were seen, and the range stays open there."""
    field = one([1.0, float("inf")])

    assert (field.allow_nan, field.minimum, field.maximum) == (True, 1, None)


def test_strings_that_repeat_become_an_enum() -> None:
    """Few values seen often are listed, sorted; many values, or each seen once, are not."""
    assert one(["b", "a", "b", "a"]).enum == ("a", "b")
    assert one(["a", "b"]).enum is None
    assert one([str(value) for value in range(40)] * 3).enum is None
    assert one(pa.array(["b", "a", "b", "a"]).dictionary_encode()).enum == ("a", "b")


def test_arrays_have_a_shape() -> None:
    """Lists of one size, nested too, become a shape; ragged ones are refused."""
    assert one([[1, 2], [3, 4]]).shape == (2,)
    assert one([[[1, 2, 3]], [[4, 5, 6]]]).shape == (1, 3)
    assert one([[1.0, None], [3.0, 4.0]]).nullable
    assert one([[1.0], None]).nullable
    tensors = pa.FixedShapeTensorArray.from_numpy_ndarray(np.arange(12.0).reshape(2, 2, 3))
    assert one(tensors).shape == (2, 3)
    with pytest.raises(ContractInvalid, match="different sizes"):
        one([[1], [2, 3]])


def test_outputs_come_from_columns_or_as_fields() -> None:
    """A column of answers leaves the inputs and keeps its values but no range; a field stands as it is."""
    table = pa.table({"x": [1.0, 2.0, 3.0, 4.0], "label": ["a", "b", "a", "b"], "score": [0.1, 0.2, 0.3, None]})
    contract = draft(table, "mine", outputs=["label", "score", Field("p", "float32", shape=(2,))], version="2")

    assert [field.name for field in contract.inputs] == ["x"]
    assert contract.outputs == (
        Field("label", "string", enum=("a", "b")),
        Field("score", "float64"),
        Field("p", "float32", shape=(2,)),
    )
    assert (contract.name, contract.version) == ("mine", "2")
    with pytest.raises(ContractInvalid, match="no column 'lable'"):
        draft(table, "mine", outputs=["lable"])


def test_names_become_legal() -> None:
    """A column name that contracts do not allow gets one that they do; the old one is in the description."""
    fields = drafted(pa.table({"mean radius (mm)": [1], "mean_radius_mm": [2], "a-b.c": [3], "9": [4], "": [5]})).inputs

    assert [field.name for field in fields] == ["mean_radius_mm_2", "mean_radius_mm", "a-b.c", "f9", "column"]
    assert fields[0].description == "column 'mean radius (mm)' of the data"
    assert [field.aliases for field in fields] == [("mean radius (mm)",), (), (), ("9",), ()]


ROWS = pa.table(
    {
        "id": [7, 8, 9],
        "age": pa.array([18, 40, 90], pa.int64()),
        "delta": pa.array([-1.0, 0.5, 9.0]),
        "loss": pa.array([-9, -5, -1], pa.int8()),
        "same": pa.array([5, 5, 5], pa.uint8()),
        "kind": ["a", "b", "a"],
        "label": [True, False, True],
        "grade": [3, 1, 2],
    }
)


def test_columns_are_chosen() -> None:
    """The target and what is dropped are no inputs; features alone are inputs, in their order."""

    def names(**chosen: Any) -> list[str]:
        return [field.name for field in draft(ROWS, "d", outputs=ANSWER, **chosen).inputs]

    assert names(target="label", drop=["id", "kind"]) == ["age", "delta", "loss", "same", "grade"]
    assert names(target=["label", "grade"], drop=["id", "kind"]) == ["age", "delta", "loss", "same"]
    assert names(features=["delta", "age"]) == ["delta", "age"]
    assert names(features=["delta"], target="label", drop=["id"]) == ["delta"]


@pytest.mark.parametrize(
    ("chosen", "path", "sentence", "help"),
    [
        ({"target": "lable"}, "target", "no column 'lable'", "did you mean 'label'"),
        ({"drop": ["ages"]}, "drop", "no column 'ages'", "did you mean 'age'"),
        ({"features": ["zzz"]}, "features", "no column 'zzz'", "the columns are id, age"),
        ({"enums": {"kinds": ["a"]}}, "enums", "no column 'kinds'", "did you mean 'kind'"),
        ({"features": ["age", "age"]}, "features", "'age' is given twice", None),
        ({"features": ["age", "label"], "target": "label"}, "features", "in features and in target", None),
        ({"features": ["age"], "drop": ["age"]}, "features", "in features and in drop", None),
        ({"drop": ROWS.column_names}, "inputs", "no column is left", "fewer"),
        ({"margin": -0.1}, "margin", "a margin of at least 0", "0.1"),
        ({"margin": float("nan")}, "margin", "a margin of at least 0", "0.1"),
    ],
)
def test_a_choice_that_cannot_be_is_refused(chosen: Any, path: str, sentence: str, help: str | None) -> None:
    """With what was meant."""
    with pytest.raises(ContractInvalid, match=sentence) as caught:
        draft(ROWS, "d", outputs=ANSWER, **chosen)

    assert caught.value.path == path
    assert help is None or help in str(caught.value.help)


def test_a_made_name_is_never_that_of_a_column_left_out() -> None:
    """Else the data would have two columns for the field."""
    table = pa.table({"x y": [1], "x_y": [2]})

    [field] = draft(table, "d", outputs=ANSWER, drop=["x_y"]).inputs
    assert (field.name, field.aliases) == ("x_y_2", ("x y",))
    assert Arrow([field]).read(table.to_batches()[0]).columns["x_y_2"].tolist() == [1]


def test_a_margin_widens_ranges() -> None:
    """By its share of the span at both ends: integers outwards, never across zero, never out of the dtype."""
    ranges = {
        field.name: (field.minimum, field.maximum) for field in draft(ROWS, "d", outputs=ANSWER, margin=0.1).inputs
    }

    assert ranges["age"] == (10, 98)
    assert ranges["delta"] == (-2, 10)
    assert ranges["loss"] == (-10, 0)
    assert ranges["same"] == (4, 6)
    assert ranges["id"] == (6, 10)

    def wide(values: Any, margin: float, kind: Any = None) -> tuple[Any, Any]:
        [field] = draft(pa.table({"x": pa.array(values, kind)}), "d", outputs=ANSWER, margin=margin).inputs
        return field.minimum, field.maximum

    assert wide([0, 3], 0.1) == (0, 4)
    assert wide([0.0, 0.0], 0.5) == (0, 0.5)
    assert wide([100, 250], 1, pa.uint8()) == (0, 255)
    assert wide([-100, 100], 1, pa.int8()) == (-128, 127)
    assert wide([-(2**63), 2**63 - 1], 3) == (-(2**63), 2**63 - 1)
    assert wide([1e308, -1e308], 1) == (-1.7976931348623157e308, 1.7976931348623157e308)
    assert wide(np.array([1, 60000], np.float16), 1) == (0, 65504)
    assert wide([1.0, float("inf")], 0.5) == (0.5, None)
    assert wide([0.123456, 0.987654], 0.1) == (0.037, 1.074)


@given(
    st.lists(st.floats(allow_nan=False, allow_infinity=False), min_size=1)
    | st.lists(st.integers(-(2**63), 2**63 - 1), min_size=1),
    st.floats(0, 10),
)
def test_a_margin_keeps_the_data(values: list[Any], margin: float) -> None:
    """Whatever the margin, no value that was seen falls out of the range, and no sign comes in."""
    [field] = draft(pa.table({"x": values}), "d", outputs=ANSWER, margin=margin).inputs
    assert field.minimum is not None
    assert field.maximum is not None

    assert field.minimum <= min(values)
    assert field.maximum >= max(values)
    assert field.minimum >= 0 or min(values) < 0
    assert field.maximum <= 0 or max(values) >= 0


def test_open_ranges_have_no_ends() -> None:
    """A detector of outliers is asked about values that the data does not hold."""
    table = pa.table({"x": [1.5, 2.5], "n": [3, None], "y": [1.0, float("inf")]})
    x, n, y = draft(table, "d", outputs=ANSWER, open_ranges=True, margin=0.1).inputs

    assert [(field.minimum, field.maximum) for field in (x, n, y)] == [(None, None)] * 3
    assert (n.nullable, n.null_value, y.allow_nan) == (True, -(2**63), True)


def test_the_values_that_a_model_knows_are_the_enum() -> None:
    """In place of the observed ones, as far as the dtype holds them; rows with others are said."""
    table = pa.table({"s": ["a", "b", None], "n": [1, 2, 2], "f": [0.5, 1.0, 1.0], "ok": [True, True, False]})
    enums = {
        "s": np.array(["b", "c", None], object),
        "n": np.array([1.0, 2.0, 3.0]),
        "f": [0.5, 1, float("nan")],
        "ok": [True, False],
    }
    found = drafted_with_notes(table, "d", outputs=ANSWER, enums=enums)
    s, n, f, ok = found.contract.inputs

    assert (s.enum, s.null_value) == (("b", "c"), "")
    assert (n.enum, n.minimum, n.maximum) == ((1, 2, 3), None, None)
    assert f.enum == (0.5, 1)
    assert ok.enum is None
    assert found.notes == ("column 's' holds 'a', which the model does not know: rows with it are refused",)
    assert draft(pa.table({"s": ["a", "a"]}), "d", outputs=ANSWER, enums={"s": []}).inputs[0].enum == ("a",)


def test_answers_keep_their_type() -> None:
    """Booleans stay booleans, and integers stay within what every client holds: nothing is warned about."""
    contract = draft(ROWS, "d", outputs=["label", "grade"])

    assert contract.outputs == (
        Field("label", "bool"),
        Field("grade", "int64", minimum=-(2**53) + 1, maximum=2**53 - 1),
    )
    assert contract.warnings() == []
    [far] = draft(pa.table({"x": [1], "far": [2**60]}), "d", outputs=["far"]).outputs
    assert (far.minimum, far.maximum) == (None, None)


def test_what_was_decided_is_said() -> None:
    """About each column that is an input, in their order, and about no other."""
    table = pa.table(
        {
            "money": [Decimal("1.50"), Decimal("2.25")],
            "count": [1.0, None],
            "": [1, 2],
            "empty": pa.nulls(2),
        }
    )
    found = drafted_with_notes(table, "d", outputs=ANSWER)

    assert found.notes == (
        "column 'money': decimal128(3, 2) becomes float64, which holds 15 digits exactly",
        "column 'count' holds whole numbers and nulls: drafted as float64, as pandas holds integers "
        "with missing values",
        "a column has no header: drafted as 'column', and data under the contract needs that header",
        "column 'empty' holds no value: drafted as a nullable number",
    )
    assert drafted_with_notes(table, "d", outputs=ANSWER, features=["count"]).notes == found.notes[1:2]
    assert found.columns == {"money": "money", "count": "count", "column": "", "empty": "empty"}


@pytest.mark.parametrize("suffix", [".parquet", ".csv", ".jsonl", "frame"])
def test_every_source_reads_alike(suffix: str, tmp_path: Path) -> None:
    """The same rows give the same contract from a frame and from each kind of file."""
    rows = [{"x": 1.5, "n": 3, "s": "NA", "ok": True}, {"x": None, "n": -4, "s": "NA", "ok": False}] * 2
    table = pa.Table.from_pylist(rows)
    path = tmp_path / f"data{suffix}"
    source: Any = path
    if suffix == ".parquet":
        pq.write_table(table, path)
    elif suffix == ".csv":
        path.write_text("x,n,s,ok\n" + "1.5,3,NA,true\n,-4,NA,false\n" * 2)
    elif suffix == ".jsonl":
        path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    else:
        source = pd.DataFrame(rows)

    assert draft(source, "drawn", outputs=ANSWER).inputs == (
        Field("x", "float64", minimum=1.5, maximum=1.5, nullable=True),
        Field("n", "int64", minimum=-4, maximum=3),
        Field("s", "string", enum=("NA",)),
        Field("ok", "bool"),
    )


def test_csv_keeps_what_looks_like_a_time(tmp_path: Path) -> None:
    """A date in CSV is text; an empty quoted cell is the empty string and not null."""
    path = tmp_path / "data.csv"
    path.write_text('day,note\n2024-01-02,""\n2024-01-02,""\n')

    day, note = draft(str(path), "drawn", outputs=ANSWER).inputs
    assert day.enum == ("2024-01-02",)
    assert (note.enum, note.nullable) == (("",), False)


@pytest.mark.parametrize(
    ("source", "sentence"),
    [
        (pa.table({"when": pa.array([0], pa.timestamp("s"))}), "has no dtype"),
        (pa.table({"x": pa.array([{"y": 1}])}), "column 'x': struct<y: int64> has no dtype"),
        (pa.table({"x": pa.array([[]], pa.list_(pa.int8()))}), "different sizes or of none"),
        (pa.table({"x": pa.array([], pa.int8())}), "no rows"),
        (Path("absent.parquet"), "cannot read absent.parquet"),
        (Path("data.xlsx"), "expected a .parquet"),
        (7, "expected a data frame"),
    ],
    ids=str,
)
def test_what_has_no_place_is_refused(source: Any, sentence: str) -> None:
    """Data that no contract can describe is refused with what to do."""
    with pytest.raises(ContractInvalid, match=sentence):
        draft(source, "drawn", outputs=ANSWER)


@pytest.mark.parametrize("line", ['{"x": 1', "[1]", '{"x": 1}\n{"x": "a"}'])
def test_a_broken_line_is_refused(line: str, tmp_path: Path) -> None:
    """JSON lines that are not objects of one type a column are refused, never guessed at."""
    path = tmp_path / "data.jsonl"
    path.write_text(line + "\n")

    with pytest.raises(ContractInvalid):
        draft(path, "drawn", outputs=ANSWER)


COLUMNS = st.sampled_from(["int8", "int64", "uint16", "float16", "float32", "float64", "bool", "string"])


@given(st.data())
def test_the_data_is_legal_under_its_draft(data: st.DataObject) -> None:
    """Whatever the table holds, the drafted contract accepts every row of it, as a table and as records."""
    rows = data.draw(st.integers(1, 6))
    columns = {}
    for name in data.draw(st.lists(st.sampled_from(["a", "b c", "d"]), min_size=1, unique=True)):
        dtype = data.draw(COLUMNS)
        cell: st.SearchStrategy[Any] = st.booleans() if dtype == "bool" else st.sampled_from(["", "a", "é", "null"])
        if dtype[:3] in ("int", "uin"):
            info = np.iinfo(dtype)
            cell = st.integers(int(info.min), int(info.max)) | st.integers(0, 3)
        elif dtype[:5] == "float":
            cell = st.floats(width=int(dtype[5:]), allow_infinity=False)  # type: ignore[arg-type]
        cells = data.draw(st.lists(cell | st.none(), min_size=rows, max_size=rows))
        kind = pa.bool_() if dtype == "bool" else getattr(pa, dtype)()
        columns[name] = pa.array([np.float16(v) if dtype == "float16" and v is not None else v for v in cells], kind)
    table = pa.table(columns)

    contract = drafted(table)

    reading = Arrow(contract.inputs).read(table.to_batches()[0])
    assert not reading.violations
    assert not Records(contract.inputs).read(reading.columns.to_records()).violations
    assert Contract.from_json(contract.to_bytes()) == contract


def test_a_table_is_read_as_it_is() -> None:
    """A table passes through, and an integer column of a frame stays one."""
    table = pa.table({"x": [1]})

    assert read(table) is table
    assert list(read(pd.DataFrame({0: [1, 2]})).schema) == [pa.field("0", pa.int64())]
