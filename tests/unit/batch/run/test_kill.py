"""Runs whose processes are killed, in every engine: what is published is what an undisturbed run publishes."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
from pathlib import Path

import pytest
from tests.support.batch_runs import files, records, run
from tests.support.score_commands import (
    FRAGMENTS,
    SIZE,
    WORKERS,
    environment,
    finish,
    finished,
    line,
    started,
    until,
    workers,
    write_work,
)

from fivefold.local import processes

pytestmark = pytest.mark.host

ENGINES = pytest.mark.parametrize("engine", ["local", pytest.param("ray", marks=pytest.mark.full)])
OTHER = {"local": "ray", "ray": "local"}


@pytest.fixture(scope="module")
def work(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """A slow model and a file of many fragments."""
    return write_work(tmp_path_factory.mktemp("work"))


@pytest.fixture(scope="module")
def whole(work: tuple[Path, Path], tmp_path_factory: pytest.TempPathFactory) -> dict[str, bytes]:
    """What an undisturbed run writes."""
    output = tmp_path_factory.mktemp("whole") / "out"
    run(*work, output, fragment_bytes=SIZE)
    assert len(records(output)) > FRAGMENTS
    return files(output)


@pytest.mark.full
@pytest.mark.parametrize("engine", WORKERS)
def test_a_killed_worker_and_then_a_killed_driver(
    work: tuple[Path, Path], whole: dict[str, bytes], tmp_path: Path, engine: str
) -> None:
    """The worker's fragment is done again; nothing writes for a dead driver; the next start, by the other engine, does
    what is left."""
    output = tmp_path / "out"
    with started(line(*work, output, engine=engine)) as process:
        until(lambda: finished(output) >= 4)
        os.kill(workers(process.pid)[0], signal.SIGKILL)
        before = finished(output)
        until(lambda: finished(output) >= before + 8 and len(workers(process.pid)) == WORKERS[engine])
        writers = workers(process.pid)
        process.kill()
        process.wait()
        # Two of Ray's agents, which write nothing, first try to tell others that their node is dead.
        until(lambda: not any(_alive(pid) for pid in writers), 10)
        done = finished(output)

    assert done < len(whole)
    report = finish(line(*work, output, engine=OTHER[engine]))

    assert files(output) == whole
    assert report["rows"] == report["scored"] == 100 * FRAGMENTS
    assert report["resumed_rows"] == 100 * FRAGMENTS - int(str(report["scored_now"]))
    assert sum(record.attempt > 1 for record in records(output)) <= 1
    assert not (output / "_temporary").exists()


@ENGINES
@pytest.mark.parametrize("signum", [signal.SIGTERM, pytest.param(signal.SIGINT, marks=pytest.mark.rare)])
def test_a_signal_ends_a_run_in_seconds(work: tuple[Path, Path], tmp_path: Path, signum: int, engine: str) -> None:
    """It says how to go on, and leaves no process and nothing unfinished."""
    output = tmp_path / "out"
    with started(line(*work, output, engine=engine)) as process:
        until(lambda: finished(output) >= 2)
        family = processes.descendants(process.pid)
        process.send_signal(signum)
        _, said = process.communicate(timeout=20)

    assert process.returncode == 130
    assert "error: stopped with" in said
    assert "help: run the same command again" in said
    assert not any(_alive(pid) for pid in family)
    assert not (output / "run.json").exists()


def test_a_terminal_s_ctrl_c_is_the_run_s(work: tuple[Path, Path], tmp_path: Path) -> None:
    """It reaches the worker too, which lets the run answer it: no worker has died."""
    output = tmp_path / "out"
    with started(line(*work, output, engine="local")) as process:
        until(lambda: finished(output) >= 2)
        os.killpg(process.pid, signal.SIGINT)
        _, said = process.communicate(timeout=20)

    assert process.returncode == 130
    assert "error: stopped with" in said
    assert "worker_died" not in said


@pytest.mark.full
def test_two_at_once(work: tuple[Path, Path], whole: dict[str, bytes], tmp_path: Path) -> None:
    """Both succeed, one in each engine, with one report."""
    output = tmp_path / "out"
    with started(line(*work, output, engine="local")) as first, started(line(*work, output)) as second:
        outs = [process.communicate(timeout=240) for process in (first, second)]

    assert [first.returncode, second.returncode] == [0, 0], outs
    assert files(output) == whole
    assert len(list(output.glob("run.json"))) == 1


@pytest.mark.full
def test_a_finished_run_is_said_to_be_so_without_ray(work: tuple[Path, Path], tmp_path: Path) -> None:
    """And without opening the model."""
    output = tmp_path / "out"
    run(*work, output, fragment_bytes=SIZE)
    code = (
        "import sys; from fivefold.cli import main; status = main(sys.argv[1:]); "
        "print([name for name in ('ray', 'onnxruntime') if name in sys.modules]); sys.exit(status)"
    )
    words = [word for word in line(*work, output)[4:] if word != "--json"]
    import sys

    done = subprocess.run(
        [sys.executable, "-c", code, "score", *words], capture_output=True, text=True, env=environment()
    )

    assert done.returncode == 0, done.stderr
    assert "0 rows scored now" in done.stdout
    assert done.stdout.splitlines()[-1] == "[]"


def _alive(pid: int) -> bool:
    with contextlib.suppress(OSError):
        return b" Z " not in Path(f"/proc/{pid}/stat").read_bytes()
    return False
