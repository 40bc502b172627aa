"""What is concluded from an overload, from an hour's soak, and where it is written."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from loadtest import document
from loadtest.endure import overload, soak
from loadtest.endure.overload import OverloadFinding
from loadtest.load.k6 import Latency, Phase, Slot
from loadtest.machine import host
from tests.support import load_outcomes as made

GOOD = OverloadFinding(3.0, answered=0.95, slower=2.0, refusal=9.0, recovery=1.0, growth=1.0, lost=0)


def phase(seconds: float, right: Latency, overloaded: Latency) -> Phase:
    return Phase(100.0, seconds, right, overloaded)


def test_a_run_of_three_phases_becomes_a_finding() -> None:
    """Capacity is 100 a second: 930 right answers in ten seconds of overload are 93 % of it."""
    nothing = made.latency(0.0, 0)
    phases = [
        phase(10.0, made.latency(10.0, 500), nothing),
        phase(10.0, made.latency(25.0, 930), made.latency(8.0, 570)),
        phase(10.0, made.latency(11.0, 498), made.latency(8.0, 1)),
    ]
    slots = [Slot(float(second), made.latency(31.0 if second == 21 else 10.0, 50), 0) for second in range(30)]
    outcome = made.outcome(phases=phases, slots=slots, requests=2500, dropped=2)

    found = overload.finding(1.5, 100.0, outcome, 1.01)

    assert found == OverloadFinding(1.5, answered=0.93, slower=2.5, refusal=8.0, recovery=2.0, growth=1.01, lost=3)
    assert found.misses() == ["answers that are neither right nor a refusal"]


def test_an_overload_that_leaves_no_trace_is_over_at_once() -> None:
    phases = [phase(10.0, made.latency(10.0, 500), made.latency(0.0, 0))] * 3

    found = overload.finding(1.5, 100.0, made.outcome(phases=phases, requests=1500), 1.0)

    assert (found.recovery, found.refusal, found.lost) == (0.0, 0.0, 0)


@pytest.mark.parametrize(
    ("member", "good", "bad"),
    [
        ("answered", 0.9, 0.89),
        ("slower", 3.0, 3.01),
        ("refusal", 50.0, 50.1),
        ("recovery", 5.0, 5.1),
        ("growth", 1.05, 1.06),
        ("lost", 0, 1),
    ],
)
def test_every_goal_can_be_missed_alone(member: str, good: float, bad: float) -> None:
    """And is met at its very limit."""
    titles = {name: title for name, title, _ in overload.GOALS}

    assert GOOD.misses() == []
    assert OverloadFinding(**vars(GOOD) | {member: good}).misses() == []
    assert OverloadFinding(**vars(GOOD) | {member: bad}).misses() == [titles[member]]


def test_the_table_has_medians_and_ranges() -> None:
    found = [OverloadFinding(**vars(GOOD) | {"slower": slower}) for slower in (2.0, 2.5, 4.0)]

    text = overload.table(found)

    assert "at 300% of capacity" in text
    assert "| 2.50 (2.00 to 4.00) |" in text
    assert "| capacity answered | at least 90 % | 95% |" in text


def hour(**last: float) -> soak.SoakFinding:
    """Sixty equal minutes, but for the last quarter."""
    usual = {"p50": 2.0, "p99": 8.0, "resident": 300.0 * 2**20, "handles": 90.0, "requests": 1000, "wrong": 0}
    minutes = [soak.Minute(**usual) for _ in range(45)] + [soak.Minute(**usual | last) for _ in range(15)]  # type: ignore[arg-type]  # floats stand for counts
    return soak.SoakFinding(17.5, minutes)


@pytest.mark.parametrize(
    ("last", "grown"),
    [
        ({}, []),
        ({"resident": 305.0 * 2**20}, []),
        ({"resident": 320.0 * 2**20}, ["memory of the replica"]),
        ({"handles": 99.0}, ["open handles of the replica"]),
        ({"p50": 2.3}, ["latency, p50"]),
        ({"p99": 11.0}, ["latency, p99"]),
        ({"p99": 4.0}, []),
        ({"wrong": 1}, ["answers"]),
    ],
)
def test_growth_is_seen_in_the_last_quarter(last: dict[str, float], grown: list[str]) -> None:
    assert hour(**last).misses() == grown


def test_one_bad_minute_is_no_growth() -> None:
    """Medians: something else ran on the machine."""
    steady = hour()
    minutes = list(steady.minutes)
    minutes[-3] = soak.Minute(**vars(minutes[-3]) | {"p99": 400.0})

    assert soak.SoakFinding(17.5, minutes).misses() == []
    assert "60,000 requests, 0 without a right answer" in steady.table()


def test_text_goes_between_its_own_markers(tmp_path: Path) -> None:
    """What stood there gives way; all else stays."""
    path = tmp_path / "m.md"
    begin, end = document.markers("soak")
    path.write_text(f"before\n{begin}\nold\n{end}\nafter\n")

    document.put(path, "soak", "new")
    document.put(path, "soak", "newer")

    assert path.read_text() == f"before\n{begin}\n\nnewer\n\n{end}\nafter\n"
    with pytest.raises(ValueError, match="overload:begin"):
        document.put(path, "overload", "text")


def test_server_and_generator_share_no_core() -> None:
    """And what was allowed before is allowed afterwards."""
    before = os.sched_getaffinity(0)
    server, generator = host.halves()

    assert not set(server) & set(generator)
    assert set(server) | set(generator) == (before if len(before) > 1 else set())
    with host.pinned(generator):
        assert os.sched_getaffinity(0) == set(generator or before)
    assert os.sched_getaffinity(0) == before


def test_the_overloaded_model_gives_its_golden_answers(tmp_path: Path) -> None:
    """It is packed like anybody's: the packer has compared it with the original."""
    bundle = overload.make_bundle(tmp_path, seconds=0.0002)

    assert (bundle / "golden.jsonl").stat().st_size > 0
