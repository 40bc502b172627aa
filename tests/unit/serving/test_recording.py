"""The sample of requests: what is in it, what is not, and that no request notices."""

from __future__ import annotations

import json
import threading
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from tests.support import grpc_calls
from tests.support.bundles import contract, field
from tests.support.http_calls import World, log_lines, world
from tests.support.judging_bundles import judge_bundle
from tests.support.versioned_bundle import triage_bundle

from fivefold.behaviour.contrast import contrast
from fivefold.core.bundle.bundle import Bundle
from fivefold.core.columns import Columns
from fivefold.core.settings import SettingsError
from fivefold.core.view import View, Views
from fivefold.serving import recording
from fivefold.serving.limits import ServingLimits
from fivefold.serving.recording import Recorder, check_recording, own_path
from fivefold.serving.redaction import Redaction
from fivefold.serving.scheduler import Scheduler


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "kept" / "requests.jsonl"


@pytest.fixture(autouse=True)
def kept(file: Path) -> Path:
    file.parent.mkdir()
    return file.parent


@pytest.fixture(scope="module")
def triage(tmp_path_factory: pytest.TempPathFactory) -> Bundle:
    """A model with three contract versions."""
    return triage_bundle(tmp_path_factory.mktemp("triage") / "triage")


def lines(file: Path) -> list[Any]:
    return [json.loads(line) for line in own_path(file).read_text().splitlines()]


def ask(http: World, records: list[dict[str, Any]], version: str | None = None, status: int = 200) -> None:
    headers = {} if version is None else {"x_contract_version": version}
    assert http.post("/v1/models/triage:predict", {"instances": records}, **headers).status == status


def recorder(bundle: Bundle, file: Path, **changes: Any) -> Recorder:
    given: dict[str, Any] = {"share": 1.0, "rows": 100, "redact": ()}
    return Recorder(file, [bundle.views], **given | changes)


def columns(bundle: Bundle, records: list[dict[str, Any]]) -> Columns:
    return bundle.views.own.records.read(records).accept()


def test_requests_are_kept_as_their_callers_sent_them(triage: Bundle, file: Path) -> None:
    """Under the version that they speak, with its names and defaults; what was refused is not there."""
    with world([triage], record=str(file)) as http:
        ask(http, [{"mass": 2.5}])
        ask(http, [{"weight": 5, "dose": 1}, {"weight": 7}], "2.0.0")
        ask(http, [{"mass": -1}], status=422)
        ask(http, [{"mass": "x"}], status=422)

    assert lines(file) == [
        {"contract": "triage@1.0.0", "inputs": {"mass": 2.5}},
        {"contract": "triage@2.0.0", "inputs": {"weight": 5.0, "dose": 1.0}},
        {"contract": "triage@2.0.0", "inputs": {"weight": 7.0, "dose": 0.5}},
    ]
    assert own_path(file).stat().st_mode & 0o077 == 0
    assert [path.name for path in file.parent.iterdir()] == [own_path(file).name]


def test_grpc_is_recorded_too(tmp_path: Path, file: Path) -> None:
    """Every transport comes by."""
    with grpc_calls.world([grpc_calls.gate_bundle(tmp_path / "gate")], record=str(file)) as grpc:
        assert grpc.infer(grpc_calls.request_of(1.5, 2.5)).answer is not None
        assert grpc.infer(grpc_calls.request_of(1e9)).fivefold == "out_of_range"

    assert [line["inputs"] for line in lines(file)] == [{"x": 1.5}, {"x": 2.5}]


def test_without_the_setting_nothing_is_there(triage: Bundle, file: Path) -> None:
    """Not even another class in the way."""
    with world([triage]) as http:
        ask(http, [{"mass": 2.5}])
        kinds = {type(scheduler) for scheduler in http.serving._schedulers.values()}

    assert kinds == {Scheduler}
    assert not list(file.parent.iterdir())


@pytest.mark.parametrize("name", ["mass", "weight"])
def test_a_redacted_field_is_so_under_every_name_that_it_has(triage: Bundle, file: Path, name: str) -> None:
    """A required one has a constant."""
    with world([triage], record=str(file), record_redact=(name, "dose")) as http:
        ask(http, [{"mass": 2.5}])
        ask(http, [{"weight": 5, "dose": 1}], "2.0.0")

    first, second = (line["inputs"] for line in lines(file))
    assert set(first) == {"mass"}
    assert set(second) == {"weight"}
    assert first["mass"] != 2.5
    assert second["weight"] != 5
    for version, record in (("1.0.0", first), ("2.0.0", second)):
        assert not triage.views[version].records.read([record]).violations


@pytest.mark.parametrize(
    "rules",
    [
        {"dtype": "int32", "minimum": 5},
        {"dtype": "float32", "maximum": -0.1, "shape": [2, 2]},
        {"dtype": "string", "enum": ["b", "a"]},
        {"dtype": "string", "pattern": "^[A-Z]{2}[0-9]{1,9}$", "minLength": 5},
        {"dtype": "bool"},
        {"dtype": "bytes", "minLength": 3},
        {"dtype": "int64", "nullable": True, "null_value": -1},
    ],
)
def test_what_stands_for_a_required_field_is_legal(tmp_path: Path, rules: dict[str, Any]) -> None:
    """Whatever the field allows."""
    view = View.of(contract([field("secret", **rules), field("x")], [field("y")]))
    redaction = Redaction([Views("demo", {view.version: view}, view.version, view.version)], ["secret"])
    record = redaction.apply(view, [{"secret": "?", "x": 1}])[0]

    assert record["secret"] != "?"
    assert not view.records.read([record]).violations


