"""Reading a body: every line has a place, whatever it holds."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.support.hubs import body, event, gap

from fivefold.core.errors import ContractError
from fivefold.edge.hub.batch_lines import parse_batch
from fivefold.edge.sync.lane_protocol import MAX_LINE_BYTES

READABLE = event(7)


def poison(line: bytes) -> str | None:
    (found,) = parse_batch(line)
    return found.poison.code if found.poison is not None else None


def test_an_event_a_refusal_and_a_gap() -> None:
    """What the protocol has."""
    refusal = json.dumps(
        {"seq": 8, "id": "r", "at": "2026-11-29T12:00:00Z", "kind": "refusal", "refusal": {"code": "wrong_type"}}
    )
    found = parse_batch(body(READABLE, refusal.encode(), gap(9, 12)))

    assert [(each.first, each.seq, each.kind, each.poison) for each in found] == [
        (7, 7, "prediction", None),
        (8, 8, "refusal", None),
        (9, 12, "gap", None),
    ]


@pytest.mark.parametrize(
    ("change", "code"),
    [
        ({"kind": "whim"}, "not_in_enum"),
        ({"kind": None}, "not_in_enum"),
        ({"id": 7}, "wrong_type"),
        ({"id": "a\x00b"}, "wrong_type"),
        ({"at": "yesterday"}, "wrong_type"),
        ({"model": ""}, "wrong_type"),
        ({"input": None}, "missing_field"),
        ({"kind": "refusal"}, "wrong_type"),
        ({"kind": "gap", "from_seq": 8, "to_seq": 7, "count": 1, "reason": "quota"}, "out_of_range"),
        ({"kind": "gap", "from_seq": 1, "to_seq": 9, "count": 1, "reason": "quota"}, "out_of_range"),
        ({"kind": "gap", "from_seq": 1, "to_seq": 7, "count": 8, "reason": "quota"}, "out_of_range"),
        ({"kind": "gap", "from_seq": True, "to_seq": 7, "count": 1, "reason": "quota"}, "out_of_range"),
    ],
)
def test_what_is_no_event(change, code) -> None:
    """Each has its reason and keeps its place."""
    line = json.dumps(json.loads(READABLE) | change).encode()

    assert parse_batch(line)[0].seq == 7
    assert poison(line) == code


@pytest.mark.parametrize(
    "line",
    [
        b'{"seq": 7, garbage',
        b'{"seq":7,"a":NaN}',
        b' { "seq" : 7 , "a": "\xff"}',
        b'{"seq":7,' + b'"a":[' * 3000 + b"]" * 3000 + b"}",
        b'{"seq":7,"a":"' + b"x" * MAX_LINE_BYTES + b'"}',
    ],
    ids=["garbage", "nan", "bytes", "deep", "long"],
)
def test_a_broken_line_says_its_place(line) -> None:
    """By its beginning, which senders write so."""
    (found,) = parse_batch(line)

    assert found.seq == 7
    assert found.poison is not None
    assert found.raw == line


def test_a_line_without_a_place_has_the_one_beside_it() -> None:
    """Before the first that says it, and behind."""
    found = parse_batch(body(b"?", b"[]", READABLE, b"!", gap(9, 11), b"12"))

    assert [(each.first, each.seq) for each in found] == [(5, 5), (6, 6), (7, 7), (8, 8), (9, 11), (12, 12)]


@pytest.mark.parametrize(
    "given_body", [b"", b"\n\n", b"?", b"{}\n[]", b'{"seq": 0}', b'{"seq": true}', b"?\n" + event(1)]
)
def test_a_body_without_any_place_is_refused(given_body) -> None:
    """Nobody could tell what to acknowledge."""
    with pytest.raises(ContractError) as caught:
        parse_batch(given_body)

    assert caught.value.code == "malformed"


def test_too_many_lines() -> None:
    """500 are taken, 501 are not."""
    assert len(parse_batch(body(*map(event, range(1, 501))))) == 500
    with pytest.raises(ContractError, match="at most 500"):
        parse_batch(body(*map(event, range(1, 502))))


@given(
    st.lists(
        st.one_of(st.binary(max_size=60).filter(lambda raw: b"\n" not in raw), st.sampled_from([READABLE, gap(3, 9)]))
    )
)
def test_any_bytes_are_lines_with_places_or_refused_as_a_whole(lines) -> None:
    """Never another error, and every line that came is there."""
    try:
        found = parse_batch(b"\n".join(lines))
    except ContractError:
        return
    assert [each.raw for each in found] == [raw.rstrip(b"\r") for raw in lines if raw.strip()]
    assert all(1 <= each.first <= each.seq for each in found)
