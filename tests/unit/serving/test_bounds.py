"""What one request may cost the process: bytes in flight, time on the event loop, log lines, members and pings."""

from __future__ import annotations

import asyncio
import gzip
import json
import socket
import time
import zlib
from collections.abc import Iterator

import grpc
import pytest
from tests.support import grpc_calls
from tests.support.grpc_calls import gate_bundle, request_of
from tests.support.http_calls import World, dumps, world

from fivefold.core.bundle.bundle import Bundle
from fivefold.core.errors import ContractError, Unavailable
from fivefold.core.settings import SettingsError
from fivefold.serving.admission import FREE, Room
from fivefold.serving.grpc.call import parse
from fivefold.serving.grpc.grpc_server import _ping_milliseconds
from fivefold.serving.grpc.proto import inference_pb2 as wire
from fivefold.serving.http.request_body import inflate
from fivefold.serving.limits import ServingLimits
from fivefold.serving.messages import INLINE_SECONDS, Call, Lengthy

PREDICT = "/v1/models/gate:predict"
INFER = "/v2/models/gate/infer"
LIMIT = 256 * 1024
SMALL = dumps({"instances": [{"x": 2.0}]})


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Bundle:
    return gate_bundle(tmp_path_factory.mktemp("gate") / "gate")


@pytest.fixture(scope="module")
def gate(bundle: Bundle) -> Iterator[World]:
    with world([bundle], max_body_bytes=LIMIT, max_bytes_in_flight=LIMIT) as out:
        yield out


@pytest.fixture(scope="module")
def served_grpc(bundle: Bundle) -> Iterator[grpc_calls.World]:
    with grpc_calls.world([bundle], max_body_bytes=LIMIT, max_bytes_in_flight=LIMIT) as out:
        yield out


def padded(size: int) -> bytes:
    """A valid body of so many bytes."""
    return b" " * (size - len(SMALL)) + SMALL


def test_bodies_that_arrive_share_a_bound_and_small_requests_pass(gate: World) -> None:
    """Unfinished bodies hold what has arrived; the next large one is `overloaded`, small ones pass."""
    slow = [gate.exchange("POST", PREDICT) for _ in range(3)]

    async def ask() -> list[int]:
        room = gate.serving.room
        for exchange in slow[:2]:
            exchange.say(b" " * 180_000, more=True)
        waiting = [asyncio.ensure_future(exchange.run()) for exchange in slow[:2]]
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        assert room.held == 2 * (180_000 - FREE)
        slow[2].say(padded(200_000))
        refused = await slow[2].run()
        assert (refused.code, refused.headers["retry-after"]) == ("overloaded", "1")
        small = gate.exchange("POST", PREDICT)
        small.say(SMALL)
        passed = await small.run()
        slow[0].hang_up()
        slow[1].say(SMALL)
        replies = await asyncio.gather(*waiting)
        return [refused.status, passed.status, *(reply.status for reply in replies)]

    assert gate.run(ask()) == [503, 200, 499, 200]
    assert gate.serving.room.held == 0


