"""Who is killed when, what an output directory says about it, and what is concluded."""

from __future__ import annotations

import hashlib
import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from loadtest.batch import kill_plan, outputs
from loadtest.batch.kill_plan import DRIVER, WORKER, KillFinding, Watch
from loadtest.batch.outputs import Sums

GOOD = KillFinding(
    rows=100,
    fragments=10,
    workers=2,
    seed=7,
    drivers=2,
    worker_kills=2,
    starts=3,
    seconds=40.0,
    differing=[],
    untrue=[],
    lost=[2, 0],
    again=[],
    attempts=2,
    sums=Sums(100, 99, 1, (100, 99, 1)),
    orphans=[0.2, 10.0],
    rerun_seconds=2.0,
    rerun_written=[],
    twice=[],
)


def finish(output: Path, fragment: str, data: bytes, faults: bytes = b"", **more: Any) -> None:
    """A fragment as it stands when it is finished."""
    for folder in ("_ledger", "quarantine"):
        (output / folder).mkdir(parents=True, exist_ok=True)
    (output / f"part-{fragment}.parquet").write_bytes(data)
    if faults:
        (output / "quarantine" / f"part-{fragment}.jsonl").write_bytes(faults)
    record = {"rows": 10, "scored": 10, "quarantined": 0, "attempt": 1, "sha256": hashlib.sha256(data).hexdigest()}
    record_sums = {"quarantine_sha256": hashlib.sha256(faults).hexdigest() if faults else ""}
    (output / "_ledger" / f"{fragment}.json").write_text(json.dumps(record | record_sums | more))


def publish(output: Path, **report: Any) -> None:
    (output / "run.json").write_text(json.dumps(report))
    (output / "_SUCCESS").touch()


def test_the_same_seed_kills_the_same_ones_at_the_same_moments() -> None:
    """Half of them drivers, some of those while they start."""
    drawn = kill_plan.draw(7, 20, gap=0.5, start=4.0)

    assert drawn == kill_plan.draw(7, 20, gap=0.5, start=4.0) != kill_plan.draw(8, 20, gap=0.5, start=4.0)
    assert [each.whom for each in drawn].count(DRIVER) == 10
    assert any(each.from_start for each in drawn)
    assert all(each.whom == DRIVER for each in drawn if each.from_start)
    assert all(0 <= each.after <= (4.0 if each.from_start else 1.0) for each in drawn)


def test_every_worker_can_be_the_one() -> None:
    many = kill_plan.draw(1, 200, gap=1.0, start=1.0)

    assert {each.victim([30, 10, 20]) for each in many if each.whom == WORKER} == {10, 20, 30}


def test_what_was_being_written_when_the_driver_died_is_lost_once(tmp_path: Path) -> None:
    """A temporary file, and a finished one whose record was not made; what an earlier death left counts no more."""
    watch = Watch(tmp_path)
    finish(tmp_path, "aa", b"1")
    (tmp_path / "_temporary" / "x").mkdir(parents=True)
    for name in ("lock", "bb.part", "bb.quarantine"):
        (tmp_path / "_temporary" / "x" / name).write_bytes(b"half")
    (tmp_path / "part-cc.parquet").write_bytes(b"whole")

    assert watch.at_work()
    watch.look(dead=True)
    watch.look(dead=True)

    assert watch.lost == [2, 0]
    assert not watch.at_work()
    assert watch.again == set()


def test_a_finished_file_that_is_written_again_is_seen(tmp_path: Path) -> None:
    watch = Watch(tmp_path)
    finish(tmp_path, "aa", b"1")
    finish(tmp_path, "bb", b"2", b"{}\n")
    watch.look(dead=False)
    for name in ("part-aa.parquet", "quarantine/part-bb.jsonl"):
        data = (tmp_path / name).read_bytes()
        (tmp_path / f"{name}.new").write_bytes(data)
        (tmp_path / f"{name}.new").replace(tmp_path / name)

    watch.look(dead=False)

    assert watch.again == {"part-aa.parquet", "quarantine/part-bb.jsonl"}


def test_digests_tell_runs_apart_by_what_is_published(tmp_path: Path) -> None:
    """Times in the report, and the ledger, may differ."""
    for name, seconds in (("a", 1), ("b", 2), ("c", 1)):
        finish(tmp_path / name, "aa", b"2" if name == "c" else b"1", seconds=seconds)
        publish(tmp_path / name, rows=10, scored=10, quarantined=0, seconds=seconds)
    one, two, other = (outputs.digests(tmp_path / name) for name in "abc")

    assert outputs.differing(one, two) == []
    assert outputs.differing(one, other) == ["part-aa.parquet"]
    publish(tmp_path / "b", rows=10, scored=9, quarantined=1)
    assert outputs.differing(one, outputs.digests(tmp_path / "b")) == ["run.json"]


def test_sums_hold_where_every_row_is_scored_or_quarantined(tmp_path: Path) -> None:
    finish(tmp_path, "aa", b"1")
    finish(tmp_path, "bb", b"2", b"{}\n", scored=8, quarantined=2)
    publish(tmp_path, rows=20, scored=18, quarantined=2)
    (tmp_path / "_ledger" / "plan.json").write_text("{}")

    found = outputs.sums(tmp_path)

    assert found == Sums(20, 18, 2, (20, 18, 2))
    assert found.hold(20)
    assert not found.hold(21)
    assert not replace(found, scored=17).hold(20)
    assert not replace(found, report=()).hold(20)


def test_a_file_that_is_not_the_one_of_its_record_is_told(tmp_path: Path) -> None:
    for fragment in ("aa", "bb", "cc", "dd"):
        finish(tmp_path, fragment, b"1", b"{}\n")
    (tmp_path / "part-bb.parquet").write_bytes(b"other")
    (tmp_path / "part-cc.parquet").unlink()
    (tmp_path / "quarantine" / "part-dd.jsonl").write_bytes(b"other")

    assert outputs.untrue(tmp_path) == ["bb", "cc", "dd"]


def test_a_run_as_it_was_wanted_misses_nothing_at_its_very_limits() -> None:
    assert GOOD.misses() == []
    assert "4 kills, 2 of the driver and 2 of a worker, seed 7; 3 starts" in GOOD.table()
    assert "| fragments lost at one kill of the driver, at most | 2 | 2 (2 in all) |" in GOOD.table()


@pytest.mark.parametrize(
    "change",
    [
        {"differing": ["part-a"]},
        {"untrue": ["a"]},
        {"lost": [3]},
        {"again": ["part-a"]},
        {"attempts": 3},
        {"sums": Sums(100, 98, 1, (100, 98, 1))},
        {"orphans": [10.1]},
        {"orphans": [0.1, None]},
        {"rerun_seconds": 2.1},
        {"rerun_written": ["run.json"]},
        {"twice": ["exit status 1"]},
    ],
)
def test_every_goal_can_be_missed_alone(change: dict[str, Any]) -> None:
    assert len(replace(GOOD, **change).misses()) == 1
