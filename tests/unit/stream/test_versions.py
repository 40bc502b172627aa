"""Events of several contract versions in one topic."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import pytest
from tests.support.versioned_bundle import triage_bundle

from fivefold.core.bundle.bundle import Bundle
from fivefold.core.runtime.scorer import Scorer
from fivefold.stream.events import Event, header
from fivefold.stream.metrics import StreamMetrics
from fivefold.stream.scoring import EventScorer
from fivefold.stream.worker import Counts


@pytest.fixture(scope="module")
def scorer(tmp_path_factory: pytest.TempPathFactory) -> Iterator[EventScorer]:
    """Of a model with three versions."""
    with Scorer.open(triage_bundle(tmp_path_factory.mktemp("triage") / "triage")) as opened:
        yield EventScorer(opened, to="out", dead_letter="dead", group="g")


def event(offset: int, record: Any, version: bytes | None = None) -> Event:
    """Under a version."""
    headers = () if version is None else (("contract-version", version),)
    return Event("in", 0, offset, 1000, b"k", json.dumps(record).encode(), headers)


def test_each_event_is_answered_under_its_version(scorer: EventScorer) -> None:
    """In the events' order, whatever is read together."""
    scored = scorer.score(
        [
            event(0, {"mass": 50}),
            event(1, {"weight": 50, "dose": 1}, b"2.0.0"),
            event(2, {"weight": 50}, b"9.0.0"),
            event(3, {"weight": 0.25, "note": "n"}, b"triage@3.0.0"),
            event(4, {"weight": 50}, b"1.0.0"),
            event(5, {"mass": 2}, b"1.0.0"),
        ]
    )

    results = [json.loads(each.value or b"") for each in scored.outgoing if each.topic == "out"]
    contracts = [header(each.headers, "fivefold-contract") for each in scored.outgoing if each.topic == "out"]
    dead = [each for each in scored.outgoing if each.topic == "dead"]
    assert results == [
        {"level": "high"},
        {"level": "extreme", "value": 52.0},
        {"level": "high", "value": 1.25},
        {"level": "high"},
    ]
    assert contracts == [b"triage@1.0.0", b"triage@2.0.0", b"triage@3.0.0", b"triage@1.0.0"]
    assert header(scored.outgoing[3].headers, "fivefold-contract-ignored") == b"note"
    assert [header(each.headers, "fivefold-dead-code") for each in dead] == [b"contract_unsupported", b"unknown_field"]
    assert [header(each.headers, "fivefold-dead-contract") for each in dead] == [b"triage@1.0.0"] * 2
    assert all(header(each.headers, "contract-version") is None for each in scored.outgoing if each.topic == "out")
    # A dead letter keeps its version, so that it can be replayed under it.
    assert header(dead[1].headers, "contract-version") == b"1.0.0"
    assert scored.versions == {"1.0.0": 3, "2.0.0": 1, "3.0.0": 1, "unsupported": 1}


@pytest.mark.parametrize("name", ["Contract-Version", "x-contract-version", "X-CONTRACT-VERSION"])
def test_a_version_by_https_spelling_is_not_passed_over(scorer: EventScorer, name: str) -> None:
    """It would be answered under the default version, as if nobody had asked."""
    record = {"weight": 50, "dose": 1}
    misspelled, absent, both = (
        replace(event(0, record, b"2.0.0"), headers=headers)
        for headers in (
            ((name, b"2.0.0"),),
            ((name, None), ("x-contract-versions", b"9")),
            ((name, b"9"), ("contract-version", b"2.0.0")),
        )
    )
    dead, default, exact = scorer.score([misspelled, absent, both]).outgoing

    assert header(dead.headers, "fivefold-dead-code") == b"malformed"
    assert header(dead.headers, "fivefold-dead-path") == b"contract-version"
    assert name.encode() in (header(dead.headers, "fivefold-dead-error") or b"")
    assert header(default.headers, "fivefold-dead-code") == b"unknown_field"
    assert header(exact.headers, "fivefold-contract") == b"triage@2.0.0"


def test_the_order_of_versions_changes_nothing(scorer: EventScorer) -> None:
    """A result is its event's, however the batch was put together."""
    events = [
        event(at, {"mass": at} if at % 2 else {"weight": at}, b"1.0.0" if at % 2 else b"2.0.0") for at in range(40)
    ]
    together = scorer.score(events).outgoing
    alone = [out for each in events for out in scorer.score([each]).outgoing]

    assert together == alone
    assert [out.topic for out in together] == ["out"] * 40


def test_metrics_say_how_many_events_each_version_had(tmp_path_factory: pytest.TempPathFactory) -> None:
    """Under the name that every pattern has."""
    bundle: Bundle = triage_bundle(tmp_path_factory.mktemp("metrics") / "triage")
    metrics = StreamMetrics(bundle)
    counts = Counts()
    counts.versions["1.0.0"] += 3
    metrics.update(counts, {})
    labels = {"pattern": "stream", "model": "triage", "version": "1", "contract": "1.0.0"}

    assert metrics.registry.get_sample_value("fivefold_contract_requests_total", labels) == 3.0
