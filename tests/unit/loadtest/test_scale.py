"""What a measurement of growth says of its points, and that its tables and pictures hold them."""

from __future__ import annotations

import xml.etree.ElementTree as ET

import pytest
from loadtest.scale import growth, picture, tables
from loadtest.scale.requests import RequestCost


@pytest.mark.parametrize(
    ("power", "word"), [(0.0, "level"), (0.5, "below linear"), (1.0, "linear"), (2.0, "above linear")]
)
def test_a_slope_has_its_word(power: float, word: str) -> None:
    points = [(size, 3.0 * size**power) for size in (1.0, 10.0, 100.0)]

    assert growth.slope(points) == pytest.approx(power)
    assert growth.word(points).partition(" (")[0] == word


def test_the_steepest_part_is_what_is_named() -> None:
    """What turns above linear in the middle is not linear for a flat end."""
    assert growth.word([(1, 1), (10, 1_000), (100, 1_000)]).startswith("above linear (0.00 at the end")


def test_a_table_has_every_size_and_its_picture_every_point() -> None:
    found = [RequestCost(form, rows, 10, 100, rows * 1e-6) for rows in (1, 10, 100) for form in ("records", "binary")]

    section = tables.rows(found)

    assert "| 100 | 100 | 1.0 | 100 | 1.0 |" in section.text
    assert "records: linear" in section.text
    drawn = ET.fromstring(section.pictures["scale-rows.svg"])
    circles = [each for each in drawn.iter("{http://www.w3.org/2000/svg}circle") if each.get("r") == "3.5"]
    assert len(circles) == len(found)


def test_one_point_is_drawn() -> None:
    """A run of one size has no slope, and does not fail for that."""
    found = [RequestCost("records", 1, 10, 100, 1e-6)]

    assert "Slopes" not in tables.rows(found).text
    assert picture.draw("a", "b", "c", {"d": [(1, 1)]}).startswith("<svg")
