"""A run told as data: nothing is lost on the way, and what is not understood is refused."""

from __future__ import annotations

import json
import typing
from dataclasses import asdict, fields
from pathlib import Path
from typing import Any

import pytest
from tests.support.batch_runs import run

from fivefold.batch.engine.inline import Inline
from fivefold.batch.plan import planning
from fivefold.batch.plan.settings import BatchSettings
from fivefold.batch.run import submit
from fivefold.batch.run.job import Job
from fivefold.batch.run.preparation import RunOrder
from fivefold.batch.storage.sources import SourceFile, find
from fivefold.cli import _parser, main
from fivefold.commands.score import asked
from fivefold.core.bundle.bundle import Bundle
from fivefold.core.errors import RunFailed
from fivefold.delivery.settings import DeliverySettings

ORDER = RunOrder("s3://models/a.tar#sha256=" + "0" * 64, ("it's {ds} *.csv", "é\n"), "out put")

ODD: dict[str, Any] = {
    "format": "csv",
    "columns": ("a b", "é,x", '"'),
    "engine": "ray-data",
    "max_bad_fraction": 0.1 + 0.2,
    "iceberg": "a.b.c",
    "delta": "some where",
    "delimiter": ";",
    "na": ("NA", "n/a"),
    "booleans": ("Oui", "Non"),
    "encoding": "latin-1",
}


def another(name: str, hint: Any, default: Any) -> Any:
    """A value of a setting that is not its default."""
    if name in ODD:
        return ODD[name]
    options = [option for option in typing.get_args(hint) if option is not type(None)] or [hint]
    kinds = {bool: not default, int: (default or 0) + 7, str: f"{default}x", float: 0.5}
    return kinds[options[0]]


def odd_settings() -> BatchSettings:
    """Every setting is another than its default."""
    hints = typing.get_type_hints(BatchSettings)
    default = BatchSettings()
    names = [field.name for field in fields(BatchSettings)]
    return BatchSettings(**{name: another(name, hints[name], getattr(default, name)) for name in names})


def test_every_setting_travels() -> None:
    """A new one too: there is no list of them that could be forgotten."""
    settings = odd_settings()
    assert all(value != getattr(BatchSettings(), name) for name, value in asdict(settings).items())
    job = Job(ORDER, settings, "e" * 64)

    assert Job.from_json(job.to_json()) == job


def test_every_option_of_score_travels(monkeypatch: pytest.MonkeyPatch) -> None:
    """What a command line and its variables ask for is what the other process is told, whatever its own variables."""
    settings = odd_settings()
    line, told = ["score", "--model", "m", "--input", "a", "b c", "--output", "o"], {"model", "input", "output"}
    actions = {action.dest: action for action in _options()}
    for name, value in asdict(settings).items():
        if name not in actions:
            monkeypatch.setenv(f"FIVEFOLD_{name.upper()}", str(value))
            continue
        told.add(name)
        words = [] if value is True else [",".join(value)] if isinstance(value, tuple) else [str(value)]
        line += [actions[name].option_strings[0], *words]
    # A comma cannot stand in a name on a command line.
    line[line.index("--columns") + 1] = "x,y"
    # Providers are a variable of this process and of all that it starts.
    assert set(actions) - told == {"help", "metrics", "json", "providers"}
    what = asked(_parser().parse_args(line))
    assert what is not None
    order, given, _ = what
    assert asdict(given) | {"columns": None} == asdict(settings) | {"columns": None}
    text = Job(order, given).to_json()
    for name in asdict(settings):
        monkeypatch.setenv(f"FIVEFOLD_{name.upper()}", "1")

    assert Job.from_json(text) == Job(order, given)


def _options() -> list[Any]:
    parsers: Any = _parser()._subparsers
    return list(parsers._group_actions[0].choices["score"]._actions)


@pytest.mark.parametrize(
    ("members", "sentence"),
    [
        ({"format": 2}, "told in format 2"),
        ({"format": None}, "told in format None"),
        ({"more": 1}, "names more"),
        ({"settings": {"colour": "red"}}, r"fivefold 9\.9, and this is fivefold .*: it names settings\.colour"),
        ({"order": {"model": "m", "inputs": ["a"], "output": "o", "mode": 1}}, r"order\.mode"),
        ({"order": {"model": "m", "inputs": "a", "output": "o"}}, "array"),
        ({"order": {}}, "model"),
        ({"settings": []}, "settings: expected an object"),
        ({"settings": {"workers": "two"}}, "int"),
        ({"settings": {"max_bad_fraction": 2}}, "expected 0 to 1"),
        ({"expected": 1}, "str"),
    ],
)
def test_what_is_not_understood_is_refused(members: dict[str, Any], sentence: str) -> None:
    """With both versions named, instead of a run that is nearly the one that was asked for."""
    told = json.loads(Job(ORDER, BatchSettings()).to_json()) | {"fivefold": "9.9"} | members

    with pytest.raises(RunFailed, match=sentence) as refused:
        Job.from_json(json.dumps(told))
    assert refused.value.code == "run_conflict"


