"""Data sets become tables with one type a column; what cannot is refused with the column's name and a way on."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest

from fivefold.core.errors import ContractInvalid
from fivefold.core.fields.field import Field
from fivefold.exports.draft import drafted
from fivefold.exports.sample_tables import load

ANSWER = (Field("answer", "float64"),)


def test_every_kind_of_data_is_a_table(tmp_path: Path) -> None:
    """Records, a mapping of columns, a frame, and each file."""
    rows = [{"a": 1, "b": "x"}, {"a": 2}]
    want = {"a": [1, 2], "b": ["x", None]}
    (tmp_path / "d.json").write_text(json.dumps({"instances": rows}))
    (tmp_path / "d.jsonl").write_text("\n".join(map(json.dumps, rows)))
    (tmp_path / "d.csv").write_text("a,b\n1,x\n2,\n")
    (tmp_path / "d.tsv").write_text("a\tb\n1\tx\n2\t\n")

    for data in (rows, want, pd.DataFrame(want), *sorted(tmp_path.iterdir())):
        table = load(data)
        assert table.arrow.to_pydict() == want
        assert table.arrow.column("a").type == pa.int64()
        assert not any(table.notes.values())


def test_text_of_several_lines_is_one_cell(tmp_path: Path) -> None:
    """In quotes, as RFC 4180 has it."""
    path = tmp_path / "d.csv"
    path.write_text('"a\nb",c\n"1\n2",3\n')

    assert load(path).arrow.to_pydict() == {"a\nb": ["1\n2"], "c": [3]}


@pytest.mark.parametrize("start", [0, 1])
def test_an_index_without_a_header_is_left_out(start: int, tmp_path: Path) -> None:
    """A first column that counts the rows is pandas' index; one that does not is data."""
    path = tmp_path / "d.csv"
    pd.DataFrame({"x": [5, 6]}, index=[start, start + 1]).to_csv(path)

    found = drafted(path, "d", outputs=ANSWER)
    assert [field.name for field in found.contract.inputs] == ["x"]
    assert found.notes == ("the first column has no header and counts the rows: left out, pandas writes its index so",)
    assert list(drafted(path, "d", outputs=ANSWER, features=[""]).columns) == ["column"]
    path.write_text(",x\n7,5\n9,6\n")
    assert list(drafted(path, "d", outputs=ANSWER).columns) == ["column", "x"]


def test_a_saved_index_is_left_out(tmp_path: Path) -> None:
    """Parquet of pandas has its index as columns, which a frame that was read back does not."""
    frame = pd.DataFrame({"x": [1, 2], "y": [3, 4]}, index=pd.Index(["r", "s"], name="key"))
    frame.to_parquet(tmp_path / "named.parquet")
    frame.rename_axis(None).to_parquet(tmp_path / "bare.parquet")

    for name, index in (("named", "key"), ("bare", "__index_level_0__")):
        found = drafted(tmp_path / f"{name}.parquet", "d", outputs=["y"])
        assert [field.name for field in found.contract.inputs] == ["x"]
        assert found.notes == (f"column {index!r}: left out, pandas saved its index in it; take it in with --features",)
    found = drafted(tmp_path / "named.parquet", "d", outputs=["y"], features=["key"])
    assert [field.name for field in found.contract.inputs] == ["key"]
    assert found.notes == ()


def test_a_frame_keeps_its_types() -> None:
    """Categories are their values, nullable integers and booleans stay what they are, mixed numbers are floats."""
    frame = pd.DataFrame(
        {
            "category": pd.Categorical([1, 2, 1]),
            "word": pd.Categorical(["a", None, "a"]),
            "Int64": pd.array([1, None, 3], "Int64"),
            "boolean": pd.array([True, None, False], "boolean"),
            "object": pd.Series([True, None, False], dtype=object),
            "numbers": pd.Series([1, 2.5, None], dtype=object),
            "wide": pd.Series([2**64 - 1, 0, None], dtype=object),
        }
    )
    table = load(frame).arrow
    assert [str(kind) for kind in table.drop_columns(["category", "word"]).schema.types] == [
        *["int64", "bool", "bool", "double", "uint64"]
    ]
    assert table.to_pydict() == {
        "category": [1, 2, 1],
        "word": ["a", None, "a"],
        "Int64": [1, None, 3],
        "boolean": [True, None, False],
        "object": [True, None, False],
        "numbers": [1.0, 2.5, None],
        "wide": [2**64 - 1, 0, None],
    }


@pytest.mark.parametrize(
    ("values", "sentence"),
    [
        (pd.Series([1, "a"], dtype=object), r"column 'x' holds 1 \(a number\) in row 1 and 'a' \(a str\) in row 2"),
        (pd.Series([1, True], dtype=object), r"holds 1 \(a number\) in row 1 and True \(a boolean\) in row 2"),
        (pd.Series([1 + 2j]), "column 'x': complex"),
        (pd.Series([2**70, 1], dtype=object), "holds 1180591620717411303424 in row 1, and no integer type"),
        (pd.Series([-1, 2**63], dtype=object), "no integer type holds all its values"),
        (pd.Series(pd.to_datetime(["2024-01-01"])), "column 'x': timestamp"),
        (pd.Series(pd.to_timedelta([1], unit="s")), "column 'x': duration"),
        (pd.Series(pd.period_range("2020", periods=1)), "column 'x': extension<pandas.period"),
        (pd.Series([{"a": 1}]), "column 'x': struct"),
        (pd.Series([[1], [2, 3]]), "column 'x': arrays of 2 different sizes"),
    ],
    ids=str,
)
def test_a_column_without_a_type_is_refused_by_name(values: Any, sentence: str) -> None:
    """And it can be left out."""
    with pytest.raises(ContractInvalid, match=sentence) as caught:
        drafted(pd.DataFrame({"x": values}), "d", outputs=ANSWER)

    assert caught.value.path == "inputs['x']"
    assert "--drop x" in str(caught.value.help)


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ('{"x": 1}\n{"x": "a"}', r"column 'x' holds 1 \(a number\) in row 1 and 'a' \(a str\) in row 2"),
        ('{"x": 1}\n{"x": true}', "True"),
        ('{"x": NaN}', "NaN is not JSON"),
        ('{"x": 1}\n\n[1]', "d.jsonl, line 3: expected an object"),
        ('{"x": 1', "cannot read the data"),
    ],
)
def test_lines_are_held_to_json(text: str, sentence: str, tmp_path: Path) -> None:
    """Values of one type a column, and no tokens of other languages."""
    (tmp_path / "d.jsonl").write_text(text)

    with pytest.raises(ContractInvalid, match=sentence):
        load(tmp_path / "d.jsonl")


def test_another_separator_is_said(tmp_path: Path) -> None:
    """A file with one column whose name holds a semicolon is most likely another dialect."""
    (tmp_path / "d.csv").write_text("a;b\n1;2\n")

    [note] = load(tmp_path / "d.csv").notes["a;b"]
    assert note == "the only column is 'a;b': cells are separated by ',' here"


def test_what_is_no_table_is_refused() -> None:
    """An array has no names."""
    for data in (7, np.zeros((2, 2)), [[1, 2]]):
        with pytest.raises(ContractInvalid, match="expected a"):
            load(data)
