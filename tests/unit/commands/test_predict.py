"""`fivefold predict`: what REST answers, without a server; its errors, by code and path."""

from __future__ import annotations

import gzip
import io
import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from tests.support.bundles import write_python, write_sum
from tests.support.http_calls import world
from tests.support.versioned_bundle import triage_bundle

from fivefold.cli import main
from fivefold.core.bundle.bundle import Bundle

BODIES: list[Any] = [
    {"instances": [{"a": 1, "b": 2}, [3, 4]]},
    {"instances": []},
    {"inputs": {"a": [1, 2], "b": [3.5, 4]}},
    {"instances": [{"a": 1, "b": 2}, {"a": 101, "c": 2}]},
    {"instances": [{"a": None, "b": "x"}]},
    {"instances": [1]},
    {"instances": [{"a": 1, "b": 2}], "more": 1},
    {"inputs": {"a": [1], "b": [1, 2]}},
    {"instances": 3},
]


@pytest.fixture
def bundle(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Bundle:
    monkeypatch.chdir(tmp_path)
    return write_sum(tmp_path / "b")


def told(capsys: pytest.CaptureFixture[str]) -> tuple[list[Any], str]:
    """The JSON lines of the standard output, and the standard error."""
    out, err = capsys.readouterr()
    return [json.loads(line) for line in out.splitlines()], err


def test_bodies_are_answered_and_refused_as_over_rest(bundle: Bundle, capsys: pytest.CaptureFixture[str]) -> None:
    """Every answer, and code, path, sentence, help and details of every refusal."""
    with world([bundle]) as served:
        for body in BODIES:
            reply = served.post(f"/v1/models/{bundle.name}:predict", body)
            status = main(["predict", "b", json.dumps(body), "--json"])
            out, err = capsys.readouterr()

            theirs = reply.json
            theirs.pop("request_id", None)
            if reply.status == 200:
                del theirs["metadata"]["transport"], theirs["metadata"]["request_id"]
            assert (status, reply.status == 200) in ((0, True), (3, False))
            assert json.loads(out if status == 0 else err) == theirs


def test_a_record_is_answered_by_an_object_and_records_by_lines(
    bundle: Bundle, capsys: pytest.CaptureFixture[str]
) -> None:
    """From a file, as it is, by the first word or by --model, options between."""
    Path("row.json").write_text('{\n "a": 1,\n "b": 2\n}\n')
    for line in (["b", "row.json"], ["--model", "b", "row.json"], ["b", "--contract", "1.0", '{"a": 1, "b": 2}']):
        assert main(["predict", *line]) == 0
        assert told(capsys) == ([{"total": 3.0, "label": 1}], "")
    assert main(["predict", "b", '[{"a": 1, "b": 2}, [-3, 1]]', "--output", "out.jsonl"]) == 0
    assert told(capsys) == ([], "")
    assert [json.loads(line) for line in Path("out.jsonl").read_text().splitlines()] == [
        {"total": 3.0, "label": 1},
        {"total": -2.0, "label": 0},
    ]


def test_a_field_may_be_called_inputs(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A record that has it is a record."""
    from tests.support.bundles import contract, field

    source = b"class Sum:\n    def predict(self, columns):\n        return {'y': columns['inputs'] + 1}\n"
    write_python(
        tmp_path / "b",
        source,
        contract=contract([field("inputs")], [field("y")]),
        golden=([{"inputs": 1}], [{"y": 2}]),
    )

    assert main(["predict", str(tmp_path / "b"), '{"inputs": 4}']) == 0
    assert told(capsys)[0] == [{"y": 5.0}]


def test_a_refusal_names_code_and_path(bundle: Bundle, capsys: pytest.CaptureFixture[str]) -> None:
    """For a person: each violation in a line."""
    assert main(["predict", "b", '{"a": 101, "b": 101}']) == 3
    out, err = told(capsys)

    assert out == []
    assert [line.replace("101.0", "101") for line in err.splitlines()] == [
        "error: inputs.a[0]: expected a number of at most 100, got 101 (out_of_range)",
        "       inputs.b[0]: expected a number of at most 100, got 101 (out_of_range)",
    ]


@pytest.mark.parametrize("kind", ["csv", "jsonl", "parquet", "stdin", "lines.json"])
def test_rows_of_files_are_judged_one_by_one(
    bundle: Bundle, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, kind: str
) -> None:
    """The good ones are answered with their numbers, the others named with theirs; carried columns come along."""
    rows = [{"id": "x", "a": 1, "b": 2}, {"id": "y", "a": 999, "b": 2}, {"id": "z", "a": -5, "b": 2}]
    text = "".join(json.dumps(row) + "\n" for row in rows)
    cells = "id,a,b\n" + "".join(f"{row['id']},{row['a']},{row['b']}\n" for row in rows)
    pq.write_table(pa.Table.from_pylist(rows), "rows.parquet")
    Path("rows.csv").write_text(cells)
    Path("rows.jsonl").write_text(text)
    Path("rows.lines.json").write_text(text)
    line = ["predict", "b", f"rows.{kind}", "--columns", "id"]
    if kind == "stdin":
        stdin = io.TextIOWrapper(io.BytesIO(cells.encode()))
        monkeypatch.setattr("sys.stdin", stdin)
        line[2:3] = ["--format", "csv"]

    assert main(line) == 3
    out, err = told(capsys)

    assert out == [
        {"_row": 0, "id": "x", "total": 3.0, "label": 1},
        {"_row": 2, "id": "z", "total": -3.0, "label": 0},
    ]
    assert "row 1" in err
    assert "inputs.a[0]: expected a number of at most 100, got 999" in err
    assert "(out_of_range)" in err
    assert err.splitlines()[-1] == "error: 1 of 3 rows are refused"
    assert main([*line[:2], "rows.csv", "--json"]) == 3
    refused = json.loads(capsys.readouterr().err)
    assert (refused["row"], refused["line"], refused["code"], refused["path"]) == (1, 3, "out_of_range", "inputs.a[0]")


def test_a_name_that_no_utf8_has_is_quoted_all_the_same(bundle: Bundle, capsys: pytest.CaptureFixture[str]) -> None:
    """A lone surrogate."""
    assert main(["predict", "b", r'{"a": 1, "b": 2, "\ud800": 3}', "--json"]) == 3
    assert json.loads(capsys.readouterr().err)["code"] == "unknown_field"


def test_many_refused_rows_are_counted(bundle: Bundle, capsys: pytest.CaptureFixture[str]) -> None:
    """Twenty are shown."""
    Path("rows.csv").write_text("a,b\n" + "999,1\n" * 50)

    assert main(["predict", "b", "rows.csv"]) == 3
    lines = capsys.readouterr().err.splitlines()
    assert len(lines) == 22
    assert lines[-2] == "error: 50 of 50 rows are refused"
    assert "quarantine/" in lines[-1]


@pytest.mark.parametrize("json_", [True, False])
def test_an_input_that_breaks_off_is_no_success(
    bundle: Bundle, capsys: pytest.CaptureFixture[str], json_: bool
) -> None:
    """Also where no row is lost that anybody could count, and behind more refusals than are shown."""
    text = gzip.compress(b"a,b\n" + b"999,1\n" * 30) + gzip.compress(b"1,2\n")
    Path("rows.csv.gz").write_bytes(gzip.compress(b"a,b\n1,2\n") + b"something else")
    Path("many.csv.gz").write_bytes(text + b"something else")

    for name, answers in (("rows.csv.gz", [0]), ("many.csv.gz", [30])):
        assert main(["predict", "b", name, *(["--json"] if json_ else [])]) == 3
        out, err = told(capsys)
        assert [answer["_row"] for answer in out] == answers
        assert "other bytes behind its end" in err
        if not json_:
            assert "what is behind the place where the input breaks off is not read" in err


def test_a_version_of_the_contract_is_asked_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """As by REST's header; a field that another version has is named with that version."""
    monkeypatch.chdir(tmp_path)
    triage_bundle(tmp_path / "t")
    assert main(["predict", "t", "--contract", "1.0.0", '{"mass": 20}']) == 0
    assert told(capsys)[0] == [{"level": "high"}]
    assert main(["predict", "t", "--contract", "1.0.0", '{"mass": 20, "dose": 1}']) == 3
    assert "version 2.0.0 of the contract has it" in capsys.readouterr().err
    assert main(["predict", "t", "--contract", "9", '{"mass": 20}']) == 3
    assert "versions: 1.0.0, 2.0.0, 3.0.0" in capsys.readouterr().err


def test_the_model_s_own_failure_is_no_refusal(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Exit status 1, and the other rows are answered."""
    monkeypatch.chdir(tmp_path)
    source = (
        b"class Sum:\n    def predict(self, columns):\n        if (columns['a'] == 13).any(): raise ValueError('x')\n"
        b"        total = columns['a'] + columns['b']\n"
        b"        return {'total': total, 'label': (total > 0).astype('int64')}\n"
    )
    write_python(tmp_path / "b", source)
    Path("rows.csv").write_text("a,b\n1,2\n13,1\n")

    assert main(["predict", "b", "rows.csv"]) == 1
    out, err = told(capsys)
    assert [row["_row"] for row in out] == [0]
    assert "(model_failed)" in err
    assert main(["predict", "b", '{"a": 13, "b": 1}']) == 1


@pytest.mark.parametrize(
    ("line", "status", "error", "help"),
    [
        ("", 2, "expected a bundle", "fivefold predict BUNDLE row.json"),
        ("b x y", 2, "expected a bundle and one input", ""),
        ("nowhere x.json", 3, "nowhere", ""),
        ("b x.json", 3, "there is no file x.json", "fivefold predict b '{"),
        ("b 3.txt", 2, "expected a file of .parquet", ""),
        ("b {", 3, "not JSON", ""),
        ("b bare.json", 3, "expected a record", "an object of the inputs"),
        ("b {} --columns id", 2, "for files of rows", ""),
        ("b {} --output x.csv", 2, "lines of JSON", "fivefold score"),
        ("b rows.csv --delimiter ab", 2, "delimiter", "fivefold predict --help"),
        ("b -", 3, "got nothing", "fivefold predict b '{"),
    ],
)
def test_what_cannot_be_asked(
    bundle: Bundle,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    line: str,
    status: int,
    error: str,
    help: str,
) -> None:
    """Two lines, and nothing is written."""
    monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(b"")))
    Path("bare.json").write_text("3")
    Path("3.txt").write_text("3")
    Path("rows.csv").write_text("a,b\n")

    assert main(["predict", *line.split()]) == status
    out, err = capsys.readouterr()
    assert out == ""
    assert error in err
    assert help in err


def test_at_a_terminal_nothing_is_waited_for(
    bundle: Bundle, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A person who gives no input gets an example that works."""
    monkeypatch.setattr("sys.stdin", SimpleNamespace(isatty=lambda: True))

    assert main(["predict", "b"]) == 3
    err = capsys.readouterr().err
    example = err.split("help: fivefold predict b ")[1].strip().strip("'")
    assert main(["predict", "b", example]) == 0


def test_what_stands_in_the_output_stays_until_all_is_answered(
    bundle: Bundle, capsys: pytest.CaptureFixture[str]
) -> None:
    """A file that cannot be read changes nothing."""
    Path("out.jsonl").write_text("before")
    Path("rows.csv").write_text("a\n1\n")

    assert main(["predict", "b", "rows.csv", "--output", "out.jsonl"]) == 3
    assert main(["predict", "b", '{"a": 1}', "--output", "out.jsonl"]) == 3
    assert Path("out.jsonl").read_text() == "before"
    assert sorted(path.name for path in Path().iterdir()) == ["b", "out.jsonl", "rows.csv"]
