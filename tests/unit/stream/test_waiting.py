"""Events whose schemas nobody tells: they wait, and then the worker ends; they are never dead letters."""

from __future__ import annotations

import base64
import json
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from tests.support.avro_values import message, spell_record
from tests.support.event_logs import LocalLogs, Logs
from tests.support.schema_registry import Registry, serving

from fivefold.cli import main
from fivefold.core.bundle.bundle import Bundle
from fivefold.core.errors import AccessError, Unavailable
from fivefold.core.runtime.scorer import Scorer
from fivefold.stream.avro_events import AvroEvents
from fivefold.stream.avro_results import AvroResults
from fivefold.stream.events import Outgoing
from fivefold.stream.registry_client import SchemaRegistry
from fivefold.stream.registry_settings import RegistrySettings
from fivefold.stream.scoring import EventScorer
from fivefold.stream.settings import StreamSettings
from fivefold.stream.worker import Counts, StreamWorker

EVENTS = 20


@pytest.fixture
def registry() -> Iterator[Registry]:
    """A registry."""
    with serving() as found:
        yield found


@pytest.fixture
def filled(tmp_path: Path, registry: Registry) -> Logs:
    """A log with events of one schema."""
    return fill(LocalLogs(tmp_path), registry)


def fill(logs: Logs, registry: Registry) -> Logs:
    """Append events of one schema."""
    schema, data = spell_record({"a": 1, "b": 2})
    value = message(registry.add(schema), data)
    logs.append("in", [Outgoing("in", b"%d" % at, value) for at in range(EVENTS)])
    return logs


def work(
    bundle: Bundle,
    filled: Logs,
    registry: Registry,
    *,
    stopped: Any = None,
    patience: float = 30,
    waiting: Any = lambda _: None,
) -> Counts:
    """Until all is read."""
    log = filled.member("in", ["out", "dead"])
    client = SchemaRegistry(RegistrySettings(registry_url=registry.url))
    with Scorer.open(bundle) as scorer:
        both = AvroEvents(client), AvroResults(client, bundle.contract, "out")
        events = EventScorer(scorer, to="out", dead_letter="dead", group="g", avro=lambda _: both)
        worker = StreamWorker(
            log,
            events,
            StreamSettings(),
            stopped=stopped or threading.Event().wait,
            patience=patience,
            waiting=waiting,
        )
        try:
            return worker.run(once=True)
        finally:
            log.close()


def test_events_wait_for_a_registry(bundle: Bundle, filled: Logs, registry: Registry) -> None:
    """Until it answers, and each has its one result; why is said once."""
    registry.troubles[:] = [503, 401, "page", "break"]
    said: list[str] = []

    counts = work(bundle, filled, registry, waiting=said.append)

    assert (counts.results, counts.dead, counts.waits) == (EVENTS, 0, 1)
    assert len(filled.read("out")) == EVENTS
    assert len(said) == 1
    assert registry.url in said[0]


def test_a_worker_ends_where_it_has_waited_for_long(bundle: Bundle, logs: Logs, registry: Registry) -> None:
    """With nothing done, and nothing lost, on every log: the next one begins where it began."""
    fill(logs, registry)
    registry.troubles[:] = [503] * 100

    with pytest.raises(Unavailable):
        work(bundle, logs, registry, patience=0.2)

    assert logs.read("out") == logs.read("dead") == []
    registry.troubles.clear()
    assert work(bundle, logs, registry).results == EVENTS


def test_a_worker_that_stays_unknown_says_so(bundle: Bundle, filled: Logs, registry: Registry) -> None:
    """With another error than where nobody answers."""
    registry.troubles[:] = [401] * 100

    with pytest.raises(AccessError):
        work(bundle, filled, registry, patience=0.2)

    assert filled.read("out") == filled.read("dead") == []


def test_a_worker_that_waits_can_be_stopped(bundle: Bundle, filled: Logs, registry: Registry) -> None:
    """At once, with nothing done."""
    registry.troubles[:] = [503] * 100
    stop = threading.Event()

    counts = work(bundle, filled, registry, stopped=stop.wait, waiting=lambda _: stop.set())

    assert (counts.events, counts.waits) == (0, 1)
    assert filled.read("out") == filled.read("dead") == []


def test_the_command(
    bundle: Bundle,
    tmp_path: Path,
    registry: Registry,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Events in Avro in, results in JSON out; what it needs and does not find is said by the exit code."""
    monkeypatch.chdir(tmp_path)
    schema, data = spell_record({"a": 1, "b": 2})
    values = [message(registry.add(schema), data), message(99, data)]
    lines = [json.dumps({"value_base64": base64.b64encode(value).decode()}) for value in values]
    Path("events.jsonl").write_text("\n".join([*lines, '{"value": {"a": 3, "b": 4}}']))
    assert main(["log", "append", "events", "events.jsonl"]) == 0
    words = ["stream", "--model", str(bundle.path), "--from", "local://events", "--to", "local://scores", "--once"]

    assert main([*words, "--result-format", "avro"]) == 2
    assert main([*words, "--result-format", "avro", "--registry", "http://127.0.0.1:1"]) == 5
    assert main([*words, "--registry", "http://registry.example"]) == 2
    assert "plain http" in capsys.readouterr().err
    assert main([*words, "--result-format", "json", "--registry", registry.url, "--json"]) == 0

    counts = json.loads(capsys.readouterr().out)
    assert (counts["results"], counts["codes"], counts["waits"]) == (2, {"not_found": 1}, 0)
    assert main(["log", "read", "scores"]) == 0
    records = [json.loads(line)["value"] for line in capsys.readouterr().out.splitlines()]
    assert sorted(record["total"] for record in records) == [3.0, 7.0]
    assert main(["dead-letters", "list", "local://events.dead-letter"]) == 0
    assert "schema 99: the schema registry has no schema 99" in capsys.readouterr().out
