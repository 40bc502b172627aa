"""What a path says about its rows, and one schema for what is carried, whatever the files say."""

from __future__ import annotations

import json
from decimal import Decimal
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from tests.support.batch_runs import answers, run

from fivefold.core.errors import ContractError, FivefoldError


def put(path: Path, **columns: list[Any]) -> Path:
    """A file of a format by its name."""
    path.parent.mkdir(parents=True, exist_ok=True)
    rows = [dict(zip(columns, row, strict=True)) for row in zip(*columns.values(), strict=True)]
    if path.suffix == ".parquet":
        pq.write_table(pa.table(columns), path)
    elif path.suffix == ".csv":
        path.write_text("\n".join([",".join(columns), *(",".join(map(str, row.values())) for row in rows)]) + "\n")
    else:
        path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


@pytest.mark.parametrize("suffix", ["parquet", "csv", "jsonl"])
def test_partitions_and_the_file_come_along(tmp_path: Path, noted: Path, suffix: str) -> None:
    """As text, as Hive writes them; null is null."""
    names = ["dt=2024-01-01/hour=07", "dt=a%20b/hour=__HIVE_DEFAULT_PARTITION__"]
    files = [
        put(tmp_path / "t" / name / f"a.{suffix}", a=[at, at + 1], note=["x", "y"]) for at, name in enumerate(names)
    ]

    run(noted, tmp_path / "t", tmp_path / "out", columns=("dt", "hour", "_file"))
    assert [(row["total"], row["dt"], row["hour"], row["_file"]) for row in answers(tmp_path / "out")] == [
        (0.5, "2024-01-01", "07", str(files[0])),
        (1.5, "2024-01-01", "07", str(files[0])),
        (1.5, "a b", None, str(files[1])),
        (2.5, "a b", None, str(files[1])),
    ]


@pytest.mark.parametrize("suffix", ["parquet", "csv", "jsonl"])
def test_a_field_is_filled_from_the_path(tmp_path: Path, noted: Path, suffix: str) -> None:
    """As the contract has it, zeros before a number apart; and a column of the file's own comes first."""
    put(tmp_path / "t/a=07/note=p/x.{suffix}".replace("{suffix}", suffix), b=[1, 2])
    put(tmp_path / f"t/a=-08/note=__HIVE_DEFAULT_PARTITION__/x.{suffix}", b=[1])
    put(tmp_path / f"t/a=9/note=q/x.{suffix}", a=[1], b=[1], note=["own"])

    run(noted, tmp_path / "t", tmp_path / "out", columns=("a", "note"))
    assert [(row["total"], row["said"], row["a"]) for row in answers(tmp_path / "out")] == [
        (-7, "none", -8),
        (8, "p", 7),
        (9, "p", 7),
        (2, "own", 1),
    ]
    assert [row["note"] for row in answers(tmp_path / "out")] == [None, "p", "p", "own"]


@pytest.mark.parametrize(
    ("name", "code"),
    [("a=x", "wrong_type"), ("a=101", "out_of_range"), ("a=__HIVE_DEFAULT_PARTITION__", "null_not_allowed")],
)
def test_a_path_that_breaks_the_contract_is_refused(tmp_path: Path, noted: Path, name: str, code: str) -> None:
    """Before anything is scored, with the file."""
    put(tmp_path / "t" / name / "x.parquet", note=["x"])

    with pytest.raises(ContractError, match=r"x\.parquet: in the path: expected a number") as refused:
        run(noted, tmp_path / "t", tmp_path / "out")
    assert (refused.value.code, refused.value.path) == (code, "inputs.a[0]")
    assert not (tmp_path / "out").exists()


def test_nobody_asks_and_nothing_changes(tmp_path: Path, noted: Path) -> None:
    """A partition that is neither a field nor carried is no column; one that no path has is missing."""
    put(tmp_path / "t/dt=1/x.csv", a=[1], note=["x"])
    run(noted, tmp_path / "t", tmp_path / "out", strict_columns=True)
    assert set(answers(tmp_path / "out")[0]) == {"_row", "_model", "_contract", "total", "said"}
    with pytest.raises(FivefoldError, match="expected a column 'day' to carry"):
        run(noted, tmp_path / "t", tmp_path / "other", columns=("day",))


