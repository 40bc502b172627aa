"""Exit statuses of `fivefold score` and `fivefold batch`: each says what has to be done about it."""

from __future__ import annotations

import errno
import os
import signal
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from tests.support.batch_runs import quarantined, run
from tests.support.bundles import write_python

from fivefold.batch.engine.inline import Inline
from fivefold.batch.storage.output_storage import DirectoryStorage
from fivefold.cli import main
from fivefold.core.errors import AccessError, Unavailable

GOOD = '{"a": 1, "note": "x"}\n'
BAD = '{"a": 999, "note": "x"}\n'

RAISES = b'''
class Sum:
    """Fails on every row but small ones."""

    def predict(self, columns):
        if (columns["a"] > 90).any():
            raise RuntimeError("broken model")
        total = columns["a"] + columns["b"]
        return {"total": total, "label": (total > 0).astype("int64")}
'''


@pytest.fixture(autouse=True)
def here(tmp_path: Path, noted: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A directory with a model and good data, where runs are this process's."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("fivefold.batch.engine.engine_choice.workers_of", Inline)
    (tmp_path / "model").symlink_to(noted)
    for name in ("a", "b"):
        (tmp_path / f"{name}.jsonl").write_text(GOOD * 100)
    return tmp_path


class Dying(Inline):
    """Its worker dies over every fragment."""

    def wait(self, seconds: float) -> Iterator[Any]:
        """Die."""
        if self._work is not None:
            (fragment, _, _), self._work = self._work, None
            yield fragment, None
            return
        yield from super().wait(seconds)


GIVE = Inline.give


def raising(error: BaseException) -> Callable[..., Any]:
    """Something that fails."""

    def fails(*_: Any, **__: Any) -> Any:
        raise error

    return fails


def interrupted(self: Any, *rest: Any) -> Any:
    """Ctrl-C while a fragment is given."""
    signal.raise_signal(signal.SIGINT)
    return GIVE(self, *rest)


def nothing(here: Path, patch: pytest.MonkeyPatch) -> None:
    """As it is."""


def write(text: str) -> Callable[[Path, pytest.MonkeyPatch], object]:
    """Other data."""
    return lambda here, _: (here / "a.jsonl").write_text(text)


def patch(name: str, value: Any) -> Callable[[Path, pytest.MonkeyPatch], object]:
    """Another part."""
    return lambda _, monkeypatch: monkeypatch.setattr(name, value)


def variable(name: str, value: str) -> Callable[[Path, pytest.MonkeyPatch], object]:
    """Another environment."""
    return lambda _, monkeypatch: monkeypatch.setenv(name, value)


def junk_bundle(here: Path, _: pytest.MonkeyPatch) -> None:
    """A bundle that is none."""
    (here / "model").unlink()
    (here / "model").mkdir()
    (here / "model" / "bundle.json").write_text("{")


def broken_model(here: Path, _: pytest.MonkeyPatch) -> None:
    """A model that fails on every row."""
    (here / "model").unlink()
    write_python(here / "model", RAISES)
    (here / "a.jsonl").write_text('{"a": 91, "b": 1}\n' * 5)


def another_run(here: Path, _: pytest.MonkeyPatch) -> None:
    """Another run stands in the output."""
    (here / "b.jsonl").write_text(GOOD)
    run(here / "model", here / "b.jsonl", here / "out")


def junk_plan(here: Path, _: pytest.MonkeyPatch) -> None:
    """And its plan is junk."""
    (here / "out" / "_ledger").mkdir(parents=True)
    (here / "out" / "_ledger" / "plan.json").write_text("junk")


def no_parquet(here: Path, _: pytest.MonkeyPatch) -> None:
    """A file that is not what its name says."""
    (here / "b.parquet").write_bytes(b"PAR1" * 10)


def torn_duplicate(here: Path, _: pytest.MonkeyPatch) -> None:
    """A table with a column twice."""
    table = pa.Table.from_arrays([pa.array([1.0]), pa.array([1.0]), pa.array(["x"])], ["a", "a", "note"])
    pq.write_table(table, here / "b.parquet")


SCORE = "score --model model --input a.jsonl --output out"
DISK = OSError(errno.ENOSPC, "No space left on device")

TABLE: dict[str, tuple[Callable[[Path, pytest.MonkeyPatch], object], str, int, str]] = {
    "done": (nothing, SCORE, 0, ""),
    "rows refused below the limit": (write(GOOD * 99 + BAD), SCORE, 0, ""),
    "no rows": (write(""), SCORE, 0, ""),
    "model fails on every row": (broken_model, SCORE, 1, "rows are quarantined"),
    "a defect": (
        patch("fivefold.batch.work.fragment_scorer.answered", raising(TypeError("x"))),
        SCORE,
        1,
        "a defect of fivefold",
    ),
    "full disk": (patch("fivefold.batch.work.fragment_files.sink", raising(DISK)), SCORE, 1, "No space left"),
    "workers die": (patch("fivefold.batch.engine.engine_choice.workers_of", Dying), SCORE, 1, "died over"),
    "no such option": (nothing, f"{SCORE} --colour red", 2, "unrecognized"),
    "a limit that is none": (nothing, f"{SCORE} --max-bad-fraction 2", 2, "expected 0 to 1"),
    "a variable that is none": (variable("FIVEFOLD_WORKERS", "two"), SCORE, 2, "FIVEFOLD_WORKERS"),
    "a variable, asked for the status": (
        variable("FIVEFOLD_WORKERS", "two"),
        "batch status out",
        2,
        "FIVEFOLD_WORKERS",
    ),
    "a variable, verifying": (variable("FIVEFOLD_WORKERS", "two"), "batch verify out", 2, "FIVEFOLD_WORKERS"),
    "too many bad rows": (write(GOOD * 9 + BAD), SCORE, 3, "rows are quarantined"),
    "too many bad rows at once": (write(BAD * 9), f"{SCORE} --max-bad-rows 3 --max-bad-fraction 1", 3, "at most 3"),
    "no input": (nothing, "score --model model --input none/* --output out", 3, "no file matches"),
    "no bundle": (nothing, "score --model none --input a.jsonl --output out", 3, "none"),
    "a bundle that is none": (junk_bundle, SCORE, 3, "bundle.json"),
    "a column that is missing": (no_parquet, "score --model model --input b.parquet --output out", 3, "b.parquet"),
    "a column twice": (torn_duplicate, "score --model model --input b.parquet --output out", 3, "twice"),
    "a name that is taken": (nothing, f"{SCORE} --columns said", 3, "two columns"),
    "another run's output": (another_run, SCORE, 3, "another run stands here"),
    "an output that is a file": (
        nothing,
        "score --model model --input a.jsonl --output a.jsonl",
        3,
        "expected a directory for the output, got a file",
    ),
    "an output in the bundle": (
        nothing,
        "score --model model --input a.jsonl --output model/scores",
        3,
        "the output would be in the bundle",
    ),
    "a junk plan": (junk_plan, SCORE, 3, "plan.json"),
    "a name that is no UTF-8": (nothing, f"{SCORE} --input {os.fsdecode(b'caf' + bytes([0xE9]))}.csv", 3, "UTF-8"),
    "an output that is no UTF-8": (
        nothing,
        f"score --model model --input a.jsonl --output {os.fsdecode(b'caf' + bytes([0xE9]))}",
        3,
        "UTF-8",
    ),
    "a column that is no UTF-8": (nothing, f"{SCORE} --columns {os.fsdecode(bytes([0xFF]))}", 2, "UTF-8"),
    "no run to resume": (nothing, "batch resume out", 3, "there is no run"),
    "no run to verify": (nothing, "batch verify out", 3, "there is no run"),
    "no run to compare": (nothing, "batch diff out out", 3, "no published run"),
    "not allowed": (
        patch("fivefold.batch.run.preparation.fetch", raising(AccessError("forbidden", "not yours"))),
        SCORE,
        4,
        "not yours",
    ),
    "try again": (
        patch("fivefold.batch.run.preparation.fetch", raising(Unavailable("not_ready", "later"))),
        SCORE,
        5,
        "later",
    ),
    "stopped": (
        patch("fivefold.batch.engine.inline.Inline.give", interrupted),
        "score --model model --input a.jsonl b.jsonl --output out",
        130,
        "stopped with 1 of 2",
    ),
}


@pytest.mark.parametrize("case", TABLE)
def test_exit_status(
    case: str, here: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """One of 0, 1, 2, 3, 4, 5 and 130, with a sentence that says what happened, and `_SUCCESS` exactly for 0."""
    prepare, line, status, sentence = TABLE[case]
    stood = case == "another run's output"
    with monkeypatch.context() as patched:
        prepare(here, patched)
        try:
            got = main(line.split())
        except SystemExit as ended:
            got = int(ended.code or 0)

    said = capsys.readouterr()
    assert got == status, said.err
    assert sentence in said.err
    assert "Traceback" not in said.out
    assert (here / "out" / "_SUCCESS").exists() is (status == 0 or stood)
    if status:
        assert "error: " in said.err


def test_a_model_that_fails_leaves_its_rows_to_be_looked_into(here: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Under its own code."""
    broken_model(here, monkeypatch)
    assert main(SCORE.split()) == 1
    assert {record["code"] for record in quarantined(here / "out")} == {"model_failed"}


def test_what_stands_in_a_directory_with_an_odd_name(here: Path) -> None:
    """A line end, quotes, spaces and a long name are names like others; a name beyond the system's is refused."""
    for name in ("line\nend", 'it\'s "one"', "é" * 80, " "):
        home = here / name
        home.mkdir()
        (home / "a b.jsonl").write_text(GOOD)
        run(here / "model", home, home / "out")
        assert main(["batch", "verify", str(home / "out")]) == 0
        assert main(["batch", "diff", str(home / "out"), str(home / "out")]) == 0
    storage = DirectoryStorage(str(here / ("x" * 300)))
    assert storage.url
    assert main(["score", "--model", "model", "--input", "a.jsonl", "--output", "x" * 300]) == 1
