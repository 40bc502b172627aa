"""A backfill's days, and the exit status that tells the truth about all of them."""

from __future__ import annotations

import io
import sys
from pathlib import Path
from typing import Any

import pytest
from tests.support.batch_runs import run
from tests.support.bundles import write_sum

from fivefold.batch.tools import backfill
from fivefold.batch.tools.backfill import Backfill, days
from fivefold.cli import main


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, noted: Path) -> Path:
    """A directory with data of two days out of three, both of which are published."""
    monkeypatch.chdir(tmp_path)
    for day in ("2026-01-01", "2026-01-03"):
        home = tmp_path / "data" / f"ds={day}"
        home.mkdir(parents=True)
        (home / "a.jsonl").write_text('{"a": 1, "note": "x"}\n')
        run(noted, home, tmp_path / "out" / f"ds={day}")
    (tmp_path / "model").symlink_to(noted)
    return tmp_path


LINE = "batch backfill --model model --input data/ds={ds}/*.jsonl --output out/ds={ds} --only-missing --from"


@pytest.mark.parametrize(
    ("words", "status"),
    [
        ("2026-01-01 --to 2026-01-03", 0),
        ("2026-01-01 --to 2026-01-03 --fail-on-missing", 3),
        ("2026-01-01 --to 2026-01-01 --fail-on-missing", 0),
        ("2026-01-02 --to 2026-01-02", 3),
        ("2025-12-01 --to 2025-12-31", 3),
    ],
)
def test_nothing_to_do_is_no_success(words: str, status: int, capsys: pytest.CaptureFixture[str]) -> None:
    """Where no day has input, or one has none and that is not allowed; with a sentence that names it."""
    assert main([*LINE.split(), *words.split()]) == status
    assert ("no file matches for" in capsys.readouterr().err) is (status == 3)


def work(code: str, *names: str, output: str = "elsewhere/{ds}", **more: Any) -> Backfill:
    """A backfill whose days are a few words of Python."""
    command = ["-c", code]
    return Backfill(
        names,
        command,
        output,
        partition="ds",
        max_parallel=2,
        only_missing=True,
        allow_http=False,
        log=io.StringIO(),
        **more,
    )


@pytest.mark.parametrize(
    ("statuses", "status"), [((3, 3), 3), ((1, 3), 1), ((3, 4), 4), ((5, 3), 3), ((5, 5), 5), ((9, 9), 1)]
)
def test_the_worst_day_speaks(monkeypatch: pytest.MonkeyPatch, statuses: tuple[int, int], status: int) -> None:
    """Failures keep their own exit status: what to do about them differs."""
    names = days("2026-01-01", "2026-01-02")
    found = work("", *names)
    for name, each in zip(names, statuses, strict=True):
        found.days[name] = backfill.Day(name, "failed", error="x", status=each)

    assert found.status(fail_on_missing=False) == status


def test_a_day_without_input_is_not_started(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """And known by its files, not by what a process has written."""

    def never(*_: Any) -> None:
        raise AssertionError

    monkeypatch.setattr(Backfill, "_start", never)
    found = work("", "2026-01-02", inputs=("data/ds={ds}/*.jsonl",))

    assert found.run()
    assert found.days["2026-01-02"].state == "no input"
    assert found.status(fail_on_missing=False) == 3


def test_a_path_that_says_so_is_no_missing_input(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A failure whose sentence happens to hold the words stays a failure."""
    script = "import sys; print('error: /no file matches/model: cannot be read', file=sys.stderr); sys.exit(3)"
    real = backfill.subprocess.Popen

    def python(words: list[str], **rest: Any) -> Any:
        return real([sys.executable, *words[3:]], **rest)

    monkeypatch.setattr(backfill.subprocess, "Popen", python)
    found = work(script, "2026-01-01")

    assert not found.run()
    assert (found.days["2026-01-01"].state, found.status(fail_on_missing=False)) == ("failed", 3)


def test_junk_in_a_day_s_output_is_told(folder: Path) -> None:
    """It is no published day."""
    (folder / "out" / "ds=2026-01-01" / "run.json").write_text("{")
    one = work("", "2026-01-01", output="out/ds={ds}")

    assert (one.days["2026-01-01"].state, one.status(fail_on_missing=False)) == ("failed", 3)
    assert "run.json" in one.days["2026-01-01"].error


def test_a_day_that_another_bundle_has_published(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Is left alone, and is not done."""
    write_sum(folder / "sum")
    before = (folder / "out" / "ds=2026-01-01" / "run.json").read_bytes()

    line = LINE.replace("--model model", "--model sum")
    assert main([*line.split(), "2026-01-01", "--to", "2026-01-01"]) == 3
    assert "other run" in capsys.readouterr().out
    assert (folder / "out" / "ds=2026-01-01" / "run.json").read_bytes() == before
