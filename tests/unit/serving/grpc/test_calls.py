"""Calls of the inference service: what travels beside tensors, limits, time, and what models say of themselves."""

from __future__ import annotations

import contextlib
import re
import socket
import time
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import grpc
import pytest
from google.protobuf import descriptor_pb2
from grpc_reflection.v1alpha import reflection_pb2
from tests.support import grpc_calls, grpc_gate
from tests.support.grpc_calls import SECONDS, Loop, World, request_of

from fivefold.serving.grpc.control import ELSEWHERE
from fivefold.serving.grpc.grpc_server import GrpcServer
from fivefold.serving.grpc.proto import inference_pb2 as wire
from fivefold.serving.grpc.servicer import INFERENCE, register_unready

LIMIT = 64 * 1024


@pytest.fixture(scope="module", params=["direct", "by HAProxy and HTTP/1.1"])
def served(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    """`gate` in two versions, every inference in a thread, small limits; each of the two ways to it."""
    directory = tmp_path_factory.mktemp("gate")
    behind = None if request.param == "direct" else directory / "proxy"
    bundles = [grpc_calls.gate_bundle(directory / version, version) for version in ("2", "10")]
    with grpc_calls.world(
        bundles,
        behind=behind,
        inline_seconds=0.0,
        max_body_bytes=LIMIT,
        max_rows=100,
        max_inflight=2,
        retry_after=1.5,
    ) as world:
        yield world


@pytest.fixture(autouse=True)
def _gate_open_again() -> Iterator[None]:
    yield
    grpc_gate.opened.set()


def test_an_answer_echoes_the_id_and_carries_the_metadata(served: World) -> None:
    """The protocol's id as it came; the metadata among the parameters; the request's id also in the trailers."""
    reply = served.infer(request_of(1.5, id="näm"), metadata=[("x-request-id", "mine-1")])
    model = served.serving.models.find("gate")

    assert reply.answer.id == "näm"
    assert {key: value.string_param for key, value in reply.answer.parameters.items()} == {
        "model": "gate",
        "version": "10",
        "bundle": model.bundle.digest,
        "contract": "gate@1.0.0",
        "transport": "grpc",
        "request_id": "mine-1",
    }
    assert (reply.answer.model_name, reply.answer.model_version) == ("gate", "10")
    assert reply.trailers["x-request-id"] == "mine-1"


def test_a_request_without_a_usable_id_gets_one(served: World) -> None:
    """Two calls never share an id, and one too long is not taken over."""
    first = served.infer(request_of(1))
    second = served.infer(request_of(1), metadata=[("x-request-id", "x" * 200)])

    assert first.trailers["x-request-id"] != second.trailers["x-request-id"] != "x" * 200


def test_the_trace_that_came_goes_back(served: World) -> None:
    """A W3C traceparent is a trailer of the answer."""
    trace = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"

    assert served.infer(request_of(1), metadata=[("traceparent", trace)]).trailers["traceparent"] == trace


def test_a_version_answers_when_it_is_asked_for(served: World) -> None:
    """The default is the highest by number, not by text."""

    assert served.infer(request_of(1, model_version="2")).answer.model_version == "2"
    assert served.infer(request_of(1)).answer.model_version == "10"


@pytest.mark.parametrize(
    ("name", "version", "code"), [("gat", "", "model_not_found"), ("gate", "3", "version_not_found")]
)
def test_what_is_not_served_is_not_found(served: World, name: str, version: str, code: str) -> None:
    """Of inference, metadata, configuration and statistics alike."""
    request = request_of(1)
    request.model_name, request.model_version = name, version
    replies = [served.infer(request)]
    for method in ("ModelMetadata", "ModelConfig", "ModelStatistics"):
        asked = getattr(wire, f"{method}Request")(name=name, version=version)
        replies.append(served.ask(method, asked, getattr(wire, f"{method}Response")))

    assert {(reply.code, reply.fivefold) for reply in replies} == {(grpc.StatusCode.NOT_FOUND, code)}


def test_text_of_the_models_exception_never_reaches_the_caller(served: World) -> None:
    """A model that raises is `model_failed`; what it said is for the log."""
    reply = served.infer(request_of(13))

    assert (reply.code, reply.fivefold) == (grpc.StatusCode.INTERNAL, "model_failed")
    assert "secret" not in reply.message + str(reply.trailers)


def test_a_message_beyond_the_limit_is_too_large(served: World) -> None:
    """Our error below twice the limit, gRPC's own beyond."""
    somewhat, far = (request_of(*[1.0] * (LIMIT // 8 * times)) for times in (1, 3))
    ours, bare = served.infer(somewhat), served.infer(far)

    assert (ours.code, ours.fivefold) == (grpc.StatusCode.RESOURCE_EXHAUSTED, "too_large")
    assert bare.code is grpc.StatusCode.RESOURCE_EXHAUSTED


def test_too_many_rows_are_too_large(served: World) -> None:
    """The limit on rows is the setting's."""

    assert served.infer(request_of(*[1.0] * 101)).fivefold == "too_large"


def test_a_message_of_many_mebibytes_comes_and_goes(tmp_path_factory: pytest.TempPathFactory) -> None:
    """gRPC's own default limit of 4 MiB does not hold in either direction."""
    bundle = grpc_calls.gate_bundle(tmp_path_factory.mktemp("big") / "g")
    with grpc_calls.world([bundle], max_rows=2_000_000) as world:
        reply = world.infer(request_of(*[2.0] * 1_000_000))

    assert reply.answer.outputs[0].contents.fp64_contents[-1] == 4.0


@pytest.mark.parametrize("given", ["0", "0.000001"])
def test_expired_work_is_never_started(served: World, given: str) -> None:
    """A request whose time is up reaches no model."""
    before = served.serving.models.find("gate").statistics.score_ns
    reply = served.infer(request_of(1), metadata=[("x-request-timeout", given)])

    assert (reply.code, reply.fivefold) == (grpc.StatusCode.DEADLINE_EXCEEDED, "deadline_exceeded")
    assert served.serving.models.find("gate").statistics.score_ns == before


def test_the_timeout_in_the_metadata_ends_the_wait_for_the_model(served: World) -> None:
    """The caller hears of it at once, not when the model is done."""
    grpc_gate.shut()
    reply = served.infer(request_of(-1), metadata=[("x-request-timeout", "0.2")])

    assert reply.fivefold == "deadline_exceeded"
    grpc_gate.opened.set()
    served.wait_for_inflight(0)


def test_a_timeout_that_is_no_number_is_malformed(served: World) -> None:
    """As on HTTP."""

    assert served.infer(request_of(1), metadata=[("x-request-timeout", "soon")]).fivefold == "malformed"


def test_the_clients_deadline_is_the_requests(served: World) -> None:
    """Without any metadata: gRPC's own deadline ends the call, and what it held is given back."""
    grpc_gate.shut()
    reply = served.infer(request_of(-1), timeout=0.3)

    assert reply.code is grpc.StatusCode.DEADLINE_EXCEEDED
    grpc_gate.opened.set()
    served.wait_for_inflight(0)


def test_a_cancelled_call_is_given_up(served: World) -> None:
    """A caller that goes away is counted, and its place is free again when the model is done."""
    grpc_gate.shut()
    call = served.channel.unary_unary(f"/{INFERENCE}/ModelInfer")
    future = call.future(request_of(-1).SerializeToString(), timeout=SECONDS)
    grpc_gate.wait_for_one()
    future.cancel()
    end = time.monotonic() + SECONDS
    while b'code="cancelled",model="gate"' not in served.serving.telemetry.expose()[0]:
        assert time.monotonic() < end
        time.sleep(0.005)
    assert served.serving.inflight == 1
    grpc_gate.opened.set()
    served.wait_for_inflight(0)

    assert served.infer(request_of(1)).code is grpc.StatusCode.OK


def test_more_than_can_be_in_work_is_overloaded(served: World) -> None:
    """UNAVAILABLE with the seconds to wait, while those in work finish."""
    grpc_gate.shut()
    call = served.channel.unary_unary(f"/{INFERENCE}/ModelInfer", None, wire.ModelInferResponse.FromString)
    futures = [call.future(request_of(-1).SerializeToString(), timeout=SECONDS) for _ in range(2)]
    served.wait_for_inflight(2)
    reply = served.infer(request_of(1))
    grpc_gate.opened.set()

    assert (reply.code, reply.fivefold) == (grpc.StatusCode.UNAVAILABLE, "overloaded")
    assert reply.status.details[2].type_url.endswith("RetryInfo")
    assert all(future.result().outputs[0].contents.fp64_contents[0] == -2.0 for future in futures)
    served.wait_for_inflight(0)


def test_the_server_and_its_models_say_what_they_are(served: World) -> None:
    """Metadata, configuration and index name the same models."""
    server = served.ask("ServerMetadata", wire.ServerMetadataRequest(), wire.ServerMetadataResponse).answer
    about = served.ask("ModelMetadata", wire.ModelMetadataRequest(name="gate"), wire.ModelMetadataResponse).answer
    config = served.ask("ModelConfig", wire.ModelConfigRequest(name="gate"), wire.ModelConfigResponse).answer.config
    index = served.ask("RepositoryIndex", wire.RepositoryIndexRequest(), wire.RepositoryIndexResponse).answer

    assert server.name == "fivefold"
    assert "binary_tensor_data" in server.extensions
    assert (about.name, list(about.versions), about.platform) == ("gate", ["2", "10"], "fivefold_python")
    assert [(t.name, t.datatype, list(t.shape)) for t in (*about.inputs, *about.outputs)] == [
        ("x", "FP64", [-1]),
        ("y", "FP64", [-1]),
    ]
    assert (config.name, config.max_batch_size, config.input[0].name) == ("gate", 100, "x")
    assert config.parameters["contract"].string_value == "gate@1.0.0"
    assert [(m.name, m.version, m.state) for m in index.models] == [("gate", "2", "READY"), ("gate", "10", "READY")]


def test_live_and_ready(served: World) -> None:
    """A model that is not served is not ready, which is an answer and no error."""

    def ready(name: str) -> bool:
        return bool(served.ask("ModelReady", wire.ModelReadyRequest(name=name), wire.ModelReadyResponse).answer.ready)

    assert served.ask("ServerLive", wire.ServerLiveRequest(), wire.ServerLiveResponse).answer.live
    assert served.ask("ServerReady", wire.ServerReadyRequest(), wire.ServerReadyResponse).answer.ready
    assert ready("gate")
    assert not ready("gat")


def test_statistics_count_rows_and_calls(served: World) -> None:
    """Of one version, of all versions, of all models."""

    def ask(**which: str) -> list[wire.ModelStatistics]:
        request = wire.ModelStatisticsRequest(**which)
        return list(served.ask("ModelStatistics", request, wire.ModelStatisticsResponse).answer.model_stats)

    (before,) = ask(name="gate", version="2")
    served.infer(request_of(1, 2, 3, model_version="2"))
    served.infer(request_of(2000, model_version="2"))
    (after,) = ask(name="gate", version="2")

    assert after.inference_count - before.inference_count == 3
    assert after.execution_count - before.execution_count == 1
    assert after.inference_stats.success.count - before.inference_stats.success.count == 1
    assert after.inference_stats.fail.count - before.inference_stats.fail.count == 1
    assert after.inference_stats.compute_infer.ns > before.inference_stats.compute_infer.ns
    assert after.last_inference > 0
    assert [each.version for each in ask(name="gate")] == [each.version for each in ask()] == ["2", "10"]


@pytest.mark.parametrize("method", ["RepositoryModelLoad", "RepositoryModelUnload", *ELSEWHERE])
def test_what_is_not_served_here_says_so(served: World, method: str) -> None:
    """UNIMPLEMENTED with our code, also for methods that only Triton has."""
    reply = served.ask(method, b"\x0a\x03abc", wire.ServerLiveResponse)

    assert (reply.code, reply.fivefold) == (grpc.StatusCode.UNIMPLEMENTED, "not_implemented")


def test_bytes_that_are_no_message_are_malformed_everywhere(served: World) -> None:
    """Not INTERNAL, as gRPC would have it."""
    reply = served.ask("ModelMetadata", b"\xff", wire.ModelMetadataResponse)

    assert (reply.code, reply.fivefold) == (grpc.StatusCode.INVALID_ARGUMENT, "malformed")


@pytest.mark.parametrize("version", ["v1", "v1alpha"])
def test_reflection_lists_the_services_and_describes_them(served: World, version: str) -> None:
    """What grpcurl needs to list, describe and call, in both versions: their messages are the same on the wire."""
    ask = served.channel.stream_stream(
        f"/grpc.reflection.{version}.ServerReflection/ServerReflectionInfo",
        reflection_pb2.ServerReflectionRequest.SerializeToString,
        reflection_pb2.ServerReflectionResponse.FromString,
    )
    services = {
        INFERENCE,
        "grpc.health.v1.Health",
        "grpc.reflection.v1.ServerReflection",
        "grpc.reflection.v1alpha.ServerReflection",
    }
    asked = [
        reflection_pb2.ServerReflectionRequest(list_services=""),
        *(reflection_pb2.ServerReflectionRequest(file_containing_symbol=name) for name in sorted(services)),
        reflection_pb2.ServerReflectionRequest(file_containing_symbol="inference.Nothing"),
    ]
    listed, *described, unknown = ask(iter(asked), timeout=SECONDS)

    assert {service.name for service in listed.list_services_response.service} == services
    files = dict(zip(sorted(services), described, strict=True))
    for name, reply in files.items():
        packages = [
            descriptor_pb2.FileDescriptorProto.FromString(raw).package
            for raw in reply.file_descriptor_response.file_descriptor_proto
        ]
        assert name.rpartition(".")[0] in packages
    inference = b"".join(files[INFERENCE].file_descriptor_response.file_descriptor_proto)
    assert b"ModelStreamInfer" in inference
    assert b"TYPE_STRING" in inference
    assert unknown.error_response.error_code == grpc.StatusCode.NOT_FOUND.value[0]


def test_a_process_without_models_says_that_it_is_not_ready() -> None:
    """Every method, streams too: UNAVAILABLE and the request's id."""

    async def start() -> tuple[grpc.aio.Server, int]:
        server = grpc.aio.server()
        register_unready(server)
        port = server.add_insecure_port("127.0.0.1:0")
        await server.start()
        return server, port

    server, port = Loop.shared().run(start)
    with grpc.insecure_channel(f"127.0.0.1:{port}") as channel:
        outcomes = []
        for method, call in (
            (f"/{INFERENCE}/ModelInfer", lambda m: channel.unary_unary(m)(b"", timeout=SECONDS)),
            (f"/{INFERENCE}/ModelStreamInfer", lambda m: next(channel.stream_stream(m)(iter([b""]), timeout=SECONDS))),
            ("/grpc.health.v1.Health/Check", lambda m: channel.unary_unary(m)(b"", timeout=SECONDS)),
            ("/grpc.health.v1.Health/Watch", lambda m: next(channel.unary_stream(m)(b"", timeout=SECONDS))),
        ):
            with pytest.raises(grpc.RpcError) as caught:
                call(method)
            outcomes.append((caught.value.code(), dict(caught.value.trailing_metadata())["fivefold-code"]))
    Loop.shared().run(lambda: server.stop(None))

    assert outcomes == [(grpc.StatusCode.UNAVAILABLE, "not_ready")] * 4


def test_a_taken_port_is_refused(served: World) -> None:
    """Two servers never share a port unasked."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        with pytest.raises(RuntimeError):
            Loop.shared().call(lambda: GrpcServer(served.serving, f"127.0.0.1:{port}"))


@pytest.mark.parametrize(
    ("host", "family"), [("127.0.0.1", socket.AF_INET), ("[::1]", socket.AF_INET6), ("localhost", socket.AF_INET)]
)
def test_a_shared_address_is_refused_where_a_stranger_listens(
    served: World, host: str, family: socket.AddressFamily
) -> None:
    """One who does not share: half of the calls would end there. The error names the address."""
    with socket.create_server((host.strip("[]"), 0), family=family) as taken:
        address = f"{host}:{taken.getsockname()[1]}"

        with pytest.raises(RuntimeError, match=rf"^{re.escape(address)} is taken$"):
            Loop.shared().call(lambda: GrpcServer(served.serving, address, shared=True))


def test_a_shared_address_is_refused_to_one_who_does_not_share(served: World) -> None:
    """Both have to want it."""
    server = Loop.shared().call(lambda: GrpcServer(served.serving, "127.0.0.1:0", shared=True))
    try:
        with pytest.raises(RuntimeError):
            Loop.shared().call(lambda: GrpcServer(served.serving, server.address))
    finally:
        Loop.shared().run(server.stop)


def test_a_port_with_old_connections_still_closing_is_free(served: World) -> None:
    """As it is for a server that does not share: the last one there ended a moment ago."""
    with socket.socket() as listening:
        listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listening.bind(("127.0.0.1", 0))
        listening.listen()
        port = listening.getsockname()[1]
        with socket.create_connection(("127.0.0.1", port)) as client:
            accepted, _ = listening.accept()
            accepted.close()
            assert client.recv(1) == b""

    server = Loop.shared().call(lambda: GrpcServer(served.serving, f"127.0.0.1:{port}", shared=True))

    Loop.shared().run(server.stop)


def test_servers_may_share_an_address(tmp_path: Path) -> None:
    """Each connection is one's of them; when one goes, the next connections are the other's."""
    with contextlib.ExitStack() as stack:
        servers: dict[str, GrpcServer] = {}
        address = "127.0.0.1:0"
        for version in ("1", "2"):
            bundle = grpc_calls.gate_bundle(tmp_path / version, version)
            other = stack.enter_context(grpc_calls.world([bundle]))
            server = Loop.shared().call(partial(GrpcServer, other.serving, address, shared=True))
            Loop.shared().run(server.start)
            stack.callback(Loop.shared().run, server.stop)
            servers[version], address = server, server.address

        assert servers["1"].address == servers["2"].address
        seen: set[str] = set()
        for _ in range(200):
            seen.add(answering(address))
            if len(seen) == 2:
                break
        assert seen == {"1", "2"}
        Loop.shared().run(servers["1"].stop)
        assert {answering(address) for _ in range(20)} == {"2"}


def answering(address: str) -> str:
    """The version of the model that a new connection leads to."""
    with grpc.insecure_channel(address, [("grpc.use_local_subchannel_pool", 1)]) as channel:
        infer = channel.unary_unary(f"/{INFERENCE}/ModelInfer", None, wire.ModelInferResponse.FromString)
        version: str = infer(request_of(1).SerializeToString(), timeout=SECONDS).model_version
    return version
