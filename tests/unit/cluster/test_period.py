from __future__ import annotations

import datetime as dt
from zoneinfo import ZoneInfo

import pytest

from fivefold.cluster.period import Period

BERLIN = ZoneInfo("Europe/Berlin")


@pytest.mark.parametrize(
    ("due", "zone", "hour"),
    [
        ("2026-01-31T05:00:00+00:00", dt.UTC, "2026-01-31T04"),
        ("2026-01-31T05:59:59+00:00", dt.UTC, "2026-01-31T04"),
        ("2026-03-01T00:07:00+00:00", dt.UTC, "2026-02-28T23"),
        ("2026-01-01T00:00:00+00:00", dt.UTC, "2025-12-31T23"),
        ("2026-01-31T05:07:00+00:00", ZoneInfo("Asia/Kolkata"), "2026-01-31T09"),
    ],
)
def test_an_hour_is_the_one_that_is_over(due: str, zone: dt.tzinfo, hour: str) -> None:
    """Over the end of a day, a month and a year, and where the zone's hours are not UTC's."""
    assert str(Period.before(dt.datetime.fromisoformat(due), zone, hourly=True)) == hour


def test_an_hour_fills_every_word() -> None:
    """The date is that of the hour, not of the hour that it is due in."""
    hour = Period.parse("2026-01-31T05", dt.UTC, hourly=True)

    assert hour.fill("/in/{date}/{hour}/*.{csv,gz} {year}{month}{day}") == "/in/2026-01-31/05/*.{csv,gz} 20260131"
    assert hour.digits == "2026013105"


@pytest.mark.parametrize(
    "text",
    ["", "2026-1-31", "20260131", "2026-W05-6", "2026-02-30", "2026-13-01", "31.01.2026", "2026-01-31T05", "today",
     "２０２６-01-31", "2026-01-31\n", " 2026-01-31", "0000-01-01", "-026-01-31"],
)  # fmt: skip
def test_what_is_no_day_is_refused(text: str) -> None:
    """One spelling of each day, or the same day could be two."""
    with pytest.raises(ValueError, match="expected a day, such as 2026-01-31"):
        Period.parse(text, dt.UTC, hourly=False)


@pytest.mark.parametrize("text", ["2026-01-31", "2026-01-31T24", "2026-01-31T5", "2026-01-31T05:00", "2026-01-31 05"])
def test_what_is_no_hour_is_refused(text: str) -> None:
    """A day where an hour is meant would be a guess."""
    with pytest.raises(ValueError, match="expected an hour"):
        Period.parse(text, dt.UTC, hourly=True)


def test_a_day_ends_at_midnight_where_its_zone_is() -> None:
    """Also one of 23 hours."""
    day = Period.parse("2026-03-29", BERLIN, hourly=False)

    assert day.end.astimezone(dt.UTC) == dt.datetime(2026, 3, 29, 22, tzinfo=dt.UTC)
    assert day.start.astimezone(dt.UTC) == dt.datetime(2026, 3, 28, 23, tzinfo=dt.UTC)
