"""The examination of real bundles in real child processes: none of them is believed for what it says of itself."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import pytest
from tests.support.bundles import PYTHON_SUM, SUM_GOLDEN, write_python, write_sum
from tests.support.releases import released

from fivefold.core.errors import BundleInvalid, Interrupted
from fivefold.edge.updates.descriptor import ReleaseDescriptor
from fivefold.edge.updates.examiner import ChildExaminer

EXAMINE = ChildExaminer(seconds=60)


def stick(path: Path, **changes: Any) -> tuple[Path, ReleaseDescriptor]:
    place = released(path, 2, **changes)
    return place / "bundle.tar", ReleaseDescriptor.from_json((place / "release.json").read_bytes())


def python(path: Path, body: str) -> tuple[Path, ReleaseDescriptor]:
    """A Python model that runs `body` before it answers."""
    source = PYTHON_SUM.replace(
        b'        total = columns["a"]', f"        {body}\n".encode() + b'        total = columns["a"]'
    )
    assert source != PYTHON_SUM
    return stick(path, write=write_python, source=source)


def test_a_good_release_passes(tmp_path: Path) -> None:
    write_sum(tmp_path / "old", version="1")

    EXAMINE(*stick(tmp_path), tmp_path / "old")


def test_a_model_that_answers_differently_is_refused(tmp_path: Path) -> None:
    given, answers = SUM_GOLDEN
    wrong = [*answers[:3], {**answers[3], "total": 99.0}, *answers[4:]]

    with pytest.raises(BundleInvalid, match=r"row 3, outputs\.total: expected 99") as caught:
        EXAMINE(*stick(tmp_path, golden=(given, wrong)), None)
    assert caught.value.path == "golden.jsonl"


@pytest.mark.full
def test_a_model_that_hangs_is_ended(tmp_path: Path) -> None:
    started = time.monotonic()

    with pytest.raises(BundleInvalid, match="took more than 4 s"):
        ChildExaminer(seconds=4)(*python(tmp_path, "while True: pass"), None)
    assert time.monotonic() - started < 30


def test_a_model_that_crashes_ends_its_own_process_alone(tmp_path: Path) -> None:
    body = "import ctypes; print('last words', flush=True); ctypes.string_at(0)"

    with pytest.raises(BundleInvalid, match="without an answer: last words"):
        EXAMINE(*python(tmp_path, body), None)


@pytest.mark.full
def test_a_model_that_ends_the_program_has_not_answered(tmp_path: Path) -> None:
    with pytest.raises(BundleInvalid, match="without an answer"):
        EXAMINE(*python(tmp_path, "import ctypes; ctypes.CDLL(None)._exit(0)"), None)


@pytest.mark.full
def test_a_model_that_takes_all_memory_is_ended(tmp_path: Path) -> None:
    body = "import time; held = bytearray(b'x') * (600 << 20); time.sleep(60)"

    with pytest.raises(BundleInvalid, match="took more than 400 MiB"):
        ChildExaminer(seconds=60, memory=400 << 20)(*python(tmp_path, body), None)


@pytest.mark.full
def test_what_a_model_starts_is_ended_with_it(tmp_path: Path) -> None:
    """A process that a model has started holds the pipe of the answer open, and is waited for by nobody."""
    body = (
        f"import os; pid = os.fork(); pid or os.execvp('sleep', ['sleep', '600']); "
        f"open({str(tmp_path / 'pid')!r}, 'w').write(str(pid))"
    )
    EXAMINE(*python(tmp_path, body), None)

    pid = int((tmp_path / "pid").read_text())
    state = Path(f"/proc/{pid}/stat")
    deadline = time.monotonic() + 10
    while state.exists() and state.read_text().rpartition(")")[2].split()[0] != "Z" and time.monotonic() < deadline:
        time.sleep(0.01)
    assert not state.exists() or state.read_text().rpartition(")")[2].split()[0] == "Z"


def test_the_gateway_ends_it_when_it_is_to_end(tmp_path: Path) -> None:
    def check() -> None:
        raise Interrupted("cancelled", "the gateway ends")

    with pytest.raises(Interrupted):
        EXAMINE(*python(tmp_path, "while True: pass"), None, check)
