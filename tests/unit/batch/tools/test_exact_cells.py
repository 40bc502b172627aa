"""Cells of two outputs: what is the same, and what is not."""

from __future__ import annotations

import datetime as dt
import json
import math
from decimal import Decimal
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.support.batch_runs import run

from fivefold.batch.tools.comparison import compare
from fivefold.batch.tools.exact_cells import Cells, differs
from fivefold.cli import main
from fivefold.core.errors import RunFailed


def publish(home: Path, table: pa.Table, **more: Any) -> str:
    """An output of one part over one file, as a run leaves it."""
    home.mkdir()
    rows = pa.array(range(len(table)), pa.int64())
    pq.write_table(table.add_column(0, "_row", rows), home / "part-0.parquet")
    report = {
        "output_format": "parquet",
        "files": [{"file": "a"}],
        "parts": [{"part": "part-0.parquet", "file": "a", "row": 0}],
    }
    (home / "run.json").write_text(json.dumps(report | more))
    (home / "_SUCCESS").touch()
    return str(home)


ZONE = pa.timestamp("us", "Asia/Tokyo")

UNLIKE = {
    "leading zeros": (["007"], ["7"]),
    "text and number": (["7"], [7]),
    "2^53 + 1": ([2**53 + 1], [2**53]),
    "2^53 + 1 as a double": ([2**53 + 1], [float(2**53)]),
    "beyond int64": (pa.array([2**64 - 1], pa.uint64()), [float(2**64)]),
    "minus zero": ([0.0], [-0.0]),
    "NaN and null": ([math.nan], pa.array([None], pa.float64())),
    "empty and null": ([""], pa.array([None], pa.string())),
    "truth and text": ([True], ["true"]),
    "truth and number": ([True], [1]),
    "a day": ([dt.date(2024, 1, 1)], [dt.date(2024, 1, 2)]),
    "a day and its text": ([dt.date(2024, 1, 1)], ["2024-01-01"]),
    "a day and its midnight": ([dt.date(2024, 1, 1)], [dt.datetime(2024, 1, 1)]),
    "with and without a zone": (pa.array([0], pa.timestamp("us", "UTC")), pa.array([0], pa.timestamp("us"))),
    "a nanosecond": (pa.array([1], pa.timestamp("ns")), pa.array([0], pa.timestamp("us"))),
    "the last digit": ([Decimal("9007199254740993.1")], [Decimal("9007199254740993.2")]),
    "a decimal and the nearest double": ([Decimal("0.1")], [0.1]),
    "text and bytes": (["x"], [b"x"]),
    "an element": ([[1.0, 2.0]], [[1.0, 2.5]]),
    "one more element": ([[1.0]], [[1.0, 1.0]]),
    "a member": ([{"a": 1}], [{"a": 2}]),
    "duration": ([dt.timedelta(1)], [dt.timedelta(2)]),
    "null and anything": (pa.nulls(1), [1]),
}

ALIKE = {
    "NaN": ([math.nan], [math.nan]),
    "null of two types": (pa.array([None], pa.string()), pa.array([None], pa.int64())),
    "int and double": ([3], [3.0]),
    "int and decimal": ([3], [Decimal("3.00")]),
    "decimals of two scales": ([Decimal("1.5")], [Decimal("1.50")]),
    "two widths": (pa.array([0.5], pa.float32()), [0.5]),
    "dictionary": (pa.array(["x"]).dictionary_encode(), ["x"]),
    "large text": (pa.array(["x"], pa.large_string()), ["x"]),
    "two units": (pa.array([1], pa.timestamp("ms")), pa.array([1000], pa.timestamp("us"))),
    "two zones, one moment": (
        pa.array([0], pa.timestamp("us", "UTC")),
        pa.array([0], pa.timestamp("us", "Asia/Tokyo")),
    ),
    "two units of a time": (pa.array([1], pa.time32("s")), pa.array([10**9], pa.time64("ns"))),
    "fixed and free lists": (pa.array([[1.0, 2.0]], pa.list_(pa.float32(), 2)), [[1.0, 2.0]]),
    "a list with NaN": ([[math.nan]], [[math.nan]]),
    "fixed-size bytes": (pa.array([b"ab"], pa.binary(2)), [b"ab"]),
}


@pytest.mark.parametrize(("pair", "same"), [*((each, False) for each in UNLIKE), *((each, True) for each in ALIKE)])
def test_typed_cells(tmp_path: Path, pair: str, same: bool, capsys: pytest.CaptureFixture[str]) -> None:
    """Exactly, both ways round, told as JSON and for people, with nothing that ends in a crash."""
    values = [pa.array(each) if isinstance(each, list) else each for each in (ALIKE if same else UNLIKE)[pair]]
    one, other = (publish(tmp_path / str(index), pa.table({"x": each})) for index, each in enumerate(values))

    for first, second in ((one, other), (other, one)):
        found = compare(first, second)
        assert found.same is same
        assert (found.both, found.differing) == (1, 0 if same else 1)
        assert main(["batch", "diff", first, second]) == (0 if same else 1)
        assert main(["batch", "diff", first, second, "--json"]) == (0 if same else 1)
    assert "Traceback" not in capsys.readouterr().err


def test_other_columns_and_another_order(tmp_path: Path) -> None:
    """Columns are matched by name; what only one has is said."""
    one = publish(tmp_path / "one", pa.table({"x": [1], "y": ["a"], "z": [None]}))
    other = publish(tmp_path / "other", pa.table({"y": ["a"], "w": [1.0], "x": [1]}))

    found = compare(one, other)
    assert (found.only_columns, found.columns, found.same) == (("z", "w"), {}, False)


