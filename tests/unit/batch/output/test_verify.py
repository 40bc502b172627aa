"""What is published is what was written, or it is said that it is not."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest
from tests.support.batch_runs import answers, files, quarantined, run

from fivefold.batch.output.verify import verify
from fivefold.cli import EXIT, main
from fivefold.core.errors import FivefoldError, NotFound, RunFailed


@pytest.fixture
def data(tmp_path: Path) -> Path:
    """Two files, one row of which is refused."""
    home = tmp_path / "data"
    home.mkdir()
    for name in ("a", "b"):
        lines = ['{"a": 1, "note": "x"}'] * 200
        (home / f"{name}.jsonl").write_text("\n".join(lines) + "\n")
    with (home / "b.jsonl").open("a") as file:
        file.write('{"a": 999, "note": "x"}\n')
    return home


@pytest.fixture
def out(tmp_path: Path, noted: Path, data: Path) -> Path:
    """A published run."""
    run(noted, data, tmp_path / "out")
    return tmp_path / "out"


def part(out: Path) -> Path:
    """Its first part."""
    return min(out.glob("part-*"))


def record(out: Path) -> Path:
    """The record of its first fragment."""
    return next(path for path in sorted((out / "_ledger").iterdir()) if path.name != "plan.json")


def replace_by_a_directory(path: Path) -> None:
    """Of the same name."""
    path.unlink()
    path.mkdir()


def change(path: Path, **members: Any) -> None:
    """A JSON object with other members."""
    path.write_text(json.dumps(json.loads(path.read_text()) | members))


DAMAGE: dict[str, tuple[Callable[[Path], object], set[str]]] = {
    "a part that is gone": (lambda out: part(out).unlink(), {"missing"}),
    "a part that is short": (lambda out: part(out).write_bytes(part(out).read_bytes()[:-1]), {"short"}),
    "a part that is empty": (lambda out: part(out).write_bytes(b""), {"short"}),
    "a part that is long": (lambda out: part(out).write_bytes(part(out).read_bytes() + b"x"), {"long"}),
    "a flipped bit": (
        lambda out: part(out).write_bytes(part(out).read_bytes()[:-9] + b"\x07" + part(out).read_bytes()[-8:]),
        {"changed"},
    ),
    "another part": (lambda out: shutil.copy(part(out), out / "part-99999-0000000000000000.parquet"), {"extra"}),
    "a directory in its place": (lambda out: replace_by_a_directory(part(out)), {"unreadable"}),
    "a quarantine that is gone": (lambda out: next((out / "quarantine").iterdir()).unlink(), {"missing"}),
    "a quarantine that was edited": (
        lambda out: next((out / "quarantine").iterdir()).write_text("{}\n"),
        {"changed"},
    ),
    "another quarantine": (lambda out: (out / "quarantine" / "part-x.jsonl").touch(), {"extra"}),
    "a record that is gone": (lambda out: record(out).unlink(), {"missing", "extra", "count"}),
    "a record that is empty": (lambda out: record(out).write_bytes(b""), {"unreadable", "extra", "count"}),
    "another record": (lambda out: (out / "_ledger" / "x.json").touch(), {"extra"}),
    "no report": (lambda out: (out / "run.json").unlink(), {"missing"}),
    "a report of other counts": (lambda out: change(out / "run.json", rows=7), {"count"}),
    "a report of another run": (lambda out: change(out / "run.json", run_id="0" * 64), {"unreadable"}),
    "a report without parts": (lambda out: change(out / "run.json", parts=[]), {"count"}),
    "junk for a report": (lambda out: (out / "run.json").write_text("[1"), {"unreadable"}),
    "not published": (lambda out: (out / "_SUCCESS").unlink(), {"unpublished"}),
}


@pytest.mark.parametrize("damage", DAMAGE)
def test_damage_is_found(out: Path, damage: str, capsys: pytest.CaptureFixture[str]) -> None:
    """Whatever it is, with the file's name, by the exit status and for programs."""
    assert main(["batch", "verify", str(out)]) == 0
    assert "verified" in capsys.readouterr().out
    spoil, words = DAMAGE[damage]
    spoil(out)

    assert main(["batch", "verify", str(out), "--json"]) == 3
    found = json.loads(capsys.readouterr().out)
    assert {problem["problem"] for problem in found["problems"]} == words
    assert found["ok"] is False
    assert main(["batch", "verify", str(out)]) == 3


