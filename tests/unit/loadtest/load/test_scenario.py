"""The description of a load test."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from loadtest.load.scenario import PROFILES, Scenario, ScenarioInvalid


@pytest.mark.parametrize("profile", PROFILES)
def test_every_profile_travels_through_json(profile: str, tmp_path: Path) -> None:
    """What a report shows as its scenario can be run again from a file."""
    scenario = Scenario.of_profile(profile, mix={"grpc": 3, "v1": 1})
    path = tmp_path / "mine.json"
    path.write_text(json.dumps(scenario.to_json()))

    again = Scenario.load(path)

    assert again.to_json() == scenario.to_json()
    assert again.shares() == {"v1": 0.25, "grpc": 0.75}


@pytest.mark.parametrize(
    ("wrong", "named"),
    [
        ({"profile": "fast"}, "profile"),
        ({"rate": 0}, "rate"),
        ({"invalid": 1.5}, "invalid"),
        ({"mix": {"soap": 1}}, "mix"),
        ({"mix": {}}, "mix"),
        ({"rows": 0}, "rows"),
        ({"spike": 1}, "spike"),
        ({"in_flight": -1}, "in_flight"),
        ({"users": 5}, "users"),
    ],
)
def test_a_wrong_member_is_named(wrong: dict[str, Any], named: str, tmp_path: Path) -> None:
    """A description that cannot be run is refused before anything is sent."""
    path = tmp_path / "wrong.json"
    path.write_text(json.dumps(wrong))

    with pytest.raises(ScenarioInvalid, match=named):
        Scenario.load(path)


def test_a_conversation_counts_each_of_its_messages() -> None:
    """The rate is of requests: a stream's iteration sends several, so fewer iterations are due."""
    assert Scenario(mix={"stream": 1}, conversation=4).messages() == pytest.approx(4)
    assert Scenario(mix={"v1": 1, "stream": 1}, conversation=4).messages() == pytest.approx(1.6)


def test_a_spike_has_three_parts() -> None:
    """Before, during and after, each a third."""
    assert Scenario(profile="spike", rate=10, spike=5, seconds=30).stages() == [(10, 10), (10, 50), (10, 10)]
