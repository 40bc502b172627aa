"""The second engine: its files are those of the first."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from tests.support.batch_runs import files, records, run
from tests.support.bundles import write_python
from tests.support.score_commands import environment, finish

pytestmark = [pytest.mark.host, pytest.mark.full]


def test_the_same_bytes(tmp_path: Path, noted: Path) -> None:
    """All formats, bad rows, carried columns, a broken row group; and what is finished is not done again."""
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


KILLS = b'''
import ctypes

class Sum:
    """Adds two columns, and ends its process at a 7."""

    def predict(self, columns):
        if (columns["a"] == 7).any():
            ctypes.CDLL(None)._exit(9)
        total = columns["a"] + columns["b"]
        return {"total": total, "label": (total > 0).astype("int64")}
'''


@pytest.mark.parametrize("engine", ["auto", "local", "ray", pytest.param("ray-data", marks=pytest.mark.rare)])
def test_a_row_that_kills_every_worker(tmp_path: Path, engine: str) -> None:
    """Ends the run with its file's name after so many of them, in every engine; all other files are finished."""
    model = write_python(tmp_path / "model", KILLS).path
    for name, value in (("a", 1), ("b", 7), ("c", 2)):
        (tmp_path / f"{name}.csv").write_text("a,b\n" + f"{value},1\n" * 20)
    words = ["--model", str(model), "--input", str(tmp_path / "*.csv"), "--output", str(tmp_path / "out")]

    done = subprocess.run(
        [sys.executable, "-m", "fivefold.cli", "score", *words, "--engine", engine],
        capture_output=True,
        text=True,
        env=environment(),
        timeout=240,
    )

    assert done.returncode == 1, done.stderr
    assert f"error: {tmp_path / 'b.csv'}: 3 workers died over fragment" in done.stderr
    assert len(records(tmp_path / "out")) == 2
    assert "Traceback" not in done.stderr


def test_a_file_that_turns_out_to_be_no_good(tmp_path: Path, noted: Path) -> None:
    """Is the same refusal as in the other engine, and no defect."""
    (tmp_path / "a.jsonl").write_text('{"a": 999, "note": "x"}\n' * 20)
    words = ["--model", str(noted), "--input", str(tmp_path / "a.jsonl"), "--output", str(tmp_path / "out")]

    done = subprocess.run(
        [sys.executable, "-m", "fivefold.cli", "score", *words, "--engine", "ray-data"],
        capture_output=True,
        text=True,
        env=environment(),
        timeout=240,
    )

    assert done.returncode == 3, done.stderr
    assert "rows are quarantined" in done.stderr
    assert (tmp_path / "out" / "quarantine").is_dir()
