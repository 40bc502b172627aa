"""Rows to prove a model with: legal, deterministic, out of any table."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from fivefold.core.contract.contract import Contract
from fivefold.core.errors import ContractInvalid
from fivefold.core.readers.records import Records
from fivefold.packing import golden

CONTRACT = Contract.from_json(
    {
        "format": 1,
        "name": "all",
        "version": "1.0.0",
        "inputs": [
            {"name": "f", "dtype": "float32", "minimum": -1, "maximum": 2, "nullable": True},
            {"name": "g", "dtype": "float64", "minimum": 10},
            {"name": "h", "dtype": "float16", "maximum": -5},
            {"name": "n", "dtype": "int8", "shape": [2, 2]},
            {"name": "u", "dtype": "uint64", "minimum": 5, "maximum": 5},
            {"name": "k", "dtype": "int16", "nullable": True, "null_value": -1, "minimum": 0, "maximum": 3},
            {"name": "b", "dtype": "bool"},
            {"name": "word", "dtype": "string", "minLength": 2, "maxLength": 4},
            {"name": "code", "dtype": "string", "pattern": "^[A-Z]{2}-\\d{1,3}(x|y)?$"},
            {"name": "site", "dtype": "string", "enum": ["left", "right"]},
            {"name": "raw", "dtype": "bytes", "maxLength": 3},
        ],
        "outputs": [{"name": "y", "dtype": "float64"}],
    }
)
SMALL = Contract.from_json(
    {
        "format": 1,
        "name": "small",
        "version": "1.0.0",
        "inputs": [
            {"name": "mean_radius", "dtype": "float64", "maximum": 60},
            {"name": "zip", "dtype": "string"},
            {"name": "note", "dtype": "string", "nullable": True, "null_value": ""},
        ],
        "outputs": [{"name": "y", "dtype": "float64"}],
    }
)


def test_made_rows_keep_every_rule_of_the_contract() -> None:
    """What is made is accepted by the reader of requests, nulls included."""
    rows = golden.made(CONTRACT.inputs, 200, "seed").columns

    read = Records(CONTRACT.inputs).read(rows.to_records())

    assert read.violations == ()
    assert read.columns.equals(rows)
    assert 0 < rows.nulls("f").sum() < 100


def test_made_rows_are_the_same_each_time_and_differ_by_seed() -> None:
    """A bundle made twice has the same golden rows."""
    assert golden.made(CONTRACT.inputs, 20, "a").columns.equals(golden.made(CONTRACT.inputs, 20, "a").columns)
    assert not golden.made(CONTRACT.inputs, 20, "a").columns.equals(golden.made(CONTRACT.inputs, 20, "b").columns)


def test_fields_do_not_disturb_each_other() -> None:
    """A field's values hang on its own name alone: another field beside it changes nothing."""
    whole = golden.made(CONTRACT.inputs, 30, "seed").columns
    alone = golden.made(CONTRACT.inputs[4:5], 30, "seed").columns

    assert whole["u"].tolist() == alone["u"].tolist()


@pytest.mark.parametrize(
    "field",
    [
        {"dtype": "int64", "minimum": -(2**63), "maximum": 2**63 - 1},
        {"dtype": "uint64", "minimum": 2**64 - 3, "maximum": 2**64 - 1},
        {"dtype": "uint64", "minimum": 2**64 - 3},
        {"dtype": "int8", "minimum": 120},
        {"dtype": "float64", "minimum": -1.7e308, "maximum": 1.7e308},
        {"dtype": "float32", "minimum": 3.4e38},
        {"dtype": "float16", "minimum": 65500},
        {"dtype": "float16", "minimum": 0.1, "maximum": 0.1},
        {"dtype": "float32", "minimum": 0.1, "maximum": 0.1000001},
        {"dtype": "int8", "enum": [1, 2, 50], "maximum": 9},
        {"dtype": "string", "enum": ["a", "abc"], "minLength": 2},
        {"dtype": "string", "shape": [2, 3], "maxLength": 2, "nullable": True, "null_value": "none"},
        {"dtype": "bytes", "shape": [2], "maxLength": 2, "nullable": True, "null_value": ""},
        {"dtype": "bool", "shape": [3], "nullable": True, "null_value": False},
    ],
)
def test_made_rows_keep_narrow_rules(field: dict[str, Any]) -> None:
    """The ends of a dtype, bounds that it cannot hold, enumerations that other rules cut, shaped nulls."""
    contract = Contract.from_json({**CONTRACT.to_json(), "inputs": [{"name": "x", **field}]})

    rows = golden.made(contract.inputs, 60, "seed").columns

    read = Records(contract.inputs).read(rows.to_records())
    assert read.violations == ()
    assert read.columns.equals(rows)


