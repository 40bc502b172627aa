"""`fivefold gateway`: what it prints of a gateway that runs, of one that does not, and of a wrong command line."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from tests.support.bundles import write_sum
from tests.support.gateways import running

from fivefold.cli import main


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Path:
    directory = tmp_path_factory.mktemp("sum") / "sum"
    write_sum(directory)
    return directory


def test_a_gateway_is_shown_while_it_runs_and_afterwards(
    tmp_path: Path, bundle: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """By its own word, then by its directory; the events that wait are JSON lines."""
    data = str(tmp_path / "data")
    with running(tmp_path, [bundle]) as gateway:
        gateway.ask({"a": 1, "b": 2})
        gateway.ask({"a": 1000, "b": 2}, x_fivefold_lane="alerts")
        assert main(["gateway", "status", "--data", data]) == 0
        shown = capsys.readouterr().out
        assert main(["gateway", "status", "--http", gateway.gateway.http, "--json"]) == 0
        alive = json.loads(capsys.readouterr().out)
        assert main(["gateway", "outbox", "show", "--data", data]) == 0
        lines = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert main(["gateway", "--data", data, "status", "--json"]) == 0
    ended = json.loads(capsys.readouterr().out)

    assert f"running at http://{gateway.gateway.http}" in shown
    assert "bulk    1 events wait" in shown
    assert (alive["running"], ended["running"]) == (True, False)
    assert [lane["events"] for lane in ended["outbox"]["lanes"]] == [1, 1]
    assert [(line["lane"], line["seq"], line["kind"]) for line in lines] == [
        ("alerts", 1, "refusal"),
        ("bulk", 1, "prediction"),
    ]


def test_resume_says_that_nothing_is_stopped(tmp_path: Path, bundle: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Consent to a loss is for lanes that are stopped."""
    with running(tmp_path, [bundle]):
        assert main(["gateway", "outbox", "resume", "--data", str(tmp_path / "data")]) == 0

    assert capsys.readouterr().out == "no lane is stopped\n"


@pytest.mark.parametrize(
    ("words", "status", "said"),
    [
        ([], 2, "expected --model"),
        (["--model", "bundle"], 2, "data: expected a directory"),
        (["--model", "bundle", "--data", "data", "--quota", "lots"], 2, "256M"),
        (["--model", "bundle", "--data", "data", "--hub", "https://hub.example"], 2, "device's id"),
        (["status"], 2, "--data"),
        (["status", "--data", "nowhere"], 3, "no outbox"),
        (["status", "--http", "127.0.0.1:1"], 5, "no gateway answers"),
        (["outbox", "status"], 2, "--data"),
        (["outbox", "show", "--data", "nowhere"], 3, "no outbox"),
        (["outbox", "show", "--data", "nowhere", "--lane", "fast"], 2, "alerts"),
    ],
)
def test_what_it_refuses(words: list[str], status: int, said: str, capsys: pytest.CaptureFixture[str]) -> None:
    """One line, and the exit status of its kind."""
    try:
        found = main(["gateway", *words])
    except SystemExit as ended:
        found = int(str(ended.code))

    assert found == status
    assert said in capsys.readouterr().err