def test_where_there_is_no_run(tmp_path: Path) -> None:
    """There is nothing to verify."""
    with pytest.raises(NotFound, match="there is no run"):
        verify(str(tmp_path))


@pytest.mark.parametrize(
    "damage", [name for name in DAMAGE if name.startswith(("a part", "a flipped", "a quarantine"))]
)
def test_nothing_is_published_that_is_not_what_was_written(
    out: Path, tmp_path: Path, noted: Path, data: Path, damage: str
) -> None:
    """Before `_SUCCESS` every file is read again; without its record the fragment is scored anew."""
    for name in ("run.json", "_SUCCESS"):
        (out / name).unlink()
    whole = files(out)
    DAMAGE[damage][0](out)

    with pytest.raises(RunFailed, match="not the one that was written") as refused:
        run(noted, data, out)
    assert refused.value.code == "run_conflict"
    assert not (out / "_SUCCESS").exists()
    told = str(refused.value.help)
    Path(told.removeprefix("remove ").partition(",")[0]).unlink()
    run(noted, data, out)
    assert files(out) == whole
    assert verify(str(out)).ok


JUNK = [b"", b"{", b"[]", b"null", b"\xff\xfe", b'{"format": 1}', b"[" * 100_000, b'{"rows": "x"}']


@pytest.mark.parametrize("name", ["_ledger/plan.json", "record", "run.json"])
@pytest.mark.parametrize("junk", [*JUNK, "directory"])
def test_junk_in_the_ledger_is_named(
    out: Path, noted: Path, data: Path, name: str, junk: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    """By a run, a resume and a status, with exit status 3 and the file."""
    path = record(out) if name == "record" else out / name
    if name == "record":
        (out / "_SUCCESS").unlink()
    path.unlink()
    if junk == "directory":
        path.mkdir()
    else:
        path.write_bytes(junk)

    with pytest.raises(FivefoldError) as refused:
        run(noted, data, out)
    assert EXIT[refused.value.code] == 3
    assert refused.value.path == str(path)
    assert refused.value.help
    for line in (["batch", "status", str(out)], ["batch", "resume", str(out)]):
        assert main(line) == 3
        assert str(path) in capsys.readouterr().err


@pytest.mark.parametrize(
    "members",
    [
        {"rows": -1, "scored": -1},
        {"rows": 2**70},
        {"scored": 100},
        {"fragment": "00001-0000000000000000"},
        {"sha256": "short"},
        {"codes": {"malformed": 1}},
        {"bytes": 1.5},
    ],
)
def test_a_record_that_cannot_be_its_fragment_s(out: Path, noted: Path, data: Path, members: dict[str, Any]) -> None:
    """Counts that do not add up are refused, not added."""
    (out / "_SUCCESS").unlink()
    change(record(out), **members)

    with pytest.raises(RunFailed) as refused:
        run(noted, data, out)
    assert (refused.value.code, refused.value.path) == ("run_conflict", str(record(out)))


def test_a_plan_of_another_version_or_another_run(out: Path, noted: Path, data: Path) -> None:
    """Is not gone on with."""
    plan = out / "_ledger" / "plan.json"
    kept = plan.read_text()
    change(plan, format=2)
    with pytest.raises(RunFailed, match="format 2"):
        run(noted, data, out)
    plan.write_text(kept)
    change(plan, run_id="0" * 64)
    with pytest.raises(RunFailed, match="run_id"):
        run(noted, data, out)


@pytest.mark.parametrize("name", ["_SUCCESS", "run.json", "part-00000-spark.snappy.parquet", "quarantine/part-x.jsonl"])
def test_somebody_else_s_output_is_no_place_for_a_run(tmp_path: Path, noted: Path, data: Path, name: str) -> None:
    """Its `_SUCCESS` would be this run's, its parts would be read with it."""
    (tmp_path / "out" / name).parent.mkdir(parents=True)
    (tmp_path / "out" / name).touch()

    with pytest.raises(RunFailed, match="there is no plan, but") as refused:
        run(noted, data, tmp_path / "out")
    assert refused.value.code == "run_conflict"


def test_a_report_of_another_run_is_never_answered_with(out: Path, tmp_path: Path, noted: Path, data: Path) -> None:
    """Neither where this one is finished, nor where it is about to be."""
    run(noted, data / "a.jsonl", tmp_path / "other")
    shutil.copy(tmp_path / "other" / "run.json", out / "run.json")

    with pytest.raises(RunFailed, match="the report is of run"):
        run(noted, data, out)
    (out / "_SUCCESS").unlink()
    with pytest.raises(RunFailed, match="the report is of run"):
        run(noted, data, out)
    assert not (out / "_SUCCESS").exists()


@pytest.mark.parametrize("limit", [{"max_bad_rows": 5}, {"max_bad_fraction": 0.001}])
def test_a_run_that_stops_at_its_limit_leaves_its_quarantine(
    tmp_path: Path, noted: Path, limit: dict[str, Any]
) -> None:
    """Which its message points to; once the limit is higher, the same files are there as without the stop."""
    (tmp_path / "a.jsonl").write_text('{"a": 1, "note": "x"}\n' * 1000 + '{"a": 999, "note": "x"}\n' * 100)
    run(noted, tmp_path / "a.jsonl", tmp_path / "whole", max_bad_fraction=1, chunk_rows=10)

    with pytest.raises(RunFailed, match=r"at least \d+ rows are quarantined, and at most") as stopped:
        run(noted, tmp_path / "a.jsonl", tmp_path / "out", **({"max_bad_fraction": 1} | limit), chunk_rows=10)
    assert stopped.value.path == str(tmp_path / "out" / "quarantine")
    found = quarantined(tmp_path / "out")
    assert len(found) > 1
    assert [each["row"] for each in found] == list(range(1000, 1000 + len(found)))
    run(noted, tmp_path / "a.jsonl", tmp_path / "out", max_bad_fraction=1, chunk_rows=10)
    assert files(tmp_path / "out") == files(tmp_path / "whole")
    assert len(answers(tmp_path / "out")) == 1000
    assert pq.read_table(part(tmp_path / "out")).num_rows == 1000


def test_an_object_store_is_verified_as_a_directory_is(
    tmp_path: Path, noted: Path, data: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Missing, changed and other objects, and somebody else's in front of a run."""
    from obstore.store import MemoryStore

    store = MemoryStore()
    monkeypatch.setattr("fivefold.stores.object_store.store", lambda *_: store)
    out = "s3://bucket/some/where"
    run(noted, data, out)
    assert verify(out).ok
    names = sorted(item["path"] for some in store.list("some/where") for item in some)
    (first, second) = [name for name in names if "/part-" in name and "quarantine" not in name]
    store.delete(first)
    store.put(second, b"other")
    store.put("some/where/part-x.parquet", b"")
    found = verify(out)

    assert [(problem.problem, problem.file) for problem in found.problems] == [
        ("missing", first.removeprefix("some/where/")),
        ("short", second.removeprefix("some/where/")),
        ("extra", "part-x.parquet"),
    ]
    store.put("other/place/_SUCCESS", b"")
    with pytest.raises(RunFailed, match="there is no plan, but _SUCCESS"):
        run(noted, data, "s3://bucket/other/place")
