"""Runs that become one commit of a table, once."""

from __future__ import annotations

from pathlib import Path

import pytest
from tests.support.batch_runs import run

from fivefold.core.errors import ProtocolError, RunFailed

pytestmark = pytest.mark.full


@pytest.fixture
def data(tmp_path: Path) -> Path:
    """Two files, one without a good row."""
    home = tmp_path / "data"
    home.mkdir()
    (home / "a.csv").write_text("a,note\n" + "".join(f"{row % 90},n{row}\n" for row in range(500)))
    (home / "b.csv").write_text("a,note\n999,x\n")
    return home


def test_a_delta_table(tmp_path: Path, noted: Path, data: Path) -> None:
    """Two runs are two commits, a run that is published again is none."""
    from deltalake import DeltaTable

    table = tmp_path / "table"
    for name, rows in (("one", 64), ("two", 65)):
        settings = {"delta": str(table), "fragment_bytes": 2000, "chunk_rows": rows}
        run(noted, data, table / "runs" / name, **settings)
        before = DeltaTable(str(table)).version()
        for file in ("run.json", "_SUCCESS"):
            (table / "runs" / name / file).unlink()
        run(noted, data, table / "runs" / name, **settings)
        assert DeltaTable(str(table)).version() == before

    # The same run elsewhere is still the same run.
    run(noted, data, table / "runs" / "again", **settings)
    rows = DeltaTable(str(table)).to_pyarrow_table().sort_by("_row").to_pylist()
    assert [(row["_row"], row["said"]) for row in rows] == [
        (row, f"n{row}") for row in range(500) for _ in ("one", "two")
    ]


def test_an_iceberg_table(tmp_path: Path, noted: Path, data: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """With the catalog that pyiceberg's own variables name."""
    (tmp_path / "warehouse").mkdir()
    monkeypatch.setenv("PYICEBERG_CATALOG__HERE__TYPE", "sql")
    monkeypatch.setenv("PYICEBERG_CATALOG__HERE__URI", f"sqlite:///{tmp_path}/catalog.db")
    monkeypatch.setenv("PYICEBERG_CATALOG__HERE__WAREHOUSE", f"file://{tmp_path}/warehouse")
    # It reads them when it is imported.
    from pyiceberg.catalog import load_catalog

    out = tmp_path / "out"
    run(noted, data, out, iceberg="here.scores.noted", fragment_bytes=2000)
    for file in ("run.json", "_SUCCESS"):
        (out / file).unlink()
    run(noted, data, out, iceberg="here.scores.noted", fragment_bytes=2000)

    table = load_catalog("here").load_table("scores.noted")
    assert len(list(table.snapshots())) == 1
    assert sorted(table.scan().to_arrow()["_row"].to_pylist()) == list(range(500))


def test_what_no_table_takes(tmp_path: Path, noted: Path, data: Path) -> None:
    """Said before anything is scored; a table that cannot be written leaves the run to be published later."""
    with pytest.raises(ProtocolError, match="made of Parquet"):
        run(noted, data, tmp_path / "table" / "a", delta=str(tmp_path / "table"), format="csv")
    with pytest.raises(ProtocolError, match="in the table's own directory"):
        run(noted, data, tmp_path / "elsewhere", delta=str(tmp_path / "table"))
    (tmp_path / "table" / "_delta_log").mkdir(parents=True)
    (tmp_path / "table" / "_delta_log" / "00000000000000000000.json").write_text("{not json")
    with pytest.raises(RunFailed, match="the table cannot be written") as refused:
        run(noted, data, tmp_path / "table" / "a", delta=str(tmp_path / "table"))

    assert refused.value.code == "storage_failed"
    assert not (tmp_path / "table" / "a" / "_SUCCESS").exists()
    assert run(noted, data, tmp_path / "table" / "a").scored_now == 0
