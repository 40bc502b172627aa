"""`fivefold contract draft`: which columns it takes, and what it says beside the contract."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from tests.support.versioned_bundle import triage_bundle

from fivefold.cli import main
from fivefold.core.contract.contract import Contract


@pytest.fixture
def data(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    Path("data.csv").write_text(
        'id,年,"a, b",amount,label\n1,2020,1.5,10,True\n2,2021,2.5,NA,False\n3,2022,3.5,20,True\n'
    )


def drafted(capsys: pytest.CaptureFixture[str], *options: str) -> tuple[dict[str, Any], list[str]]:
    assert main(["contract", "draft", "data.csv", "--name", "d", *options]) == 0
    out, err = capsys.readouterr()
    return json.loads(out), err.splitlines()


@pytest.mark.usefixtures("data")
def test_the_target_is_the_answer_unless_another_is_named(capsys: pytest.CaptureFixture[str]) -> None:
    """It is no input either way; notes go to stderr, so that stdout is the contract."""
    contract, notes = drafted(capsys, "--target", "label", "--drop", 'id,"a, b"', "--margin", "0.5")

    assert [field["name"] for field in contract["inputs"]] == ["u5e74", "amount"]
    assert contract["inputs"][0] | {"minimum": 2019, "maximum": 2023, "aliases": ["年"]} == contract["inputs"][0]
    assert contract["outputs"] == [{"name": "label", "dtype": "bool"}]
    assert [note.partition(":")[0] for note in notes] == ["note", "note"]
    assert "'NA' is taken for null (1 cell, the first in row 2)" in notes[0]
    assert "'True' in row 1 is taken for a boolean" in notes[1]

    contract, _ = drafted(capsys, "--target", "label", "--answer", "amount", "--features", "年,id")
    assert [field["name"] for field in contract["inputs"]] == ["u5e74", "id"]
    assert [field["name"] for field in contract["outputs"]] == ["amount"]


@pytest.mark.usefixtures("data")
@pytest.mark.parametrize(
    ("options", "status", "error", "help"),
    [
        (["--target", "lable"], 3, "no column 'lable'", "did you mean 'label'"),
        (["--target", "label", "--drop", "amonut"], 3, "no column 'amonut'", "did you mean 'amount'"),
        (["--target", "label", "--features", "label"], 3, "in features and in target", ""),
        ([], 2, "a contract has outputs", "--answer COLUMN"),
    ],
)
def test_a_wrong_choice_says_what_was_meant(
    options: list[str], status: int, error: str, help: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """Two lines and an exit status."""
    assert main(["contract", "draft", "data.csv", "--name", "d", *options]) == status
    said = capsys.readouterr().err
    assert error in said
    assert help in said


@pytest.mark.usefixtures("data")
@pytest.mark.parametrize("margin", ["-1", "x", "inf"])
def test_a_margin_is_a_share(margin: str, capsys: pytest.CaptureFixture[str]) -> None:
    """Anything else is a wrong command line."""
    with pytest.raises(SystemExit):
        main(["contract", "draft", "data.csv", "--name", "d", "--target", "label", f"--margin={margin}"])
    assert "a share of at least 0" in capsys.readouterr().err


@pytest.mark.usefixtures("data")
def test_a_draft_is_written(capsys: pytest.CaptureFixture[str]) -> None:
    """With --output the contract goes into the file."""
    assert main(["contract", "draft", "data.csv", "--name", "d", "--answer", "label", "--output", "c.json"]) == 0

    assert "drafted c.json" in capsys.readouterr().out
    assert Contract.load("c.json").outputs[0].dtype == "bool"


def test_help_shows_examples(capsys: pytest.CaptureFixture[str]) -> None:
    """One for each way to choose."""
    with pytest.raises(SystemExit):
        main(["contract", "draft", "--help"])
    said = capsys.readouterr().out
    for option in ("--answer", "--target", "--drop", "--features", "--margin"):
        assert option in said.partition("examples:")[2]


def test_a_version_of_a_bundle_is_shown_and_exported(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Without one it is the model's own; a file has one."""
    bundle = triage_bundle(tmp_path / "t")
    for options, version in (([], bundle.contract.version), (["--version", "1.0.0"], "1.0.0")):
        assert main(["contract", "show", str(bundle.path), "--json", *options]) == 0
        assert json.loads(capsys.readouterr().out)["version"] == version
    assert main(["contract", "export", str(bundle.path), "--to", "typescript", "--version", "1.0.0"]) == 0
    assert "mass" in capsys.readouterr().out
    assert main(["contract", "show", str(bundle.path), "--version", "7"]) == 3
    assert "versions: 1.0.0, 2.0.0, 3.0.0" in capsys.readouterr().err
    (tmp_path / "c.json").write_bytes(bundle.contract.to_bytes())
    assert main(["contract", "show", str(tmp_path / "c.json"), "--version", "7"]) == 3
    assert "is version 2.0.0 of the contract, not 7" in capsys.readouterr().err