def test_an_enum_without_a_legal_value_is_a_contract_to_correct() -> None:
    """The bounds leave none of it."""
    contract = Contract.from_json(
        {**CONTRACT.to_json(), "inputs": [{"name": "x", "dtype": "int8", "enum": [7, 8], "maximum": 3}]}
    )

    with pytest.raises(ContractInvalid, match="no value of the enum") as caught:
        golden.made(contract.inputs, 1)

    assert caught.value.path == "inputs.x"


def test_large_arrays_are_made_whole() -> None:
    """Millions of numbers, in the field's own dtype and inside its bounds."""
    contract = Contract.from_json(
        {
            **CONTRACT.to_json(),
            "inputs": [{"name": "x", "dtype": "float32", "shape": [3, 320, 320], "minimum": -1, "maximum": 1}],
        }
    )

    rows = golden.made(contract.inputs, 8, "seed").columns["x"]

    assert (rows.shape, str(rows.dtype)) == ((8, 3, 320, 320), "float32")
    assert -1 <= rows.min() < -0.99
    assert 0.99 < rows.max() <= 1


def test_a_pattern_that_never_fits_its_lengths_asks_for_data() -> None:
    """There is no row to make, and the error says what to give instead."""
    contract = Contract.from_json(
        {
            **CONTRACT.to_json(),
            "inputs": [{"name": "code", "dtype": "string", "pattern": "^\\d{3}$", "minLength": 4}],
        }
    )

    with pytest.raises(ContractInvalid, match="no text was found") as caught:
        golden.made(contract.inputs, 1)

    assert caught.value.help == "give data for the golden rows: --golden DATA"


def _write(place: Path, frame: pd.DataFrame) -> Path:
    if place.suffix == ".parquet":
        frame.to_parquet(place)
    elif place.suffix in (".csv", ".tsv"):
        frame.to_csv(place, index=False, sep="\t" if place.suffix == ".tsv" else ",")
    else:
        records: list[Any] = json.loads(frame.to_json(orient="records"))
        lines = "\n".join(json.dumps(record) for record in records)
        place.write_text(json.dumps({"instances": records}) if place.suffix == ".json" else lines, "utf-8")
    return place


@pytest.mark.parametrize("suffix", [".parquet", ".csv", ".tsv", ".json", ".jsonl"])
def test_rows_come_out_of_any_table(tmp_path: Path, suffix: str) -> None:
    """Spaces in column names, foreign columns, text that looks like numbers and empty cells are all met."""
    frame = pd.DataFrame(
        {"mean radius": [1.5, 61.0, 3.0], "zip": ["007", "1", "2"], "note": ["a", "b", None], "y": [0, 1, 0]}
    )

    rows = golden.from_data(_write(tmp_path / f"data{suffix}", frame), SMALL)

    assert rows.columns.to_records() == [
        {"mean_radius": 1.5, "zip": "007", "note": "a"},
        {"mean_radius": 3.0, "zip": "2", "note": None},
    ]
    assert rows.refused == 1
    assert rows.first is not None
    assert rows.first.path == "inputs.mean_radius[1]"


def test_frames_and_records_are_data_too() -> None:
    """The Python API takes what is in memory."""
    frame = pd.DataFrame({"mean_radius": [1.0], "zip": ["1"], "note": ["x"]})

    assert golden.from_data(frame, SMALL).columns.equals(golden.from_data(frame.to_dict("records"), SMALL).columns)


@pytest.mark.parametrize(
    ("name", "text", "message"),
    [
        ("a.xlsx", "", "cannot tell the format"),
        ("a.jsonl", "{", "cannot read"),
        ("a.parquet", "no", "cannot read"),
        ("a.csv", "mean_radius,zip,note\n99,1,2\n", "no row of a.csv is legal"),
        ("a.csv", "zip,note\n1,2\n", "no row of a.csv is legal"),
    ],
)
def test_data_without_a_legal_row_is_refused(tmp_path: Path, name: str, text: str, message: str) -> None:
    """The first violation is said."""
    (tmp_path / name).write_text(text, "utf-8")

    with pytest.raises(ContractInvalid, match=message):
        golden.from_data(tmp_path / name, SMALL)


def test_a_pick_is_evenly_spaced_and_keeps_both_ends() -> None:
    """256 golden rows stand for the whole table."""
    rows = golden.from_data([{"mean_radius": i / 100, "zip": "1", "note": ""} for i in range(1000)], SMALL)

    picked = rows.pick(256)

    assert picked.rows == 256
    assert picked["mean_radius"][[0, -1]].tolist() == [0.0, 9.99]
