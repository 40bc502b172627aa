"""A request that was in work in two replicas when they died is refused; what was beside it is not."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from tests.support import grpc_gate
from tests.support.grpc_calls import gate_bundle
from tests.support.rows_codec import Rows
from tests.support.serve_process import SERVICES

from fivefold.core.columns import Columns
from fivefold.core.errors import ModelFailed
from fivefold.core.fields.field import Field
from fivefold.core.runtime.scorer import Scorer
from fivefold.core.telemetry import Telemetry
from fivefold.serving.dataplane import Dataplane
from fivefold.serving.limits import ServingLimits
from fivefold.serving.messages import Call
from fivefold.serving.repository import Model, Repository
from fivefold.serving.suspects import NOTES, PAGES, Suspects, mark_of

REPLICA = """
import sys
from pathlib import Path
from fivefold.serving.suspects import Suspects
notes = Suspects(Path(sys.argv[1]))
for mark in sys.argv[2:]:
    notes.enter(int(mark))
print("noted", flush=True)
sys.stdin.read()
"""


def replica(path: Path, *marks: int) -> subprocess.Popen[bytes]:
    """Another replica, which has these requests in work."""
    process = subprocess.Popen(
        [sys.executable, "-c", REPLICA, str(path), *map(str, marks)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        env=os.environ | {"PYTHONPATH": str(SERVICES)},
    )
    assert process.stdout is not None
    assert process.stdout.readline() == b"noted\n"
    return process


def die(process: subprocess.Popen[bytes]) -> None:
    process.send_signal(signal.SIGKILL)
    process.communicate()


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "in-work"


@pytest.fixture
def suspects(path: Path) -> Iterator[Suspects]:
    out = Suspects(path)
    yield out
    out.close()


def test_only_the_notes_of_the_dead_count(suspects: Suspects, path: Path) -> None:
    """What other replicas work on right now, and what this one does, says nothing."""
    note = suspects.enter(7)
    other = replica(path, 7, 8)

    assert suspects.deaths(7) == suspects.deaths(8) == 0
    die(other)
    assert suspects.deaths(7) == suspects.deaths(8) == 1
    die(replica(path, 7))
    assert (suspects.deaths(7), suspects.deaths(8), suspects.deaths(9)) == (2, 1, 0)
    suspects.acquit(8)
    assert (suspects.deaths(7), suspects.deaths(8)) == (2, 0)
    suspects.leave(note)


def test_what_has_come_back_is_no_suspect(path: Path) -> None:
    """A note is taken back when the model has answered or failed."""
    first = Suspects(path)
    for _ in range(3 * NOTES):
        first.leave(first.enter(7))
    crowd = [first.enter(mark) for mark in range(1, NOTES + 10)]

    assert crowd.count(-1) == 9, "one more than there is room for is not noted"
    for note in crowd:
        first.leave(note)
    assert not first._notes.any()
    first.close()


def test_replicas_come_and_go_for_ever(path: Path) -> None:
    """The pages of the dead are used again, the oldest first; those of the living are not."""
    kept = Suspects(path)
    kept.enter(1)
    pages = []
    for _ in range(2 * PAGES):
        # Without a lock of its own: as if it had ended.
        other = Suspects.__new__(Suspects)
        other._descriptor, other._heads, other._notes = kept._descriptor, kept._heads, kept._notes
        other._lock = lambda page: page != kept._page  # type: ignore[method-assign]
        pages.append(other._take())

    assert kept._page not in pages
    assert pages[: PAGES - 1] == sorted(set(pages))
    assert kept._notes[kept._page, 0] == 1
    kept.close()


def test_a_request_is_known_by_its_model_and_rows() -> None:
    """By every value of every field, and by nothing else."""
    fields = (Field("a", "float64"), Field("s", "string"))

    def columns(a: float, s: str) -> Columns:
        return Columns(fields, {"a": np.array([a]), "s": np.array([s], object)}, 1)

    marks = [mark_of("m", columns(1.0, "x")), mark_of("m", columns(2.0, "x")), mark_of("m", columns(1.0, "y"))]

    assert mark_of("m", columns(1.0, "x")) == marks[0]
    assert len({*marks, mark_of("n", columns(1.0, "x"))}) == 4


def test_a_request_that_ended_two_replicas_is_refused(suspects: Suspects, path: Path, tmp_path: Path) -> None:
    """After one death it is tried, and cleared when it is answered; after two it is not tried; others are answered."""
    bundle = gate_bundle(tmp_path / "gate")
    model = Model(bundle, Scorer.open(bundle))
    serving = Dataplane(Repository([model]), ServingLimits(), Telemetry("online", log_sample=0.0), suspects=suspects)

    def ask(x: float) -> list[float]:
        call = Call("test", serving.request_id())
        answer = asyncio.run(serving.answer("gate", None, call, Rows(), [{"x": x}]))
        return [float(value) for value in answer.columns["y"]]

    mark, beside = (mark_of(bundle.digest, model.view.records.read([{"x": x}]).accept()) for x in (5.0, 6.0))
    grpc_gate.opened.set()
    try:
        die(replica(path, mark, beside))
        assert ask(5.0) == [10.0]
        assert suspects.deaths(mark) == 0

        die(replica(path, mark))
        die(replica(path, mark))
        with pytest.raises(ModelFailed, match="2 replicas ended while it worked on it"):
            ask(5.0)
        assert ask(6.0) == [12.0]
        assert not suspects._notes[suspects._page].any()
    finally:
        serving.close()


def test_a_suspect_is_scored_alone() -> None:
    """In a batch it would put the others under suspicion."""
    from fivefold.serving.batching import score_together

    fields = (Field("x", "float64"),)

    class Waiting:
        deadline = None

        def __init__(self, x: float, suspect: bool) -> None:
            self.columns, self.suspect = Columns(fields, {"x": np.array([x])}, 1), suspect

        def begin(self) -> bool:
            return self.suspect

        def finish(self, columns: Columns) -> float:
            return float(columns["x"][0])

    class Echo:
        calls: list[list[float]] = []  # of this test alone

        def score(self, columns: Columns) -> Columns:
            self.calls.append(columns["x"].tolist())
            return columns

    batch = [Waiting(1.0, False), Waiting(2.0, True), Waiting(3.0, False)]

    assert score_together(Echo(), batch) == [1.0, 2.0, 3.0]  # type: ignore[arg-type]  # all that it needs
    assert Echo.calls == [[2.0], [1.0, 3.0]]
