"""`fivefold stream`, `log` and `dead-letters`, as a person calls them."""

from __future__ import annotations

import contextlib
import json
import signal
import socket
import subprocess
import sys
import urllib.request
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from tests.support.bundles import SUM_CONTRACT, write_python, write_sum
from tests.support.score_commands import environment, until
from tests.support.stream_processes import line, start

from fivefold.cli import main
from fivefold.core.bundle.answering import answering
from fivefold.core.bundle.bundle import Bundle
from fivefold.core.bundle.carried import CarriedVersion
from fivefold.stream.events import Outgoing
from fivefold.stream.sqlite_log import SqliteLog

LINES = '{"key": "k", "value": {"a": 1, "b": 2}, "headers": {"trace": "7"}}\n{"value": {"a": 1}}\n{"value": null}\n'


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A directory with a topic of three events, two of them bad; the commands run in it."""
    monkeypatch.chdir(tmp_path)
    Path("events.jsonl").write_text(LINES)
    assert main(["log", "append", "events", "events.jsonl"]) == 0
    return tmp_path


def scored(bundle: Bundle, *more: str) -> int:
    """Score until all is read."""
    words = ["--from", "local://events", "--to", "local://scores", "--once"]
    return main(["stream", "--model", str(bundle.path), *words, *more])


def printed(capsys: pytest.CaptureFixture[str], *words: str) -> list[dict[str, object]]:
    """The lines that a command prints."""
    capsys.readouterr()
    assert main(list(words)) == 0
    return [json.loads(line) for line in capsys.readouterr().out.splitlines()]


def test_events_in_and_results_out(home: Path, bundle: Bundle, capsys: pytest.CaptureFixture[str]) -> None:
    """Once: a second run finds nothing to do."""
    capsys.readouterr()
    assert scored(bundle, "--json") == 0
    counts = json.loads(capsys.readouterr().out)
    assert scored(bundle) == 0
    assert capsys.readouterr().err.startswith("0 events: 0 results, 0 dead letters")

    assert counts == {
        "events": 3,
        "results": 1,
        "dead_letters": 2,
        "codes": {"malformed": 1, "missing_field": 1},
        "batches": 1,
        "rewinds": 0,
        "waits": 0,
    }
    (result,) = printed(capsys, "log", "read", "scores")
    assert (result["key"], result["value"]) == ("k", {"total": 3.0, "label": 1})
    assert result["headers"].items() >= {"trace": "7", "fivefold-model": "demo"}.items()  # type: ignore[attr-defined]


def test_dead_letters_are_listed_shown_and_sent_again(
    home: Path, bundle: Bundle, capsys: pytest.CaptureFixture[str]
) -> None:
    """Each once, as the event that it was."""
    scored(bundle)
    capsys.readouterr()
    assert main(["dead-letters", "list", "local://events.dead-letter", "--code", "missing_field", "--json"]) == 0
    (letter,) = json.loads(capsys.readouterr().out)
    assert (letter["code"], letter["path"]) == ("missing_field", "inputs.b")
    place = f"{letter['partition']}/{letter['offset']}"
    (shown,) = printed(capsys, "dead-letters", "show", "local://events.dead-letter", place)
    assert shown["value"] == {"a": 1}
    assert main(["dead-letters", "show", "local://events.dead-letter", "7/7"]) == 3

    replay = [
        "dead-letters",
        "replay",
        "local://events.dead-letter",
        "--to",
        "local://events",
        "--code",
        "missing_field",
    ]
    assert main(replay) == 0
    assert main(replay) == 0

    said = capsys.readouterr().err
    assert "sent 1 events to local://events, 1 passed over" in said
    assert "sent 0 events to local://events, 0 passed over" in said
    again = [each for each in printed(capsys, "log", "read", "events") if each["value"] == {"a": 1}]
    assert len(again) == 2
    assert [each.get("headers") for each in again] == [None, None]


def test_too_many_dead_letters_end_a_worker(home: Path, bundle: Bundle, capsys: pytest.CaptureFixture[str]) -> None:
    """What it has done stays."""
    Path("bad.jsonl").write_text('{"value": 7}\n' * 1200)
    main(["log", "append", "events", "bad.jsonl"])

    assert scored(bundle) == 3

    said = capsys.readouterr().err
    assert "are dead letters (malformed" in said
    assert "help: " in said
    assert len(printed(capsys, "log", "read", "scores")) == 1


def test_the_lines_before_a_bad_one_are_in_the_log(home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """As its message says, so that a caller goes on behind them."""
    Path("some.jsonl").write_text('{"value": 1}\n{"value": 2}\nnonsense\n{"value": 4}\n')

    assert main(["log", "append", "some", "some.jsonl"]) == 3
    assert "the lines before it are in the log" in capsys.readouterr().err
    assert sorted(each["value"] for each in printed(capsys, "log", "read", "some")) == [1, 2]


def test_what_is_in_the_log(home: Path, bundle: Bundle, capsys: pytest.CaptureFixture[str]) -> None:
    """Topics, and how far groups are."""
    scored(bundle)
    capsys.readouterr()

    assert main(["log", "info", "--json"]) == 0

    found = {each["topic"]: each for each in json.loads(capsys.readouterr().out)}
    assert found["events"]["events"] == sum(found["events"]["groups"]["fivefold"]) == 3
    assert found["scores"]["events"] == 1


@pytest.mark.parametrize(
    ("words", "status", "said"),
    [
        (["log", "read", "none"], 3, "no topic 'none'"),
        (["log", "read", "events", "--data", "nowhere"], 3, "no log in nowhere"),
        (["log", "append", "a/b", "events.jsonl"], 2, "expected a topic"),
        (["log", "read", "\udcff"], 2, "expected a topic"),
        (["log", "append", "events", "none.jsonl"], 1, "none.jsonl"),
        (["log", "append", "events", "bad.jsonl"], 3, "line 2"),
        (["dead-letters", "list", "events"], 2, "expected local://TOPIC or kafka://"),
        (["dead-letters", "replay", "local://events", "--to", "local://events"], 2, "expected another topic"),
        (["stream", "--model", "x", "--from", "local://events", "--to", "scores"], 2, "--to: expected local://"),
        (["stream", "--model", "x", "--from", "local://events", "--to", "local://s"], 3, "x"),
        (["stream", "--model", "MODEL", "--from", "local://none", "--to", "local://s"], 3, "no topic 'none'"),
        (["stream", "--model", "MODEL", "--from", "local://events", "--to", "local://events"], 2, "expected another"),
        (["stream", "--model", "MODEL", "--from", "local://events", "--to", "kafka://h:1/s"], 2, "one transaction"),
        (["stream", "--model", "x", "--from", "kafka://u:p@h:1/t", "--to", "kafka://h:1/s"], 2, "no credentials"),
        (["stream", "--model", "x", "--from", "local://e", "--to", "local://s", "--max-batch", "0"], 2, "max_batch"),
    ],
)
def test_a_wrong_command_line(
    home: Path, bundle: Bundle, capsys: pytest.CaptureFixture[str], words: list[str], status: int, said: str
) -> None:
    """One line of error, and the status of its kind."""
    Path("bad.jsonl").write_text('{"value": 1}\nnonsense\n')

    assert main([str(bundle.path) if word == "MODEL" else word for word in words]) == status

    error = capsys.readouterr().err
    assert error.splitlines()[0].startswith("error: ")
    assert said in error


@pytest.mark.parametrize(
    "words",
    [
        ["stream"],
        *(["log", name] for name in ("append", "read", "info")),
        *(["dead-letters", name] for name in ("list", "show", "replay")),
    ],
)
def test_help(words: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    """Every command has examples."""
    with pytest.raises(SystemExit) as ended:
        main([*words, "--help"])

    assert ended.value.code == 0
    assert "examples:" in capsys.readouterr().out


def test_a_worker_is_watched_and_stopped(home: Path, bundle: Bundle) -> None:
    """It answers health and metrics, and Ctrl-C ends it when its batch is done."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        place = f"127.0.0.1:{taken.getsockname()[1]}"
    words = line(bundle.path, "local://events", "local://scores", "--health", place)
    process = start(words)
    try:
        until(lambda: b'outcome="scored",version="1"} 1.0' in asked(place, "metrics"), 60)
        assert asked(place, "livez") == b'{"live":true}'
        assert asked(place, "readyz") == b'{"ready":true}'
        assert b'fivefold_stream_dead_letters_total{code="malformed"' in asked(place, "metrics")
        process.send_signal(signal.SIGINT)
        process.wait(60)
        assert process.stderr is not None
        said = process.stderr.read()
    finally:
        process.kill()
        process.communicate()
    assert process.returncode == 0
    assert said.startswith("3 events: 1 results, 2 dead letters")


