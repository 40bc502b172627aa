"""Streams: order, limit, errors for each message, the drain; and the health service's watchers."""

from __future__ import annotations

import queue
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import grpc
import pytest
from grpc_health.v1 import health_pb2
from tests.support import grpc_calls, grpc_gate
from tests.support.grpc_calls import SECONDS, World, request_of

from fivefold.serving.grpc.bidi_stream import INFLIGHT
from fivefold.serving.grpc.proto import inference_pb2 as wire
from fivefold.serving.grpc.servicer import INFERENCE

SERVING = health_pb2.HealthCheckResponse.SERVING
NOT_SERVING = health_pb2.HealthCheckResponse.NOT_SERVING
SERVICE_UNKNOWN = health_pb2.HealthCheckResponse.SERVICE_UNKNOWN
HEALTH = "grpc.health.v1.Health"


@pytest.fixture
def served(tmp_path: Path) -> Iterator[World]:
    """A fresh server for each test, which it may drain; every inference in one of 16 threads."""
    with grpc_calls.world([grpc_calls.gate_bundle(tmp_path / "g")], inline_seconds=0.0, threads=16) as world:
        yield world
        grpc_gate.opened.set()


class Sender:
    """Requests that a test hands over one by one; it knows how many gRPC has taken."""

    def __init__(self) -> None:
        self._queue: queue.Queue[Any] = queue.Queue()
        self.taken = 0

    def send(self, *messages: Any) -> None:
        for message in messages:
            self._queue.put(message)

    def close(self) -> None:
        self._queue.put(None)

    def __iter__(self) -> Iterator[Any]:
        while (message := self._queue.get()) is not None:
            self.taken += 1
            yield message


def value(answer: wire.ModelStreamInferResponse) -> float:
    return float(answer.infer_response.outputs[0].contents.fp64_contents[0])


def test_answers_come_in_the_order_of_the_requests(served: World) -> None:
    """Also where an early one waits while later ones are done."""
    grpc_gate.shut()
    sender = Sender()
    answers = served.stream(iter(sender))
    sender.send(request_of(-1, id="0"), *(request_of(n, id=str(n)) for n in range(1, 6)))
    grpc_gate.wait_for_one()
    grpc_gate.opened.set()
    sender.send(*(request_of(n, id=str(n)) for n in range(6, 100) if n != 13))
    sender.close()
    got = list(answers)

    assert [answer.infer_response.id for answer in got] == [str(n) for n in range(100) if n != 13]
    assert value(got[0]) == -2.0
    assert all(value(answer) == 2.0 * int(answer.infer_response.id) for answer in got[1:])


def test_a_bad_message_has_its_own_error_and_the_stream_goes_on(served: World) -> None:
    """Sentence, code, path and request id; every other message is answered."""
    sent = [request_of(1), b"\xff\xff", request_of(5000, id="far"), request_of(13), request_of(2)]
    got = list(served.stream(iter(sent), metadata=[("x-request-id", "s")]))
    parameters = [answer.infer_response.parameters for answer in got]

    assert [bool(answer.error_message) for answer in got] == [False, True, True, True, False]
    assert got[2].error_message.startswith("inputs.x[0]: expected a number of at most 1000")
    assert got[2].infer_response.id == "far"
    assert [p["code"].string_param for p in parameters[1:4]] == ["malformed", "out_of_range", "model_failed"]
    assert parameters[2]["path"].string_param == "inputs.x[0]"
    assert [p["request_id"].string_param for p in parameters] == [f"s/{n}" for n in range(1, 6)]


@pytest.mark.parametrize("asked", [True, False])
def test_every_answer_says_that_it_is_the_last_to_its_request(served: World, asked: bool) -> None:
    """Whether or not the client asked for an empty last one: there is nothing that could follow."""
    requests = [request_of(1), request_of(5000)]
    if asked:
        for request in requests:
            request.parameters["triton_enable_empty_final_response"].bool_param = True
    got = list(served.stream(iter(requests)))

    assert [answer.infer_response.parameters["triton_final_response"].bool_param for answer in got] == [True, True]


def test_a_stream_has_a_bounded_number_of_messages_in_work(served: World) -> None:
    """While so many wait, no further message is begun."""
    grpc_gate.shut()
    sender = Sender()
    answers = served.stream(iter(sender))
    total = INFLIGHT * 3
    sender.send(*(request_of(-n) for n in range(1, total + 1)))
    sender.close()
    served.wait_for_inflight(INFLIGHT)
    for _ in range(5):
        served.ask("ServerLive", wire.ServerLiveRequest(), wire.ServerLiveResponse)

    assert served.serving.inflight == INFLIGHT
    grpc_gate.opened.set()
    assert [value(answer) for answer in answers] == [-2.0 * n for n in range(1, total + 1)]