def test_a_name_that_nobody_has_is_refused(triage: Bundle, file: Path, tmp_path: Path) -> None:
    """Before anything is served: otherwise the values would be in the file."""
    limits = ServingLimits(record=str(file), record_redact=("wieght",))
    with pytest.raises(SettingsError, match="an input 'wieght'; did you mean 'weight'"):
        check_recording(limits, [triage.views])
    with pytest.raises(SettingsError, match="there is no directory"):
        check_recording(ServingLimits(record=str(tmp_path / "none" / "r.jsonl")), [triage.views])
    check_recording(ServingLimits(), [triage.views])


@pytest.mark.parametrize("changes", [{"record_sample": 1.5}, {"record_sample": -1}, {"record_rows": 0}])
def test_settings_that_cannot_be(changes: dict[str, Any]) -> None:
    with pytest.raises(SettingsError):
        ServingLimits(**changes)


@pytest.mark.parametrize("together", [1, 50])
def test_every_row_has_the_same_chance(tmp_path: Path, file: Path, together: int) -> None:
    """Of 400 rows 100 are kept, as many of the first as of the last; single rows as well as many at once."""
    bundle = judge_bundle(tmp_path / "judge")
    counts: Counter[int] = Counter()
    for _ in range(20):
        keeps = recorder(bundle, file)
        for start in range(0, 400, together):
            records = [{"size": at / 4, "colour": "red"} for at in range(start, start + together)]
            keeps.offer(bundle.views.own, columns(bundle, records))
        keeps.close()
        found = [int(line["inputs"]["size"] * 4) for line in lines(file)]
        assert len(found) == len(set(found)) == 100
        counts.update(at // 100 for at in found)

    # 500 expected in each quarter; six standard deviations are 105.
    assert all(395 < counts[quarter] < 605 for quarter in range(4))


@pytest.mark.parametrize("together", [1, 100])
def test_a_share_is_offered(tmp_path: Path, file: Path, together: int) -> None:
    """Of 2,000 rows about a tenth."""
    bundle = judge_bundle(tmp_path / "judge")
    keeps = recorder(bundle, file, share=0.1, rows=2000)
    rows = columns(bundle, [{"size": 1, "colour": "red"}] * together)
    for _ in range(2000 // together):
        keeps.offer(bundle.views.own, rows)
    keeps.close()

    assert 110 < len(lines(file)) < 300


def test_memory_and_disk_are_bounded(tmp_path: Path, file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Also where rows are large: what was kept longest gives way, and what is too long is dropped and told."""
    monkeypatch.setattr(recording, "MOST_BYTES", 2000)
    monkeypatch.setattr(recording, "LINE_BYTES", 400)
    text = View.of(contract([field("text", "string")], [field("y")]))
    bundle = judge_bundle(tmp_path / "judge")
    with log_lines() as logged:
        keeps = recorder(bundle, file)
        keeps._redaction._plans[text] = {}
        for length in [100] * 50 + [1000] * 3:
            keeps.offer(text, text.records.read([{"text": "x" * length}]).accept())
        keeps.close()

    assert own_path(file).stat().st_size <= 2000
    assert len(lines(file)) > 10
    assert [line["error"] for line in logged] == ["requests are not recorded: a record of more than 400 bytes"]


def test_what_json_cannot_say_is_dropped_and_told(tmp_path: Path, file: Path) -> None:
    """NaN as null would be another row."""
    view = View.of(contract([field("x", allow_nan=True)], [field("y")]))
    bundle = judge_bundle(tmp_path / "judge")
    with log_lines() as logged:
        keeps = recorder(bundle, file)
        keeps._redaction._plans[view] = {}
        keeps.offer(view, Columns(view.inputs, {"x": np.array([np.nan, 1, np.nan], np.float32)}, 3))
        keeps.close()

    assert [line["inputs"] for line in lines(file)] == [{"x": 1.0}]
    assert len(logged) == 1


def test_a_recorder_that_fails_is_told_once_and_in_nobody_s_way(triage: Bundle, file: Path) -> None:
    """The directory has gone, the thread cannot keep up: requests are answered."""
    with world([triage], record=str(file)) as http:
        file.parent.rmdir()
        for _ in range(3):
            ask(http, [{"mass": 2.5}])
    assert [line["event"] for line in http.lines if line["level"] == "warning"] == ["recording"]


def test_nothing_waits_for_a_slow_disk(tmp_path: Path, file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What cannot wait any more is dropped, and told once."""
    monkeypatch.setattr(recording, "PENDING_BYTES", 100)
    bundle = judge_bundle(tmp_path / "judge")
    going = threading.Event()
    with log_lines() as logged:
        keeps = recorder(bundle, file, rows=1000)
        apply = keeps._redaction.apply
        monkeypatch.setattr(keeps._redaction, "apply", lambda *rest: (going.wait(20), apply(*rest))[1])
        row = columns(bundle, [{"size": 1, "colour": "red"}])
        for _ in range(100):
            keeps.offer(bundle.views.own, row)
        going.set()
        keeps.close()

    assert 0 < len(lines(file)) < 100
    assert [line["error"] for line in logged] == [
        "requests are not recorded: requests come faster than they are written down"
    ]


def test_what_was_recorded_can_be_compared(triage: Bundle, file: Path) -> None:
    """Each row under the version that it was recorded under, redacted or not."""
    with world([triage], record=str(file), record_redact=("mass",)) as http:
        ask(http, [{"mass": 2.5}])
        ask(http, [{"weight": 5, "dose": 1}], "2.0.0")
        ask(http, [{"weight": 5, "note": "x"}], "3.0.0")
    found = contrast(triage, triage, [own_path(file)])

    assert found.sources[-1].compared == 3
    assert found.refused == ()
