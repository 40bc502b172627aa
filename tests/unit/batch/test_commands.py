"""`fivefold score` and `fivefold batch` as a user types them."""

from __future__ import annotations

import io
import json
import subprocess
import sys
from pathlib import Path

import pytest
from tests.support.batch_runs import run
from tests.support.score_commands import environment, started, until

from fivefold.batch.run.job import Job
from fivefold.batch.tools import backfill
from fivefold.batch.tools.backfill import Backfill, days, filled
from fivefold.cli import main


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, noted: Path) -> Path:
    """A directory with data of three days, one of which is empty."""
    monkeypatch.chdir(tmp_path)
    for day, count in (("2026-01-01", 10), ("2026-01-03", 20)):
        home = tmp_path / "data" / f"ds={day}"
        home.mkdir(parents=True)
        (home / "a.jsonl").write_text('{"a": 1, "note": "x"}\n' * count)
    (tmp_path / "model").symlink_to(noted)
    return tmp_path


@pytest.mark.parametrize(
    ("line", "status", "error", "help"),
    [
        ("score --model model --input data", 2, "required: --output", "fivefold score --help"),
        ("score --model nowhere --input data --output out", 3, "cannot read nowhere", ""),
        ("score --model model --input none/* --output out", 3, "no file matches none/*", "quote the pattern"),
        ("score --model model --input data --output out --format xml", 2, "invalid choice", ""),
        (
            "score --model model --input data --output out --max-bad-fraction 2",
            2,
            "expected 0 to 1",
            "fivefold score --help",
        ),
        ("score --model model --input data --output out --columns a,a", 2, "stands twice", ""),
        ("score --model model --input data --output out --columns total", 3, "two columns 'total'", "leave total out"),
        ("batch status out", 3, "there is no run", "fivefold score --help"),
        ("batch resume out", 3, "there is no run", "fivefold score --help"),
        ("batch diff out out", 3, "there is no published run", ""),
        ("batch submit --model model --input data --output out", 5, "no cluster is named", "RAY_API_SERVER_ADDRESS"),
        ("batch backfill --from x --to y --model model --input {ds} --output {ds}", 2, "--from, --to", "2026-01-31"),
        ("batch backfill --from 2026-01-02 --to 2026-01-01 --model m --input {ds} --output {ds}", 2, "is before", ""),
        (
            "batch backfill --from 2026-01-01 --to 2026-01-01 --model m --input a --output {ds}",
            2,
            "have no {ds}",
            "for example",
        ),
        ("batch", 2, "required", "fivefold batch --help"),
    ],
)
def test_errors_are_two_lines_and_an_exit_code(
    line: str, status: int, error: str, help: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """As of every other command, before anything is started."""
    monkeypatch.delenv("RAY_API_SERVER_ADDRESS", raising=False)
    try:
        got = main(line.split())
    except SystemExit as ended:
        got = int(ended.code or 0)
    captured = capsys.readouterr()

    assert got == status
    assert captured.err.startswith("error: ")
    assert error in captured.err
    assert help in captured.err
    assert "Traceback" not in captured.err


def test_status_of_a_run(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """While it is not finished, and when it is."""
    run(folder / "model", "data", folder / "out")
    assert main(["batch", "status", "out"]) == 0
    assert "published: run " in capsys.readouterr().out
    (folder / "out" / "_SUCCESS").unlink()

    assert main(["batch", "status", "out", "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert (found["state"], found["rows"], found["rows_total"], found["of"]) == ("unfinished", 30, 30, 2)
    assert found["order"]["inputs"] == [str(folder / "data")]


def test_a_finished_run_is_told_again(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """By the same command, by resume from any directory, and by batch run; nothing is started for it."""
    run("model", "data", folder / "out")
    score = ["--model", "model", "--input", "data", "--output", "out"]

    for line in (["score", *score], ["batch", "run", *score], ["batch", "resume", "out"]):
        assert main(line) == 0
        said = capsys.readouterr()
        assert "finished before, 0 rows scored now" in said.out
        assert "30 in, 30 scored, 0 quarantined" in said.out
    assert main(["score", *score, "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["scored_now"] == 0


@pytest.mark.full
def test_diff_of_runs(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Exit status 0 where they are the same."""
    run("model", "data", folder / "one")
    run("model", "data", folder / "two", format="csv")

    assert main(["batch", "diff", "one", "two"]) == 0
    assert "30 in both" in capsys.readouterr().out
    assert main(["batch", "diff", "one", "two", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["same"] is True


def test_days_and_places() -> None:
    """Both ends included, leap days too."""
    assert days("2024-02-28", "2024-03-01") == ["2024-02-28", "2024-02-29", "2024-03-01"]
    assert filled("a/ds={ds}/{other}", "ds", "x") == "a/ds=x/{other}"


def test_a_command_line_asks_for_the_same_run(folder: Path) -> None:
    """What another process is told is what this one was told."""
    from fivefold.cli import _parser
    from fivefold.commands.score import asked

    line = "score --model model --input a b --input c --output out --format csv --columns x,y"
    line += " --max-bad-fraction 0.5 --max-bad-rows 7 --delta d --engine ray-data"
    line += " --allow-torn --delimiter tab --na NA,-9 --booleans True,False --encoding latin-1"
    first = asked(_parser().parse_args([*line.split(), "--workers", "3", "--strict-columns", "--fragment-bytes", "9"]))
    assert first is not None
    second = Job.from_json(Job(first[0], first[1]).to_json())

    assert (second.order, second.settings) == first[:2]


@pytest.mark.host
@pytest.mark.full
def test_a_backfill_does_what_is_missing(folder: Path) -> None:
    """A day that is done is left alone, one without input is named, and the table is true when it starts again."""
    run(folder / "model", folder / "data" / "ds=2026-01-01", folder / "out" / "ds=2026-01-01")
    before = (folder / "out" / "ds=2026-01-01" / "run.json").stat().st_mtime_ns

    def work() -> Backfill:
        command = [
            "score",
            "--model",
            "model",
            "--input",
            "data/ds={ds}/*",
            "--output",
            "out/ds={ds}",
            "--workers",
            "1",
        ]
        return Backfill(
            days("2026-01-01", "2026-01-03"),
            command,
            "out/ds={ds}",
            partition="ds",
            max_parallel=2,
            only_missing=True,
            allow_http=False,
            log=io.StringIO(),
        )

    first = work()
    assert [day.state for day in first.days.values()] == ["published", "waiting", "waiting"]
    assert first.run()

    assert [(day.name, day.state, day.rows) for day in first.days.values()] == [
        ("2026-01-01", "published", 10),
        ("2026-01-02", "no input", 0),
        ("2026-01-03", "published", 20),
    ]
    assert [day.state for day in work().days.values()] == ["published", "waiting", "published"]
    assert (folder / "out" / "ds=2026-01-01" / "run.json").stat().st_mtime_ns == before
    assert "20" in backfill.row(first.days["2026-01-03"])


@pytest.mark.host
@pytest.mark.full
@pytest.mark.rare
@pytest.mark.timeout(900)
def test_a_backfill_of_a_month_survives_its_own_death(folder: Path) -> None:
    """Killed in the middle and started again, it has done every day once."""
    names = days("2026-03-01", "2026-03-30")
    for index, name in enumerate(names):
        home = folder / "data" / f"ds={name}"
        home.mkdir()
        (home / "a.jsonl").write_text('{"a": 1, "note": "x"}\n' * (index + 1))
    words = ["--from", names[0], "--to", names[-1], "--model", "model", "--input", "data/ds={ds}/*"]
    line = [
        sys.executable,
        "-m",
        "fivefold.cli",
        "batch",
        "backfill",
        *words,
        "--output",
        "out/ds={ds}",
        "--workers",
        "1",
    ]

    def published() -> int:
        return len(list(folder.glob("out/*/_SUCCESS")))

    with started([*line, "--max-parallel", "2"]):
        until(lambda: published() >= 6, 400)
    before = {path: path.stat().st_mtime_ns for path in folder.glob("out/*/_SUCCESS")}
    done = subprocess.run(
        [*line, "--max-parallel", "2", "--only-missing"], capture_output=True, text=True, env=environment(), timeout=800
    )

    assert done.returncode == 0, done.stderr
    table = [row.split() for row in done.stdout.splitlines()[1:]]
    assert [(row[0], row[1], int(row[2])) for row in table] == [
        (name, "published", index + 1) for index, name in enumerate(names)
    ]
    assert {path: path.stat().st_mtime_ns for path in before} == before
