"""`fivefold parity`: what it prints and writes, and when it ends with which status."""

from __future__ import annotations

import json
import xml.etree.ElementTree as ET
from pathlib import Path

import pytest
from tests.support.bundles import write_sum

from fivefold.cli import main


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A bundle in the working directory."""
    monkeypatch.chdir(tmp_path)
    write_sum(tmp_path / "sum")
    return tmp_path


def test_the_last_line_says_it_all(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """And the picture is whole."""
    command = ["parity", "--model", "sum", "--only", "core,http-v1", "--rows", "30", "--picture", "p.svg"]
    assert main(command) == 0
    lines = capsys.readouterr().out.splitlines()

    assert lines[-1].startswith("2 of 2 runtimes agree, ")
    assert lines[-1].endswith(" rows asked, largest difference 0")
    assert ET.parse(folder / "p.svg").getroot().tag.endswith("svg")


def test_programs_read_json(capsys: pytest.CaptureFixture[str]) -> None:
    """With the counts of each runtime."""
    assert main(["parity", "--model", "sum", "--only", "core", "--rows", "0", "--json"]) == 0
    said = json.loads(capsys.readouterr().out)

    assert (said["ok"], said["rows"]) == (True, {"golden": 8})
    assert [each["runtime"] for each in said["runtimes"]] == ["core"]


@pytest.mark.parametrize(
    ("more", "status", "said"),
    [
        (["--only", "htp-v1"], 2, "there is no runtime 'htp-v1'"),
        (["--rows", "-1"], 2, "expected a number of rows"),
        (["--picture", "p.png"], 2, "expected a name that ends in .svg"),
        (["--picture", "nowhere/p.svg"], 2, "there is no such directory"),
    ],
)
def test_what_cannot_be_asked_is_refused(
    more: list[str], status: int, said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """Before anything is asked."""
    try:
        got = main(["parity", "--model", "sum", *more])
    except SystemExit as ended:
        got = int(ended.code or 0)

    assert got == status
    assert said in capsys.readouterr().err


def test_a_bundle_that_is_none(capsys: pytest.CaptureFixture[str]) -> None:
    """Is the data's fault."""
    assert main(["parity", "--model", "nothing"]) == 3
    assert capsys.readouterr().err.startswith("error: ")
