"""What was refused is kept in one form: where it stood, what was wrong, and as much of it as can be shown."""

from __future__ import annotations

import base64
import datetime as dt
import json
import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fivefold.core.errors import ContractError, ModelFailed, Violation
from fivefold.core.outcome import RAW_BYTES, Refusal, showable

ERROR = ContractError("out_of_range", "expected a number of at most 100, got 101", path="inputs.a[0]", help="look")


def test_a_row_of_a_file_is_a_line_of_the_quarantine():
    """Where it stood comes first, as the adapter has it; what stood there last. The form is read by people's tools."""
    where = {"file": "/in/a.csv", "row": 3, "line": 5, "offset": 40, "size": 9}

    line = Refusal.of(ERROR, where, b"101,1,ok", columns={"id": 7}).to_line()

    assert line == (
        b'{"file":"/in/a.csv","row":3,"line":5,"offset":40,"size":9,"code":"out_of_range","path":"inputs.a[0]",'
        b'"message":"expected a number of at most 100, got 101","help":"look","columns":{"id":7},"raw":"101,1,ok"}\n'
    )


def test_an_event_of_a_topic_names_what_refused_it():
    """A stream has no report beside it that says which contract and which bundle it was."""
    where = {"topic": "events", "partition": 2, "offset": 4711}

    out = Refusal.of(
        ModelFailed("model_failed", "it failed"), where, b"{}", contract="sum@1", bundle="sha256:1"
    ).to_json()

    assert list(out) == ["topic", "partition", "offset", "code", "path", "message", "contract", "bundle", "raw"]
    assert (out["code"], out["path"], out["contract"], out["bundle"]) == ("model_failed", "", "sum@1", "sha256:1")


def test_what_is_not_there_is_left_out():
    """No help, one violation, no columns, nothing that stood there."""
    error = ContractError.of([Violation("wrong_type", "inputs.a[0]", "expected a number")])

    assert Refusal.of(error, {"row": 0}, columns={}).to_json() == {
        "row": 0,
        "code": "wrong_type",
        "path": "inputs.a[0]",
        "message": "expected a number",
    }


def test_several_violations_are_all_told():
    """In their order, the first of which speaks."""
    violations = [Violation("wrong_type", "inputs.a[0]", "a"), Violation("too_long", "inputs.note[0]", "b", "cut it")]

    out = Refusal.of(ContractError.of(violations), {}).to_json()

    assert out["details"] == [
        {"code": "wrong_type", "path": "inputs.a[0]", "error": "a"},
        {"code": "too_long", "path": "inputs.note[0]", "error": "b", "help": "cut it"},
    ]


@pytest.mark.parametrize("size", [1, 2, 3, 4])
def test_long_text_is_not_cut_within_a_character(size):
    """Wherever the limit falls."""
    text = "ab"[: size % 2 + 1] + {1: "e", 2: "é", 3: "€", 4: "🦆"}[size] * RAW_BYTES

    shown = Refusal.of(ERROR, {}, text.encode()).to_json()["raw"]

    assert text.startswith(shown)
    assert RAW_BYTES - size < len(shown.encode()) <= RAW_BYTES


@pytest.mark.parametrize("raw", [b"\xff", b"ok \xc3", b"\xff" * 2 * RAW_BYTES])
def test_what_is_no_text_is_base64(raw):
    """Of as many bytes."""
    out = Refusal.of(ERROR, {}, raw).to_json()

    assert base64.b64decode(out["raw_base64"]) == raw[:RAW_BYTES]
    assert "raw" not in out


def test_values_that_json_has_no_word_for():
    """By name, by base64, or as their text."""
    row = {"nan": math.nan, "up": math.inf, "down": -math.inf, "bytes": b"\xff", "day": dt.date(2024, 1, 31)}

    assert Refusal.of(ERROR, {}, row).to_json()["raw"] == {
        "nan": "NaN",
        "up": "Infinity",
        "down": "-Infinity",
        "bytes": "/w==",
        "day": "2024-01-31",
    }


@given(st.recursive(st.text() | st.floats() | st.binary() | st.none() | st.booleans(), st.lists))
def test_any_value_is_shown(value):
    """Lone surrogates too: the line is UTF-8, and one line."""
    line = Refusal.of(ERROR, {}, {"a": value}).to_line()

    assert line.count(b"\n") == 1
    assert isinstance(json.loads(line.decode()), dict)
    assert showable(showable(value)) == showable(value)


def test_a_lone_surrogate_in_what_is_said_is_replaced():
    """A message may quote the value, and a path a name."""
    error = ContractError("unknown_field", "got \ud800", path="inputs.\udfff")

    out = json.loads(Refusal.of(error, {}).to_line())

    assert "\ud800" not in out["message"]
    assert out["path"].startswith("inputs.")
