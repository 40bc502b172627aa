"""Many small files become few parts, in the same order and with the same rows."""

from __future__ import annotations

import gzip
import json
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from tests.support.batch_runs import answers, files, quarantined, run

from fivefold.batch.output.verify import verify
from fivefold.batch.plan import planning as planning
from fivefold.batch.plan.planning import Plan
from fivefold.batch.tools.comparison import compare
from fivefold.core.errors import RunFailed

FILES = 60


@pytest.fixture
def data(tmp_path: Path) -> Path:
    """Small files of all formats: good and bad rows, a broken row group, a broken stream, files without a row."""
    home = tmp_path / "in"
    home.mkdir()
    for at in range(FILES):
        rows = [(at + row, f"n{at}.{row}") for row in range(at % 4)]
        kind = at % 5
        if kind == 0:
            (home / f"{at:02}.csv").write_text("a,note\n" + "".join(f"{a},{note}\n" for a, note in [*rows, (999, "x")]))
        elif kind == 1:
            (home / f"{at:02}.jsonl").write_text("".join(json.dumps({"a": a, "note": note}) + "\n" for a, note in rows))
        elif kind == 2:
            packed = gzip.compress(("a,note\n" + "".join(f"{a},{note}\n" for a, note in rows) + "7,cut").encode())
            (home / f"{at:02}.csv.gz").write_bytes(packed[:-8])
        else:
            table = pa.table({"a": [float(a) for a, _ in rows], "note": pa.array([n for _, n in rows], pa.string())})
            pq.write_table(
                table, home / f"{at:02}.parquet", compression="none", use_dictionary=False, write_page_checksum=True
            )
    broken_file = home / "03.parquet"
    about = pq.ParquetFile(broken_file).metadata.row_group(0).column(0)
    broken = bytearray(broken_file.read_bytes())
    broken[about.data_page_offset + about.total_compressed_size - 1] ^= 255
    broken_file.write_bytes(broken)
    return home


SETTINGS: dict[str, Any] = {"allow_torn": True, "max_bad_fraction": 1, "columns": ("_file",)}


def test_packed_is_verified_by_file(tmp_path: Path, noted: Path, data: Path) -> None:
    """Breaks between two rows and counts of each file are told by the record and the report alike, or it is said."""
    out = tmp_path / "out"
    (data / "99.csv.gz").write_bytes(gzip.compress(b"a,note\n1,x\n")[:-8])
    run(noted, data, out, **SETTINGS)
    assert verify(str(out)).problems == []

    report = json.loads((out / "run.json").read_text())
    assert any(not each["rows"] for each in report["broken"])
    packed = next(part for part in report["parts"] if sum(each["quarantined"] for each in part.get("files", ())))
    packed["files"].reverse()
    report["broken"].pop()
    (out / "run.json").write_text(json.dumps(report))
    found = verify(str(out)).problems
    assert {(each.file, each.message.split(":")[0]) for each in found} == {
        ("run.json", "broken"),
        (packed["part"], "files"),
    }


@pytest.mark.parametrize("member", ["files", "broken"])
def test_a_record_whose_files_do_not_add_up_is_none(tmp_path: Path, noted: Path, data: Path, member: str) -> None:
    """It is refused by name, like any other that is not this run's."""
    out = tmp_path / "out"
    run(noted, data, out, **SETTINGS)
    paths = [path for path in sorted((out / "_ledger").iterdir()) if path.name != "plan.json"]
    path = next(path for path in paths if json.loads(path.read_text())[member])
    record = json.loads(path.read_text())
    record[member][0]["rows" if member == "broken" else "scored"] += 10_000
    path.write_text(json.dumps(record))
    (out / "_SUCCESS").unlink()

    with pytest.raises(RunFailed, match="add up") as caught:
        run(noted, data, out, **SETTINGS)
    assert caught.value.code == "run_conflict"
    assert path.name in caught.value.path


def test_a_plan_with_another_schema_is_none(tmp_path: Path, noted: Path, data: Path) -> None:
    """What decides the type of a carried column is part of the run."""
    out = tmp_path / "out"
    run(noted, data, out, **SETTINGS)
    path = out / "_ledger" / "plan.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {"carried": "AAAA"}))

    with pytest.raises(RunFailed, match="run_id"):
        run(noted, data, out, **SETTINGS)