def test_an_idle_stream_is_no_load(served: World) -> None:
    """Between messages nothing is in work."""
    sender = Sender()
    answers = served.stream(iter(sender))
    sender.send(request_of(1))

    assert value(next(answers)) == 2.0
    assert served.serving.inflight == 0
    sender.close()
    assert list(answers) == []


def test_a_client_that_goes_away_takes_its_messages_with_it(served: World) -> None:
    """What was in work is given up, and the server is free again."""
    grpc_gate.shut()
    answers = served.stream(iter([request_of(-1), request_of(-2)]))
    served.wait_for_inflight(2)
    answers.cancel()
    grpc_gate.opened.set()
    served.wait_for_inflight(0)

    assert [value(answer) for answer in served.stream(iter([request_of(1)]))] == [2.0]


def test_a_drain_lets_the_message_in_work_finish_and_ends_the_stream(served: World) -> None:
    """Its answer comes, then UNAVAILABLE with `not_ready`."""
    grpc_gate.shut()
    sender = Sender()
    answers = served.stream(iter(sender))
    sender.send(request_of(-3))
    grpc_gate.wait_for_one()
    served.drain()
    grpc_gate.opened.set()

    assert value(next(answers)) == -6.0
    with pytest.raises(grpc.RpcError) as caught:
        next(answers)
    sender.close()
    assert caught.value.code() is grpc.StatusCode.UNAVAILABLE
    assert dict(caught.value.trailing_metadata())["fivefold-code"] == "not_ready"


def test_a_stream_that_is_opened_while_draining_ends_at_once(served: World) -> None:
    """And the call of one request is still answered."""
    served.drain()
    with pytest.raises(grpc.RpcError) as caught:
        list(served.stream(iter([request_of(1)])))

    assert dict(caught.value.trailing_metadata())["fivefold-code"] == "not_ready"
    assert served.infer(request_of(1)).code is grpc.StatusCode.OK


def check(world: World, service: str) -> Any:
    return world.ask(
        "Check", health_pb2.HealthCheckRequest(service=service), health_pb2.HealthCheckResponse, service=HEALTH
    )


def watch(world: World, service: str) -> Any:
    call = world.channel.unary_stream(
        f"/{HEALTH}/Watch",
        health_pb2.HealthCheckRequest.SerializeToString,
        health_pb2.HealthCheckResponse.FromString,
    )
    return call(health_pb2.HealthCheckRequest(service=service), timeout=SECONDS)


@pytest.mark.parametrize("service", ["", INFERENCE, HEALTH, "gate", "gate/1"])
def test_health_is_known_for_the_server_each_model_and_each_version(served: World, service: str) -> None:
    """SERVING until the drain, NOT_SERVING from then on."""
    before = check(served, service).answer.status
    served.drain()

    assert before == SERVING
    assert check(served, service).answer.status == NOT_SERVING


@pytest.mark.parametrize("service", ["gat", "gate/2", "gate/1/2"])
def test_health_of_what_is_not_served_is_not_found(served: World, service: str) -> None:
    """As the health protocol wants it."""
    reply = check(served, service)

    assert (reply.code, reply.fivefold) == (grpc.StatusCode.NOT_FOUND, "model_not_found")


def test_a_watcher_hears_of_the_drain_and_then_its_stream_ends(served: World) -> None:
    """SERVING, NOT_SERVING, UNAVAILABLE: a watcher never holds up the drain."""
    statuses = watch(served, "gate")

    assert next(statuses).status == SERVING
    served.drain()
    assert next(statuses).status == NOT_SERVING
    with pytest.raises(grpc.RpcError) as caught:
        next(statuses)
    assert caught.value.code() is grpc.StatusCode.UNAVAILABLE


def test_a_watcher_of_what_is_not_served_hears_that_it_is_unknown(served: World) -> None:
    """And may wait for it."""
    statuses = watch(served, "gat")

    assert next(statuses).status == SERVICE_UNKNOWN
    assert statuses.is_active()
    statuses.cancel()


def test_fifty_idle_watchers_and_streams_are_no_load_and_do_not_slow_the_stop(served: World) -> None:
    """They end with the drain, so stopping takes no grace."""
    watchers = [watch(served, "") for _ in range(50)]
    senders = [Sender() for _ in range(5)]
    streams = [served.stream(iter(sender)) for sender in senders]
    assert all(next(statuses).status == SERVING for statuses in watchers)
    for sender, stream in zip(senders, streams, strict=True):
        sender.send(request_of(1))
        assert value(next(stream)) == 2.0

    assert served.serving.inflight == 0
    started = time.monotonic()
    served.stop()
    for sender in senders:
        sender.close()
    assert time.monotonic() - started < 4.0
