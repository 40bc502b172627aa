"""What goes into a run, and what has to come out."""

from __future__ import annotations

from pathlib import Path

from loadtest.stream.checker import LogRecord, check
from loadtest.stream.planned_events import NUMBER, POISON_EVERY, bundle, planned

from fivefold.core.bundle.bundle import Bundle
from fivefold.core.runtime.scorer import Scorer
from fivefold.stream.events import Event
from fivefold.stream.scoring import EventScorer

EVENTS = 12 * POISON_EVERY


def test_one_in_a_hundred_is_poison() -> None:
    """One in each hundred, of another kind each time, under many keys."""
    bad = [event for number in range(EVENTS) if (event := planned(number, 3)).total is None]

    assert [event.number // POISON_EVERY for event in bad] == list(range(12))
    assert len({event.value for event in bad}) == 12
    assert len({event.key for event in bad}) > 6


def test_the_model_answers_as_planned(tmp_path: Path) -> None:
    """The bundle's own answers, and its dead letters, are those that the checker wants."""
    events = [planned(number, 3) for number in range(EVENTS)]
    read = [Event("in", 0, e.number, 0, e.key, e.value, ((NUMBER, b"%d" % e.number),)) for e in events]
    scorer = Scorer.open(Bundle.open(bundle(tmp_path)))
    try:
        outgoing = EventScorer(scorer, to="out", dead_letter="dead", group="g").score(read).outgoing
    finally:
        scorer.close()

    def records(topic: str) -> list[LogRecord]:
        found = [each for each in outgoing if each.topic == topic]
        return [LogRecord(0, at, each.key, each.value, dict(each.headers)) for at, each in enumerate(found)]

    inputs = [LogRecord(0, at, e.key, e.value, {NUMBER: b"%d" % e.number}) for at, e in enumerate(events)]
    assert check(EVENTS, 3, inputs, records("out"), records("dead")).words == []
