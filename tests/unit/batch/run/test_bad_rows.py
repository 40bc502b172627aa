"""One row in a hundred is bad, in every way that its format knows: each is located exactly, all others are scored."""

from __future__ import annotations

import random
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from tests.support.batch_runs import answers, quarantined, run

from fivefold.core.errors import ContractError, RunFailed

ROWS = 6000

CSV = {
    "wrong type": (b"x,1,ok", "wrong_type", "inputs.a[0]"),
    "out of range": (b"100.5,1,ok", "out_of_range", "inputs.a[0]"),
    "beyond binary64": (b"1e999,1,ok", "out_of_range", "inputs.a[0]"),
    "not finite": (b"NaN,1,ok", "wrong_type", "inputs.a[0]"),
    "truncated line": (b"1.5", "malformed", "inputs[0]"),
    "extra cell": (b"1,2,ok,4", "malformed", "inputs[0]"),
    "missing value": (b",1,ok", "null_not_allowed", "inputs.a[0]"),
    "bad UTF-8": (b"1,2,\xff\xfe", "malformed", ""),
    "byte order mark": (b"\xef\xbb\xbf1,2,ok", "malformed", ""),
    "unbalanced quote": (b'1,2,"ok', "malformed", ""),
    "text behind a quote": (b'1,2,"ok"ay', "malformed", ""),
    "NUL": (b"1\x00,2,ok", "wrong_type", "inputs.a[0]"),
    "too long": (b"1,2,a note of many letters", "too_long", "inputs.note[0]"),
}

JSONL = {
    "wrong type": (b'{"a": "x", "note": "ok"}', "wrong_type", "inputs.a[0]"),
    "out of range": (b'{"a": 100.5, "note": "ok"}', "out_of_range", "inputs.a[0]"),
    "truncated line": (b'{"a": 1.5, "no', "malformed", ""),
    "bad UTF-8": (b'{"a": 1, "note": "\xff\xfe"}', "malformed", ""),
    "unknown name": (b'{"a": 1, "note": "ok", "nots": 1}', "unknown_field", "inputs.nots"),
    "missing name": (b'{"note": "ok"}', "missing_field", "inputs.a"),
    "null": (b'{"a": null, "note": "ok"}', "null_not_allowed", "inputs.a[0]"),
    "byte order mark": (b'\xef\xbb\xbf{"a": 1, "note": "ok"}', "malformed", ""),
    "unbalanced quote": (b'{"a": 1, "note": "ok}', "malformed", ""),
    "NUL": (b'{"a": 1,\x00 "note": "ok"}', "malformed", ""),
    "NaN": (b'{"a": NaN, "note": "ok"}', "malformed", ""),
    "two in a line": (b'{"a": 1, "note": "ok"} {"a": 2, "note": "ok"}', "malformed", ""),
    "wrong shape": (b'{"a": [1], "note": "ok"}', "wrong_shape", "inputs.a[0]"),
    "an array of too few": (b"[1, 2]", "malformed", "inputs[0]"),
    "lone surrogate": (b'{"a": 1, "note": "\\ud800"}', "not_utf8", "inputs.note[0]"),
    "not JSON": (b"a=1", "malformed", ""),
}


