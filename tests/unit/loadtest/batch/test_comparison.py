"""The comparison of batch programs: its inputs, one command, its arithmetic and its words."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from loadtest.batch import __main__ as comparison
from loadtest.batch import answers, markdown
from loadtest.batch.durations import BatchResult
from loadtest.batch.programs import CONTENDERS, FIVEFOLD, BatchProgram
from loadtest.machine import command, generated, programs
from loadtest.machine.command import Command
from loadtest.machine.generated import FOREST, LINEAR
from loadtest.machine.measurement import Differs, Failed

LOOP = next(each for each in CONTENDERS if each.name == "loop")
RAY = next(each for each in CONTENDERS if each.name == "raydata")
PROFILE = {"cores": [0, 1], "cpu": "a processor", "kernel": "6.1", "python": "3.11", "versions": {"ray": "2"}}


def made(*, ours: list[float], theirs: list[float], start: float = 1.0, peak: int = 500_000_000) -> BatchResult:
    """Fivefold beside Ray Data with one model: seconds for a million rows, round by round."""
    result = BatchResult([FIVEFOLD, RAY], [LINEAR], len(ours), 2, {LINEAR.name: 1_000_000}, PROFILE)
    for who, seconds in ((FIVEFOLD, ours), (RAY, theirs)):
        for each in seconds:
            result.add_empty(who, LINEAR, start)
            result.add(who, LINEAR, each, peak)
    return result


def test_start_up_is_what_next_to_nothing_takes() -> None:
    """Ours: 1 s of start-up and 10 s of work; theirs twice the work. With the start-up the ratio is a smaller one."""
    result = made(ours=[11, 11, 11], theirs=[21, 21, 21])

    assert result.rate(FIVEFOLD, LINEAR, started=True) == pytest.approx(100_000)
    assert result.rate(FIVEFOLD, LINEAR, started=False) == pytest.approx(1_000_000 / 11)
    assert result.ratio(RAY, LINEAR, started=True).median == pytest.approx(2.0)
    assert result.ratio(RAY, LINEAR, started=False).median == pytest.approx(21 / 11)


def test_a_ratio_is_of_one_round_and_its_range_is_told() -> None:
    ratio = made(ours=[11, 6, 11], theirs=[21, 21, 31]).ratio(RAY, LINEAR, started=True)

    assert (ratio.low, ratio.median, ratio.high) == (pytest.approx(2.0), pytest.approx(3.0), pytest.approx(4.0))


def test_goals_are_judged_without_the_start_up_and_each_can_be_missed() -> None:
    goals = {each.what: each.met for each in made(ours=[11], theirs=[16]).judged()}

    assert goals == {"linear ÷ raydata": True, "linear, memory of a worker": True}
    assert not made(ours=[11], theirs=[15.9]).judged()[0].met
    assert not made(ours=[11], theirs=[16], peak=600_000_001).judged()[1].met
    assert not made(ours=[11], theirs=[16], peak=0).judged()[1].met


def test_memory_that_grows_with_the_input_misses_its_goal() -> None:
    result = made(ours=[11], theirs=[16])
    result.small[LINEAR.name] = 100_000, 460_000_000

    assert result.judged()[-1].met
    result.small[LINEAR.name] = 100_000, 400_000_000
    assert not result.judged()[-1].met


def test_too_few_rows_are_told_and_give_no_rate_without_start_up() -> None:
    """What is left when the start-up is taken away would be noise: no rate, no ratio, no goal."""
    enough, few = made(ours=[2.0], theirs=[3]), made(ours=[1.9], theirs=[3])

    assert (enough.too_short(), few.too_short()) == ([], ["Fivefold, linear"])
    assert "linear ÷ raydata" in markdown.verdicts(enough)
    assert "too few rows" in markdown.verdicts(few)
    assert "linear ÷ raydata" not in markdown.verdicts(few)
    assert "| **Fivefold** | – | – | 1.0 s | 526,316 | 1 |" in markdown.rates(few, LINEAR)
    assert "| Ray Data, `map_batches` with actors | 500,000 | – | 1.0 s |" in markdown.rates(few, LINEAR)


def test_the_tables_have_both_rates_and_the_memory() -> None:
    result = made(ours=[11, 11], theirs=[21, 31])
    result.small[LINEAR.name] = 100_000, 480_000_000

    text = markdown.markdown(result)

    assert "| **Fivefold** | 100,000 | 1 | 1.0 s | 90,909 | 1 |" in text
    assert "| Ray Data, `map_batches` with actors | 41,667 | 2.50 (2.00 to 3.00) | 1.0 s |" in text
    assert "| **Fivefold** | 500 |" in text
    assert "With 100,000 rows instead of 1,000,000 a worker of ours has 480 MB (linear)." in text


def test_rows_are_made_once_and_are_the_same_everywhere(tmp_path: Path) -> None:
    one, two = (generated.rows(tmp_path / name, 1000, files=4, bad_every=100) for name in "ab")
    tables = [pq.read_table(path) for path in sorted(one.iterdir())]

    assert generated.rows(tmp_path / "a", 1000, files=4, bad_every=100) == one
    assert [path.read_bytes() for path in sorted(one.iterdir())] == [
        path.read_bytes() for path in sorted(two.iterdir())
    ]
    assert np.concatenate([table["id"].to_numpy() for table in tables]).tolist() == list(range(1000))
    bad = np.concatenate([table["f00"].to_numpy() for table in tables]) > generated.LIMIT
    assert np.flatnonzero(bad).tolist() == list(range(99, 1000, 100))


def test_a_part_of_the_input_is_its_first_files(tmp_path: Path) -> None:
    whole = generated.rows(tmp_path, 1000, files=4)

    assert generated.part(whole, 1.0) == whole
    assert generated.count(generated.part(whole, 0.5)) == 500
    assert generated.count(generated.part(whole, 0.01)) == 250


def written(directory: Path, keys: list[int], scores: list[float]) -> Path:
    directory.mkdir()
    table = pa.table({"id": pa.array(keys, pa.int64()), "score": pa.array(scores, pa.float32())})
    pq.write_table(table, directory / "any.parquet")
    return directory


def test_answers_are_told_apart_by_their_rows_whatever_their_order(tmp_path: Path) -> None:
    found = answers.read(written(tmp_path / "a", [2, 0, 1], [2.0, 0.0, 1.0]), 3)

    assert found.tolist() == [0.0, 1.0, 2.0]
    answers.compare("it", found, found)
    with pytest.raises(Differs, match="row 1, and 1 rows"):
        answers.compare("it", found, found + np.array([0, 0.1, 0], np.float32))


@pytest.mark.parametrize("keys", [[0, 1, 1], [0, 1], [0, 1, 3]])
def test_rows_left_out_or_given_twice_are_told(keys: list[int], tmp_path: Path) -> None:
    with pytest.raises(Differs):
        answers.read(written(tmp_path / "a", keys, [0.0] * len(keys)), 3)


def test_a_command_is_timed_and_its_output_kept(tmp_path: Path) -> None:
    ran = Command([sys.executable, "-c", "print('done'); raise SystemExit(3)"], tmp_path / "log").wait(60)

    assert (ran.status, ran.output) == (3, "done\n")
    assert 0 < ran.seconds < 60


def test_a_process_holds_the_model_when_it_has_mapped_the_runtime(tmp_path: Path) -> None:
    """The first process counts only where no other one does."""
    import onnxruntime  # noqa: F401  # mapped, that is all

    assert command.holds_model(os.getpid())
    holding = "import onnxruntime; print('holds', flush=True); input()"
    alone = subprocess.Popen([sys.executable, "-c", holding], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    # Its input stays open until its parent is gone.
    child = f"subprocess.Popen([sys.executable, '-c', {holding!r}], stdin=subprocess.PIPE).wait()"
    parent = f"import subprocess, sys, onnxruntime; {child}"
    both = Command([sys.executable, "-c", parent], tmp_path / "log")
    try:
        assert alone.stdout is not None
        assert alone.stdout.readline() == b"holds\n"
        assert command.holds_model(alone.pid)
        assert both.until(lambda: bool(both.workers()))
        workers = both.workers()
        assert both.holders() == workers
    finally:
        alone.communicate(b"\n")
        both.kill()
    assert command.gone(workers, 30) is not None
    assert not command.holds_model(alone.pid)


def test_waiting_ends_with_the_command(tmp_path: Path) -> None:
    running = Command([sys.executable, "-c", "pass"], tmp_path / "log")

    assert not running.until(lambda: False)
    assert running.wait(60).status == 0


def test_a_command_that_never_ends_is_given_up(tmp_path: Path) -> None:
    sleeping = Command([sys.executable, "-c", "import signal; signal.pause()"], tmp_path / "log")
    try:
        with pytest.raises(Failed, match="does not end"):
            sleeping.wait(0.1)
    finally:
        sleeping.kill()


@pytest.mark.full
def test_the_bare_loop_gives_the_packed_models_answers(tmp_path: Path) -> None:
    """The one that everybody else is measured by, with two processes, in its own words about where and what."""
    bundle, rows, output = (
        generated.bundle(LINEAR, tmp_path),
        generated.rows(tmp_path, 20_000, files=3),
        tmp_path / "out",
    )

    variables = comparison.environment(LOOP, bundle, rows, output, 2)
    ran = Command(LOOP.command(bundle, rows, output, 2), tmp_path / "log", variables).wait(120)

    assert ran.status == 0, ran.output
    from fivefold import Bundle, Scorer
    from fivefold.core.readers.arrow import Arrow

    scorer = Scorer.open(Bundle.open(bundle))
    batch = pq.read_table(rows).combine_chunks().to_batches()[0]
    columns = Arrow(scorer.bundle.contract.inputs).read(batch.drop_columns(["id"])).accept()
    answers.compare("the loop", answers.read(output, 20_000), np.asarray(scorer.score(columns)["score"]))


def test_every_program_that_is_compared_is_there() -> None:
    for who in CONTENDERS:
        program = who.command(Path("bundle"), Path("rows"), Path("out"), 2)
        assert Path(program[1]).is_file() if who.program else program[1] == "score"
        assert who.environment in ("", "pyspark")
    assert {who.name for who in CONTENDERS if who.goals.get(FOREST.name)} >= {"loop", "raydata", "pyspark"}


def test_what_is_missing_is_named_with_the_way_to_get_it() -> None:
    with pytest.raises(programs.ToolMissing, match="the environment of Nobody") as raised:
        comparison.demand([BatchProgram("nobody", "Nobody", "nobody_.py", environment="nobody")])
    assert raised.value.help == "make .cache/envs/nobody/.done"


@pytest.mark.parametrize(
    ("module", "arguments"),
    [
        ("__main__", ["--quick", "--write", "x.md"]),
        ("__main__", ["--only", "loop", "--write", "x.md"]),
        ("kill", ["--quick", "--write", "x.md"]),
        ("faults", ["--formats", "csv", "--write", "x.md"]),
        ("faults", ["--rows", "1000"]),
    ],
)
def test_what_would_be_no_whole_measurement_is_refused(
    module: str, arguments: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    import importlib

    with pytest.raises(SystemExit) as raised:
        importlib.import_module(f"loadtest.batch.{module}").main(arguments)

    assert raised.value.code == 2
    assert "error:" in capsys.readouterr().err
