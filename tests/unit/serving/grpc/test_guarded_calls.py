"""The guard over gRPC: which methods ask for a key, the same codes as over HTTP, and streams that stay open."""

from __future__ import annotations

import queue
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import grpc
import pytest
from google.rpc import error_details_pb2
from grpc_health.v1 import health_pb2
from grpc_reflection.v1alpha.proto_reflection_descriptor_database import ProtoReflectionDescriptorDatabase
from tests.support import grpc_gate
from tests.support.grpc_calls import World, request_of, world
from tests.support.guarded_server import Guarded

from fivefold.guard import keys
from fivefold.serving.grpc.proto import inference_pb2 as wire
from fivefold.serving.grpc.servicer import INFERENCE, Servicer

OPEN = {"ServerLive", "ServerReady"}
FOR_ADMINS = {"RepositoryModelLoad", "RepositoryModelUnload", "TraceSetting", "LogSettings"}


@pytest.fixture(autouse=True)
def _gate_is_open_again() -> Iterator[None]:
    yield
    grpc_gate.opened.set()


@pytest.fixture(params=["direct", pytest.param("by HAProxy and HTTP/1.1", marks=pytest.mark.full)])
def guarded(request: pytest.FixtureRequest, tmp_path: Path) -> Guarded:
    return Guarded(tmp_path, partial(world, behind=None if request.param == "direct" else tmp_path / "proxy"))


def bearer(key: str) -> tuple[tuple[str, str], ...]:
    return (("authorization", f"Bearer {key}"),)


def test_every_method_is_open_or_asks_for_a_key(guarded: Guarded) -> None:
    """Probes need none; everything else answers `unauthenticated`, and admins' methods `forbidden` to others."""
    admin = guarded.new(scopes=["admin"])
    with guarded.world() as out:
        methods = set(Servicer(out.serving).handlers()[INFERENCE]) - {"ModelStreamInfer"}
        for method in methods:
            none = out.ask(method, b"", wire.ServerLiveResponse)
            known = out.ask(method, b"", wire.ServerLiveResponse, metadata=bearer(guarded.key))
            allowed = out.ask(method, b"", wire.ServerLiveResponse, metadata=bearer(admin))
            if method in OPEN:
                assert none.code is known.code is grpc.StatusCode.OK, method
                continue
            assert (none.code, none.fivefold) == (grpc.StatusCode.UNAUTHENTICATED, "unauthenticated"), method
            for reply, refused in ((known, method in FOR_ADMINS), (allowed, method not in FOR_ADMINS)):
                assert (reply.code is grpc.StatusCode.PERMISSION_DENIED) == refused, method
                assert reply.code is not grpc.StatusCode.UNAUTHENTICATED, method


def test_health_and_reflection_are_open(guarded: Guarded) -> None:
    with guarded.world() as out:
        check = out.ask(
            "Check", health_pb2.HealthCheckRequest(), health_pb2.HealthCheckResponse, service="grpc.health.v1.Health"
        )
        watch = out.channel.unary_stream(
            "/grpc.health.v1.Health/Watch",
            health_pb2.HealthCheckRequest.SerializeToString,
            health_pb2.HealthCheckResponse.FromString,
        )(health_pb2.HealthCheckRequest(), timeout=20)

        assert check.answer.status == health_pb2.HealthCheckResponse.SERVING
        assert next(iter(watch)).status == health_pb2.HealthCheckResponse.SERVING
        assert INFERENCE in ProtoReflectionDescriptorDatabase(out.channel).get_services()
        watch.cancel()


