"""Files as rows: fast parsers accept what the exact readers accept, and a cut anywhere changes nothing."""

from __future__ import annotations

import gzip
import json
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.support.batch_runs import CONTRACT
from tests.support.bundles import contract, field

from fivefold.batch import formats
from fivefold.batch.formats.chunk import Chunk, ReadRequest
from fivefold.batch.formats.csv import _cells
from fivefold.batch.storage.sources import find
from fivefold.core.errors import ContractError
from fivefold.core.fields.field import Field
from fivefold.core.readers.records import Records
from fivefold.core.readers.text import Text

FIELDS = contract(
    [
        field("f", minimum=-1000, maximum=1000),
        field("d", "float64", nullable=True),
        field("i", "int32", default=7),
        field("t", "bool", nullable=True, null_value=False),
        field("s", "string", nullable=True, null_value="", maxLength=4),
    ],
    [field("y")],
).inputs


def read(path: Path, fields: Sequence[Field], *, target: int = 1 << 30, **request: Any) -> list[Chunk]:
    """All pieces of a file that is cut into ranges of about `target` bytes."""
    (source,) = find([str(path)])
    reader = formats.of(source.format, ReadRequest(tuple(fields), **request))
    reader.check_layout(source)
    return [chunk for part in reader.ranges(source, target) for chunk in reader.read(source, part)]


def good(chunks: Sequence[Chunk]) -> list[tuple[int, dict[str, Any]]]:
    """The good rows: number and values."""
    return [
        (int(row), record)
        for chunk in chunks
        for row, record in zip(chunk.numbers, chunk.columns.to_records(), strict=True)
    ]


def bad(chunks: Sequence[Chunk]) -> list[tuple[int, str, str]]:
    """The others: number, code and path."""
    return [(refusal.row, refusal.error.code, refusal.error.path) for chunk in chunks for refusal in chunk.refusals]


numbers = st.sampled_from(
    ["0", "-0", "1", "-1", "007", "1.5", "-0.0", ".5", "5.", "1e3", "1E+2", "1e400", "1e38", "3.0", "2147483648", "+1"],
) | st.sampled_from(
    ["9007199254740993", "0.1", "999999999999999999999", " 1", "1 ", "nan", "inf", "x", "0x1", "1_0", "-", "1e-400"]
)
words = st.sampled_from(["", "a", "true", "false", "null", "NA", "é", "abcde", "\x00", "1"])
cell = st.one_of(numbers, words)
quoting = st.sampled_from(["{}", '"{}"'])


@pytest.mark.full
@settings(max_examples=60)
@given(st.lists(st.lists(st.tuples(cell, quoting), min_size=5, max_size=6), min_size=1, max_size=8), st.integers(1, 9))
def test_csv_is_what_the_reader_of_cells_says(
    tmp_path_factory: pytest.TempPathFactory, rows: list[list[tuple[str, str]]], chunk: int
) -> None:
    """Each row has the values, or the code and path, that core's reader gives for its cells alone."""
    header = ["f", "d", "i", "t", "s"]
    lines = [",".join(quote.format(text) for text, quote in row) for row in rows]
    path = tmp_path_factory.mktemp("csv") / "a.csv"
    path.write_text("\n".join([",".join(header), *lines]) + "\n", encoding="utf-8", newline="")
    chunks = read(path, FIELDS, chunk_rows=chunk)

    expected_good, expected_bad = [], []
    for row, line in enumerate(lines):
        cells = _cells(line.encode())
        assert cells is not None
        try:
            columns = Text(FIELDS).read(header, [cells]).accept()
            expected_good.append((row, columns.to_records()[0]))
        except ContractError as error:
            expected_bad.append((row, error.code, error.path))
    assert repr(good(chunks)) == repr(expected_good)
    assert bad(chunks) == expected_bad


values = st.one_of(
    st.sampled_from(["0", "-0", "1", "1.5", "3.0", "1e3", "1e400", "2147483648", "9007199254740993", "null", "true"]),
    st.sampled_from(['"a"', '"abcde"', '"\\ud800"', '"é"', '""', "[1]", "{}", "NaN", "01"]),
)
names = st.sampled_from(["f", "d", "i", "t", "s", "more"])


