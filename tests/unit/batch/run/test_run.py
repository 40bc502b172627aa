"""Whole runs without Ray: what is written, what is resumed, what is refused."""

from __future__ import annotations

import io
import json
import shutil
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.csv
import pyarrow.parquet as pq
import pytest
from tests.support.batch_runs import answers, files, quarantined, records, run
from tests.support.bundles import write_python, write_sum

from fivefold.batch.engine.inline import Inline
from fivefold.batch.output.ledger import Record
from fivefold.batch.plan.planning import Fragment
from fivefold.batch.plan.settings import BatchSettings
from fivefold.batch.run.execute import score
from fivefold.batch.run.preparation import RunOrder
from fivefold.batch.tools.status import status
from fivefold.batch.work import fragment_scorer as scoring
from fivefold.batch.work.task import FragmentOutcome
from fivefold.core.errors import ContractInvalid, FivefoldError, Interrupted, NotFound, ProtocolError, RunFailed


@pytest.fixture
def data(tmp_path: Path) -> Path:
    """Three files of three formats in a directory."""
    home = tmp_path / "data"
    home.mkdir()
    (home / "a.csv").write_text("a,note\n" + "".join(f"{row % 90},n{row}\n" for row in range(1000)))
    (home / "b.jsonl").write_text("".join(json.dumps({"a": row % 90, "note": f"n{row}"}) + "\n" for row in range(1000)))
    table = pa.table({"a": [float(row % 90) for row in range(1000)], "note": [f"n{row}" for row in range(1000)]})
    pq.write_table(table, home / "c.parquet", row_group_size=100)
    return home


def test_a_folder_of_files(tmp_path: Path, noted: Path, data: Path) -> None:
    """Every row has its answer, under its number, in the order of the files; the report says it all."""
    result = run(noted, data, tmp_path / "out", fragment_bytes=1000)

    report = json.loads((tmp_path / "out" / "run.json").read_text())
    assert report == result.report
    assert (report["rows"], report["scored"], report["quarantined"]) == (3000, 3000, 0)
    assert all(type(report[key]) is int for key in ("rows", "scored", "quarantined"))
    assert result.scored_now == 3000
    assert report["model"] == "noted"
    assert report["contract"] == "noted@1.0"
    assert report["bundle"] == json.loads(json.dumps(status(str(tmp_path / "out")).report))["bundle"]
    assert report["rows_per_second"] > 0
    assert [item["file"] for item in report["files"]] == [
        str(data / name) for name in ("a.csv", "b.jsonl", "c.parquet")
    ]
    assert (tmp_path / "out" / "_SUCCESS").read_bytes() == b""
    rows = answers(tmp_path / "out")
    assert [(row["_row"], row["total"], row["said"]) for row in rows] == [
        (row, row % 90 + 0.5, f"n{row}") for row in range(1000)
    ] * 3
    assert {(row["_model"], row["_contract"]) for row in rows} == {("noted@1", "noted@1.0")}
    assert list(rows[0]) == ["_row", "_model", "_contract", "total", "said"]
    parts = [part["part"] for part in report["parts"]]
    assert parts == sorted(path.name for path in (tmp_path / "out").glob("part-*"))
    assert len(parts) > 20
    assert not (tmp_path / "out" / "_temporary").exists()
    assert not (tmp_path / "out" / "quarantine").exists()


@pytest.mark.parametrize("format", ["csv", "jsonl"])
def test_other_formats_of_the_output_say_the_same(tmp_path: Path, noted: Path, data: Path, format: str) -> None:
    """Value by value."""
    run(noted, data, tmp_path / "out", columns=("a",))
    run(noted, data, tmp_path / "other", columns=("a",), format=format)

    wanted = answers(tmp_path / "out")
    if format == "jsonl":
        assert answers(tmp_path / "other") == wanted
        return
    report = json.loads((tmp_path / "other" / "run.json").read_text())
    tables = [pa.csv.read_csv(tmp_path / "other" / part["part"]) for part in report["parts"]]
    assert pa.concat_tables(tables).to_pylist() == wanted


