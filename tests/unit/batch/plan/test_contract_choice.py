"""Files are read and answered under one contract version of a bundle that has several."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from tests.support.batch_runs import answers, quarantined, run
from tests.support.versioned_bundle import triage_bundle

from fivefold.cli import _parser
from fivefold.commands import score as scoring
from fivefold.core.errors import ContractInvalid, ProtocolError, RunFailed

OLD = {"mass": [0.0, 5.0, 50.0]}
NEW = {"weight": [0.0, 5.0, 50.0], "dose": [0.0, 1.0, 0.0]}


@pytest.fixture(scope="module")
def triage(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The bundle, which answers three versions: 1.0.0 where none is named."""
    return triage_bundle(tmp_path_factory.mktemp("triage") / "triage").path


def written(home: Path, kind: str, columns: dict[str, Any]) -> Path:
    """The columns as a file of one of the three formats."""
    path = home / f"a.{kind}"
    rows = [dict(zip(columns, row, strict=True)) for row in zip(*columns.values(), strict=True)]
    if kind == "parquet":
        pq.write_table(pa.table(columns), path)
    elif kind == "jsonl":
        path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    else:
        lines = [",".join(columns), *(",".join(map(str, row.values())) for row in rows)]
        path.write_text("\n".join(lines) + "\n")
    return path


def said(output: Path) -> list[dict[str, Any]]:
    """The answers without what is the same in every row."""
    return [{name: value for name, value in row.items() if name[0] != "_"} for row in answers(output)]


@pytest.mark.parametrize("kind", ["csv", "jsonl", "parquet"])
def test_without_a_version_files_are_of_the_oldest(tmp_path: Path, triage: Path, kind: str) -> None:
    """As they were before the release; each row says which version it is of, and so does the report."""
    result = run(triage, written(tmp_path, kind, OLD), tmp_path / "out")

    assert said(tmp_path / "out") == [{"level": level} for level in ("high", "high", "high")]
    assert {row["_contract"] for row in answers(tmp_path / "out")} == {"triage@1.0.0"}
    assert result.report["contract"] == "triage@1.0.0"


@pytest.mark.parametrize("kind", ["csv", "jsonl", "parquet"])
@pytest.mark.parametrize("version", ["2.0.0", "triage@2.0.0"])
def test_a_version_is_asked_for(tmp_path: Path, triage: Path, kind: str, version: str) -> None:
    """By its number, or with the contract's name; columns, bounds and answers are those of that version."""
    result = run(triage, written(tmp_path, kind, NEW), tmp_path / "out", contract=version)

    assert said(tmp_path / "out") == [
        {"level": "low", "value": 0.0},
        {"level": "high", "value": 7.0},
        {"level": "extreme", "value": 50.0},
    ]
    assert result.report["contract"] == "triage@2.0.0"


@pytest.mark.parametrize("kind", ["csv", "jsonl", "parquet"])
def test_a_field_that_the_model_lacks_is_read_and_left_out(tmp_path: Path, triage: Path, kind: str) -> None:
    """A newer version's files after a release was taken back; its column is checked all the same."""
    run(triage, written(tmp_path, kind, NEW | {"note": ["a", "b", "c"]}), tmp_path / "out", contract="3.0.0")

    assert [row["value"] for row in said(tmp_path / "out")] == [0.0, 7.0, 50.0]


def test_rows_are_refused_under_the_callers_names(tmp_path: Path, triage: Path) -> None:
    """-0.5 is legal in 2.0.0 alone, and 1.0.0 calls it mass."""
    rows = {"mass": [-0.5, 1.0]}
    run(triage, written(tmp_path, "jsonl", rows), tmp_path / "out", max_bad_fraction=1)
    run(
        triage,
        written(tmp_path, "csv", {"weight": [-0.5, 1.0], "dose": [0.0, 0.0]}),
        tmp_path / "new",
        contract="2.0.0",
    )

    (bad,) = quarantined(tmp_path / "out")
    assert (bad["code"], bad["path"]) == ("out_of_range", "inputs.mass[0]")
    assert quarantined(tmp_path / "new") == []


@pytest.mark.parametrize("version", ["9.0.0", "other@2.0.0", "2.0"])
def test_a_version_that_the_bundle_lacks_is_refused(tmp_path: Path, triage: Path, version: str) -> None:
    """Before anything is written, with those that it has."""
    with pytest.raises(ProtocolError, match="is not served under version") as caught:
        run(triage, written(tmp_path, "csv", OLD), tmp_path / "out", contract=version)

    assert caught.value.code == "contract_unsupported"
    assert caught.value.help == "versions: 1.0.0, 2.0.0, 3.0.0"
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("kind", ["csv", "parquet"])
@pytest.mark.parametrize(
    ("further", "version"), [("dose", "2.0.0"), ("note", "3.0.0")], ids=["the model's own", "a newer one"]
)
def test_a_column_of_another_version_is_not_ignored(
    tmp_path: Path, triage: Path, kind: str, further: str, version: str
) -> None:
    """A table of 2.0.0 that is read as 1.0.0 would lose its dose and nobody would see it."""
    path = written(tmp_path, kind, {"mass": [1.0], further: [3.0 if further == "dose" else "n"]})

    with pytest.raises(ProtocolError) as caught:
        run(triage, path, tmp_path / "out")

    assert (caught.value.code, caught.value.path) == ("contract_unsupported", f"inputs.{further}")
    assert f"is of version {version}, and the input would be read as 1.0.0" in str(caught.value)
    assert caught.value.help == f"--contract {version}, or --contract 1.0.0 to leave it out"
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("kind", ["csv", "parquet"])
def test_a_column_is_left_out_where_the_version_was_named(tmp_path: Path, triage: Path, kind: str) -> None:
    """Somebody has decided so, and the report says what was left out; a column of no version was never a question."""
    path = written(tmp_path, kind, {"mass": [1.0], "dose": [3.0], "ward": ["x"]})
    result = run(triage, path, tmp_path / "out", contract="1.0.0")
    other = run(triage, written(tmp_path, kind, {"mass": [1.0], "ward": ["x"]}), tmp_path / "other")

    assert sorted(result.report["ignored_columns"]) == ["dose", "ward"]
    assert other.report["ignored_columns"] == ["ward"]


def test_a_run_is_of_one_version(tmp_path: Path, triage: Path) -> None:
    """Another version of the same bundle over the same files is another run; the same one goes on."""
    path = written(tmp_path, "csv", OLD)
    run(triage, path, tmp_path / "out")

    assert run(triage, path, tmp_path / "out").scored_now == 0
    with pytest.raises((RunFailed, ContractInvalid)) as caught:
        run(triage, written(tmp_path, "csv", OLD), tmp_path / "out", contract="2.0.0")
    assert caught.value.code == "run_conflict"


def test_the_named_default_is_the_same_run(tmp_path: Path, triage: Path) -> None:
    """Whoever names what everybody gets asks for nothing else."""
    path = written(tmp_path, "csv", OLD)
    run(triage, path, tmp_path / "out")

    assert run(triage, path, tmp_path / "out", contract="1.0.0").scored_now == 0


def test_the_command_takes_a_version() -> None:
    """`fivefold score --contract`, and the settings have it."""
    words = ["score", "--model", "b", "--input", "i", "--output", "o", "--contract", "2.0.0"]
    asked = scoring.asked(_parser().parse_args(words))
    assert asked is not None

    assert asked[1].contract == "2.0.0"