def test_the_quarantine_has_what_the_path_says(tmp_path: Path, noted: Path) -> None:
    """Beside the row's own cells; where a line has none that can be told apart, alone."""
    home = tmp_path / "in" / "dt=2024-01-01"
    home.mkdir(parents=True)
    (home / "a.csv").write_text("a,note,x\n999,n,1\n")
    (home / "b.jsonl").write_text('{"a": 999, "note": "n", "x": 1}\n[\n')
    pq.write_table(pa.table({"a": [999.0], "note": ["n"], "x": [1]}), home / "c.parquet")
    run(noted, tmp_path / "in", tmp_path / "out", max_bad_fraction=1, columns=("dt", "x", "_file"))

    columns = {(Path(each["file"]).name, each["row"]): each["columns"] for each in quarantined(tmp_path / "out")}
    from_path = {name: {"dt": "2024-01-01", "_file": str(home / name)} for name in ("a.csv", "b.jsonl", "c.parquet")}
    assert columns == {
        ("a.csv", 0): from_path["a.csv"] | {"x": "1"},
        ("b.jsonl", 0): from_path["b.jsonl"] | {"x": 1},
        ("b.jsonl", 1): from_path["b.jsonl"],
        ("c.parquet", 0): from_path["c.parquet"] | {"x": 1},
    }


@pytest.mark.full
@pytest.mark.parametrize("format", ["parquet", "csv", "jsonl"])
def test_packed_is_what_it_was(
    tmp_path: Path, noted: Path, data: Path, monkeypatch: pytest.MonkeyPatch, format: str
) -> None:
    """Rows, refusals, breaks and counts of each file; and runs of the two kinds compare row by row."""
    packed = run(noted, data, tmp_path / "packed", format=format, **SETTINGS).report
    with monkeypatch.context() as patch:
        patch.setattr(planning, "SHARES", 10_000)
        single = run(noted, data, tmp_path / "single", format=format, **SETTINGS).report

    assert len(packed["parts"]) == 1
    assert len(single["parts"]) > 30
    for name in ("rows", "scored", "quarantined", "codes", "broken", "files"):
        assert packed[name] == single[name], name
    assert len(packed["broken"]) == 1 + FILES // 5
    assert quarantined(tmp_path / "packed") == quarantined(tmp_path / "single")
    if format != "csv":
        assert answers(tmp_path / "packed") == answers(tmp_path / "single")
    inside = packed["parts"][0]["files"]
    assert sum(each["rows"] for each in inside) == packed["rows"]
    same = compare(str(tmp_path / "packed"), str(tmp_path / "single"))
    assert same.same
    assert same.both == packed["scored"]


def test_packing_is_the_same_every_time(tmp_path: Path, noted: Path, data: Path) -> None:
    """Byte by byte; and the plan that is kept has all of it."""
    run(noted, data, tmp_path / "one", **SETTINGS)
    run(noted, [str(data / "*")], tmp_path / "two", **SETTINGS)
    assert files(tmp_path / "one") == files(tmp_path / "two")
    kept = Plan.from_bytes((tmp_path / "one/_ledger/plan.json").read_bytes())
    assert Plan.from_bytes(kept.to_bytes()) == kept
    assert run(noted, data, tmp_path / "one", **SETTINGS).scored_now == 0


def test_large_files_and_their_ranges_stay_apart(tmp_path: Path, noted: Path) -> None:
    """Only whole files are packed, and only up to a fragment's size."""
    home = tmp_path / "in"
    home.mkdir()
    for at in range(50):
        (home / f"{at:02}.jsonl").write_text('{"a": 1, "note": "x"}\n' * (40 if at == 25 else 1))

    report = run(noted, home, tmp_path / "out", fragment_bytes=220).report
    counts = [len(part.get("files", [0])) for part in report["parts"]]
    assert max(counts) == 10
    assert [part["rows"] for part in report["parts"] if part["file"].endswith("25.jsonl")] == [10, 10, 10, 10]
    assert (report["rows"], report["scored"]) == (89, 89)
    assert [each["rows"] for each in report["files"]] == [40 if at == 25 else 1 for at in range(50)]
