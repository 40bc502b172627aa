"""Input that breaks off: what is before the break is scored, and the break is judged apart from the rows."""

from __future__ import annotations

import bz2
import gzip
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.support.batch_runs import answers, files, quarantined, records, run

from fivefold.batch.storage.broken_stream import StreamBroken
from fivefold.batch.storage.compression import Unpacked
from fivefold.cli import EXIT, main
from fivefold.core.errors import ContractError, RunFailed

ROWS = 24_000


def zstd(data: bytes) -> bytes:
    """A frame."""
    out = pa.BufferOutputStream()
    with pa.CompressedOutputStream(out, "zstd") as stream:
        stream.write(data)
    packed: bytes = out.getvalue().to_pybytes()
    return packed


PACK: dict[str, Callable[[bytes], bytes]] = {
    ".gz": gzip.compress,
    ".bz2": lambda data: bz2.compress(data, 1),
    ".zst": zstd,
}

TEXT = {
    "a.jsonl": "".join(f'{{"a": {row * 7919 % 10007 / 128}, "note": "n{row}"}}\n' for row in range(ROWS)).encode(),
    "a.csv": b"a,note\n" + "".join(f"{row * 7919 % 10007 / 128},n{row}\n" for row in range(ROWS)).encode(),
}

DAMAGE: dict[str, Callable[[bytes], bytes]] = {
    "cut in the middle": lambda packed: packed[: len(packed) * 3 // 5],
    "cut in its trailer": lambda packed: packed[:-3],
    "a tail of zeros": lambda packed: packed[: len(packed) * 3 // 5] + bytes(len(packed) * 2 // 5),
    "other bytes behind it": lambda packed: packed + b"and so on",
    "a second one that is cut": lambda packed: packed + packed[:-9],
}


def decoded(data: bytes, suffix: str, step: int, path: Path) -> tuple[bytes, StreamBroken | None]:
    """What is given of a stream, and its break."""
    path.write_bytes(data)
    out = b""
    with path.open("rb") as file:
        stream = Unpacked(file, suffix)
        try:
            while some := stream.read(step):
                out += some
        except StreamBroken as err:
            return out, err
    return out, None


@settings(max_examples=40, deadline=None)
@given(
    st.sampled_from(sorted(PACK)),
    st.binary(max_size=3000),
    st.floats(0, 1, exclude_max=True),
    st.sampled_from([1, 7, 100_000]),
)
def test_a_cut_stream_gives_a_prefix(
    tmp_path_factory: pytest.TempPathFactory, suffix: str, data: bytes, share: float, step: int
) -> None:
    """Never a byte that was not there, and always word of the break; a whole one, twice over too, gives everything."""
    path = tmp_path_factory.mktemp("cut") / "a"
    packed = PACK[suffix](data)
    out, broken = decoded(packed[: int(len(packed) * share)], suffix, step, path)
    assert data.startswith(out)
    assert broken is not None
    assert broken.offset == len(out)
    assert decoded(packed + packed, suffix, step, path) == (data + data, None)


@pytest.mark.parametrize("damage", DAMAGE)
@pytest.mark.parametrize("suffix", PACK)
@pytest.mark.parametrize("name", TEXT)
def test_rows_before_a_break_are_scored(tmp_path: Path, noted: Path, name: str, suffix: str, damage: str) -> None:
    """All of them, once; the run fails with the place, and the same command with --allow-torn publishes it."""
    path = tmp_path / f"{name}{suffix}"
    path.write_bytes(DAMAGE[damage](PACK[suffix](TEXT[name])))
    text, broken = decoded(path.read_bytes(), suffix, 1 << 20, tmp_path / "again")
    assert broken is not None
    head = name == "a.csv"
    whole, _, rest = text.rpartition(b"\n")
    expected = whole.count(b"\n") + 1 - head

    with pytest.raises(RunFailed, match="the input breaks off in 1 place") as failed:
        run(noted, path, tmp_path / "out")
    assert failed.value.code == "input_broken"
    assert EXIT[failed.value.code] == 3
    assert str(path) in failed.value.message
    assert f"row {expected:,}, byte {len(whole) + 1:,}" in failed.value.message
    assert not (tmp_path / "out" / "_SUCCESS").exists()
    before = files(tmp_path / "out")

    result = run(noted, path, tmp_path / "out", allow_torn=True)
    assert result.scored_now == 0
    assert files(tmp_path / "out") == before
    report = result.report
    lost = int(bool(rest))
    again = head and "second" in damage  # the second file's header is a row that is none
    assert (report["rows"], report["scored"], report["quarantined"]) == (
        expected + lost,
        expected - again,
        lost + again,
    )
    assert [each["row"] for each in report["broken"]] == [expected]
    assert [row["said"] for row in answers(tmp_path / "out")][:ROWS] == [
        f"n{row}" for row in range(min(expected, ROWS))
    ]
    record = quarantined(tmp_path / "out")[-1]
    assert (record["row"], record.get("rows", 1), record["code"]) == (expected, lost, "malformed")
    assert record["offset"] == len(whole) + 1
    assert record.get("raw", "").encode() == rest


@pytest.mark.parametrize("name", ["a.jsonl.gz", "a.csv.gz", "a.csv.zst", "a.jsonl.bz2"])
@pytest.mark.parametrize("data", [b'{"a": 1, "note": "x"}\na,note\n1,x\n', b""])
def test_a_file_that_is_not_compressed_as_its_name_says(tmp_path: Path, noted: Path, name: str, data: bytes) -> None:
    """Is refused before anything is scored; with --allow-torn it is a break without rows."""
    (tmp_path / "in").mkdir()
    (tmp_path / "in" / name).write_bytes(data)
    (tmp_path / "in" / "b.csv").write_text("a,note\n1,x\n")

    with pytest.raises(ContractError, match=f"{name}: expected .*, got a(n empty)? file") as refused:
        run(noted, [str(tmp_path / "in" / name), str(tmp_path / "in" / "b.csv")], tmp_path / "out")
    assert "--allow-torn" in str(refused.value.help)
    assert not (tmp_path / "out").exists()
    report = run(
        noted, [str(tmp_path / "in" / name), str(tmp_path / "in" / "b.csv")], tmp_path / "out", allow_torn=True
    ).report
    assert (report["rows"], report["scored"], report["quarantined"], report["codes"]) == (1, 1, 0, {})
    assert [each["file"] for each in report["broken"]] == [str(tmp_path / "in" / name)]
    (record,) = quarantined(tmp_path / "out")
    assert (record["rows"], record["code"]) == (0, "malformed")


def test_a_file_without_a_footer_may_be_passed_by(tmp_path: Path, noted: Path) -> None:
    """Where that is allowed; its rows are unknown."""
    pq.write_table(pa.table({"a": [1.0], "note": ["x"]}), tmp_path / "a.parquet")
    (tmp_path / "b.parquet").write_bytes((tmp_path / "a.parquet").read_bytes()[:-20])

    with pytest.raises(ContractError, match=r"b\.parquet: expected a Parquet file"):
        run(noted, tmp_path / "*.parquet", tmp_path / "out")
    report = run(noted, tmp_path / "*.parquet", tmp_path / "out", allow_torn=True).report
    assert (report["rows"], report["scored"], report["quarantined"]) == (1, 1, 0)
    assert [each["file"] for each in report["broken"]] == [str(tmp_path / "b.parquet")]


@pytest.mark.parametrize("tail", ['{"a": 1, "no', '{"a": 1, "note": "x', '{"a": 1, "note"', '{"a": {"b": 1', "{"])
def test_json_lines_that_end_in_the_middle_of_one(tmp_path: Path, noted: Path, tail: str) -> None:
    """A file that was cut off is broken, without compression too."""
    path = tmp_path / "a.jsonl"
    path.write_text('{"a": 1, "note": "x"}\n' * 3 + tail)

    with pytest.raises(RunFailed, match=r"row 3, byte 66: .*the middle of one"):
        run(noted, path, tmp_path / "out", max_bad_fraction=1)
    report = run(noted, path, tmp_path / "out", allow_torn=True).report
    assert (report["rows"], report["scored"], report["quarantined"]) == (4, 3, 1)


@pytest.mark.parametrize("tail", ["{}}", "x", '{"a": 1, "note": "x"} x', '{"a": 1 "note": "}"}', "[1", '{"a": 1,}\n'])
def test_a_last_line_that_is_only_bad(tmp_path: Path, noted: Path, tail: str) -> None:
    """Is a bad row like any other."""
    path = tmp_path / "a.jsonl"
    path.write_text('{"a": 1, "note": "x"}\n' * 3 + tail)

    report = run(noted, path, tmp_path / "out", max_bad_fraction=0.25).report
    assert (report["scored"], report["quarantined"], report["broken"]) == (3, 1, [])


def test_rows_that_a_break_has_taken_are_nobodys_bad_rows(tmp_path: Path, noted: Path) -> None:
    """Neither the share nor the number counts them, and bad rows still count beside them."""
    path = tmp_path / "a.jsonl.gz"
    lines = b'{"a": 1, "note": "x"}\n' * 98 + b'{"a": 999, "note": "x"}\n' * 2
    path.write_bytes(gzip.compress(lines + b'{"a": 2')[:-8])

    limits: list[dict[str, Any]] = [{"max_bad_fraction": 0.019}, {"max_bad_rows": 1, "max_bad_fraction": 1}]
    for at, limit in enumerate(limits):
        with pytest.raises(RunFailed, match="quarantined"):
            run(noted, path, tmp_path / f"out{at}", allow_torn=True, **limit)
    report = run(noted, path, tmp_path / "out", allow_torn=True, max_bad_fraction=0.02, max_bad_rows=2).report
    assert (report["rows"], report["scored"], report["quarantined"]) == (101, 98, 3)


def test_a_quote_that_a_break_leaves_open_makes_no_rows_of_text(tmp_path: Path, noted: Path) -> None:
    """Lines within a cell that is cut off are not taken for rows."""
    path = tmp_path / "a.csv.gz"
    path.write_bytes(gzip.compress(b'a,note\n1,x\n2,"he said\n3,y\n4,z\n')[:-8])

    report = run(noted, path, tmp_path / "out", allow_torn=True).report
    assert (report["rows"], report["scored"], report["quarantined"]) == (2, 1, 1)
    (record,) = quarantined(tmp_path / "out")
    assert record["raw"] == '2,"he said\n3,y\n4,z\n'


def test_a_checksum_that_differs_is_a_break_behind_the_last_row(tmp_path: Path, noted: Path) -> None:
    """Also where the last line has no end."""
    path = tmp_path / "a.csv.gz"
    packed = bytearray(gzip.compress(b"a,note\n1,x\n2,y"))
    packed[-6] ^= 1
    path.write_bytes(packed)

    with pytest.raises(RunFailed, match="incorrect data check"):
        run(noted, path, tmp_path / "out")
    report = run(noted, path, tmp_path / "out", allow_torn=True).report
    assert (report["rows"], report["scored"], report["quarantined"]) == (2, 2, 0)


def test_a_row_group_that_has_fewer_rows_than_its_footer_says(
    tmp_path: Path, noted: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Is broken as a whole, and nothing of it counts twice."""
    pq.write_table(
        pa.table({"a": [float(row) for row in range(60)], "note": ["x"] * 60}),
        tmp_path / "a.parquet",
        row_group_size=20,
    )
    real = pq.ParquetFile.iter_batches

    def short(self: Any, *args: Any, **kwargs: Any) -> Any:
        batches = list(real(self, *args, **kwargs))
        return iter(batches[:-1] if kwargs["row_groups"] == [1] else batches)

    monkeypatch.setattr(pq.ParquetFile, "iter_batches", short)
    report = run(noted, tmp_path / "a.parquet", tmp_path / "out", chunk_rows=8, allow_torn=True).report
    assert (report["rows"], report["scored"], report["quarantined"]) == (60, 40, 20)
    assert "says 20 rows, and it has 16" in report["broken"][0]["reason"]
    assert [row["_row"] for row in answers(tmp_path / "out")] == [*range(20), *range(40, 60)]


def test_the_ledger_knows_the_places(tmp_path: Path, noted: Path) -> None:
    """So that a later start need not read the quarantine."""
    (tmp_path / "a.jsonl").write_text('{"a": 1, "note": "x"}\n{')

    report = run(noted, tmp_path / "a.jsonl", tmp_path / "out", allow_torn=True).report
    (record,) = records(tmp_path / "out")
    assert [each.offset for each in record.broken] == [22]
    assert json.loads((tmp_path / "out" / "run.json").read_text())["broken"] == report["broken"]


def test_a_run_that_has_broken_input_is_resumed_by_leave(
    tmp_path: Path, noted: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """From the command line: exit status 3 and the place; then the same command, or resume, with --allow-torn."""
    path = tmp_path / "a.jsonl"
    path.write_text('{"a": 1, "note": "x"}\n{')
    with pytest.raises(RunFailed):
        run(noted, path, tmp_path / "out")

    line = ["score", "--model", str(noted), "--input", str(path), "--output", str(tmp_path / "out")]
    assert main(line) == 3
    said = capsys.readouterr().err
    assert f"{path}: row 1, byte 22: " in said
    assert "--allow-torn" in said
    assert main(["batch", "resume", str(tmp_path / "out")]) == 3
    assert main(["batch", "resume", str(tmp_path / "out"), "--allow-torn"]) == 0
    assert f"broken    {path}: row 1, byte 22: " in capsys.readouterr().out
