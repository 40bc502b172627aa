"""The search for the highest rate, and the verdict on one run."""

from __future__ import annotations

from typing import Any

import pytest
from loadtest.load import capacity
from loadtest.load.capacity import FRACTIONS, PRECISE, Step, knee
from loadtest.load.scenario import Scenario
from loadtest.load.verdict import judge
from tests.support import load_outcomes as made

SCENARIO = Scenario(slo_p99_ms=50.0)


class Server:
    """A server that meets the service level up to `limit`; the attempts in `flukes` fail although they should not."""

    def __init__(self, limit: float, flukes: frozenset[int] = frozenset()) -> None:
        self.limit = limit
        self.flukes = flukes
        self.asked: list[float] = []

    def __call__(self, rate: float) -> Step:
        self.asked.append(rate)
        good = rate <= self.limit and len(self.asked) - 1 not in self.flukes
        outcome = made.outcome(rate, 10.0 if good else 200.0)
        return Step(rate, outcome, judge(SCENARIO.with_(rate=rate), outcome, made.LIMIT))


@pytest.mark.parametrize("limit", [3.0, 90.0, 101.0, 1234.0])
def test_the_search_finds_the_limit(limit: float) -> None:
    """From above and from below, never beyond it, and as near as it promises."""
    found = capacity.search(Server(limit), 100.0, 7000.0)

    assert limit / PRECISE <= found.rate <= limit
    assert not found.bounded


def test_one_bad_step_does_not_end_the_search() -> None:
    """A step that fails is asked once more."""
    found = capacity.search(Server(1234.0, frozenset({0, 3})), 100.0, 7000.0)

    assert found.rate >= 1234 / PRECISE


def test_a_server_faster_than_the_generator_has_at_least_that_capacity() -> None:
    """The search ends at the generator's usable limit and says that it was the generator's."""
    found = capacity.search(Server(1e9), 100.0, 7000.0)

    assert found.rate == 7000
    assert found.bounded


def test_a_generator_that_is_late_itself_bounds_the_search() -> None:
    """Rates beyond which only the generator failed say nothing about the server: at least that capacity."""

    def late(rate: float) -> Step:
        outcome = made.outcome(rate, lateness=made.latency(90.0 if rate > 500 else 0.5))
        return Step(rate, outcome, judge(SCENARIO.with_(rate=rate), outcome, made.LIMIT))

    found = capacity.search(late, 100.0, 7000.0)

    assert 500 / PRECISE <= found.rate <= 500
    assert found.bounded


def test_a_server_that_never_meets_it_has_none() -> None:
    """Capacity 0 after going down a hundredfold."""
    server = Server(0.0)

    assert capacity.search(server, 100.0, 7000.0).rate == 0
    assert min(server.asked) <= 1


def test_the_curve_goes_from_a_tenth_to_a_fifth_beyond() -> None:
    """As far as the generator can follow."""
    server = Server(1000.0)
    found = capacity.search(server, 100.0, 7000.0)
    capacity.curve(found, server, found.rate * 1.15)

    assert [step.rate / found.rate for step in found.curve] == pytest.approx([f for f in FRACTIONS if f < 1.15])


def test_the_knee_is_where_the_curve_bends() -> None:
    """And a straight line has none."""
    assert knee([(100, 2), (200, 2), (300, 2.5), (400, 3), (500, 40)]) == 400
    assert knee([(100, 1), (200, 2), (300, 3)]) is None
    assert knee([(100, 1), (200, 2)]) is None


@pytest.mark.parametrize(
    ("changes", "state", "said"),
    [
        ({}, "met", "p99"),
        ({"p99": 51.0}, "missed", "p99 is 51.0 ms"),
        ({"errors": 2, "codes": {"overloaded": 2}}, "missed", "2 overloaded"),
        ({"dropped": 1}, "void", "never sent"),
        ({"dropped": 1, "p99": 500.0}, "void", "never sent"),
        ({"unsent": 60}, "void", "never came to them"),
        ({"lateness": made.latency(30.0)}, "void", "late itself"),
        ({"requests": 0}, "void", "nothing was answered"),
    ],
)
def test_a_run_is_void_before_it_is_slow(changes: dict[str, Any], state: str, said: str) -> None:
    """Void comes first: a figure that cannot be trusted says nothing about the service level."""
    verdict = judge(SCENARIO, made.outcome(**changes), made.LIMIT)

    assert verdict.state == state
    assert said in verdict.reasons[0]


def test_a_rate_near_the_generators_limit_is_void() -> None:
    """Above 70 % of what it reaches against a server that does nothing; in a spike the peak counts."""
    assert judge(SCENARIO.with_(rate=6999.0), made.outcome(), made.LIMIT).state == "met"
    assert judge(SCENARIO.with_(rate=7001.0), made.outcome(), made.LIMIT).state == "void"
    spike = SCENARIO.with_(profile="spike", rate=2000.0, spike=4.0)
    assert judge(spike, made.outcome(), made.LIMIT).state == "void"