def test_the_same_run_twice_is_byte_identical(tmp_path: Path, noted: Path, data: Path) -> None:
    """Into another directory; the second start of a finished one scores nothing."""
    run(noted, data, tmp_path / "one", fragment_bytes=1000)
    run(noted, data, tmp_path / "two", fragment_bytes=1000)
    before = {path: path.stat().st_mtime_ns for path in (tmp_path / "one").rglob("*")}

    again = run(noted, data, tmp_path / "one", fragment_bytes=1000)

    assert files(tmp_path / "one") == files(tmp_path / "two")
    assert again.scored_now == 0
    assert {path: path.stat().st_mtime_ns for path in (tmp_path / "one").rglob("*")} == before


class Mortal(Inline):
    """Inline work whose worker dies over some fragments."""

    deaths: dict[int, int] = {}
    given = 0

    def wait(self, seconds: float) -> Iterator[tuple[Fragment | None, FragmentOutcome | None]]:
        """Die instead of working, as often as it is said for this fragment."""
        if self._work is not None and type(self).deaths.get(self._work[0].range.row, 0):
            type(self).deaths[self._work[0].range.row] -= 1
            (fragment, _, _), self._work = self._work, None
            yield fragment, None
            return
        yield from super().wait(seconds)


def go(noted: Path, data: Path, output: Path, actors: Any = Inline, **settings: Any) -> Any:
    """A run with these workers, and small fragments."""
    order = RunOrder(str(noted), (str(data),), str(output))
    return score(order, BatchSettings(fragment_bytes=1000, **settings), out=io.StringIO(), actors=actors)


