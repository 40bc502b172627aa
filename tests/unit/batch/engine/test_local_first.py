"""One process at once, Ray's workers beside it where the work is worth their start."""

from __future__ import annotations

import io
import json
from pathlib import Path
from typing import Any

import pytest
from tests.support.batch_runs import files, run
from tests.support.score_commands import FRAGMENTS, SIZE, line, started, until, workers, write_work

from fivefold.batch.engine import local_first
from fivefold.batch.engine.cost import Cost
from fivefold.batch.engine.inline import Inline
from fivefold.batch.engine.local_first import LocalFirst
from fivefold.batch.plan.planning import Fragment
from fivefold.batch.plan.settings import BatchSettings
from fivefold.batch.run.execute import Result, score
from fivefold.batch.run.preparation import RunOrder
from fivefold.batch.work.task import RunTask
from fivefold.core.errors import Unavailable


class Local(Inline):
    """In this process, and slower than was expected."""

    seconds = 0.0


class Rays(Inline):
    """Those that Ray would have, in this process; they write down what they were given."""

    given: list[str] = []
    starts = True

    def __enter__(self) -> Rays:
        if not self.starts:
            raise Unavailable("not_ready", "Ray does not start")
        return self

    def give(self, fragment: Fragment, attempt: int, most_bad: int | None) -> None:
        """One more."""
        self.given.append(fragment.id)
        super().give(fragment, attempt, most_bad)


@pytest.fixture
def rays(monkeypatch: pytest.MonkeyPatch) -> type[Rays]:
    """No real process is started."""
    monkeypatch.setattr(local_first, "LocalProcess", Local)
    monkeypatch.setattr(local_first, "Actors", Rays)
    monkeypatch.setattr(Rays, "given", [])
    return Rays


def go(noted: Path, home: Path, output: Path, row_bytes_seconds: float) -> Result:
    """A run over some fragments, each byte of which is thought to take so long."""
    (home / "a.jsonl").write_text('{"a": 1, "note": "x"}\n' * 200)

    class Thought(Cost):
        def of(self, fragments: Any) -> float:
            return sum(each.range.end - each.range.start for each in fragments) * row_bytes_seconds

    def chosen(task: RunTask, plan: Any, found: Any) -> LocalFirst:
        return LocalFirst(task, 2, Thought(plan.fragments), found)

    with pytest.MonkeyPatch.context() as patched:
        patched.setattr("fivefold.batch.engine.engine_choice.workers_of", chosen)
        order = RunOrder(str(noted), (str(home / "a.jsonl"),), str(output))
        return score(order, BatchSettings(fragment_bytes=400), out=io.StringIO())


def test_little_work_needs_no_ray(tmp_path: Path, noted: Path, rays: type[Rays]) -> None:
    """It is finished before."""
    assert go(noted, tmp_path, tmp_path / "out", 1e-6).scored_now == 200
    assert rays.given == []


def test_much_work_is_shared(tmp_path: Path, noted: Path, rays: type[Rays]) -> None:
    """Both kinds do some of it, and the bytes are those of one."""
    result = go(noted, tmp_path, tmp_path / "out", 1.0)
    run(noted, tmp_path / "a.jsonl", tmp_path / "whole", fragment_bytes=400)

    assert 0 < len(rays.given) < len(result.report["parts"])
    assert files(tmp_path / "out") == files(tmp_path / "whole")


def test_work_that_turns_out_to_be_slow_is_shared(
    tmp_path: Path, noted: Path, rays: type[Rays], monkeypatch: pytest.MonkeyPatch
) -> None:
    """What was thought to be little is as much as it takes."""
    monkeypatch.setattr(Local, "seconds", 60.0)
    go(noted, tmp_path, tmp_path / "out", 1e-6)

    assert rays.given


def test_a_ray_that_does_not_start_is_done_without(
    tmp_path: Path, noted: Path, rays: type[Rays], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The process finishes what it has begun."""
    monkeypatch.setattr(rays, "starts", False)

    assert go(noted, tmp_path, tmp_path / "out", 1.0).scored_now == 200
    assert rays.given == []


@pytest.mark.host
@pytest.mark.full
def test_a_slow_model_on_a_real_ray(tmp_path: Path) -> None:
    """Its workers join the process while the run goes on, and the bytes are those of one."""
    work = write_work(tmp_path)
    run(*work, tmp_path / "whole", fragment_bytes=SIZE)
    words = line(*work, tmp_path / "out", engine="ray")
    words[words.index("--engine") + 1] = "auto"

    with started(words) as process:
        until(lambda: len(workers(process.pid)) == 2)
        out, said = process.communicate(timeout=240)

    assert process.returncode == 0, said
    assert json.loads(out)["rows"] == 100 * FRAGMENTS
    assert files(tmp_path / "out") == files(tmp_path / "whole")
