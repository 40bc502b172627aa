"""The second engine: its files are those of the first."""

from __future__ import annotations

import json
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from tests.unit.batch.commands import finish
from tests.unit.batch.world import files, run

pytestmark = [pytest.mark.host, pytest.mark.full]


def test_the_same_bytes(tmp_path: Path, noted: Path) -> None:
    """All formats, bad rows, carried columns, a torn row group; and what is finished is not done again."""
    import sys

    home = tmp_path / "data"
    home.mkdir()
    rows = range(500)
    (home / "a.csv").write_text("id,a,note\n" + "".join(f"i{row},{row % 110},n{row}\n" for row in rows))
    lines = [json.dumps({"id": [row], "a": row % 110, "note": None if row % 3 else "x"}) for row in rows]
    (home / "b.jsonl").write_text("\n".join(lines) + "\n")
    table = pa.table({"id": list(rows), "a": [row % 110 + 0.25 for row in rows], "note": ["x"] * 500})
    pq.write_table(
        table,
        home / "c.parquet",
        row_group_size=100,
        write_page_checksum=True,
        compression="none",
        use_dictionary=False,
    )
    column = pq.ParquetFile(home / "c.parquet").metadata.row_group(2).column(1)
    data = bytearray((home / "c.parquet").read_bytes())
    data[column.data_page_offset + column.total_compressed_size // 2] ^= 255
    (home / "c.parquet").write_bytes(data)
    settings = {
        "fragment_bytes": 3000,
        "max_bad_fraction": 0.5,
        "columns": ("id", "a"),
        "chunk_rows": 64,
        "allow_torn": True,
    }
    run(noted, home, tmp_path / "one", **settings)

    words = ["--model", str(noted), "--input", str(home), "--output", str(tmp_path / "two"), "--columns", "id,a"]
    words += ["--fragment-bytes", "3000", "--max-bad-fraction", "0.5", "--engine", "ray-data", "--allow-torn", "--json"]
    code = "import os, sys; os.environ['FIVEFOLD_CHUNK_ROWS'] = '64'; from fivefold.cli import main; sys.exit(main())"
    report = finish([sys.executable, "-c", code, "score", *words])

    assert files(tmp_path / "two") == files(tmp_path / "one")
    assert report["rows"] == 1500
    next((tmp_path / "two" / "_ledger").glob("[0-9a-f]*.json")).unlink()
    for name in ("run.json", "_SUCCESS"):
        (tmp_path / "two" / name).unlink()
    again = finish([sys.executable, "-c", code, "score", *words])
    assert files(tmp_path / "two") == files(tmp_path / "one")
    assert 0 < int(str(again["scored_now"])) < 1000
