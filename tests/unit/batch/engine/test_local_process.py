"""One process without Ray: the same bytes, the same errors, and nothing of it on this process's output."""

from __future__ import annotations

import io
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from tests.support.batch_runs import files, run
from tests.support.bundles import write_python
from tests.support.score_commands import environment

from fivefold.batch.engine.local_process import LocalProcess
from fivefold.batch.plan.settings import BatchSettings
from fivefold.batch.run.execute import score
from fivefold.batch.run.preparation import RunOrder
from fivefold.core.errors import FivefoldError, Unavailable
from fivefold.local import processes

TALKS = b'''
import os
import sys

class Sum:
    """Adds two columns, and talks."""

    def predict(self, columns):
        print("noise")
        print("noise", file=sys.stderr)
        os.write(1, b"noise")
        total = columns["a"] + columns["b"]
        return {"total": total, "label": (total > 0).astype("int64")}
'''


def go(model: Path, data: Path, output: Path, **settings: Any) -> Any:
    """A run in a process of its own."""
    order = RunOrder(str(model), (str(data),), str(output))
    return score(order, BatchSettings(**settings), out=io.StringIO(), actors=LocalProcess)


def test_the_same_bytes_and_nothing_left(tmp_path: Path, noted: Path) -> None:
    """With bad rows and carried columns; the process is gone afterwards."""
    (tmp_path / "a.csv").write_text("id,a,note\n" + "".join(f"i{row},{row % 110},n{row}\n" for row in range(500)))
    settings = {"fragment_bytes": 3000, "max_bad_fraction": 0.5, "columns": ("id",)}
    before = processes.descendants()

    run(noted, tmp_path / "a.csv", tmp_path / "one", **settings)
    report = go(noted, tmp_path / "a.csv", tmp_path / "two", **settings).report

    assert files(tmp_path / "two") == files(tmp_path / "one")
    assert report["quarantined"] > 0
    assert processes.descendants() == before


def test_an_error_is_the_run_s(tmp_path: Path, noted: Path) -> None:
    """As the process has met it, with its code, its path and its help."""
    (tmp_path / "a.jsonl").write_text('{"a": 999, "note": "x"}\n' * 100)
    errors = []
    for output, do in (("one", run), ("two", go)):
        with pytest.raises(FivefoldError) as met:
            do(noted, tmp_path / "a.jsonl", tmp_path / output)
        errors.append((met.value.code, met.value.message, met.value.help))

    assert errors[0] == errors[1]
    assert errors[0][0] == "too_many_bad_rows"


def test_what_a_model_prints_is_not_the_command_s(tmp_path: Path) -> None:
    """Nor is a file of the working directory a module; the command's own output is the report alone."""
    model = write_python(tmp_path / "model", TALKS).path
    (tmp_path / "a.csv").write_text("a,b\n1,1\n")
    (tmp_path / "numpy.py").write_text("raise SystemExit('not this one')")
    code = "import sys; sys.path.remove(''); from fivefold.cli import main; sys.exit(main())"
    words = ["score", "--model", str(model), "--input", "a.csv", "--output", "out", "--engine", "local", "--json"]

    done = subprocess.run(
        [sys.executable, "-c", code, *words], capture_output=True, text=True, env=environment(), cwd=tmp_path
    )

    assert done.returncode == 0, done.stderr
    assert "noise" not in done.stdout + done.stderr
    assert done.stdout.startswith("{")


def test_a_system_that_starts_no_process(tmp_path: Path, noted: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Is a refusal with a way on."""
    (tmp_path / "a.jsonl").write_text('{"a": 1, "note": "x"}\n')

    def fails(*_: Any, **__: Any) -> Any:
        raise BlockingIOError(11, os.strerror(11))

    monkeypatch.setattr("fivefold.batch.engine.local_process.subprocess.Popen", fails)
    with pytest.raises(Unavailable, match="a worker does not start") as met:
        go(noted, tmp_path / "a.jsonl", tmp_path / "out")
    assert "again later" in str(met.value.help)