@pytest.mark.parametrize("encoding", ["gzip", "deflate"])
def test_what_a_body_is_inflated_to_is_held_as_well(gate: World, encoding: str) -> None:
    """A bomb within the limit on bodies takes its whole size while it is read, and leaves nothing behind."""
    raw = padded(LIMIT)
    small = gzip.compress(raw) if encoding == "gzip" else zlib.compress(raw)
    gate.serving.room.take(LIMIT // 2)
    try:
        refused = gate.ask("POST", PREDICT, small, headers={"content-encoding": encoding})
    finally:
        gate.serving.room.give(LIMIT // 2)
    answered = gate.ask("POST", PREDICT, small, headers={"content-encoding": encoding})

    assert (refused.status, refused.code, answered.status) == (503, "overloaded", 200)
    assert gate.serving.room.held == 0


@pytest.mark.parametrize("body", [padded(LIMIT), padded(LIMIT + 1), b"{" * LIMIT, b" " * 100_000 + b"[]"])
def test_every_way_out_gives_the_bytes_back(gate: World, body: bytes) -> None:
    """Answered, too large, too deep or malformed: afterwards nothing is held."""
    gate.ask("POST", PREDICT, body)
    gate.ask("POST", INFER, body)

    assert gate.serving.room.held == 0


def test_a_room_is_never_overdrawn() -> None:
    """What does not fit is refused and takes nothing."""
    room = Room(10, 2.5)
    room.take(7)

    with pytest.raises(Unavailable, match="hold 7 of 10 bytes") as refusal:
        room.take(4)

    assert refusal.value.retry_after == 2.5
    room.take(3)
    room.give(10)
    assert room.held == 0


def test_messages_share_the_bound_with_bodies(served_grpc: grpc_calls.World) -> None:
    """A large message finds no room while others hold it, and finds it afterwards; a small one always passes."""
    request = request_of(*[2.0] * 20_000)
    room = served_grpc.serving.room
    room.take(LIMIT - FREE)
    try:
        refused, small = served_grpc.infer(request), served_grpc.infer(request_of(2.0))
    finally:
        room.give(LIMIT - FREE)

    assert (refused.code, refused.fivefold) == (grpc.StatusCode.UNAVAILABLE, "overloaded")
    assert small.code is grpc.StatusCode.OK
    assert served_grpc.infer(request).code is grpc.StatusCode.OK
    assert room.held == 0


@pytest.mark.parametrize(("given", "most"), [(0, 8 * 64 * 1024 * 1024), (2**30, 2**30)])
def test_the_bound_is_eight_bodies_where_none_is_given(given: int, most: int) -> None:
    """0 stands for eight times the limit on a body."""
    assert ServingLimits(max_bytes_in_flight=given).bytes_in_flight == most


def test_a_bound_below_one_body_is_refused() -> None:
    """No body of the allowed size could ever be received."""
    with pytest.raises(SettingsError, match="at least max_body_bytes"):
        ServingLimits(max_bytes_in_flight=1024)


def test_gzip_members_are_read_in_linear_time() -> None:
    """Twice as many members take about twice as long, and more than some thousands are refused."""

    def seconds(count: int) -> float:
        raw = gzip.compress(b"") * (count - 1) + gzip.compress(b"[]")
        best = float("inf")
        for _ in range(3):
            start = time.thread_time()
            assert inflate(raw, 31, LIMIT) == b"[]"
            best = min(best, time.thread_time() - start)
        return best

    assert seconds(4096) < 20 * seconds(512)
    with pytest.raises(ContractError, match="at most 4096 gzip members"):
        inflate(gzip.compress(b"") * 100_000, 31, LIMIT)


@pytest.mark.parametrize("sizes", [(1,), (0, 1), (0, 5000, 0), (70_000, 1), (1, 200_000), (513, 511, 512, 1024)])
def test_members_are_joined(sizes: tuple[int, ...]) -> None:
    """Whatever their lengths, and whether or not they compress."""
    parts = [bytes((at * 7919 >> 3) & 255 for at in range(size)) for size in sizes]

    assert inflate(b"".join(map(gzip.compress, parts)), 31, LIMIT) == b"".join(parts)


@pytest.mark.parametrize(
    ("path", "body"),
    [
        (PREDICT, dumps({"instances": [[1]] * 40_000})),
        (PREDICT, dumps({"instances": [{"ex": ""}] * 20_000})),
        (INFER, dumps({"inputs": [{"name": "x", "datatype": "FP64", "shape": [30_000], "data": [""] * 30_000}]})),
        (
            INFER,
            dumps({"inputs": [{"name": str(i), "datatype": "FP64", "shape": [0], "data": []} for i in range(999)]}),
        ),
    ],
)
def test_what_takes_long_to_read_is_not_read_on_the_event_loop(
    gate: World, path: str, body: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The typed decoder's refusal is cheap; the exact reading is begun again in a thread, with the same outcome."""
    asked: list[float] = []
    begin = Call.begin

    def seen(call: Call, seconds: float) -> None:
        asked.append(call.patience)
        begin(call, seconds)

    monkeypatch.setattr(Call, "begin", seen)
    reply = gate.ask("POST", path, body)

    assert asked[0] == INLINE_SECONDS
    assert asked[-1] == float("inf")
    assert reply.status in (200, 422)


def test_a_short_step_is_made_at_once_and_a_long_one_is_not() -> None:
    """By the reader's own estimate."""
    call = Call("http", "1")
    call.begin(INLINE_SECONDS)

    with pytest.raises(Lengthy):
        call.begin(INLINE_SECONDS * 1.01)


def test_a_deadline_ends_a_long_reading(gate: World) -> None:
    """Time that is up is noticed inside, not after the last row."""
    call = Call("http", "1", deadline=time.monotonic() - 1, patience=float("inf"))
    model = gate.serving.models.find("gate", None)

    with pytest.raises(Exception, match="the time for this request is up"):
        model.view.records.read_json(dumps({"instances": [{"ex": ""}] * 5000}), watch=call)


@pytest.mark.parametrize("field", [5, 6, 4, 7])
def test_a_message_of_empty_fields_is_refused_before_it_is_parsed(field: int) -> None:
    """Two bytes spell an empty tensor, which takes a hundred."""
    raw = bytes((field << 3 | 2, 0)) * 100_000

    with pytest.raises(ContractError, match="at most 65536 tensors") as refusal:
        parse(wire.ModelInferRequest, raw, len(raw))

    assert refusal.value.code == "too_large"


def test_a_long_message_of_few_fields_is_parsed() -> None:
    """Also with fields that the protocol does not know, of every wire type."""
    request = wire.ModelInferRequest(model_name="gate", raw_input_contents=[b"\0" * 100_000])
    unknown = b"\x98\x06\x01" + b"\x99\x06" + b"\0" * 8 + b"\x9d\x06" + b"\0" * 4

    assert parse(wire.ModelInferRequest, request.SerializeToString() + unknown, LIMIT).model_name == "gate"


@pytest.mark.parametrize("raw", [b"\xff" * 100_000, b"\x0a" + b"\xff" * 9 + b"\x01" + b"a" * 70_000, b"\x0b" * 70_000])
def test_long_bytes_that_are_no_message_are_malformed(raw: bytes) -> None:
    """Looking at them first finds no end and raises nothing of its own."""
    with pytest.raises(ContractError) as refusal:
        parse(wire.ModelInferRequest, raw, LIMIT)

    assert refusal.value.code == "malformed"


def test_a_grpc_shape_of_many_dimensions_is_refused_in_few_words(served_grpc: grpc_calls.World) -> None:
    """Ten thousand sizes whose product has no end."""
    request = request_of(1.0)
    request.inputs[0].shape.extend([2**62] * 10_000)
    reply = served_grpc.infer(request)

    assert (reply.code, reply.fivefold) == (grpc.StatusCode.INVALID_ARGUMENT, "malformed")
    assert len(reply.message) < 500
    assert "(10001 dimensions)" in reply.message


@pytest.mark.parametrize(
    "body",
    [
        {"instances": [{"x" * 100_000: 1}]},
        {"instances": [{"x": "y" * 100_000}]},
        {"inst" * 30_000: []},
        {"inputs": [{"name": "x" * 100_000, "datatype": "FP64", "shape": [1], "data": [1]}]},
        {"inputs": [{"name": "x", "datatype": "F" * 100_000, "shape": [1], "data": [1]}]},
        {"inputs": [{"name": "x", "datatype": "FP64", "shape": [-1] * 50_000, "data": [1]}]},
        {"inputs": [{"name": "x", "datatype": "FP64", "shape": [1], "data": [1], "parameters": {"p" * 90_000: []}}]},
        {"inputs": [{"name": "x", "datatype": "FP64", "shape": [1], "data": [1]}], "outputs": [{"name": "y" * 90_000}]},
        {"inputs": [], "id": ["i" * 100_000]},
        {"inputs": [{"name": "x"}], "parameters": {"binary_data_output": "b" * 100_000}},
    ],
)
def test_errors_and_log_lines_are_short_whatever_came(gate: World, body: dict[str, object]) -> None:
    """Names, values, shapes and parameters of a hundred thousand characters are cut where they are shown."""
    for path in (PREDICT, INFER):
        gate.lines.clear()
        reply = gate.post(path, body)

        assert reply.status in (400, 422)
        assert len(reply.body) < 4096
        assert all(len(json.dumps(line)) < 16 * 1024 for line in gate.lines)


def test_a_path_of_a_hundred_thousand_characters_is_not_logged_whole(gate: World) -> None:
    """Nor answered with all of it."""
    for path in ("/v1/models/" + "m" * 100_000 + ":predict", "/v2/models/gate/versions/" + "9" * 100_000 + "/infer"):
        gate.lines.clear()
        reply = gate.ask("POST", path, SMALL)

        assert reply.status == 404
        assert len(reply.body) < 4096
        assert all(len(json.dumps(line)) < 16 * 1024 for line in gate.lines)


def survives_pings(address: str, count: int) -> bool:
    """Whether a connection without calls survives so many pings one after another (RFC 9113, 6.7 and 6.8)."""
    host, _, port = address.rpartition(":")
    with socket.create_connection((host, int(port)), timeout=10) as connection:
        connection.sendall(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + b"\0\0\0\4\0\0\0\0\0")
        reader = connection.makefile("rb")
        for number in range(count):
            connection.sendall(b"\0\0\x08\6\0\0\0\0\0" + number.to_bytes(8))
            while True:
                head = reader.read(9)
                if len(head) < 9 or head[3] == 7:
                    return False
                reader.read(int.from_bytes(head[:3]))
                if head[3] == 6 and head[4] & 1:
                    break
    return True


def test_clients_may_ping_as_often_as_the_setting_says_also_without_calls(bundle: Bundle) -> None:
    """Where it says any time, ten pings in a row leave the connection open; where it says 10 s, they end it."""
    with grpc_calls.world([bundle], grpc_min_ping_seconds=0.0) as patient:
        assert survives_pings(patient.server.address, 10)
    with grpc_calls.world([bundle]) as strict:
        assert not survives_pings(strict.server.address, 10)


def test_a_ping_every_ten_seconds_is_allowed_by_default() -> None:
    """gRPC is told somewhat less, since packets do not keep time."""
    assert _ping_milliseconds(ServingLimits().grpc_min_ping_seconds) == 9000
