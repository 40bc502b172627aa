"""What a body takes to read: raw numbers next to nothing, whatever says how long they are."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fivefold.serving.grpc.call import bytes_in
from fivefold.serving.grpc.proto import inference_pb2 as wire
from fivefold.serving.http.v1 import V1
from fivefold.serving.http.v2 import V2
from fivefold.serving.limits import ServingLimits
from fivefold.serving.messages import RAW_LIGHTNESS, reading_size

LIMITS = ServingLimits()
RAW = wire.ModelInferRequest.RAW_INPUT_CONTENTS_FIELD_NUMBER
LENGTH = b"inference-header-content-length"


@pytest.mark.parametrize(
    ("length", "raw"),
    [(b"100", 900), (b"0", 1000), (b"1000", 0), (b"1001", 0), (b"-1", 0), (b"many", 0), (b"9" * 30, 0), (None, 0)],
)
def test_what_follows_the_json_is_raw(length: bytes | None, raw: int) -> None:
    """Only where the header says so: a length beyond the body, or none, is refused by whoever reads."""
    headers = {} if length is None else {LENGTH: length}
    assert V2(LIMITS).raw_bytes(headers, 1000) == raw


def test_rows_are_text() -> None:
    """Another protocol's header makes nothing else of them."""
    assert V1(LIMITS).raw_bytes({LENGTH: b"0"}, 1000) == 0


@given(st.lists(st.binary(max_size=300), max_size=20), st.text(max_size=20))
def test_raw_contents_are_found_in_a_message(raw: list[bytes], name: str) -> None:
    """As the parser finds them, behind whatever stands before them."""
    message = wire.ModelInferRequest(model_name=name, id=name, raw_input_contents=raw)
    for _ in raw:
        message.inputs.add(name=name, datatype="FP32", shape=[1, 3])
    assert bytes_in(message.SerializeToString(), RAW) == sum(map(len, raw))


def test_of_many_fields_the_first_count() -> None:
    """Looking at all of them would take longer than they are worth."""
    message = wire.ModelInferRequest(raw_input_contents=[b"1234"] * 1000)
    assert bytes_in(message.SerializeToString(), RAW) == 4 * 64


@given(st.binary(max_size=200))
def test_bytes_that_are_no_message(raw: bytes) -> None:
    """They hold at most what they are."""
    assert 0 <= bytes_in(raw, RAW) <= len(raw)
    assert 0 <= reading_size(len(raw), bytes_in(raw, RAW)) <= len(raw)


def test_the_rest_counts_whole() -> None:
    """A megabyte of numbers beside a little JSON."""
    assert reading_size(1_000_100, 1_000_000) == 100 + 1_000_000 // RAW_LIGHTNESS
