"""`fivefold difference`: what it prints and writes, and when it ends with status 3."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from tests.support.judging_bundles import judge_bundle

from fivefold.cli import main


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Two models that answer one golden row of four differently."""
    monkeypatch.chdir(tmp_path)
    for name, edge in (("old", 50), ("new", 40)):
        judge_bundle(tmp_path / name, edge=edge, sizes=(10, 45, 60, 90), version=name)
    return tmp_path


def test_what_differs_is_printed(capsys: pytest.CaptureFixture[str]) -> None:
    """With counts, rates and where the rows stand."""
    assert main(["difference", "old", "new", "--by", "colour"]) == 0
    lines = [line.split() for line in capsys.readouterr().out.splitlines()]

    assert ["all", "rows", "4", "1", "25", "%", "0", "%", "to", "75", "%"] in lines
    assert ["colour:", "green", "1", "1", "100", "%", "2.5", "%", "to", "100", "%"] in lines
    assert ["golden", "rows,", "both,", "1:", "small", "before,", "large", "now"] in lines


def test_a_bound_decides_the_status(capsys: pytest.CaptureFixture[str]) -> None:
    """And the sentence names the worst slice; a programme reads the same."""
    assert main(["difference", "old", "new", "--max-disagreement", "0.25", "--max-change", "0"]) == 0
    capsys.readouterr()
    assert main(["difference", "old", "new", "--max-disagreement", "0.2", "--json"]) == 3
    captured = capsys.readouterr()

    broken = "verdict differs in 1 of 4 rows (25 %), more than 20 %; worst where class of verdict is small"
    assert broken in captured.err
    said = json.loads(captured.out)
    assert (said["ok"], said["rows"]) == (False, 4)
    assert broken in said["broken"][0]


@pytest.mark.parametrize(("name", "others"), [("r.md", ["r.svg"]), ("r.html", []), ("r.svg", [])])
def test_reports_are_written(folder: Path, name: str, others: list[str]) -> None:
    """Whole, also where a bound is broken."""
    before = {path.name for path in folder.iterdir()}
    assert main(["difference", "old", "new", "--max-disagreement", "0", "--report", name]) == 3
    text = (folder / name).read_text()

    assert {path.name for path in folder.iterdir()} - before == {name, *others}
    assert "verdict" in text
    assert (name == "r.svg") or "Too much: verdict differs in 1 of 4 rows" in text
    assert ("r.svg" in text) == (name == "r.md")


@pytest.mark.parametrize(
    ("words", "status", "said"),
    [
        ("old new --report r.pdf", 2, "its kind is not known"),
        ("old new --max-disagreement 2", 2, "expected a share of 0 to 1"),
        ("old new --by shade", 2, "no such input"),
        ("old new --rows none.jsonl", 3, "there is no file none.jsonl"),
        ("old nowhere", 3, "nowhere"),
    ],
)
def test_a_wrong_command(words: str, status: int, said: str, capsys: pytest.CaptureFixture[str]) -> None:
    """Two lines, and a status."""
    assert main(["difference", *words.split()]) == status
    assert said in capsys.readouterr().err