def asked(place: str, path: str) -> bytes:
    """What health says, nothing before it listens."""
    try:
        with urllib.request.urlopen(f"http://{place}/{path}", timeout=5) as answer:
            return answer.read()
    except OSError:
        return b""


def test_a_pipe_of_events(home: Path, bundle: Bundle) -> None:
    """Standard input is read, and a reader that goes away is no failure of ours."""
    words = [sys.executable, "-m", "fivefold.cli", "log"]
    subprocess.run(
        [*words, "append", "piped"], input=LINES.encode(), check=True, env=environment(), capture_output=True
    )
    done = subprocess.run([*words, "read", "piped"], check=True, env=environment(), capture_output=True)

    assert len(done.stdout.splitlines()) == 3


WAITS = b'''
import os
import pathlib
import time

class Sum:
    """Adds two columns; an event with 42 takes an hour."""

    def predict(self, columns):
        if (columns["a"] == 42).any():
            pathlib.Path(os.environ["REACHED"]).touch()
            time.sleep(3600)
        total = columns["a"] + columns["b"]
        return {"total": total, "label": (total > 0).astype("int64")}
'''


@pytest.mark.full
def test_a_worker_that_is_ended_before_it_has_begun_ends_well(home: Path, bundle: Bundle) -> None:
    """Its broker is not there yet, as for a pod that comes first; nothing was in its hands."""
    with socket.create_server(("127.0.0.1", 0)) as nobody:
        broker = f"kafka://127.0.0.1:{nobody.getsockname()[1]}"
    process = start(line(bundle.path, f"{broker}/events", f"{broker}/scores"))
    try:
        assert process.stderr is not None
        waits = next(line for line in process.stderr if "rdkafka" not in line)
        process.send_signal(signal.SIGTERM)
        said = process.stderr.read()
        process.wait(60)
    finally:
        process.kill()
        process.communicate()

    assert "no answer from a broker" in waits
    assert said.endswith("ended before it had begun\n")
    assert process.returncode == 0


