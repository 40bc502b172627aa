"""The harness against a server that stops: the wait must show, and lost slots must void the run. Needs k6."""

from __future__ import annotations

import pytest
from loadtest.load import calibrate, k6, payloads, selftest
from loadtest.load.selftest import CONTRACT, FREEZE, ROWS, answers, described, frozen, problems_seen
from loadtest.load.verdict import judge


@pytest.mark.full
def test_a_frozen_server_shows_in_p99_and_the_longest() -> None:
    """Half a second in which nothing is answered, at a rate that does not wait for answers."""
    scenario = described(100.0, 3.0)
    outcome = frozen(scenario)

    assert problems_seen(outcome, scenario) == []
    assert outcome.latency.p(99) > FREEZE * 1000 * 0.5


@pytest.mark.full
def test_dropped_slots_void_the_run() -> None:
    """With too few virtual users the requests due during the freeze are never sent."""
    scenario = described(100.0, 3.0, in_flight=3)
    outcome = frozen(scenario)

    assert outcome.dropped > 0
    assert judge(scenario, outcome, selftest._NO_LIMIT).state == "void"


def test_a_wrong_answer_is_an_error() -> None:
    """An answer that comes in time and is not the golden one counts as wrong, under its own name."""
    scenario = described(50.0, 1.0)
    other = payloads.ValidRows(ROWS.inputs, [{"y": 2.5}], "another answer", 1e-5)
    items = payloads.schedule(scenario, CONTRACT, "frozen", other, count=10)
    with calibrate.null(answers()) as server:
        outcome = k6.run(scenario, server.addresses, items, payloads.facts(CONTRACT))

    assert outcome.errors == outcome.requests > 0
    assert outcome.codes == {"wrong_answer": outcome.errors}
    assert "y[0]: expected 2.5, got 2" in outcome.said


@pytest.mark.full
def test_the_self_test_passes(capsys: pytest.CaptureFixture[str]) -> None:
    """`python -m loadtest.load.selftest` as a user runs it."""
    assert selftest.main(["--rate", "200", "--seconds", "5"]) == 0
    assert "void" in capsys.readouterr().out
