"""Whatever columns are called, a drafted contract finds each of them again, by every reader."""

from __future__ import annotations

import csv
import json
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fivefold.batch import formats
from fivefold.batch.formats.chunk import ReadRequest
from fivefold.batch.storage.sources import find
from fivefold.core.contract.contract import Contract
from fivefold.core.errors import ContractInvalid
from fivefold.core.fields.field import Field
from fivefold.core.readers.arrow import Arrow
from fivefold.core.readers.records import Records
from fivefold.core.readers.text import Text
from fivefold.exports import FORMATS, export
from fivefold.exports.draft import drafted
from fivefold.exports.sample_headers import legal, names, refuse_doubled
from fivefold.packing import golden

ANSWER = (Field("answer", "float64"),)

ODD = ["年", "月", "x y", "x.y", "x-y", "X Y", "x_y", "a/b", "1", "01", "Größe", "column", "u5e74", "%", "…", "é", "é"]


def written(directory: Path, headers: list[str], rows: list[list[int]]) -> list[Path]:
    """The rows as each kind of file."""
    table = directory / "data.csv"
    with table.open("w", newline="", encoding="utf-8") as file:
        csv.writer(file, quoting=csv.QUOTE_NONNUMERIC, lineterminator="\n").writerows([headers, *rows])
    lines = directory / "data.jsonl"
    lines.write_text("".join(json.dumps(dict(zip(headers, row, strict=True))) + "\n" for row in rows))
    columns = directory / "data.parquet"
    pq.write_table(pa.table([list(column) for column in zip(*rows, strict=True)], headers), columns)
    return [table, lines, columns]


def batch(path: Path, contract: Contract) -> dict[str, list[int]]:
    """A file's columns as a batch run reads them; no row may be refused."""
    (source,) = find([str(path)])
    reader = formats.of(source.format, ReadRequest(contract.inputs))
    reader.check_layout(source)
    chunks = [chunk for part in reader.ranges(source, 1 << 30) for chunk in reader.read(source, part)]
    assert not [refused for chunk in chunks for refused in chunk.refusals]
    return {
        field.name: [value for chunk in chunks for value in chunk.columns[field.name].tolist()]
        for field in contract.inputs
    }


@pytest.mark.full
@settings(max_examples=60)
@given(
    st.lists(
        st.sampled_from(ODD) | st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=5),
        min_size=1,
        max_size=6,
        unique=True,
    )
)
def test_every_reader_finds_every_column(tmp_path_factory: pytest.TempPathFactory, headers: list[str]) -> None:
    """Drafted from a table and from each file, the contract gives each column's own values to each reader."""
    rows = [[10 * at + row for at in range(len(headers))] for row in range(3)]
    want = {header: [10 * at, 10 * at + 1, 10 * at + 2] for at, header in enumerate(headers)}
    files = written(tmp_path_factory.mktemp("data"), headers, rows)
    table = pa.table([list(column) for column in zip(*rows, strict=True)], headers)

    found = drafted(table, "d", outputs=ANSWER)
    contract = found.contract
    columns = {name: want[header] for name, header in found.columns.items()}

    assert {name: found.columns[name] for name in columns} == dict(zip(columns, headers, strict=True))
    for path in files:
        assert drafted(path, "d", outputs=ANSWER).contract == contract
        assert batch(path, contract) == columns
        if path.suffix != ".csv" or not any("\n" in header or "\r" in header for header in headers):
            rows_of = golden.from_data(path, contract)
            assert {name: rows_of.columns[name].tolist() for name in columns} == columns
    for reading in (
        Arrow(contract.inputs).read(table.to_batches()[0]),
        Text(contract.inputs).read(headers, [[str(value) for value in row] for row in rows]),
        Records(contract.inputs).read([dict(zip(headers, row, strict=True)) for row in rows]),
        Records(contract.inputs).read(rows if len(headers) > 1 else [row[0] for row in rows]),
    ):
        assert not reading.violations
        assert {name: reading.columns[name].tolist() for name in columns} == columns


@given(st.lists(st.sampled_from(ODD) | st.text(max_size=150), unique=True, max_size=8))
def test_names_are_legal_and_distinct(headers: list[str]) -> None:
    """Each header has a legal name of its own, and keeps itself where it is one."""
    found = names(headers)

    assert list(found) == [header for header in headers if legal(header)] + [
        header for header in headers if not legal(header)
    ]
    assert len(set(found.values())) == len(headers)
    assert all(map(legal, found.values()))
    assert all(found[header] == header for header in headers if legal(header))


def test_names_say_what_the_header_says() -> None:
    """Accents are taken off, other letters become code points, and what is left says nothing is `column`."""
    made = names(["年", "Größe (mm)", "9 lives", "x y", "x-y", "x!y", "x_y", "…", "", "é" * 200])

    assert made == {
        "年": "u5e74",
        "Größe (mm)": "Gro_udf_e_mm",
        "9 lives": "f9_lives",
        "x y": "x_y_2",
        "x-y": "x-y",
        "x!y": "x_y_3",
        "x_y": "x_y",
        "…": "column",
        "": "column_2",
        "é" * 200: "e" * 100,
    }


@pytest.mark.parametrize("suffix", ["csv", "table", "frame"])
def test_two_columns_of_one_name_are_refused(suffix: str, tmp_path: Path) -> None:
    """Nobody can say which is meant: the header and both places are named."""
    source: Any = pa.table([[1], [2], [3]], ["a", "b", "a"])
    if suffix == "csv":
        source = tmp_path / "data.csv"
        source.write_text("a,b,a\n1,2,3\n")
    elif suffix == "frame":
        import pandas as pd

        source = pd.DataFrame([[1, 2, 3]], columns=[1, "b", "1"])

    with pytest.raises(ContractInvalid, match=r"two columns are called '[a1]' \(columns 1, 3\)"):
        drafted(source, "d", outputs=ANSWER)


def test_distinct_headers_pass() -> None:
    """Names that differ by case only are two."""
    refuse_doubled(["a", "A", ""])


@pytest.mark.parametrize("kind", FORMATS)
def test_exports_take_any_header(kind: str) -> None:
    """A header of quotes, ends of comments and line breaks breaks no export."""
    headers = ['a"b', "*/", "a\nb", "\\", "'''", '"""', "年", "x y"]
    contract = drafted(pa.table([[1, 2]] * len(headers), headers), "odd", outputs=ANSWER).contract

    files = export(contract, kind)

    assert files
    if kind == "typescript":
        text = next(iter(files.values())).decode()
        assert '"u5e74": number;' in text
        assert '"年"' not in text
        # Each comment that is opened is closed once.
        assert text.count("/**") == text.count("*/")
    if kind == "avro":
        assert all("aliases" not in field for body in files.values() for field in json.loads(body)["fields"])