def place_bad_rows(kinds: list[str], seed: int) -> dict[int, str]:
    """One row in a hundred is bad, every kind at least twice, two bad ones beside each other."""
    choice = random.Random(seed)
    rows = choice.sample(range(ROWS - 1), ROWS // 100 - 1)
    rows.append(rows[0] + 1)
    rows = list(dict.fromkeys(rows))
    return dict(zip(rows, (kinds * len(rows))[: len(rows)], strict=True))


@pytest.mark.parametrize("name", ["a.csv", "a.jsonl"])
def test_bad_rows_of_text(tmp_path: Path, noted: Path, name: str) -> None:
    """File, row, line, offset, what stood there, code and path; and the answers of all others, under their numbers."""
    kinds = CSV if name == "a.csv" else JSONL
    bad = place_bad_rows(list(kinds), seed=6)
    assert len(set(bad.values())) == len(kinds) >= 12
    lines = []
    for row in range(ROWS):
        if row in bad:
            lines.append(kinds[bad[row]][0])
        elif name == "a.csv":
            lines.append(f'{row % 90},{row % 7},"n{row}"'.encode())
        else:
            lines.append(f'{{"a": {row % 90}, "b": {row % 7}, "note": "n{row}"}}'.encode())
    head = [b"a,b,note"] if name == "a.csv" else []
    (tmp_path / name).write_bytes(b"\n".join([*head, *lines]) + b"\n")

    result = run(noted, tmp_path / name, tmp_path / "out", fragment_bytes=20_000, max_bad_fraction=0.02)

    assert {key: result.report[key] for key in ("rows", "scored", "quarantined")} == {
        "rows": ROWS,
        "scored": ROWS - len(bad),
        "quarantined": len(bad),
    }
    offsets = [sum(len(line) + 1 for line in [*head, *lines[:row]]) for row in sorted(bad)]
    found = quarantined(tmp_path / "out")
    assert [record["row"] for record in found] == sorted(bad)
    for record, offset in zip(found, offsets, strict=True):
        raw, code, path = kinds[bad[record["row"]]]
        said = bad[record["row"]]
        assert record["file"] == str(tmp_path / name)
        assert (record["code"], record["path"]) == (code, path), said
        assert (record["offset"], record["size"]) == (offset, len(raw) + 1), said
        assert record["line"] == record["row"] + 1 + len(head), said
        assert record["message"]
        if "raw" in record:
            assert record["raw"].encode() == raw
        else:
            assert record["raw_base64"]
    rows = answers(tmp_path / "out")
    assert [(row["_row"], row["total"], row["said"]) for row in rows] == [
        (row, float(row % 90 + row % 7), f"n{row}") for row in range(ROWS) if row not in bad
    ]


PARQUET = {
    "out of range": ((100.5, 1.0, "ok"), "out_of_range", "inputs.a[0]"),
    "below": ((1.0, -101.0, "ok"), "out_of_range", "inputs.b[0]"),
    "beyond the dtype": ((1e300, 1.0, "ok"), "out_of_range", "inputs.a[0]"),
    "NaN": ((float("nan"), 1.0, "ok"), "not_finite", "inputs.a[0]"),
    "infinity": ((float("inf"), 1.0, "ok"), "not_finite", "inputs.a[0]"),
    "minus infinity": ((1.0, float("-inf"), "ok"), "not_finite", "inputs.b[0]"),
    "null": ((None, 1.0, "ok"), "null_not_allowed", "inputs.a[0]"),
    "the other null": ((1.0, None, "ok"), "null_not_allowed", "inputs.b[0]"),
    "too long": ((1.0, 1.0, "a note of many letters"), "too_long", "inputs.note[0]"),
    "bad UTF-8": ((1.0, 1.0, b"\xff\xfe"), "not_utf8", "inputs.note[0]"),
    "half a character": ((1.0, 1.0, b"ok\xc3"), "not_utf8", "inputs.note[0]"),
    "two at once": ((None, 101.0, "ok"), "null_not_allowed", "inputs.a[0]"),
}


def test_bad_rows_of_parquet(tmp_path: Path, noted: Path) -> None:
    """The same, of columns: the row's number, and its values."""
    bad = place_bad_rows(list(PARQUET), seed=7)
    rows = [PARQUET[bad[row]][0] if row in bad else (float(row % 90), float(row % 7), f"n{row}") for row in range(ROWS)]
    notes = pa.array([note if isinstance(note, bytes) else note.encode() for *_, note in rows], pa.binary())
    table = pa.table(
        {
            "a": pa.array([a for a, _, _ in rows], pa.float64()),
            "b": pa.array([b for _, b, _ in rows], pa.float64()),
            "note": notes.view(pa.string()),
            "more": pa.array(range(ROWS)),
        }
    )
    pq.write_table(table, tmp_path / "a.parquet", row_group_size=1000)

    result = run(noted, tmp_path / "a.parquet", tmp_path / "out", chunk_rows=300, max_bad_fraction=0.02)

    assert result.report["ignored_columns"] == ["more"]
    found = quarantined(tmp_path / "out")
    assert [record["row"] for record in found] == sorted(bad)
    for record in found:
        (a, _, _), code, path = PARQUET[bad[record["row"]]]
        assert (record["code"], record["path"]) == (code, path), bad[record["row"]]
        assert record["raw"]["a"] == (
            a if a is None or abs(a) <= 1e300 else str(a).replace("nan", "NaN").replace("inf", "Infinity")
        )
    assert [(row["_row"], row["total"], row["said"]) for row in answers(tmp_path / "out")] == [
        (row, float(row % 90 + row % 7), f"n{row}") for row in range(ROWS) if row not in bad
    ]


def test_a_column_of_another_type_is_wrong_in_every_row(tmp_path: Path, noted: Path) -> None:
    """Values decide, and these are none: each row has its own record."""
    pq.write_table(pa.table({"a": ["1", "2"], "note": ["x", "y"]}), tmp_path / "a.parquet")

    run(noted, tmp_path / "a.parquet", tmp_path / "out", max_bad_fraction=1)

    assert [(record["row"], record["code"], record["path"]) for record in quarantined(tmp_path / "out")] == [
        (0, "wrong_type", "inputs.a[0]"),
        (1, "wrong_type", "inputs.a[0]"),
    ]


def test_a_broken_page_is_a_range_of_rows(tmp_path: Path, noted: Path) -> None:
    """A row group that breaks off in its middle is one record, also where some of its rows were scored before."""
    path = tmp_path / "a.parquet"
    numbers = [float(row % 90) + row / 1e6 for row in range(3000)]
    table = pa.table({"a": numbers, "note": ["x"] * 3000})
    pq.write_table(
        table,
        path,
        row_group_size=1000,
        compression="none",
        use_dictionary=False,
        data_page_size=800,
        write_batch_size=50,
        write_page_checksum=True,
    )
    column = pq.ParquetFile(path).metadata.row_group(1).column(0)
    data = bytearray(path.read_bytes())
    # Behind the middle of the column's pages.
    at = column.data_page_offset + column.total_compressed_size * 3 // 4
    data[at : at + 4] = b"\xff" * 4
    path.write_bytes(data)

    with pytest.raises(RunFailed, match=r"a\.parquet: row 1,000: row group 1 cannot be read, 1000 rows: .*CRC"):
        run(noted, path, tmp_path / "out", chunk_rows=100, max_bad_fraction=1)
    result = run(noted, path, tmp_path / "out", chunk_rows=100, allow_torn=True)

    assert result.scored_now == 0
    assert (result.report["scored"], result.report["quarantined"]) == (2000, 1000)
    (record,) = quarantined(tmp_path / "out")
    assert (record["row"], record["rows"], record["code"]) == (1000, 1000, "malformed")
    assert "row group 1" in record["message"]
    assert "CRC" in record["message"]
    assert result.report["broken"] == [
        {"file": str(path), "row": 1000, "rows": 1000, "offset": None, "reason": record["message"]}
    ]
    assert [row["_row"] for row in answers(tmp_path / "out")] == [*range(1000), *range(2000, 3000)]


def test_a_file_without_a_footer_is_refused_before_anything_is_scored(tmp_path: Path, noted: Path) -> None:
    """How many rows it has, nobody can say."""
    pq.write_table(pa.table({"a": [1.0], "note": ["x"]}), tmp_path / "a.parquet")
    (tmp_path / "b.parquet").write_bytes((tmp_path / "a.parquet").read_bytes()[:-20])

    with pytest.raises(ContractError, match=r"b\.parquet: expected a Parquet file"):
        run(noted, tmp_path / "*.parquet", tmp_path / "out")
    assert not (tmp_path / "out" / "run.json").exists()
