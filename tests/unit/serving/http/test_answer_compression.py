"""gzip on answers: who asks for it, which answers get it, and what their headers say."""

from __future__ import annotations

import contextlib
import gzip
import json
from collections.abc import Iterator

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.conformance import models
from tests.support.grpc_calls import gate_bundle
from tests.support.http_calls import World, dumps, world

from fivefold.core.errors import ProtocolError
from fivefold.serving.http.answer_compression import AT_ONCE, LEAST, asked, fitting, taken
from fivefold.serving.http.http_errors import HttpReply

PREDICT, INFER = "/v1/models/gate:predict", "/v2/models/gate/infer"
LENGTH = "inference-header-content-length"
ROWS = 1000


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    place = tmp_path_factory.mktemp("gzip")
    with world([gate_bundle(place / "gate"), models.bundle("linear", place)], serve_bundles=True) as out:
        yield out


def many(rows: int = ROWS) -> dict[str, object]:
    return {"instances": [{"x": row % 7} for row in range(rows)]}


@pytest.mark.parametrize(
    "wanted",
    ["gzip", "gzip, deflate, br, zstd", "GZIP;Q=0.5", "*", "x-gzip", "br;q=1.0, *;q=0.1", "identity;q=0.5, gzip"],
)
def test_a_large_answer_is_compressed_for_who_asks(served: World, wanted: str) -> None:
    """The same JSON, in fewer bytes, and caches are told what it depends on."""
    plain = served.post(PREDICT, many(), x_request_id="1")
    packed = served.post(PREDICT, many(), x_request_id="1", accept_encoding=wanted)

    assert (packed.headers["content-encoding"], packed.headers["vary"]) == ("gzip", "accept-encoding")
    assert packed.headers["content-type"] == "application/json"
    assert int(packed.headers["content-length"]) == len(packed.body) < len(plain.body) / 4
    assert gzip.decompress(packed.body) == plain.body
    assert "content-encoding" not in plain.headers


@pytest.mark.parametrize(
    "wanted",
    [
        "",
        "identity",
        "br",
        "deflate",
        "gzip;q=0",
        "gzip;q=0.000",
        "gzip;q=0.1, identity",
        "gzip;q=nan",
        "gzip;q=-1",
        "zip",
    ],
)
def test_nobody_gets_what_they_have_not_asked_for(served: World, wanted: str) -> None:
    """Plain, as without the header."""
    reply = served.post(PREDICT, many(), accept_encoding=wanted)

    assert "content-encoding" not in reply.headers
    assert len(reply.json["predictions"]) == ROWS


def test_an_answer_too_large_for_the_loop_is_the_same(served: World) -> None:
    """Compressed in a thread."""
    plain = served.post(PREDICT, many(10 * ROWS), x_request_id="1")
    packed = served.post(PREDICT, many(10 * ROWS), x_request_id="1", accept_encoding="gzip")

    assert len(plain.body) > AT_ONCE
    assert gzip.decompress(packed.body) == plain.body


def test_small_answers_and_errors_stay_as_they_are(served: World) -> None:
    """Whoever asks: below a few thousand bytes it does not pay."""
    for reply in (
        served.post(PREDICT, many(3), accept_encoding="gzip"),
        served.post(PREDICT, {"instances": [{"x": "no"}] * ROWS}, accept_encoding="gzip"),
        served.get("/v2/health/ready", accept_encoding="gzip"),
        served.get("/nothing", accept_encoding="gzip"),
    ):
        assert "content-encoding" not in reply.headers
        assert reply.json


def test_who_refuses_plain_answers_gets_none(served: World) -> None:
    """gzip in any size, or `not_acceptable` before the model runs where neither will do."""
    small = served.post(PREDICT, many(1), accept_encoding="identity;q=0, gzip")
    neither = served.post(PREDICT, many(1), accept_encoding="br, identity;q=0")
    star = served.get("/v2", accept_encoding="*;q=0")

    assert json.loads(gzip.decompress(small.body))["predictions"] == [{"y": 0.0}]
    assert (neither.status, neither.code) == (star.status, star.code) == (406, "not_acceptable")


