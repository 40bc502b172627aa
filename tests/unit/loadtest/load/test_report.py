"""The report as a file: whole, true to its figures, and asking for nothing from elsewhere."""

from __future__ import annotations

import json
import re
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest
from loadtest.load import drawing, report
from loadtest.load.capacity import Capacity, Step
from loadtest.load.drawing import Chart, Line
from loadtest.load.scenario import Scenario
from loadtest.load.verdict import judge
from tests.support.load_outcomes import LIMIT, outcome


class Balance(HTMLParser):
    """Every element that is opened is closed, in order."""

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []

    def handle_starttag(self, tag: str, attrs: Any) -> None:
        if tag != "meta":
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: Any) -> None: ...

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag


def result(profile: str = "steady", **changes: Any) -> report.LoadResult:
    scenario = Scenario.of_profile(profile, rate=100.0)
    made = outcome(**changes)
    capacity = None
    if profile == "sweep":
        steps = [Step(r, (o := outcome(r, p)), judge(scenario, o, LIMIT)) for r, p in ((50, 4), (100, 5), (200, 90))]
        steps.append(Step(240.0, (o := outcome(240, 500, dropped=9)), judge(scenario, o, LIMIT)))
        capacity = Capacity(100.0, bounded=False, steps=steps, curve=steps)
    target = {"url": "http://<host>", "grpc": "", "model": "m", "version": "1", "bundle": "ab" * 32, "contract": "m@1"}
    return report.LoadResult(
        when="2030-01-01 00:00 UTC",
        scenario=scenario,
        target=target,
        rows="3 golden rows",
        outcome=made,
        verdict=judge(scenario, made, LIMIT),
        limit=LIMIT,
        profile={"id": "abc", "cpu": "a cpu", "cores": [0, 1], "memory_bytes": 2**30},
        k6="v1",
        capacity=capacity,
    )


@pytest.mark.parametrize("profile", ["steady", "sweep", "spike"])
def test_the_page_is_whole_and_stands_alone(profile: str, tmp_path: Path) -> None:
    """Balanced, escaped, no address to fetch anything from, no script."""
    page, beside = report.write(result(profile), tmp_path / "deep" / "r.html")
    text = page.read_text()
    Balance().feed(text)

    assert "http://&lt;host&gt;" in text
    assert not re.search(r"<script|<link|src=|url\(|@import", text)
    assert json.loads(beside.read_text())["state"] == "met"


@pytest.mark.parametrize(
    ("changes", "said"),
    [({}, "Service level met"), ({"p99": 80.0}, "p99 is 80.0 ms"), ({"dropped": 7}, "no result")],
)
def test_the_page_says_what_the_run_is_worth(changes: dict[str, Any], said: str) -> None:
    """Met, missed, or void in plain words."""
    assert said in report.page(result(**changes))


def test_a_sweep_shows_capacity_knee_and_void_points() -> None:
    """The curve's marks, and hollow points where slots were dropped."""
    text = report.page(result("sweep"))

    assert "capacity 100/s" in text
    assert "knee 200/s" in text or "knee 100/s" in text
    assert text.count('class="hollow') == 3


def test_percentiles_beyond_the_data_are_left_out() -> None:
    """99.9 needs a thousand requests: with a hundred it would be the longest one under another name."""
    few = outcome(10.0)
    kept = few.latency.to_json()["percentiles"]

    assert "99" in kept
    assert "99.9" not in kept


def test_each_nine_is_as_wide_as_the_next() -> None:
    """The axis of nines."""
    places = [drawing.nines(p) for p in (0, 90, 99, 99.9)]

    assert places == pytest.approx([0, 1, 2, 3])


def test_points_stay_inside_the_picture() -> None:
    """Whatever the values."""
    lines = [Line("a", [(1, 0.0), (10, 3e-4), (1e5, 9e6)], 0, dots=True)]
    text = drawing.draw(Chart("t", "x", "y", lines))
    found = re.findall(r'cx="([-\d.]+)" cy="([-\d.]+)"', text)

    assert len(found) == 3
    assert all(0 <= float(x) <= drawing.WIDTH and 0 <= float(y) <= drawing.HEIGHT for x, y in found)
