"""The broken rows, the truth about them, and how a run is held against it."""

from __future__ import annotations

import gzip
import io
from collections import Counter
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from loadtest.batch import faults, finding, injected, outputs
from loadtest.batch.fault_kinds import KEY, FaultyFiles, RowFault
from loadtest.batch.finding import Comparison

from fivefold.batch.engine.inline import Inline
from fivefold.batch.plan.settings import BatchSettings
from fivefold.batch.run.execute import score
from fivefold.batch.run.preparation import RunOrder

FORMATS = ("jsonl", "csv", "parquet")


@pytest.fixture(scope="session")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return injected.bundle(tmp_path_factory.mktemp("bundle"))


def contents(path: Path) -> bytes:
    data = path.read_bytes()
    return gzip.decompress(data) if path.suffix == ".gz" else data


@pytest.mark.parametrize("format", FORMATS)
def test_one_row_in_a_hundred_is_broken_every_kind_equally_often(format: str, tmp_path: Path) -> None:
    files = injected.make(format, tmp_path / "rows", 4800)

    rows = Counter[str]()
    for each in files.injected:
        rows[each.kind] += each.rows
    assert rows == {kind.name: 4 for kind in injected.kinds(format)}
    assert len(rows) == 12
    assert files.bad == 48
    assert len(files.answers) == 4752


@pytest.mark.parametrize("format", FORMATS)
def test_the_same_seed_gives_the_same_bytes_and_the_same_truth(format: str, tmp_path: Path) -> None:
    one, two, other = (
        injected.make(format, tmp_path / name, 1200, seed) for name, seed in (("a", 1), ("b", 1), ("c", 2))
    )

    files = [path.name for path in sorted(one.directory.iterdir())]
    assert one.injected == two.injected != other.injected
    assert [(one.directory / name).read_bytes() for name in files] == [
        (two.directory / name).read_bytes() for name in files
    ]


@pytest.mark.parametrize("format", ["jsonl", "csv"])
def test_a_fault_in_text_stands_at_its_byte_and_its_line(format: str, tmp_path: Path) -> None:
    """And what stands there is no good row: the byte is behind the compression, lines within quotes count too."""
    files = injected.make(format, tmp_path / "rows", 2400)

    for each in files.injected:
        data = contents(files.directory / each.file)
        assert each.offset is not None
        assert each.offset == 0 or data[each.offset - 1 : each.offset] == b"\n"
        assert each.line == data[: each.offset].count(b"\n") + 1
    assert {each.file for each in files.injected} == {f"a.{format}", f"b.{format}", f"c.{format}.gz"}


def test_rows_that_cannot_be_dealt_equally_are_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="multiple of 1200"):
        injected.make("csv", tmp_path / "rows", 1000)


@pytest.mark.parametrize("format", FORMATS)
def test_a_run_finds_every_fault_where_it_is_and_answers_all_else(format: str, bundle: Path, tmp_path: Path) -> None:
    """In fragments that are cut between the faults, at the very limit of one in a hundred."""
    files = injected.make(format, tmp_path / "rows", 4800, seed=3)
    output = tmp_path / "out"

    # Parquet's faults include a row group that cannot be read, which stops a run unless it is allowed.
    settings = BatchSettings(columns=(KEY,), fragment_bytes=16 * 1024, allow_torn=format == "parquet")
    result = score(
        RunOrder(str(bundle), (str(files.directory),), str(output)), settings, out=io.StringIO(), actors=Inline
    )

    compared = finding.look(files, output)
    assert compared.differences() == []
    assert (compared.precision, compared.recall) == (1.0, 1.0)
    assert result.report["quarantined"] == files.bad
    assert outputs.sums(output).hold(4800)
    assert outputs.untrue(output) == []


TWO = (
    RowFault("wrong type", "a.csv", 3, "wrong_type", "amount", line=5, offset=70),
    RowFault("torn page", "b.parquet", 9, "malformed", rows=4),
)
FILES = FaultyFiles("csv", Path("rows"), 20, TWO, {row: float(row) for row in range(15)})
RECORDS: list[dict[str, Any]] = [
    {"file": "/data/a.csv", "row": 3, "line": 5, "offset": 70, "code": "wrong_type", "path": "inputs.amount[0]"},
    {"file": "/data/b.parquet", "row": 9, "rows": 4, "code": "malformed", "path": ""},
]


def test_a_quarantine_that_tells_the_truth_is_perfect() -> None:
    compared = finding.compare(FILES, RECORDS, dict(FILES.answers))

    assert compared.perfect
    assert compared.by_kind == {"wrong type": (1, 1), "torn page": (1, 1)}


@pytest.mark.parametrize(
    "change",
    [
        {"row": 4},
        {"line": 6},
        {"offset": 71},
        {"code": "out_of_range"},
        {"path": "inputs.count[0]"},
        {"file": "/data/b.csv"},
        {"rows": 2},
    ],
)
def test_whatever_a_record_says_wrongly_is_seen(change: dict[str, Any]) -> None:
    """A fault at another place is lost there, and made up here."""
    compared = finding.compare(FILES, [RECORDS[0] | change, RECORDS[1]], dict(FILES.answers))

    assert not compared.perfect
    assert (compared.precision, compared.recall) == (0.5, 0.5)
    assert [line.partition(":")[0] for line in compared.differences()] == ["injected, not found", "found, not injected"]


def test_a_fault_that_is_told_twice_is_made_up_once() -> None:
    compared = finding.compare(FILES, [*RECORDS, RECORDS[0]], dict(FILES.answers))

    assert compared.recall == 1.0
    assert len(compared.made_up) == 1


@pytest.mark.parametrize(
    ("answers", "difference"),
    [
        ({row: float(row) for row in range(14)}, "1 rows without an answer"),
        ({row: float(row) for row in range(16)}, "1 rows that should have no answer"),
        ({row: float(row) + (row == 7) for row in range(15)}, "1 rows answered wrongly"),
    ],
)
def test_every_good_row_has_to_be_answered_rightly(answers: dict[int, float], difference: str) -> None:
    compared = finding.compare(FILES, RECORDS, answers)

    assert compared.differences() == [difference]


def test_the_report_has_the_sums_and_every_kind() -> None:
    kinds = {kind.name: (5, 5) for kind in injected.kinds("csv")} | {"NUL": (5, 4)}
    compared = Comparison("csv", 6000, 60, 59, kinds, lost=[("a.csv", 1, 1, "wrong_type", "amount", 3, 40)])
    found = [faults.FormatFinding(compared, [], 7, None), faults.FormatFinding(compared, ["kept nothing"], 0, [])]

    text = faults.report(found)

    assert "| located exactly (recall) | 0.9833 | 0.9833 |" in text
    assert "| above the limit: stops, keeps, goes on | yes | no (1) |" in text
    assert "| full disk: says so, goes on | not tried | yes |" in text
    assert "| CSV: NUL | `wrong_type` | 5 | 4 |" in text
    assert found[1].misses() == [
        "csv: injected, not found: a.csv row 1, line 3, byte 40: wrong_type amount",
        "csv: kept nothing",
    ]


def test_a_disk_that_is_full_makes_a_format_miss() -> None:
    good = Comparison("csv", 1200, 12, 12, {})

    assert faults.FormatFinding(good, [], 1, []).misses() == []
    assert faults.FormatFinding(good, [], 1, ["was published"]).misses() == ["csv: was published"]
    assert faults.FormatFinding(replace(good, wrong=2), [], 1, None).misses() == ["csv: 2 rows answered wrongly"]