@pytest.mark.full
@settings(max_examples=60)
@given(st.lists(st.dictionaries(names, values, max_size=6), min_size=1, max_size=8), st.integers(1, 9))
def test_json_lines_are_what_the_reader_of_records_says(
    tmp_path_factory: pytest.TempPathFactory, rows: list[dict[str, str]], chunk: int
) -> None:
    """Each line has the values, or the code and path, of a request with this one row."""
    lines = ["{" + ",".join(f'"{name}":{value}' for name, value in row.items()) + "}" for row in rows]
    path = tmp_path_factory.mktemp("jsonl") / "a.jsonl"
    path.write_text("\n".join(lines), encoding="utf-8")
    chunks = read(path, FIELDS, chunk_rows=chunk)

    expected_good, expected_bad = [], []
    for row, line in enumerate(lines):
        try:
            columns = Records(FIELDS).read_json(f'{{"instances":[{line}]}}'.encode()).accept()
            expected_good.append((row, columns.to_records()[0]))
        except ContractError as error:
            expected_bad.append((row, error.code, error.path if error.path else "whole"))
    assert repr(good(chunks)) == repr(expected_good)
    assert [(row, code, path or "whole") for row, code, path in bad(chunks)] == expected_bad


def write(path: Path, rows: int) -> None:
    """Rows that are told apart by `a`, with quotes, line ends, blank lines and bad rows among them."""
    notes = ["plain", "", None, 'a "b"', "two\nlines", "x,y", "far too long a note"]
    if path.suffix == ".parquet":
        table = pa.table({"a": np.arange(rows, dtype=np.float32) % 90, "note": [notes[row % 7] for row in range(rows)]})
        pq.write_table(table, path, row_group_size=7)
        return
    lines = []
    for row in range(rows):
        note = notes[row % 7]
        if path.suffix == ".csv":
            shown = "" if note is None else '"' + note.replace('"', '""') + '"'
            lines.append(f"{row % 90},{shown}" + ("\n" if row % 11 == 3 else ""))
        else:
            lines.append(json.dumps({"a": row % 90, "note": note}) + ("\r\n" if row % 11 == 3 else ""))
    head = "a,note\n" if path.suffix == ".csv" else ""
    path.write_text(head + "\n".join(lines) + "\n", encoding="utf-8", newline="")


@pytest.mark.parametrize("name", ["a.csv", "a.jsonl", "a.parquet"])
@pytest.mark.parametrize("target", [1, 50, 333, 1 << 20])
def test_a_cut_of_any_size_gives_the_same_rows(tmp_path: Path, name: str, target: int) -> None:
    """Same rows under the same numbers, same refusals at the same places."""
    path = tmp_path / name
    write(path, 100)
    whole, cut = read(path, CONTRACT.inputs), read(path, CONTRACT.inputs, target=target, chunk_rows=5)

    assert good(cut) == good(whole)
    assert len(good(whole)) + len(bad(whole)) == 100
    refusals = [[refusal for chunk in chunks for refusal in chunk.refusals] for chunks in (cut, whole)]
    for one, other in zip(*refusals, strict=True):
        assert (one.row, one.line, one.offset, one.size, one.raw) == (
            other.row,
            other.line,
            other.offset,
            other.size,
            other.raw,
        )
        assert one.error.to_json() == other.error.to_json()


@pytest.mark.parametrize("name", ["a.csv", "a.jsonl"])
def test_a_fault_in_text_says_where_it_stands(tmp_path: Path, name: str) -> None:
    """Offset and size are those of the line, the line's number is an editor's."""
    path = tmp_path / name
    write(path, 100)
    data = path.read_bytes()

    refusals = [refusal for chunk in read(path, CONTRACT.inputs, target=200) for refusal in chunk.refusals]
    assert len(refusals) == 14
    for refusal in refusals:
        assert refusal.offset is not None
        assert refusal.size is not None
        assert data[refusal.offset : refusal.offset + refusal.size].rstrip(b"\r\n") == refusal.raw
        assert refusal.line == data[: refusal.offset].count(b"\n") + 1