def test_how_much_numbers_differ(tmp_path: Path) -> None:
    """Exactly where they are integers, and infinitely where one is infinite, which JSON has a word for too."""
    one = publish(tmp_path / "one", pa.table({"x": [2**62 + 3, 1], "y": [1.0, math.inf]}))
    other = publish(tmp_path / "other", pa.table({"x": [2**62, 1], "y": [1.5, 0.0]}))

    found = compare(one, other)
    assert {name: (each.rows, each.largest) for name, each in found.columns.items()} == {
        "x": (1, 3),
        "y": (2, math.inf),
    }


PAIRS = (("parquet", "csv"), ("parquet", "jsonl"), ("csv", "jsonl"), ("csv", "csv"))


@pytest.mark.parametrize("formats", PAIRS)
def test_the_same_run_in_two_formats_is_the_same(tmp_path: Path, noted: Path, formats: tuple[str, str]) -> None:
    """With text that looks like numbers, dates and truth values, and carried columns of many types."""
    notes = ["007", "7", "2024-01-01", "true", "", "1e3", "a\nb", 'q"', "null", "NaN"]
    table = pa.table(
        {
            "a": [0.1 * row for row in range(10)],
            "note": notes,
            "id": [2**53 + row for row in range(10)],
            "day": [dt.date(2024, 1, row + 1) for row in range(10)],
            "text": [*notes[1:], None],
            "single": pa.array([0.1 * row for row in range(10)], pa.float32()),
            "small": [1e-20 * 10**row for row in range(9)] + [None],
            "flag": [row % 2 == 0 for row in range(10)],
            "price": [Decimal(row) / 100 for row in range(10)],
            "raw": [bytes([row]) for row in range(10)],
            "tags": [[row] for row in range(10)],
        }
    )
    if "parquet" not in formats:
        # Neither has a word for single precision: its digits are a single's in CSV and a double's in JSON.
        table = table.drop_columns("single")
    pq.write_table(table, tmp_path / "a.parquet")
    columns = tuple(table.column_names)
    outs = [str(tmp_path / f"{index}") for index in range(2)]
    for out, format in zip(outs, formats, strict=True):
        run(noted, tmp_path / "a.parquet", out, columns=columns, format=format)

    found = compare(*outs)
    assert (found.same, found.both) == (True, 10), (found.columns, found.first)


@pytest.mark.parametrize(
    "formats", [("parquet", "csv"), ("parquet", "jsonl"), ("csv", "jsonl"), ("csv", "csv"), ("jsonl", "jsonl")]
)
def test_what_differs_does_so_in_every_format(tmp_path: Path, noted: Path, formats: tuple[str, str]) -> None:
    """`007` is not `7`, and null not the empty text, whatever they are written as."""
    outs = []
    for index, notes in enumerate((["007", "", "2024-01-01", "1.0", "x"], ["7", None, "2024-01-02", "1", "x"])):
        home = tmp_path / str(index)
        home.mkdir()
        out = str(home / "out")
        pq.write_table(pa.table({"a": [1.0] * 5, "note": ["x"] * 5, "id": notes}), home / "a.parquet")
        run(noted, home / "a.parquet", out, columns=("id",), format=formats[index])
        report = json.loads((home / "out" / "run.json").read_text())
        text = json.dumps(report).replace(str(home / "a.parquet"), "a")
        (home / "out" / "run.json").write_text(text)
        outs.append(out)

    found = compare(*outs)
    assert found.differing == 4
    assert list(found.columns) == ["id"]


def test_mixed_columns_of_json_lines(tmp_path: Path, noted: Path) -> None:
    """A column may hold anything, row by row."""
    values = ["1", '"1"', "true", "null", "[1]", '{"a": 1}', "1.5", "12345678901234567890123"]
    lines = [f'{{"a": 1, "note": "x", "id": {value}}}\n' for value in values]
    (tmp_path / "a.jsonl").write_text("".join(lines))
    run(noted, tmp_path / "a.jsonl", tmp_path / "one", columns=("id",), format="jsonl")
    run(noted, tmp_path / "a.jsonl", tmp_path / "two", columns=("id",), format="jsonl", fragment_bytes=60)

    assert compare(str(tmp_path / "one"), str(tmp_path / "two")).same


@pytest.mark.parametrize("damage", ["gone", "junk"])
def test_a_part_that_cannot_be_read(tmp_path: Path, damage: str) -> None:
    """Is named, with the command that says more."""
    one, other = (publish(tmp_path / name, pa.table({"x": [1]})) for name in ("one", "other"))
    path = tmp_path / "other" / "part-0.parquet"
    path.unlink()
    if damage == "junk":
        path.write_bytes(b"PAR1junk")

    with pytest.raises(RunFailed) as refused:
        compare(one, other)
    assert refused.value.path == str(path)
    (tmp_path / "one" / "run.json").write_text("{")
    with pytest.raises(RunFailed, match="expected the report of a run"):
        compare(one, other)


NUMBERS = st.one_of(st.integers(-(2**63), 2**63 - 1), st.integers(2**53 - 2, 2**53 + 2))


@pytest.mark.full
@given(st.lists(st.tuples(NUMBERS, NUMBERS), min_size=1, max_size=20))
def test_integers_are_compared_as_integers(pairs: list[tuple[int, int]]) -> None:
    """Whatever their size, against doubles too."""
    one, other = (pa.array([pair[side] for pair in pairs], pa.int64()) for side in (0, 1))
    doubles = pa.array([float(pair[1]) for pair in pairs])

    assert differs(Cells("typed", one), Cells("typed", other))[0].tolist() == [a != b for a, b in pairs]
    mask = differs(Cells("typed", one), Cells("typed", doubles))[0]
    assert mask.tolist() == [a != float(b) or (a == 0 and float(b) == 0 and np.signbit(float(b))) for a, b in pairs]
