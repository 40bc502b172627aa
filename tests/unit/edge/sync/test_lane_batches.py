"""Batches: what a device writes is what a hub reads; what is no batch is told, line by line where that can be."""

from __future__ import annotations

import gzip
import itertools
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fivefold.core.errors import BundleInvalid, ContractError, ProtocolError
from fivefold.core.outcome import Refusal
from fivefold.edge.outbox.stored import MAX_BODY_BYTES, Gap, Stored
from fivefold.edge.sync.event_bodies import event_body, prediction_body, refusal_body, timestamp
from fivefold.edge.sync.lane_batches import beyond, decode_batch, encode_batch, encode_line, inflated
from fivefold.edge.sync.lane_protocol import MAX_BATCH_BYTES, MAX_LINE_BYTES, MAX_LINES, MAX_SEQ

values = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**53), 2**53)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=6,
)
bodies = st.builds(
    lambda given, gave: prediction_body(
        model="m", version="1", contract="c@1", bundle="sha256:0", input=given, output=gave
    ),
    values,
    values,
)


@st.composite
def runs(draw: st.DrawFn) -> list[Stored]:
    """A part of a lane: events and gap records without holes."""
    at = draw(st.integers(1, 2**50))
    out = []
    for body in draw(st.lists(bodies | st.none(), min_size=1, max_size=12)):
        if body is not None:
            out.append(Stored("bulk", at, "an-id", body, 0))
        else:
            last = at + draw(st.integers(0, 1000))
            gap = Gap(at, draw(st.integers(0, last - at + 1)), draw(st.sampled_from(["quota", "hub_lost", "corrupt"])))
            out.append(Stored("bulk", last, "an-id", b"", 1_795_953_600_123, gap))
        at = out[-1].seq + 1
    return out


@pytest.mark.full
@given(runs())
def test_a_hub_reads_what_a_device_has_written(stored: list[Stored]) -> None:
    """Numbers, kinds and gaps, and each line is the event's JSON with its number in front."""
    batch = encode_batch(stored)
    lines = decode_batch(inflated(batch.body, "gzip"))

    assert (batch.first, batch.last, batch.lines) == (stored[0].first, stored[-1].seq, len(stored))
    assert [(line.first, line.seq, line.gap, line.poison) for line in lines] == [
        (each.first, each.seq, each.gap, None) for each in stored
    ]
    for line, each in zip(lines, stored):
        assert line.raw + b"\n" == encode_line(each)
        assert list(json.loads(line.raw))[:2] == ["seq", "id"]
        if each.gap is None:
            read = json.loads(line.raw)
            assert (read.pop("seq"), read.pop("id")) == (each.seq, "an-id")
            assert read == json.loads(each.body)


@pytest.mark.full
@given(runs(), st.integers(0, 2**51))
def test_what_is_beyond_a_watermark_joins_on_to_it(stored: list[Stored], watermark: int) -> None:
    """Nothing that a hub has already, and no number twice."""
    for line in decode_batch(inflated(encode_batch(stored).body, "gzip")):
        rest = beyond(line, watermark)
        if line.seq <= watermark:
            assert rest is None
        else:
            assert rest is not None
            assert rest.seq == line.seq
            assert rest.first == max(line.first, watermark + 1 if line.gap else 0)
            if rest.gap:
                assert rest.gap.count <= rest.seq - rest.first + 1


@given(
    st.binary(max_size=300)
    | st.lists(st.sampled_from([b"{", b'"seq"', b":", b"7", b",", b"}", b"\n", b" "])).map(b"".join)
)
def test_nothing_that_is_sent_makes_a_hub_fail(body: bytes) -> None:
    """Bytes of any kind are lines, poison, or an error with a code."""
    try:
        lines = decode_batch(body)
    except ContractError:
        return
    assert all(after.first == before.seq + 1 for before, after in itertools.pairwise(lines))


GOOD = b'{"seq":%d,"id":"a","at":"","kind":"prediction"}\n'