@pytest.mark.parametrize("suffix", [".gz", ".bz2", ".zst"])
@pytest.mark.parametrize("name", ["a.csv", "a.jsonl"])
def test_compressed_text_is_the_same_text(tmp_path: Path, name: str, suffix: str) -> None:
    """As one range."""
    write(tmp_path / name, 100)
    packed = tmp_path / "packed" / f"{name}{suffix}"
    packed.parent.mkdir()
    with pa.CompressedOutputStream(str(packed), {".gz": "gzip", ".bz2": "bz2", ".zst": "zstd"}[suffix]) as out:
        out.write((tmp_path / name).read_bytes())

    assert good(read(packed, CONTRACT.inputs, target=10)) == good(read(tmp_path / name, CONTRACT.inputs))
    assert bad(read(packed, CONTRACT.inputs)) == bad(read(tmp_path / name, CONTRACT.inputs))


def test_a_stream_that_breaks_off_is_one_fault_behind_its_last_row(tmp_path: Path) -> None:
    """What came before is good."""
    import gzip

    lines = "".join(f'{{"a": {row % 90}, "note": "{row * 7919 % 10007}"}}\n' for row in range(20_000))
    whole = gzip.compress(lines.encode())
    (tmp_path / "a.jsonl.gz").write_bytes(whole[: len(whole) // 2])

    chunks = read(tmp_path / "a.jsonl.gz", CONTRACT.inputs)
    found, refusals = good(chunks), bad(chunks)
    assert refusals == [(len(found), "malformed", "")]
    assert [row for row, _ in found] == list(range(len(found)))


def test_carried_columns(tmp_path: Path) -> None:
    """Beside the contract, in all three formats; an absent JSON name is null."""
    (tmp_path / "a.csv").write_text('id,a,note\n"x, y",1,\n,2,b\nz,999,c\n')
    (tmp_path / "a.jsonl").write_text(
        '{"id": [1, "x"], "a": 1, "note": null}\n{"a": 2, "note": "b"}\n{"a": 999, "note": "c", "id": 3}\n'
    )
    pq.write_table(
        pa.table({"id": [5, None, 6], "a": [1.0, 2.0, 999.0], "note": [None, "b", "c"]}), tmp_path / "a.parquet"
    )

    found = {
        name: [
            value
            for chunk in read(tmp_path / name, CONTRACT.inputs, carried=("id",))
            for value in _list(chunk.carried["id"])
        ]
        for name in ("a.csv", "a.jsonl", "a.parquet")
    }
    assert found == {"a.csv": ["x, y", None], "a.jsonl": [[1, "x"], None], "a.parquet": [5, None]}


def _list(values: Any) -> list[Any]:
    return values.to_pylist() if isinstance(values, pa.Array) else list(values)


@pytest.mark.parametrize(
    ("name", "content", "code", "sentence"),
    [
        ("a.csv", "b,note\n1,x\n", "missing_field", "expected a column 'a'"),
        ("a.csv", "a,a,note\n1,1,x\n", "duplicate_field", "twice"),
        ("a.csv", "", "malformed", "empty file"),
        ("a.csv", '"a\n1\n', "malformed", "no line of CSV"),
        ("a.parquet", "PAR1 and nothing more", "malformed", "expected a Parquet file"),
    ],
)
def test_a_file_that_cannot_be_scored_is_refused_at_once(
    tmp_path: Path, name: str, content: str, code: str, sentence: str
) -> None:
    """Before any row is."""
    (tmp_path / name).write_text(content)

    with pytest.raises(ContractError, match=sentence) as refused:
        read(tmp_path / name, CONTRACT.inputs)
    assert refused.value.code == code
    assert "a." in str(refused.value)


def test_a_byte_order_mark_before_the_header_is_passed_over(tmp_path: Path) -> None:
    """Spreadsheets write one."""
    (tmp_path / "a.csv").write_bytes(b'\xef\xbb\xbf"a",note\n1,x\n')

    assert good(read(tmp_path / "a.csv", CONTRACT.inputs)) == [(0, {"a": 1.0, "b": 0.5, "note": "x"})]


@pytest.mark.parametrize("name", ["a.jsonl", "a.jsonl.gz"])
@pytest.mark.parametrize("target", [1, 1 << 20])
def test_a_byte_order_mark_before_json_lines_is_passed_over(tmp_path: Path, name: str, target: int) -> None:
    """At the very beginning of the file and nowhere else; places in the file are the file's own."""
    mark = b"\xef\xbb\xbf"
    lines = mark + b'{"a": 1, "note": "x"}\n' + mark + b'{"a": 2, "note": "y"}\n{"a": 3, "note": "z"}\n'
    (tmp_path / name).write_bytes(gzip.compress(lines) if name.endswith("gz") else lines)

    chunks = read(tmp_path / name, CONTRACT.inputs, target=target)
    assert [(row, values["note"]) for row, values in good(chunks)] == [(0, "x"), (2, "z")]
    (refusal,) = [refusal for chunk in chunks for refusal in chunk.refusals]
    assert (refusal.row, refusal.line, refusal.offset, refusal.error.code) == (1, 2, 25, "malformed")


def test_a_header_of_a_hundred_thousand_columns_costs_no_square_of_them(tmp_path: Path) -> None:
    """What nobody asked for is passed over, also where it is twice there."""
    more = [f"x{number}" for number in range(100_000)]
    path = tmp_path / "a.csv"
    path.write_text(",".join(["a", "note", *more, "x7"]) + "\n" + ",".join(["1"] * (len(more) + 3)) + "\n")
    (source,) = find([str(path)])
    began = time.process_time()

    ignored = formats.of("csv", ReadRequest(CONTRACT.inputs)).check_layout(source)

    assert time.process_time() - began < 5
    assert ignored == more


def test_columns_nobody_asked_for(tmp_path: Path) -> None:
    """Ignored and named, or refused where that is asked for."""
    (tmp_path / "a.csv").write_text("a,nots,note\n1,2,x\n")
    (source,) = find([str(tmp_path / "a.csv")])

    assert formats.of("csv", ReadRequest(CONTRACT.inputs)).check_layout(source) == ["nots"]
    with pytest.raises(ContractError, match="no such field") as refused:
        formats.of("csv", ReadRequest(CONTRACT.inputs, strict=True)).check_layout(source)
    assert refused.value.help == "did you mean 'note'?"


OPTIONAL = contract([field("f", default=1), field("s", "string", default="x", aliases=["Ä ö"])], [field("y")]).inputs


@pytest.mark.parametrize(
    ("name", "header", "help_"),
    [
        ("a.csv", "f;s", "--delimiter ';'"),
        ("a.csv", "f\ts", "--delimiter tab"),
        ("a.csv", "F|S", "--delimiter '|'"),
        ("a.csv", "other,more", None),
        ("a.parquet", "other,more", None),
        ("a.parquet", "F", None),
    ],
)
def test_a_table_with_no_column_of_the_contract_is_refused(
    tmp_path: Path, name: str, header: str, help_: str | None
) -> None:
    """Although every field has a default: its rows would all have one answer, which is not about them."""
    if name.endswith(".csv"):
        (tmp_path / name).write_text(f"{header}\n1\n")
    else:
        pq.write_table(pa.table({column: [1] for column in header.split(",")}), tmp_path / name)

    with pytest.raises(ContractError, match="expected a column of the contract") as refused:
        read(tmp_path / name, OPTIONAL)
    assert (refused.value.code, refused.value.path, refused.value.help) == ("missing_field", "inputs.f", help_)


@pytest.mark.parametrize("mark", [";", "\t", "|"])
def test_another_delimiter_is_named_where_a_column_is_missing(tmp_path: Path, mark: str) -> None:
    """A header that is one name with a delimiter inside is the likeliest reason."""
    (tmp_path / "a.csv").write_text(f"a{mark}note\n1{mark}x\n")

    with pytest.raises(ContractError, match="expected a column 'a'") as refused:
        read(tmp_path / "a.csv", CONTRACT.inputs)
    assert str(refused.value.help).startswith("--delimiter ")


def test_a_table_of_carried_columns_alone_has_its_defaults(tmp_path: Path) -> None:
    """Whoever carries all that there is asks for the defaults; so does a path that gives a field."""
    pq.write_table(pa.table({"id": [7, 8]}), tmp_path / "a.parquet")
    assert [values["f"] for _, values in good(read(tmp_path / "a.parquet", OPTIONAL, carried=("id",)))] == [1, 1]

    (tmp_path / "f=3").mkdir()
    pq.write_table(pa.table({"id": [7]}), tmp_path / "f=3" / "a.parquet")
    assert [values["f"] for _, values in good(read(tmp_path / "f=3" / "a.parquet", OPTIONAL))] == [3]
