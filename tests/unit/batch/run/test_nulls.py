"""Null reaches the model from every format of files, and stays null where it is carried and where it is refused."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.csv
import pyarrow.parquet as pq
import pytest
from tests.support.batch_runs import answers, quarantined, run
from tests.support.bundles import contract, field

from fivefold.batch.engine.ray_data import GIVEN, _arrays, _chunk_table, _ChunkHead, _chunks, _columns
from fivefold.core.bundle.bundle import Bundle
from fivefold.core.readers.records import Records

CONTRACT = contract(
    [
        field("b", "bool", nullable=True, null_value=False),
        field("i", "int32", nullable=True, null_value=0),
        field("s", "string", nullable=True, null_value=""),
    ],
    [field("told", "string")],
    "told",
)
MODEL = b'''
class Told:
    """Says which of b, i, s are null, and fails on 13."""

    def predict(self, inputs):
        if 13 in inputs["i"]:
            raise ValueError
        nulls = [inputs.nulls[name].tolist() for name in "bis"]
        return {"told": ["".join("bis"[at] for at in range(3) if row[at]) for row in zip(*nulls)]}
'''
ROWS: list[dict[str, Any]] = [
    {"b": None, "i": 0, "s": ""},
    {"b": False, "i": None, "s": "x"},
    {"b": True, "i": 1, "s": None},
    {"b": None, "i": None, "s": None},
    {"b": False, "i": 0, "s": ""},
]
TOLD = ["b", "i", "s", "bis", ""]


@pytest.fixture(scope="module")
def told(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The bundle."""
    directory = tmp_path_factory.mktemp("told") / "bundle"
    Bundle.write(
        directory,
        contract=CONTRACT,
        model={"model/told.py": MODEL},
        runtime="python",
        entry="told:Told",
        golden=(ROWS, [{"told": text} for text in TOLD]),
        tolerance=0.0,
    )
    return directory


def _write(path: Path, rows: list[dict[str, Any]]) -> None:
    if path.suffix == ".parquet":
        pq.write_table(pa.Table.from_pylist(rows), path)
    elif path.suffix == ".jsonl":
        path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    else:
        cells = [["" if row[n] is None else json.dumps(row[n]) for n in "bis"] for row in rows]
        path.write_text("b,i,s\n" + "".join(",".join(line) + "\n" for line in cells))


@pytest.mark.parametrize("suffix", ["parquet", "jsonl", "csv"])
@pytest.mark.parametrize("format", ["parquet", "jsonl", "csv"])
def test_null_arrives_and_is_carried(tmp_path: Path, told: Path, suffix: str, format: str) -> None:
    """The model is told of null, never of null_value; the carried columns have null where the file had it."""
    _write(tmp_path / f"a.{suffix}", ROWS)
    run(told, tmp_path / f"a.{suffix}", tmp_path / "out", columns=tuple("bis"), format=format)

    if format == "csv":
        (path,) = (tmp_path / "out").glob("part-*.csv")
        options = pyarrow.csv.ConvertOptions(
            null_values=[""], strings_can_be_null=True, quoted_strings_can_be_null=False, column_types={"b": pa.bool_()}
        )
        found = pyarrow.csv.read_csv(path, convert_options=options).to_pylist()
    else:
        found = answers(tmp_path / "out")
    assert [row["told"] for row in found] == TOLD
    assert [{name: row[name] for name in "bis"} for row in found] == ROWS


def test_a_refused_row_is_shown_with_its_nulls(tmp_path: Path, told: Path) -> None:
    """A row that the model fails on stands in the quarantine as it came; the rows around it keep their nulls."""
    _write(tmp_path / "a.jsonl", [*ROWS, {"b": None, "i": 13, "s": ""}, *ROWS])
    run(told, tmp_path / "a.jsonl", tmp_path / "out", format="jsonl", max_bad_fraction=0.5)

    assert [row["told"] for row in answers(tmp_path / "out")] == TOLD * 2
    (bad,) = quarantined(tmp_path / "out")
    assert bad["code"] == "model_failed"
    assert bad["raw"] == {"b": None, "i": 13, "s": ""}


def test_null_travels_as_an_arrow_null(told: Path) -> None:
    """Between the stages of the second engine a column keeps its nulls, with the values beside them."""
    columns = Records(CONTRACT.inputs).read(ROWS).accept()
    arrays = _arrays(CONTRACT.inputs, GIVEN, columns)
    table = _chunk_table(0, np.arange(len(ROWS)), _ChunkHead("f", [], {}), arrays)
    ((_, _, rows),) = _chunks(table)

    assert _columns(CONTRACT.inputs, GIVEN, rows).equals(columns)