@pytest.mark.parametrize(
    "bad",
    [
        b'{"seq":8,"id":"a","kind":"prediction"',
        b'{"seq":8,"id":"a","kind":"prediction","input":NaN}',
        b'{"seq":8,"id":"a","kind":"other"}',
        b'{"seq":8,"kind":"prediction"}',
        b'{"seq":8,"id":7,"kind":"prediction"}',
        b'{"seq":8,"id":"\xff","kind":"prediction"}',
        b'{"seq":8.5,"id":"a","kind":"prediction"}',
        b'{"seq":8,"id":"a","kind":"gap"}',
        b'{"seq":8,"id":"a","kind":"gap","from_seq":8,"to_seq":9,"count":1,"reason":"quota"}',
        b'{"seq":8,"id":"a","kind":"gap","from_seq":8,"to_seq":8,"count":2,"reason":"quota"}',
        b'{"seq":8,"id":"a","kind":"gap","from_seq":8,"to_seq":8,"count":1,"reason":"because"}',
        b"",
        b"[8]",
        b"not json at all",
        b"[" * 100_000,
        b'{"seq":8,"id":"a","kind":"prediction","x":"' + b"x" * MAX_LINE_BYTES + b'"}',
    ],
    ids=lambda bad: bad[:40].decode("ascii", "replace"),
)
def test_a_poison_line_has_its_number_and_stops_nobody(bad: bytes) -> None:
    """First, last or in the middle: the lines around it are events."""
    for before, after in ((1, 1), (0, 2), (2, 0)):
        first = 8 - before
        body = b"".join(GOOD % seq for seq in range(first, 8)) + bad + b"\n"
        lines = decode_batch(body + b"".join(GOOD % seq for seq in range(9, 9 + after)))

        assert [line.seq for line in lines] == list(range(first, 9 + after))
        assert [line.poison is None for line in lines] == [True] * before + [False] + [True] * after
    if bad.startswith(b'{"seq":8,'):
        assert decode_batch(bad)[0].seq == 8


@pytest.mark.parametrize(
    ("body", "code"),
    [
        (b"", "malformed"),
        (b"nothing\nknown\n", "malformed"),
        (GOOD % 7 + GOOD % 9, "malformed"),
        (GOOD % 7 + GOOD % 7, "malformed"),
        (b"what\n" + GOOD % 1, "malformed"),
        (b"".join(GOOD % seq for seq in range(1, MAX_LINES + 2)), "too_large"),
        (GOOD % (MAX_SEQ + 1), "malformed"),
    ],
)
def test_a_batch_that_cannot_be_taken_at_all(body: bytes, code: str) -> None:
    with pytest.raises(ContractError) as refused:
        decode_batch(body)
    assert refused.value.code == code


def test_inflating_is_bounded() -> None:
    """A bomb, a torn body, more behind it, and other encodings."""
    assert inflated(b"{}", None) == inflated(gzip.compress(b"{}"), " GZIP ") == b"{}"
    for body, code in (
        (gzip.compress(bytes(50 * MAX_BATCH_BYTES)), "too_large"),
        (gzip.compress(b"{}" * 100)[:-1], "malformed"),
        (gzip.compress(b"{}") + b"more", "malformed"),
        (b"{}", "malformed"),
    ):
        with pytest.raises(ContractError) as refused:
            inflated(body, "gzip")
        assert refused.value.code == code
    with pytest.raises(ContractError):
        inflated(bytes(MAX_BATCH_BYTES + 1), None)
    with pytest.raises(ProtocolError):
        inflated(b"{}", "br")


def test_the_longest_event_fits_a_line() -> None:
    body = b'{"x":"' + b"x" * (MAX_BODY_BYTES - 8) + b'"}'

    assert len(encode_line(Stored("bulk", MAX_SEQ, "i" * 64, body, 0))) <= MAX_LINE_BYTES


def test_bodies() -> None:
    """An event's own members stay its own."""
    refusal = Refusal.of(BundleInvalid("broken", path="model.onnx"), {"topic": "t"}, b"raw")

    assert json.loads(refusal_body(refusal, at_ms=0)) == {
        "at": "1970-01-01T00:00:00.000Z",
        "kind": "refusal",
        "refusal": refusal.to_json(),
    }
    with pytest.raises(ValueError, match="seq"):
        event_body("prediction", {"seq": 1})
    with pytest.raises(ValueError, match="no kind"):
        event_body("gap", {})
    assert encode_line(Stored("bulk", 1, "a", b"{}", 0)) == b'{"seq":1,"id":"a"}\n'
    assert timestamp(-5) == timestamp(0)
    assert timestamp(10**18).startswith("9999-12-31T23:59:59")
    with pytest.raises(ValueError, match="follow"):
        encode_batch([Stored("bulk", 1, "a", b"{}", 0), Stored("bulk", 3, "a", b"{}", 0)])
