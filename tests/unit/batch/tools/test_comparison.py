"""Two runs compared."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from tests.support.batch_runs import run
from tests.support.bundles import write_python

from fivefold.batch.tools.comparison import compare
from fivefold.core.errors import NotFound, RunFailed

OTHER = b'''
class Sum:
    """Adds two columns, and is a little off for large ones."""

    def predict(self, columns):
        total = columns["a"] + columns["b"] + (columns["a"] > 40) * 0.5
        return {"total": total, "label": (total > 0).astype("int64")}
'''


@pytest.fixture
def data(tmp_path: Path) -> Path:
    """Two files of numbers, one row of which is refused."""
    home = tmp_path / "data"
    home.mkdir()
    for name in ("a", "b"):
        lines = [json.dumps({"a": row % 50, "b": 1}) for row in range(500)]
        lines[3] = '{"a": 1000, "b": 1}'
        (home / f"{name}.jsonl").write_text("\n".join(lines) + "\n")
    return home


@pytest.mark.parametrize("format", ["parquet", "csv", "jsonl"])
def test_runs_of_other_cuts_are_the_same(tmp_path: Path, data: Path, format: str) -> None:
    """Rows are matched by file and number."""
    model = write_python(tmp_path / "one").path
    run(model, data, tmp_path / "first", fragment_bytes=900)
    run(model, data, tmp_path / "second", fragment_bytes=3000, format=format)

    found = compare(str(tmp_path / "first"), str(tmp_path / "second"))
    assert found.same
    assert found.both == 998


def test_what_differs_is_told(tmp_path: Path, data: Path) -> None:
    """How many rows, by how much, and the first one."""
    run(write_python(tmp_path / "one").path, data, tmp_path / "first", fragment_bytes=900)
    run(write_python(tmp_path / "two", OTHER).path, data, tmp_path / "second")

    found = compare(str(tmp_path / "first"), str(tmp_path / "second"))
    assert not found.same
    assert found.differing == 2 * 10 * 9
    assert found.columns["total"].largest == 0.5
    assert found.first == {"file": str(data / "a.jsonl"), "row": 41, "column": "total", "values": [42.0, 42.5]}


def test_rows_that_only_one_has(tmp_path: Path, data: Path) -> None:
    """Because the other one has refused them."""
    picky = OTHER.replace(b'(columns["a"] > 40) * 0.5', b"0").replace(
        b"total = ", b"assert (columns['a'] != 7).all(); total = "
    )
    run(write_python(tmp_path / "one").path, data, tmp_path / "first")
    run(write_python(tmp_path / "two", picky).path, data, tmp_path / "second", max_bad_fraction=0.5, fragment_bytes=900)

    found = compare(str(tmp_path / "first"), str(tmp_path / "second"))
    assert (found.both, found.only_first, found.only_second, found.differing) == (978, 20, 0, 0)
    assert not found.same


def test_what_cannot_be_compared(tmp_path: Path, data: Path) -> None:
    """No run, or one over other files."""
    model = write_python(tmp_path / "one").path
    run(model, data, tmp_path / "first")
    run(model, data / "a.jsonl", tmp_path / "second")

    with pytest.raises(NotFound, match="no published run"):
        compare(str(tmp_path / "first"), str(tmp_path / "none"))
    with pytest.raises(RunFailed, match=r"b\.jsonl is one of only one"):
        compare(str(tmp_path / "first"), str(tmp_path / "second"))