def test_inference_with_and_without_a_key(guarded: Guarded) -> None:
    admin, slow = guarded.new(scopes=["admin"]), guarded.new(rate=0.5)
    with guarded.world() as out:
        known = out.infer(request_of(2.0), metadata=bearer(guarded.key))
        beside = out.infer(request_of(2.0), metadata=(("x-api-key", guarded.key),))
        wrong = out.infer(request_of(2.0), metadata=bearer(guarded.key + "x"))
        other = out.infer(request_of(2.0), metadata=bearer(admin))
        first, second = (out.infer(request_of(2.0), metadata=bearer(slow)) for _ in range(2))

        assert known.answer.outputs[0].contents.fp64_contents == [4.0]
        assert beside.code is first.code is grpc.StatusCode.OK
        assert (wrong.code, wrong.fivefold) == (grpc.StatusCode.UNAUTHENTICATED, "unauthenticated")
        assert (other.code, other.fivefold) == (grpc.StatusCode.PERMISSION_DENIED, "forbidden")
        assert (second.code, second.fivefold) == (grpc.StatusCode.RESOURCE_EXHAUSTED, "rate_limited")
        assert 1 < second.detail(error_details_pb2.RetryInfo).retry_delay.ToTimedelta().total_seconds() <= 2
        for reply in (wrong, other, second):
            assert guarded.key[12:] not in reply.message + str(reply.status)


def test_a_call_counts_until_it_has_ended(guarded: Guarded) -> None:
    """In the model, and also when it failed or was cancelled."""
    key = guarded.new(concurrency=1)
    with guarded.world() as out:
        grpc_gate.opened.clear()
        call = out.channel.unary_unary(
            f"/{INFERENCE}/ModelInfer", wire.ModelInferRequest.SerializeToString, wire.ModelInferResponse.FromString
        )
        waiting = call.future(request_of(-1.0), timeout=20, metadata=bearer(key))
        out.wait_for_inflight(1)
        assert out.infer(request_of(2.0), metadata=bearer(key)).fivefold == "rate_limited"

        waiting.cancel()
        grpc_gate.opened.set()
        out.wait_for_inflight(0)
        for x, code in ((13.0, "model_failed"), (2000.0, "out_of_range")):
            assert out.infer(request_of(x), metadata=bearer(key)).fivefold == code
        assert out.infer(request_of(2.0), metadata=bearer(key)).code is grpc.StatusCode.OK


def test_a_stream_is_not_opened_without_a_key(guarded: Guarded) -> None:
    admin = guarded.new(scopes=["admin"])
    with guarded.world() as out:
        for metadata, status in (
            ((), grpc.StatusCode.UNAUTHENTICATED),
            (bearer("ff_x"), grpc.StatusCode.UNAUTHENTICATED),
            (bearer(admin), grpc.StatusCode.PERMISSION_DENIED),
        ):
            with pytest.raises(grpc.RpcError) as caught:
                list(out.stream(iter([request_of(2.0)]), metadata=metadata))
            assert caught.value.code() is status


class Conversation:
    """A stream on which one message waits for the answer to the one before."""

    def __init__(self, out: World, key: str) -> None:
        self._messages: queue.Queue[Any] = queue.Queue()
        self._answers = iter(out.stream(iter(self._messages.get, None), metadata=bearer(key)))

    def ask(self, x: float) -> str:
        """The code of the answer."""
        self._messages.put(request_of(x))
        answer = next(self._answers)
        if not answer.error_message:
            return "ok"
        return str(answer.infer_response.parameters["code"].string_param)

    def end(self) -> None:
        self._messages.put(None)
        assert list(self._answers) == []


def test_each_message_of_a_stream_counts(guarded: Guarded) -> None:
    """An open stream uses nothing up, and is no way around a limit."""
    slow = guarded.new(rate=0.01, burst=2)
    with guarded.world() as out:
        stream = Conversation(out, slow)

        assert [stream.ask(x) for x in (1.0, 2.0, 3.0)] == ["ok", "ok", "rate_limited"]
        stream.end()


def test_a_revoked_key_ends_what_an_open_stream_may_ask(guarded: Guarded) -> None:
    with guarded.world() as out:
        stream = Conversation(out, guarded.key)
        assert stream.ask(1.0) == "ok"

        keys.remove(guarded.place, guarded.key[3:11])
        out.serving.guard.look()
        assert stream.ask(2.0) == "unauthenticated"
        stream.end()
