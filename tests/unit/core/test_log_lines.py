from __future__ import annotations

import datetime as dt
import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fivefold.core.log_lines import LONGEST, LogRecords, LogSettings
from fivefold.core.settings import SettingsError


def read(*lines: str, **fields: str) -> list[dict[str, Any]]:
    """The records of these lines."""
    records = LogRecords("program", fields)
    out = [json.loads(text) for line in lines for text in records.feed(line)]
    return out + [json.loads(text) for text in records.flush()]


@pytest.mark.parametrize(
    ("line", "level", "logger", "message"),
    [
        ("hello", "info", "program", "hello"),
        ("[2026-01-31 05:00:00,123 W 12 34] (raylet) main.cc:5: slow", "warning", "ray.raylet", "main.cc:5: slow"),
        ("[2026-01-31 05:00:00,123 E 12 34] main.cc:5: gone", "error", "program", "main.cc:5: gone"),
        ("2026-01-31 05:00:00,123\tINFO scripts.py:5 -- up", "info", "program", "scripts.py:5 -- up"),
        ("WARNING 2026-01-31 05:00:00,123 controller 5 -- x", "warning", "program", "controller 5 -- x"),
        ("(ServeReplica:a:b pid=5) ERROR 2026-01-31 05:00:00,123 a 5 -- x", "error", "program", "a 5 -- x"),
        ("%3|1700000000.000|FAIL|rdkafka#1| no broker", "error", "program", "rdkafka#1| no broker"),
        ("error: expected a bundle", "error", "program", "expected a bundle"),
        ("/opt/a.py:5: UserWarning: old", "warning", "program", "/opt/a.py:5: UserWarning: old"),
        ("10%\r20%\r30%", "info", "program", "30%"),
        ("\x1b[31mred\x1b[0m", "info", "program", "red"),
        ("INFORMATION is not a level", "info", "program", "INFORMATION is not a level"),
        ('{"half": ', "info", "program", '{"half":'),
        ("[1, 2]", "info", "program", "[1, 2]"),
    ],
)
def test_a_line_of_text_is_a_record(line: str, level: str, logger: str, message: str) -> None:
    """With the level and the logger that it says itself, in whatever form."""
    (record,) = read(line)

    assert (record["level"], record["logger"], record["message"]) == (level, logger, message)
    assert list(record)[:4] == ["time", "level", "logger", "message"]
    assert dt.datetime.fromisoformat(record["time"]).tzinfo is not None


def test_a_time_that_is_said_is_kept() -> None:
    """As UTC, with milliseconds."""
    (record,) = read("[2026-01-31 05:00:00,123 I 1 2] (gcs_server) a.cc:1: x")
    local = dt.datetime(2026, 1, 31, 5, 0, 0, 123000).astimezone(dt.UTC)

    assert record["time"] == local.isoformat(timespec="milliseconds").replace("+00:00", "Z")


def test_our_own_records_keep_what_they_have() -> None:
    """Time first, their members behind the four; those that say nothing are left out."""
    line = {"time": "2026-01-31T05:00:00.000Z", "level": "error", "event": "request", "model": "demo",
            "request_id": "r", "trace_id": "", "rows": 0, "error": "no"}  # fmt: skip
    (record,) = read(json.dumps(line), pod="pod-1")

    assert record == {
        "time": "2026-01-31T05:00:00.000Z", "level": "error", "logger": "fivefold", "message": "request: no",
        "pod": "pod-1", "event": "request", "model": "demo", "request_id": "r", "rows": 0, "error": "no",
    }  # fmt: skip