def test_binary_tensors_are_compressed_whole_and_counted_plain(served: World) -> None:
    """The header that divides JSON from tensors counts the JSON as it is after inflating."""
    raw = np.zeros(ROWS, "<f8").tobytes()
    tensor = {"name": "x", "datatype": "FP64", "shape": [ROWS], "parameters": {"binary_data_size": len(raw)}}
    head = dumps({"inputs": [tensor], "parameters": {"binary_data_output": True}})
    headers = {LENGTH: str(len(head)), "content-type": "application/octet-stream", "accept-encoding": "gzip"}

    reply = served.ask("POST", INFER, head + raw, headers=headers)
    body, cut = gzip.decompress(reply.body), int(reply.headers[LENGTH])

    assert reply.headers["content-encoding"] == "gzip"
    assert json.loads(body[:cut])["outputs"][0]["shape"] == [ROWS]
    assert body[cut:] == raw


def test_compressed_both_ways(served: World) -> None:
    """A gzip body in, a gzip body out; in several members too."""
    text = dumps(many())
    body = gzip.compress(text[:100]) + gzip.compress(text[100:])
    headers = {"content-type": "application/json", "content-encoding": "gzip", "accept-encoding": "gzip"}

    reply = served.ask("POST", PREDICT, body, headers=headers)

    assert len(json.loads(gzip.decompress(reply.body))["predictions"]) == ROWS


def test_what_can_be_fetched_says_that_it_varies(served: World) -> None:
    """Documents: compressed or not, GET or HEAD, caches learn that there are two."""
    plain, packed = served.get("/openapi.json"), served.get("/openapi.json", accept_encoding="gzip")
    head = served.ask("HEAD", "/openapi.json", headers={"accept-encoding": "gzip"})

    assert plain.headers["vary"] == packed.headers["vary"] == head.headers["vary"] == "accept-encoding"
    assert gzip.decompress(packed.body) == plain.body
    assert head.body == b""
    assert head.headers["content-length"] == packed.headers["content-length"]
    assert head.headers["content-encoding"] == "gzip"
    assert "vary" not in served.get("/livez").headers


def test_files_that_a_digest_names_stay_byte_for_byte(served: World) -> None:
    """An ETag is the digest of what comes, and a 304 has no coding."""
    name = next(name for name in served.serving.models.find("linear").bundle.names() if name.endswith(".onnx"))
    path = f"/v1/models/linear/bundle/{name}"
    reply = served.get(path, accept_encoding="gzip")
    again = served.ask("GET", path, headers={"if-none-match": reply.headers["etag"], "accept-encoding": "gzip"})

    assert "content-encoding" not in reply.headers
    assert (again.status, again.body) == (304, b"")
    assert "content-encoding" not in again.headers
    refusing = served.get(path, accept_encoding="gzip, identity;q=0")
    assert gzip.decompress(refusing.body) == reply.body
    assert refusing.headers["etag"] == f"W/{reply.headers['etag']}"


def test_what_would_not_become_smaller_stays_as_it_is() -> None:
    """Noise."""
    noise = np.random.default_rng(0).bytes(2 * LEAST)

    reply = fitting(HttpReply(200, [(b"content-type", b"application/octet-stream")], noise), "gzip")

    assert reply.body == noise
    assert (b"content-encoding", b"gzip") not in reply.headers


@given(st.binary(max_size=64))
def test_any_header_has_a_meaning(value: bytes) -> None:
    """Nothing that a client may write breaks the reader of its wishes."""
    with contextlib.suppress(ProtocolError):
        assert asked({b"accept-encoding": value}) in (None, "gzip", "must")


@pytest.mark.parametrize(
    ("header", "coding"),
    [
        (b"", None),
        (b"br, gzip", "br"),
        (b"gzip", "gzip"),
        (b"br;q=0, x-gzip", "gzip"),
        (b"*", None),
        (b"zstd", None),
        (b"br;q=none", None),
    ],
)
def test_what_is_compressed_already_is_chosen_by_name(header: bytes, coding: str | None) -> None:
    """The first of ours that the client names and does not refuse."""
    assert taken({b"accept-encoding": header}, ("br", "gzip")) == coding