KINDS: list[tuple[str, list[Any], Any, list[Any]]] = [
    ("no value in one", [pa.array([None], pa.null()), pa.array([1], pa.int64())], pa.int64(), [None, 1]),
    ("no value in any", [pa.nulls(1), pa.nulls(1)], pa.null(), [None, None]),
    ("widths", [pa.array([1], pa.int8()), pa.array([2], pa.int32())], pa.int32(), [1, 2]),
    ("signs", [pa.array([-1], pa.int8()), pa.array([2], pa.uint32())], pa.int64(), [-1, 2]),
    (
        "the widest signs",
        [pa.array([-1], pa.int64()), pa.array([2**64 - 1], pa.uint64())],
        pa.decimal128(20, 0),
        [Decimal(-1), Decimal(2**64 - 1)],
    ),
    ("whole numbers and others", [pa.array([1], pa.int64()), pa.array([None, 0.5])[1:]], pa.float64(), [1.0, 0.5]),
    ("floats", [pa.array([0.5], pa.float32()), pa.array([0.1])], pa.float64(), [0.5, 0.1]),
    ("text", [pa.array(["x"]), pa.array(["y"], pa.large_string())], pa.string(), ["x", "y"]),
    ("dictionaries", [pa.array(["x"]).dictionary_encode(), pa.array(["y"])], pa.string(), ["x", "y"]),
    ("text and numbers", [pa.array(["07"]), pa.array([7])], pa.string(), ["07", "7"]),
    ("lists and numbers", [pa.array([[1]]), pa.array([7])], pa.string(), ["[1]", "7"]),
    (
        "scales",
        [pa.array([Decimal("1.5")]), pa.array([Decimal("22.25")])],
        pa.decimal128(4, 2),
        [Decimal("1.50"), Decimal("22.25")],
    ),
]


@pytest.mark.parametrize("kind", KINDS, ids=[kind[0] for kind in KINDS])
def test_all_parts_have_one_schema(tmp_path: Path, noted: Path, kind: tuple[str, list[Any], Any, list[Any]]) -> None:
    """The type that holds all values exactly, or text."""
    _, columns, wanted, values = kind
    for at, column in enumerate(columns):
        pq.write_table(pa.table({"a": [1.0], "note": ["x"], "more": column}), tmp_path / f"{at}.parquet")

    run(noted, tmp_path / "*.parquet", tmp_path / "out", columns=("more",))
    schemas = [pq.read_schema(part) for part in sorted((tmp_path / "out").glob("part-*"))]
    assert len(schemas) == 2
    assert schemas[0].equals(schemas[1])
    assert schemas[0].field("more").type == wanted
    assert [row["more"] for row in answers(tmp_path / "out")] == values


def test_formats_side_by_side_have_one_schema(tmp_path: Path, noted: Path) -> None:
    """A number of one is the text that the others have."""
    put(tmp_path / "in/a.parquet", a=[1], note=["x"], more=[7])
    put(tmp_path / "in/b.csv", a=[1], note=["x"], more=["07"])
    put(tmp_path / "in/c.jsonl", a=[1, 2], note=["x", "y"])
    with (tmp_path / "in/c.jsonl").open("a") as file:
        file.write('{"a": 3, "note": "z", "more": 8}\n')

    run(noted, tmp_path / "in", tmp_path / "out", columns=("more",))
    assert len({str(pq.read_schema(part)) for part in (tmp_path / "out").glob("part-*")}) == 1
    assert [row["more"] for row in answers(tmp_path / "out")] == ["7", "07", None, None, "8"]


def test_a_value_that_its_type_would_change_is_refused(tmp_path: Path, noted: Path) -> None:
    """Rather than carried as another one."""
    pq.write_table(pa.table({"a": [1.0], "note": ["x"], "more": [2**53 + 1]}), tmp_path / "a.parquet")
    pq.write_table(pa.table({"a": [1.0], "note": ["x"], "more": [0.5]}), tmp_path / "b.parquet")

    with pytest.raises(ContractError, match=r"a\.parquet: the column 'more' is int64 here"):
        run(noted, tmp_path / "*.parquet", tmp_path / "out", columns=("more",))