def test_a_worker_that_is_ended_while_it_waits_tells_what_it_has_done(
    home: Path, bundle: Bundle, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Its log is away when the end is asked for, behind three events that count."""
    real, real_commit = SqliteLog.poll, SqliteLog.commit
    committed: list[int] = []

    def commit(self: SqliteLog, outgoing: Sequence[Outgoing]) -> None:
        real_commit(self, outgoing)
        committed.append(len(outgoing))

    def poll(self: SqliteLog, *arguments: Any) -> Any:
        if sum(committed) == 3:
            signal.raise_signal(signal.SIGTERM)
            raise KeyboardInterrupt
        return real(self, *arguments)

    monkeypatch.setattr(SqliteLog, "commit", commit)
    monkeypatch.setattr(SqliteLog, "poll", poll)
    capsys.readouterr()
    words = ["--from", "local://events", "--to", "local://scores", "--max-bad-fraction", "1", "--json"]

    assert main(["stream", "--model", str(bundle.path), *words]) == 0
    said = capsys.readouterr()
    assert json.loads(said.out)["events"] == 3
    assert said.err.endswith("ended while it waited\n")


def test_the_second_ctrl_c_cuts_a_batch_short(
    home: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Nothing of it is done: it is another worker's."""
    Path("slow.jsonl").write_text('{"value": {"a": 42, "b": 1}}\n')
    assert main(["log", "append", "events", "slow.jsonl"]) == 0
    monkeypatch.setenv("REACHED", str(home / "reached"))
    slow = write_python(home / "slow", WAITS).path
    process = start(line(slow, "local://events", "local://scores"))
    try:
        until((home / "reached").exists, 60)
        process.send_signal(signal.SIGINT)
        with pytest.raises(subprocess.TimeoutExpired):
            process.wait(0.5)

        def ended() -> bool:
            # A process that did not run since the first one has only one: two of a kind that wait are one.
            process.send_signal(signal.SIGINT)
            with contextlib.suppress(subprocess.TimeoutExpired):
                process.wait(0.5)
            return process.poll() is not None

        until(ended, 60)
        assert process.stderr is not None
        said = process.stderr.read()
    finally:
        process.kill()
        process.communicate()

    assert process.returncode == 130
    assert said == "ended at once: whoever comes next begins anew what was not committed\n"
    assert printed(capsys, "log", "read", "scores") == []
    assert main(["log", "info", "--json"]) == 0
    (events,) = [each for each in json.loads(capsys.readouterr().out) if each["topic"] == "events"]
    assert sum(events["groups"]["fivefold"]) == 0


def test_a_bundle_that_answers_fewer_versions_does_not_begin(
    home: Path, bundle: Bundle, tmp_path_factory: pytest.TempPathFactory, capsys: pytest.CaptureFixture[str]
) -> None:
    """Events of the version that results are of so far would become dead letters; unless that is accepted."""
    there = tmp_path_factory.mktemp("next")
    contract = replace(SUM_CONTRACT, version="2.0")
    alone = write_sum(there / "alone", contract=contract)
    both = answering(alone, there / "both", [CarriedVersion(SUM_CONTRACT)])
    assert scored(bundle) == 0
    capsys.readouterr()

    assert scored(alone) == 3
    said = capsys.readouterr().err
    assert "results are of demo@1.0 so far, and this bundle answers 2.0" in said
    assert "--accept-contract-change" in said
    assert scored(both) == 0
    assert scored(alone, "--accept-contract-change") == 0
