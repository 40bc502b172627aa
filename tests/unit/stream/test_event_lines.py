"""Events as lines, there and back."""

from __future__ import annotations

import json

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from fivefold.core.errors import ContractError
from fivefold.stream import event_lines
from fivefold.stream.events import Event, Outgoing

VALUES = (
    st.none()
    | st.binary(max_size=40)
    | st.recursive(
        st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=9),
        lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
        max_leaves=6,
    ).map(lambda value: json.dumps(value).encode())
)
HEADERS = st.lists(st.tuples(st.text(max_size=5), st.none() | st.binary(max_size=9)), max_size=4).map(tuple)


@given(
    key=st.none() | st.binary(max_size=9),
    value=VALUES,
    headers=HEADERS,
    timestamp=st.integers(-1, 2**62),
)
@example(key=None, value=b"null", headers=(), timestamp=-1)
@example(key=b"", value=b" 1", headers=(("a", b"1"), ("a", b"1")), timestamp=0)
@example(key=b"\xff", value=b"[1,\n2]", headers=(("a", b"\xff"),), timestamp=0)
@example(key=None, value=b"1" * 5000, headers=(("a", None),), timestamp=0)
@example(key=None, value=b"1e999", headers=(), timestamp=0)
@example(key=None, value=b'{"a":1,"a":2}', headers=(), timestamp=0)
def test_every_event_comes_back(key: bytes | None, value: bytes | None, headers: tuple, timestamp: int) -> None:
    """Byte for byte, from one line."""
    line = event_lines.format(Event("t", 3, 7, timestamp, key, value, headers))

    assert b"\n" not in line
    stamp = None if timestamp < 0 else timestamp
    assert list(event_lines.parse([line], "t")) == [Outgoing("t", key, value, headers, stamp)]


def test_a_plain_event_is_a_plain_line() -> None:
    """As a person would write it."""
    line = b'{"key": "k1", "value": {"amount": 3.10}, "headers": {"trace": "7"}}'

    (event,) = event_lines.parse([b"\n", line], "t")

    assert event == Outgoing("t", b"k1", b'{"amount": 3.10}', (("trace", b"7"),))
    assert event_lines.format(Event("t", 0, 0, -1, event.key, event.value, event.headers)) == (
        b'{"key":"k1","value":{"amount": 3.10},"headers":{"trace":"7"},"partition":0,"offset":0}'
    )


@pytest.mark.parametrize(
    "line",
    [
        b"{",
        b"[]",
        b"7",
        b"\xff",
        b'{"value": 1} {"value": 2}',
        b'{"value": 1, "value": 2}',
        b'{"value": 1, "value_base64": ""}',
        b'{"value_base64": "?"}',
        b'{"key": "a", "key_base64": ""}',
        b'{"key": 1}',
        b'{"headers": {"a": 1}}',
        b'{"headers": {"a": "1"}, "headers_list": []}',
        b'{"headers_list": [["a"]]}',
        b'{"timestamp": -1}',
        b'{"what": 1}',
        b'{"value": NaN}',
        '{"value": 1}'.encode("utf-16"),
        b"[" * 100_000,
    ],
)
def test_what_is_no_line_is_refused_with_its_number(line: bytes) -> None:
    """And the lines before it are events."""
    found = event_lines.parse([b'{"value": 1}', line], "t")

    assert next(found).value == b"1"
    with pytest.raises(ContractError) as raised:
        list(found)
    assert (raised.value.code, raised.value.path) == ("malformed", "line 2")