def test_a_run_that_stopped_goes_on(tmp_path: Path, noted: Path, data: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What is finished is not done again, and the bytes are those of a run that never stopped."""
    run(noted, data, tmp_path / "whole", fragment_bytes=1000)
    seen: list[str] = []
    real = scoring.FragmentScorer.score

    def stops(self: Any, fragment: Fragment, **rest: Any) -> Record:
        seen.append(fragment.id)
        if len(seen) == 5:
            signal.raise_signal(signal.SIGTERM)
        return real(self, fragment, **rest)

    monkeypatch.setattr(scoring.FragmentScorer, "score", stops)
    with pytest.raises(Interrupted, match="5 of") as stopped:
        go(noted, data, tmp_path / "out")
    assert "same command" in str(stopped.value.help)
    assert status(str(tmp_path / "out")).state == "unfinished"
    assert status(str(tmp_path / "out")).fragments == 5
    assert not (tmp_path / "out" / "_SUCCESS").exists()

    result = go(noted, data, tmp_path / "out")

    assert len(seen) == len(set(seen))
    assert files(tmp_path / "out") == files(tmp_path / "whole")
    assert result.report["resumed_rows"] > 0
    assert result.scored_now == 3000 - result.report["resumed_rows"]
    assert status(str(tmp_path / "out")).state == "published"


def test_a_start_that_finds_all_done_has_not_worked(
    tmp_path: Path, noted: Path, data: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Another start has done every fragment between this one's plan and its first worker."""
    real = Inline.start

    def overtaken(self: Inline, count: int) -> None:
        monkeypatch.setattr(Inline, "start", real)
        go(noted, data, tmp_path / "out")
        for name in ("run.json", "_SUCCESS"):
            (tmp_path / "out" / name).unlink()
        real(self, count)

    monkeypatch.setattr(Inline, "start", overtaken)
    report = go(noted, data, tmp_path / "out").report

    assert (report["rows"], report["working_seconds"], report["rows_per_second"]) == (3000, 0, 0)


def test_what_dies_before_its_record_has_not_happened(
    tmp_path: Path, noted: Path, data: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Files in place without a record are written anew; records without `_SUCCESS` are published."""
    run(noted, data, tmp_path / "whole", fragment_bytes=1000)
    go(noted, data, tmp_path / "out")
    lost = records(tmp_path / "out")[3].fragment
    (tmp_path / "out" / "_ledger" / f"{lost}.json").unlink()
    next((tmp_path / "out").glob(f"part-{lost}.*")).write_bytes(b"half of")
    for name in ("run.json", "_SUCCESS"):
        (tmp_path / "out" / name).unlink()

    result = go(noted, data, tmp_path / "out")

    assert files(tmp_path / "out") == files(tmp_path / "whole")
    assert 0 < result.scored_now < 3000


def test_unfinished_files_of_dead_runs_are_removed(tmp_path: Path, noted: Path, data: Path) -> None:
    """And those of a run that lives are not."""
    import fcntl

    dead, alive = (tmp_path / "out" / "_temporary" / name for name in ("thisdied", "thatlive"))
    for home in (dead, alive):
        home.mkdir(parents=True)
        (home / ".lock").touch()
        (home / "x.part").write_text("half")
    with (alive / ".lock").open() as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        run(noted, data, tmp_path / "out")

    assert not dead.exists()
    assert (alive / "x.part").exists()


def test_a_worker_that_dies_is_replaced(
    tmp_path: Path, noted: Path, data: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its fragment is done by another one; the record says which attempt it was."""
    monkeypatch.setattr(Mortal, "deaths", {0: 2})

    go(noted, data, tmp_path / "out", actors=Mortal)

    assert sorted({record.attempt for record in records(tmp_path / "out")}) == [1, 3]


def test_a_fragment_that_kills_its_workers_ends_the_run(
    tmp_path: Path, noted: Path, data: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With its name, after three of them; what is finished stays."""
    monkeypatch.setattr(Mortal, "deaths", {500: 99})

    with pytest.raises(RunFailed, match="3 workers died over fragment") as lost:
        go(noted, data, tmp_path / "out", actors=Mortal)

    assert lost.value.code == "worker_lost"
    assert lost.value.path.endswith((".csv", ".jsonl", ".parquet"))


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        ({"format": "csv"}, "format: parquet there, csv here"),
        ({"columns": ("a",)}, "columns: "),
        ({"fragment_bytes": 5000}, "fragment bytes: "),
    ],
)
def test_an_output_directory_belongs_to_one_run(
    tmp_path: Path, noted: Path, data: Path, change: dict[str, Any], sentence: str
) -> None:
    """Another run is refused, and says what is different."""
    run(noted, data, tmp_path / "out")

    with pytest.raises(RunFailed, match=f"another run stands here: {sentence}") as refused:
        run(noted, data, tmp_path / "out", **change)
    assert refused.value.code == "run_conflict"
    assert refused.value.path == str(tmp_path / "out")


def test_another_model_or_input_is_another_run(tmp_path: Path, noted: Path, data: Path) -> None:
    """Also where only one file has changed."""
    run(noted, data, tmp_path / "out")

    with pytest.raises(RunFailed, match="model: noted there, demo here"):
        run(write_sum(tmp_path / "sum").path, data / "c.parquet", tmp_path / "out")
    (data / "a.csv").write_text("a,note\n1,x\n")
    with pytest.raises(RunFailed, match=r"a\.csv has changed"):
        run(noted, data, tmp_path / "out")
    (data / "a.csv").unlink()
    with pytest.raises(RunFailed, match=r"a\.csv is missing"):
        run(noted, data, tmp_path / "out")


def test_a_digest_knows_a_file_that_was_copied(tmp_path: Path, noted: Path, data: Path) -> None:
    """Its time is another one, its content is not."""
    run(noted, data, tmp_path / "out", digest_inputs=True)
    content = (data / "a.csv").read_bytes()
    (data / "a.csv").unlink()
    (data / "a.csv").write_bytes(content)

    assert run(noted, data, tmp_path / "out", digest_inputs=True).scored_now == 0


def test_two_identical_runs_at_once_publish_one_result(
    tmp_path: Path, noted: Path, data: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The second begins when the first has done a few fragments, ends before it, and both give the same report."""
    inner: list[Any] = []
    real = scoring.FragmentScorer.score
    seen: list[str] = []

    def one_more(self: Any, fragment: Fragment, **rest: Any) -> Record:
        seen.append(fragment.id)
        if len(seen) == 3 and not inner:
            inner.append(None)
            inner[0] = go(noted, data, tmp_path / "out")
        return real(self, fragment, **rest)

    monkeypatch.setattr(scoring.FragmentScorer, "score", one_more)
    outer = go(noted, data, tmp_path / "out")
    monkeypatch.undo()
    run(noted, data, tmp_path / "whole", fragment_bytes=1000)

    assert outer.report == inner[0].report
    assert outer.report["scored"] == 3000
    assert files(tmp_path / "out") == files(tmp_path / "whole")


def test_the_breaker_trips_above_the_share_at_the_end(tmp_path: Path, noted: Path) -> None:
    """Strictly above; what is finished stays, and the same command with a higher limit publishes it."""
    (tmp_path / "a.jsonl").write_text('{"a": 1, "note": "x"}\n' * 99 + '{"a": 999, "note": "x"}\n')
    (tmp_path / "b.jsonl").write_text('{"a": 1, "note": "x"}\n' * 99 + '{"a": 999, "note": "x"}\n' * 2)

    assert run(noted, tmp_path / "a.jsonl", tmp_path / "one").report["quarantined"] == 1
    with pytest.raises(RunFailed, match="2 rows are quarantined, and at most 1") as tripped:
        run(noted, tmp_path / "b.jsonl", tmp_path / "two")
    assert tripped.value.code == "too_many_bad_rows"
    assert "--max-bad-fraction" in str(tripped.value.help)
    assert not (tmp_path / "two" / "_SUCCESS").exists()

    assert run(noted, tmp_path / "b.jsonl", tmp_path / "two", max_bad_fraction=0.02).report["quarantined"] == 2


def test_a_tripped_run_keeps_finished_fragments(tmp_path: Path, noted: Path) -> None:
    """The files before the bad one are not scored again."""
    for name in ("a", "b"):
        (tmp_path / f"{name}.jsonl").write_text('{"a": 1, "note": "x"}\n' * 50)
    (tmp_path / "c.jsonl").write_text('{"a": 999, "note": "x"}\n' * 50)

    with pytest.raises(RunFailed, match="quarantined"):
        run(noted, tmp_path / "*.jsonl", tmp_path / "out")
    assert len(records(tmp_path / "out")) == 2
    result = run(noted, tmp_path / "*.jsonl", tmp_path / "out", max_bad_fraction=1)

    assert (result.scored_now, result.report["scored"], result.report["quarantined"]) == (0, 100, 50)
    assert len(quarantined(tmp_path / "out")) == 50


def test_compressed_text_is_judged_at_the_end(tmp_path: Path, noted: Path) -> None:
    """How many rows there are is not known before."""
    import gzip

    (tmp_path / "a.jsonl.gz").write_bytes(
        gzip.compress(b'{"a": 999, "note": "x"}\n' * 2 + b'{"a": 1, "note": "x"}\n' * 98)
    )

    with pytest.raises(RunFailed, match=r"2 of 100 rows are quarantined \(2.00%\), and at most 1.00% may be"):
        run(noted, tmp_path / "a.jsonl.gz", tmp_path / "out")
    assert len(records(tmp_path / "out")) == 1


def test_rows_act_at_once(tmp_path: Path, noted: Path) -> None:
    """In the fragment that has them."""
    (tmp_path / "a.jsonl").write_text('{"a": 999, "note": "x"}\n' * 1000)

    with pytest.raises(RunFailed, match="and at most 5 may be"):
        run(noted, tmp_path / "a.jsonl", tmp_path / "out", max_bad_rows=5, max_bad_fraction=1, chunk_rows=10)
    assert records(tmp_path / "out") == []


FAILS = b'''
class Sum:
    """Adds two columns, and cannot bear a 7 (it raises) or an 8 (it leaves the contract)."""

    def predict(self, columns):
        if (columns["a"] == 7).any():
            raise ValueError("seven")
        total = columns["a"] + columns["b"]
        return {"total": total, "label": (total > 0).astype("int64") + 5 * (columns["a"] == 8)}
'''


def test_a_row_that_the_model_fails_on_is_found(tmp_path: Path) -> None:
    """By halving; every other row of its chunk has its answer."""
    model = write_python(tmp_path / "model", FAILS).path
    (tmp_path / "a.jsonl").write_text("".join(json.dumps({"a": row % 50, "b": 1}) + "\n" for row in range(200)))

    report = run(model, tmp_path / "a.jsonl", tmp_path / "out", max_bad_fraction=0.1).report

    found = quarantined(tmp_path / "out")
    assert [record["row"] for record in found] == [7, 8, 57, 58, 107, 108, 157, 158]
    assert {record["code"] for record in found} == {"model_failed"}
    assert found[1]["path"] == "outputs.label[0]"
    assert found[0]["raw"] == {"a": 7.0, "b": 1.0}
    assert report["codes"] == {"model_failed": 8}
    assert [(row["_row"], row["total"]) for row in answers(tmp_path / "out")] == [
        (row, row % 50 + 1.0) for row in range(200) if row % 50 not in (7, 8)
    ]


def test_columns_come_along(tmp_path: Path, noted: Path) -> None:
    """Inputs as they were read, others as they came."""
    (tmp_path / "a.csv").write_text('id,a,note\n"x, y",1,\n,2,b\n')
    run(noted, tmp_path / "a.csv", tmp_path / "out", columns=("id", "note", "b"), format="jsonl")

    assert answers(tmp_path / "out") == [
        {
            "_row": 0,
            "_model": "noted@1",
            "_contract": "noted@1.0",
            "note": None,
            "b": 0.5,
            "id": "x, y",
            "total": 1.5,
            "said": "none",
        },
        {
            "_row": 1,
            "_model": "noted@1",
            "_contract": "noted@1.0",
            "note": "b",
            "b": 0.5,
            "id": None,
            "total": 2.5,
            "said": "b",
        },
    ]


def test_a_carried_column_and_an_answer_cannot_share_a_name(tmp_path: Path, noted: Path, data: Path) -> None:
    """Said before anything is read."""
    with pytest.raises(ContractInvalid, match="two columns 'total'"):
        run(noted, data, tmp_path / "out", columns=("total",))


@pytest.mark.parametrize(
    ("pattern", "kind", "sentence"),
    [
        ("none-*.csv", NotFound, "no file matches"),
        ("model.txt", ProtocolError, r"expected a file of \.parquet"),
    ],
)
def test_patterns_without_files(
    tmp_path: Path, noted: Path, pattern: str, kind: type[FivefoldError], sentence: str
) -> None:
    """Named as they were given."""
    (tmp_path / "model.txt").touch()

    with pytest.raises(kind, match=sentence):
        run(noted, tmp_path / pattern, tmp_path / "out")


def test_a_missing_column_refuses_the_run_before_scoring(tmp_path: Path, noted: Path, data: Path) -> None:
    """Also where other files have it."""
    (data / "d.csv").write_text("b,note\n1,x\n")

    with pytest.raises(FivefoldError, match=r"inputs\.a: .*d\.csv: expected a column 'a'") as refused:
        run(noted, data, tmp_path / "out")
    assert refused.value.code == "missing_field"
    assert not list((tmp_path / "out").glob("part-*"))


def test_nothing_to_score_is_a_run_too(tmp_path: Path, noted: Path) -> None:
    """No rows, and `_SUCCESS`."""
    (tmp_path / "a.csv").write_text("a,note\n")
    (tmp_path / "b.jsonl").touch()
    import gzip

    (tmp_path / "c.jsonl.gz").write_bytes(gzip.compress(b""))

    report = run(
        noted, [str(tmp_path / "a.csv"), str(tmp_path / "b.jsonl"), str(tmp_path / "c.jsonl.gz")], tmp_path / "out"
    ).report
    assert (report["rows"], report["scored"], report["quarantined"]) == (0, 0, 0)
    assert (tmp_path / "out" / "_SUCCESS").exists()


def test_an_input_that_changes_under_a_run_is_noticed(
    tmp_path: Path, noted: Path, data: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its fragments would not be those of the plan."""
    real = Inline.start

    def changing(self: Inline, count: int) -> None:
        shutil.copy(data / "a.csv", tmp_path / "copy.csv")
        (data / "a.csv").write_text("a,note\n1,x\n")
        real(self, count)

    monkeypatch.setattr(Inline, "start", changing)
    with pytest.raises(RunFailed, match="changed since the run was planned") as changed:
        run(noted, data, tmp_path / "out")
    assert changed.value.path == str(data / "a.csv")
