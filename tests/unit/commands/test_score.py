"""`fivefold score`: what a person is told of a finished run, and of the settings."""

from __future__ import annotations

import re
from dataclasses import fields
from typing import Any

import pytest

from fivefold.batch.plan.settings import BatchSettings
from fivefold.batch.run.execute import Result
from fivefold.cli import main
from fivefold.commands.score import print_result

REPORT: dict[str, Any] = {
    "output": "scores",
    "rows": 30,
    "scored": 30,
    "quarantined": 0,
    "codes": {},
    "columns": [],
    "ignored_columns": [],
    "model": "m",
    "version": "1",
    "bundle": "d",
    "seconds": 12.5,
    "working_seconds": 0.5,
    "rows_per_second": 60,
}


def told(capsys: pytest.CaptureFixture[str], **changes: Any) -> dict[str, str]:
    print_result(Result(REPORT | changes, 30), json=False)
    return dict(re.findall(r"^(\w+) +(.*)$", capsys.readouterr().out, re.MULTILINE))


@pytest.mark.parametrize(
    ("changes", "join"),
    [
        ({}, "by _row, the number of a row in its file (parts are in the input's order)"),
        (
            {"ignored_columns": ["label", "user_id", "note"]},
            "by _row, the number of a row in its file; --columns user_id carries the file's own key",
        ),
        (
            {"ignored_columns": ["a", "b"]},
            "by _row, the number of a row in its file; --columns a,b carries columns of the file",
        ),
        ({"columns": ["id"]}, "by id, or by _row, the number of a row in its file"),
    ],
)
def test_the_way_back_to_the_input_is_told(
    capsys: pytest.CaptureFixture[str], changes: dict[str, Any], join: str
) -> None:
    """The file's own key where it has one that nobody asked for."""
    assert told(capsys, **changes)["join"] == join


def test_work_and_start_up_are_told_apart(capsys: pytest.CaptureFixture[str]) -> None:
    """Rows a second are those of the work."""
    assert told(capsys)["time"] == "0.5 s of work, 60 rows/s; 12.0 s of start and end around it"
    assert told(capsys, working_seconds=0.0)["time"] == "12.5 s, none of them of scoring"


def test_help_says_every_setting_and_its_default(capsys: pytest.CaptureFixture[str]) -> None:
    """As the settings have it, an option or a variable."""
    with pytest.raises(SystemExit):
        main(["score", "--help"])
    help = capsys.readouterr().out
    text = " ".join(help[help.index("Every setting") : help.index("examples:")].split())

    for field in fields(BatchSettings):
        option, variable = f"--{field.name.replace('_', '-')} ", f"FIVEFOLD_{field.name.upper()} "
        assert option in text or variable in text
        at = text.rindex(option if option in text else variable)
        (default,) = re.findall(r"\(default: ([^)]*)\)", text[at:])[:1]
        if isinstance(field.default, int | float | str) and field.default and not isinstance(field.default, bool):
            assert str(field.default) in default, field.name


def test_devices_of_workers_elsewhere_are_not_chosen_here(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Workers of a cluster that is there already have variables of their own, and would score on another device."""
    monkeypatch.setenv("RAY_ADDRESS", "ray.example:6379")
    monkeypatch.setenv("FIVEFOLD_PROVIDERS", "cpu")

    assert main(["score", "--model", "m", "--input", "a", "--output", "o", "--providers", "cpu"]) == 2
    assert (
        "--providers: expected FIVEFOLD_PROVIDERS where the workers of RAY_ADDRESS are made" in capsys.readouterr().err
    )