@pytest.mark.parametrize("text", ["", "{", "[]", "null", "[" * 100_000, "score"])
def test_junk_is_refused(text: str, capsys: pytest.CaptureFixture[str]) -> None:
    """By the command, with exit status 3."""
    assert main(["batch", "job", text]) == 3
    assert "expected a run as JSON" in capsys.readouterr().err


def test_a_job_runs_what_it_was_told(
    tmp_path: Path, noted: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """With settings that no command line has, against the variables around it."""
    monkeypatch.setattr("fivefold.batch.engine.engine_choice.workers_of", Inline)
    monkeypatch.setenv("FIVEFOLD_CHUNK_ROWS", "5")
    (tmp_path / "a.jsonl").write_text('{"a": 1, "note": "x", "it\'s": 1}\n' * 9)
    order = RunOrder(str(noted), (str(tmp_path / "a.jsonl"),), str(tmp_path / "out"))
    settings = BatchSettings(chunk_rows=2, columns=("it's",), format="jsonl")

    assert main(["batch", "job", Job(order, settings).to_json(), "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["scored"] == 9
    kept = json.loads((tmp_path / "out" / "_ledger" / "plan.json").read_text())
    assert kept["facts"]["chunk_rows"] == 2
    assert kept["order"]["settings"] == asdict(settings) | {"columns": ["it's"], "na": [], "booleans": []}


def test_a_job_over_another_input_than_was_submitted(
    tmp_path: Path, noted: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Is refused before anything is scored."""
    monkeypatch.setattr("fivefold.batch.engine.engine_choice.workers_of", Inline)
    path = tmp_path / "a.jsonl"
    path.write_text('{"a": 1, "note": "x"}\n')
    order = RunOrder(str(noted), (str(path),), str(tmp_path / "out"))
    job = Job(order, BatchSettings(), planning.asked(Bundle.open(noted), find([str(path)])))
    path.write_text('{"a": 1, "note": "x"}\n' * 2)

    assert main(["batch", "job", job.to_json()]) == 3
    assert "not what it was when the run was submitted" in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


def test_a_name_says_which_run_it_is(tmp_path: Path, noted: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The same order the same name, another setting or file another one, and nothing is written for it."""
    monkeypatch.setattr("fivefold.stores.object_store.is_remote", lambda _: False)
    (tmp_path / "a.jsonl").write_text('{"a": 1, "note": "x"}\n')
    order = RunOrder(str(noted), (str(tmp_path / "a.jsonl"),), str(tmp_path / "out"))

    def named(**settings: Any) -> str:
        return submit.named(order, BatchSettings(**settings), DeliverySettings())[0]

    assert named() == named()
    assert named() != named(columns=("id",))
    monkeypatch.setattr(submit.object_store, "is_remote", lambda _: True)
    monkeypatch.setattr(submit.inputs, "find", lambda *_, **__: _seen(tmp_path / "a.jsonl"))
    first = named()
    assert first == named()
    (tmp_path / "a.jsonl").write_text('{"a": 1, "note": "x"}\n' * 2)
    assert named() != first
    assert not (tmp_path / "out").exists()


def _seen(path: Path) -> list[SourceFile]:
    return [SourceFile(str(path), "jsonl", "", path.stat().st_size, f"{path.stat().st_size} bytes")]


def test_a_finished_run_answers_to_its_job_alone(tmp_path: Path, noted: Path) -> None:
    """Told with another setting it is another run, and refused in this place."""
    (tmp_path / "a.jsonl").write_text('{"a": 1, "note": "x"}\n')
    run(noted, tmp_path / "a.jsonl", tmp_path / "out")
    order = RunOrder(str(noted), (str(tmp_path / "a.jsonl"),), str(tmp_path / "out"))

    assert main(["batch", "job", Job(order, BatchSettings()).to_json()]) == 0
    assert main(["batch", "job", Job(order, BatchSettings(columns=("id",))).to_json()]) == 3
