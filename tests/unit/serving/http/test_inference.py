"""What HTTP adds around an inference: headers, bodies, limits, deadlines, clients that hang up."""

from __future__ import annotations

import asyncio
import gzip
import time
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from tests.support import grpc_gate
from tests.support.grpc_calls import gate_bundle
from tests.support.http_calls import World, dumps, log_lines, world

PREDICT = "/v1/models/gate:predict"
BODY: dict[str, Any] = {"instances": [{"x": 2.0}]}


@pytest.fixture(scope="module")
def gate(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    bundle = gate_bundle(tmp_path_factory.mktemp("gate") / "gate")
    with world([bundle], max_body_bytes=4096, max_header_bytes=2048, max_rows=50, body_timeout=0.05) as out:
        yield out


def test_a_request_id_comes_back(gate: World) -> None:
    """The caller's id is echoed in the header and the metadata; without a usable one a new one is made each time."""
    mine = gate.post(PREDICT, BODY, x_request_id="abc-1")
    made = [
        gate.post(PREDICT, BODY, **given) for given in ({}, {"x_request_id": "two words"}, {"x_request_id": "x" * 129})
    ]

    assert mine.headers["x-request-id"] == mine.json["metadata"]["request_id"] == "abc-1"
    assert len({reply.headers["x-request-id"] for reply in made}) == 3
    assert all(" " not in reply.headers["x-request-id"] for reply in made)


def test_a_trace_goes_in_and_out(gate: World) -> None:
    """A W3C traceparent comes back and names the trace in the log; what is none is dropped."""
    trace = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
    with log_lines() as lines:
        kept = gate.post(PREDICT, {"instances": [{"x": "one"}]}, traceparent=trace)

    assert kept.headers["traceparent"] == trace
    assert lines[-1]["trace_id"] == "0af7651916cd43dd8448eb211c80319c"
    for wrong in ("nonsense", "ff" + trace[2:], trace.replace("0af7651916cd43dd8448eb211c80319c", "0" * 32)):
        assert "traceparent" not in gate.post(PREDICT, BODY, traceparent=wrong).headers


@pytest.mark.parametrize("text", ["soon", "", "-1", "1e3", "inf", "nan", "1_0", "٣", "1.", " 1"])
def test_a_timeout_that_is_no_number_is_malformed(gate: World, text: str) -> None:
    """`x-request-timeout` is a plain number of seconds."""
    reply = gate.post(PREDICT, BODY, x_request_timeout=text.encode().decode("latin-1"))

    assert (reply.status, reply.code) == (400, "malformed")
    assert "x-request-timeout" in reply.json["error"]


def test_expired_work_is_never_started(gate: World) -> None:
    """A deadline that has passed answers 504, and the model is not called."""
    before = gate.serving.models.find("gate").statistics.rows

    reply = gate.post(PREDICT, BODY, x_request_timeout="0")

    assert (reply.status, reply.code) == (504, "deadline_exceeded")
    assert gate.serving.models.find("gate").statistics.rows == before
    assert gate.post(PREDICT, BODY, x_request_timeout="12.5").status == 200


@pytest.mark.parametrize(
    "media_type",
    [
        "application/json",
        "APPLICATION/JSON",
        "application/json; charset=utf-8",
        'application/json;charset="UTF-8"',
        "application/vnd.me+json",
    ],
)
def test_json_by_any_of_its_names_is_read(gate: World, media_type: str) -> None:
    """Parameters and case do not matter, and no content-type at all means JSON."""
    assert gate.post(PREDICT, BODY, content_type=media_type).status == 200
    assert gate.ask("POST", PREDICT, dumps(BODY)).status == 200


@pytest.mark.parametrize(
    "media_type", ["text/plain", "application/x-www-form-urlencoded", "application/json; charset=utf-16", "json", ""]
)
def test_another_media_type_is_unsupported(gate: World, media_type: str) -> None:
    """415, with the media type to send as help."""
    reply = gate.post(PREDICT, BODY, content_type=media_type)

    assert (reply.status, reply.code) == (415, "unsupported_media_type")
    assert "application/json" in reply.json["help"]


@pytest.mark.parametrize(
    ("accept", "status"),
    [
        ("*/*", 200),
        ("application/*", 200),
        ("text/html, application/json;q=0.5", 200),
        ("text/html, */*;q=0.1", 200),
        ("text/html", 406),
        ("application/json;q=0", 406),
        ("application/json;q=0.0, */*", 406),
        ("application/xml, text/*", 406),
    ],
)
def test_what_the_client_accepts_is_honoured(gate: World, accept: str, status: int) -> None:
    """The most specific range of Accept decides; 406 where it leaves JSON out."""
    reply = gate.post(PREDICT, BODY, accept=accept)

    assert reply.status == status
    if status == 406:
        assert reply.code == "not_acceptable"


@pytest.mark.parametrize("encoding", ["gzip", "x-gzip", "GZIP", "deflate", "identity", ""])
def test_compressed_bodies_are_inflated(gate: World, encoding: str) -> None:
    """gzip and deflate, as their names are spelled in the wild."""
    pack = {"gzip": gzip.compress, "x-gzip": gzip.compress, "deflate": zlib.compress}.get(encoding.lower(), bytes)

    reply = gate.ask("POST", PREDICT, pack(dumps(BODY)), headers={"content-encoding": encoding})

    assert reply.json["predictions"] == [{"y": 4.0}]


def test_unframed_deflate_and_joined_gzip_members_are_inflated(gate: World) -> None:
    """Some clients send a bare deflate stream, some writers of gzip several members."""
    text = dumps(BODY)
    bare = zlib.compressobj(wbits=-15)
    bodies = {
        "deflate": bare.compress(text) + bare.flush(),
        "gzip": gzip.compress(text[:9]) + gzip.compress(text[9:]),
    }

    for encoding, body in bodies.items():
        assert gate.ask("POST", PREDICT, body, headers={"content-encoding": encoding}).status == 200


@pytest.mark.parametrize(
    ("encoding", "body", "status", "code"),
    [
        ("br", b"x", 415, "unsupported_media_type"),
        ("gzip, gzip", b"x", 415, "unsupported_media_type"),
        ("gzip", b"not gzip", 400, "malformed"),
        ("gzip", b"", 400, "malformed"),
        ("gzip", gzip.compress(dumps(BODY), mtime=0)[:-9], 400, "malformed"),
        ("gzip", gzip.compress(dumps(BODY), mtime=0) + b"rest", 400, "malformed"),
        ("deflate", zlib.compress(dumps(BODY)) + b"rest", 400, "malformed"),
        ("gzip", gzip.compress(b" " * 1_000_000, mtime=0), 413, "too_large"),
    ],
)
def test_bad_compression_is_refused(gate: World, encoding: str, body: bytes, status: int, code: str) -> None:
    """Unknown, broken, trailed by something, or a bomb."""
    reply = gate.ask("POST", PREDICT, body, headers={"content-encoding": encoding})

    assert (reply.status, reply.code) == (status, code)


@pytest.mark.parametrize("coding", ["utf-8-sig", "utf-16", "utf-16-le", "utf-16-be", "utf-32", "utf-32-be"])
@pytest.mark.parametrize("path", ["/v1/models/gate:predict", "/v2/models/gate/infer"])
def test_json_in_another_coding_is_malformed_and_told_so(gate: World, path: str, coding: str) -> None:
    """UTF-8 without a byte order mark is JSON's only form here; a charset that says otherwise is unsupported."""
    body = '{"instances": [{"x": 1}]}'.encode(coding)

    plain = gate.ask("POST", path, body, headers={"content-type": "application/json"})
    named = gate.ask("POST", path, body, headers={"content-type": "application/json; charset=utf-16"})

    assert (plain.status, plain.code) == (400, "malformed")
    assert "UTF-" in plain.json["error"] or "byte order mark" in plain.json["error"]
    assert (named.status, named.code) == (415, "unsupported_media_type")


def test_limits_have_their_codes(gate: World) -> None:
    """Body, announced body, headers, rows and depth."""
    deep = b'{"instances": [{"x": 1}], "parameters": ' + b"[" * 70 + b"]" * 70 + b"}"
    refused = {
        "body": gate.ask("POST", PREDICT, b" " * 4097),
        "announced": gate.ask("POST", PREDICT, b"", headers={"content-length": "4097"}),
        "rows": gate.post(PREDICT, {"instances": [{"x": 1}] * 51}),
        "depth": gate.ask("POST", PREDICT, deep),
    }
    headers = gate.post(PREDICT, BODY, x_much="x" * 2048)

    assert {name: (reply.status, reply.code) for name, reply in refused.items()} == dict.fromkeys(
        refused, (413, "too_large")
    )
    assert (headers.status, headers.code) == (431, "headers_too_large")
    assert gate.get("/v2", x_much="x" * 2048).code == "headers_too_large"


def test_a_body_in_parts_is_one_body(gate: World) -> None:
    """However the server cuts it, and as soon as it is too long it is refused."""
    text = dumps(BODY)
    exchange = gate.exchange("POST", PREDICT)
    for index in range(len(text)):
        exchange.say(text[index : index + 1], more=True)
    exchange.say(b"")
    long = gate.exchange("POST", PREDICT)
    long.say(b" " * 4000, more=True)
    long.say(b" " * 4000, more=True)

    assert gate.run(exchange.run()).json["predictions"] == [{"y": 4.0}]
    assert gate.run(long.run()).code == "too_large"


def test_a_slow_client_is_not_waited_for(gate: World) -> None:
    """A body that does not arrive in time is `request_timeout`, wherever it stopped."""
    for parts in ([], [b'{"instances"']):
        exchange = gate.exchange("POST", PREDICT)
        for part in parts:
            exchange.say(part, more=True)

        reply = gate.run(exchange.run())

        assert (reply.status, reply.code) == (408, "request_timeout")
        assert reply.headers["connection"] == "close"


def test_a_body_that_comes_late_but_in_time_is_read(tmp_path: Path) -> None:
    """Waiting for the first part does not lose it."""
    with world([gate_bundle(tmp_path / "gate")]) as out:
        exchange = out.exchange("POST", PREDICT)

        async def converse() -> Any:
            running = asyncio.ensure_future(exchange.run())
            for part in (b'{"inst', b'ances": [{"x"'):
                await asyncio.sleep(0)
                exchange.say(part, more=True)
            await asyncio.sleep(0)
            exchange.say(b": 5}]}")
            return await running

        assert out.run(converse()).json["predictions"] == [{"y": 10.0}]


def test_a_client_that_hangs_up_while_sending_is_counted(gate: World) -> None:
    """Code `cancelled`, status 499, which nobody is left to read."""
    before = gate.count("cancelled")
    exchange = gate.exchange("POST", PREDICT)
    exchange.say(b"{", more=True)
    exchange.hang_up()

    assert gate.run(exchange.run()).status == 499
    assert gate.count("cancelled") == before + 1


def test_a_client_that_hangs_up_during_the_work_is_counted(tmp_path: Path) -> None:
    """Work in a thread is given up, and its slot is free again once the thread is."""
    with world([gate_bundle(tmp_path / "gate")], inline_seconds=0.0, max_inflight=1) as out:
        grpc_gate.shut()
        exchange = out.exchange("POST", PREDICT)
        exchange.say(dumps({"instances": [{"x": -1}]}))

        async def converse() -> Any:
            running = asyncio.ensure_future(exchange.run())
            await asyncio.to_thread(grpc_gate.wait_for_one)
            exchange.hang_up()
            gone = await running
            held = out.serving.inflight
            busy = out.exchange("POST", PREDICT)
            busy.say(dumps(BODY))
            shed = await busy.run()
            grpc_gate.opened.set()
            deadline = time.monotonic() + 20
            while out.serving.inflight and time.monotonic() < deadline:
                await asyncio.sleep(0.01)
            return gone, held, shed

        gone, held, shed = out.run(converse())

        assert (gone.status, gone.code, held) == (499, "cancelled", 1)
        assert (shed.status, shed.code, shed.headers["retry-after"]) == (503, "overloaded", "1")
        assert out.serving.inflight == 0
        assert out.count("cancelled", "gate", "1") == 1


def test_a_deadline_that_passes_during_the_work_is_answered_at_once(tmp_path: Path) -> None:
    """The caller does not wait for the thread."""
    with world([gate_bundle(tmp_path / "gate")], inline_seconds=0.0) as out:
        grpc_gate.shut()

        reply = out.post(PREDICT, {"instances": [{"x": -1}]}, x_request_timeout="0.05")

        assert (reply.status, reply.code) == (504, "deadline_exceeded")
        grpc_gate.opened.set()


def test_a_model_that_raises_keeps_its_secrets(gate: World) -> None:
    """500 with a fixed sentence; the exception's text goes to the log with the request id."""
    with log_lines() as lines:
        reply = gate.post(PREDICT, {"instances": [{"x": 13}]}, x_request_id="unlucky")

    assert (reply.status, reply.code) == (500, "model_failed")
    assert b"secret" not in reply.body
    assert lines[-1]["request_id"] == "unlucky"
    assert "a secret of the model" in lines[-1]["exception"]


def test_a_defect_of_ours_keeps_its_secrets(gate: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever fails, wherever: `internal`, and the cause in the log alone."""

    def broken(*_: Any, **__: Any) -> Any:
        raise RuntimeError("a secret of ours")

    for place, name in ((gate.serving.models.find("gate").view.records, "read_json"), (gate.serving.models, "find")):
        with monkeypatch.context() as patch, log_lines() as lines:
            patch.setattr(place, name, broken)

            reply = gate.post(PREDICT, BODY)

        assert (reply.status, reply.code) == (500, "internal")
        assert b"secret" not in reply.body
        assert "a secret of ours" in lines[-1]["exception"]