def test_records_of_ray_have_the_same_names() -> None:
    """Serve's and those of Ray's own processes."""
    serve = {"asctime": "2026-01-31 05:00:00,123", "levelname": "WARNING", "message": "m"}
    serve |= {"component_name": "controller", "request_id": "r", "replica": "x"}
    serve |= {"timestamp_ns": 1_769_835_600_500_000_000}  # type: ignore[dict-item]
    backend = {"asctime": "2026-01-31 05:00:00,123", "levelname": "I", "component": "raylet", "message": "up"}
    one, other = read(json.dumps(serve), json.dumps(backend))

    assert (one["level"], one["logger"], one["message"]) == ("warning", "ray.controller", "m")
    assert (one["request_id"], one["replica"], one["time"]) == ("r", "x", "2026-01-31T05:00:00.500Z")
    assert (other["level"], other["logger"], other["message"]) == ("info", "ray.raylet", "up")
    assert "asctime" not in {**one, **other}


TRACE = ("Traceback (most recent call last):", '  File "a.py", line 1, in f', "    1 / 0", "ZeroDivisionError: by zero")


def test_a_traceback_is_one_record() -> None:
    """Its last line is the message; what follows is another record."""
    record, after = read(*TRACE, "on")

    assert (record["level"], record["message"]) == ("error", "ZeroDivisionError: by zero")
    assert record["exception"] == "\n".join(TRACE)
    assert after["message"] == "on"


def test_a_traceback_without_an_end_is_not_lost() -> None:
    """Its process has died, or another one's record came between."""
    (record,) = read(*TRACE[:3])
    assert record["exception"] == "\n".join(TRACE[:3])
    records = read(*TRACE[:2], '{"event": "request"}', "2026-01-31 05:00:00,123\tINFO a.py:5 -- up")
    assert [each["message"] for each in records] == [TRACE[1], "request", "a.py:5 -- up"]


def test_a_traceback_does_not_grow_for_ever() -> None:
    """A process that prints indented lines alone is heard of."""
    records = read(TRACE[0], *["  deeper and deeper"] * 2000)

    assert len(records) > 1
    assert max(len(each.get("exception", "")) for each in records) < 2 * LONGEST


@pytest.mark.parametrize(
    "line",
    [
        "fetching https://me:secret@store/a.tar?X-Amz-Signature=secret",
        "error: https://store/a?sig=secret",
        '{"levelname": "INFO", "message": "fetching https://me:secret@store/a"}',
        "ValueError: s3://me:secret@store/a",
    ],
)
def test_what_is_secret_in_an_address_is_left_out(line: str) -> None:
    """Whoever has printed it."""
    assert "secret" not in json.dumps(read(line))
    assert "secret" not in json.dumps(read(TRACE[0], "  x", line))


def test_a_long_line_loses_its_middle() -> None:
    """A record is read whole by those who collect them."""
    (record,) = read("x" * 100_000 + "end")

    assert len(record["message"]) < LONGEST + 10
    assert record["message"].endswith("end")


@given(st.lists(st.text()))
def test_every_line_becomes_json(lines: list[str]) -> None:
    """Whatever is in it, lone surrogates too; nothing that says something is lost."""
    records = LogRecords("program", {"pod": "p"})
    texts = [text for line in lines for text in records.feed(line.replace("\n", ""))]
    texts += records.flush()

    for text in texts:
        assert "\n" not in text
        assert {"time", "level", "logger", "message", "pod"} <= json.loads(text).keys()


@pytest.mark.parametrize("line", ['{"a": NaN}', '{"a": 1e999}', '{"level": 5}', '{"time": 5}', '{"message": {"a": 1}}',
                                  '{"level": null, "message": null}', '{"asctime": 5, "name": []}', "{}", "[" * 5000,
                                  '{"a":' * 5000, '{"timestamp_ns": 99999999999999999999999}'])  # fmt: skip
def test_json_of_any_kind_becomes_a_record(line: str) -> None:
    """A number that JSON has not, members of other types, and depth."""
    (record,) = read(line)

    assert isinstance(record["message"], str)
    assert isinstance(record["level"], str)


def test_a_format_that_is_none_is_refused() -> None:
    """By its variable's name."""
    with pytest.raises(SettingsError, match="FIVEFOLD_LOG_FORMAT: expected text or json, got 'xml'"):
        LogSettings("xml")
