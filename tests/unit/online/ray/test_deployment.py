"""The application for Ray Serve: its arguments, what it reports as load, and what it answers in place of Ray."""

import asyncio
import contextlib
import http.client
import json
import socket
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import grpc
import pytest
from pydantic import ValidationError
from ray.serve._private.api import call_user_app_builder_with_args_if_necessary
from tests.support import grpc_gate
from tests.support.grpc_calls import SECONDS, Loop, World, gate_bundle, request_of, world
from tests.support.http_calls import log_lines

from fivefold.core.errors import BundleInvalid
from fivefold.delivery.settings import DeliverySettings
from fivefold.online.local import ports
from fivefold.online.ray import deployment
from fivefold.online.settings import OnlineSettings
from fivefold.serving import background
from fivefold.serving.grpc.proto import inference_pb2 as wire
from fivefold.serving.grpc.servicer import INFERENCE
from fivefold.serving.handover import HandOver


def built(**arguments: Any) -> Any:
    """The ingress deployment, built the way a RayService's configuration is."""
    application = call_user_app_builder_with_args_if_necessary(deployment.build, {"models": ["/bundles/a"]} | arguments)
    return application._bound_deployment


def test_the_builder_gets_its_arguments_typed() -> None:
    """Ray hands over a plain dictionary to a builder whose annotation it cannot read: this one it can."""
    deployment = built(
        defaults={"a": "2"}, settings={"max_rows": 7}, delivery={"bundle_cache": "/cache", "trusted_keys": ["/k.pem"]}
    )

    models, defaults, settings, delivery, *_ = deployment.init_args
    assert models == ["/bundles/a"]
    assert defaults == {"a": "2"}
    assert settings == OnlineSettings(max_rows=7)
    assert delivery == DeliverySettings(bundle_cache="/cache", trusted_keys=("/k.pem",))


def test_replicas_go_by_their_own_variables_where_delivery_is_not_given() -> None:
    """The builder's variables are another machine's."""
    assert built().init_args[3] is None


@pytest.mark.parametrize(
    "wrong",
    [
        {"models": []},
        {"typo": 1},
        {"settings": {"max_row": 7}},
        {"settings": {"max_rows": 0}},
        {"delivery": {"cache": "/cache"}},
        {"models": "a"},
    ],
)
def test_wrong_arguments_are_refused_when_the_application_is_built(wrong: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        built(**wrong)


def test_a_model_from_elsewhere_without_its_digest_is_refused_when_the_application_is_built() -> None:
    """Before a running application is touched."""
    with pytest.raises(BundleInvalid, match="asked for by its digest"):
        built(models=["https://host/demo.tar"])


def test_building_opens_no_bundle() -> None:
    """The process that builds need not see the bundles' storage."""
    built(models=["/nowhere/at/all", f"https://nowhere.invalid/demo.tar#sha256={'0' * 64}"])


def test_autoscaling_limits_and_drain_are_explicit() -> None:
    """None of Ray's own defaults decides how many requests, how many replicas or how long a drain."""
    settings = {
        "min_replicas": 2,
        "max_replicas": 5,
        "target_ongoing_requests": 4,
        "upscale_delay": 3,
        "downscale_delay": 60,
        "max_inflight": 10,
        "max_queued_requests": 20,
        "drain_seconds": 12,
    }

    deployment = built(settings=settings)
    config = deployment._deployment_config
    scaling = config.autoscaling_config

    assert (scaling.min_replicas, scaling.max_replicas, scaling.target_ongoing_requests) == (2, 5, 4)
    assert (scaling.upscale_delay_s, scaling.downscale_delay_s) == (3, 60)
    assert scaling.look_back_period_s > scaling.metrics_interval_s
    assert config.graceful_shutdown_timeout_s == 12
    assert config.max_queued_requests == 20
    assert config.max_ongoing_requests > 10, "our own limit must be the one that is met"
    assert config.logging_config["enable_access_log"] is False


class Clocks:
    """CPU and wall-clock seconds that a test sets."""

    def __init__(self) -> None:
        self.cpu = self.wall = 0.0

    def load(self, inflight: float, target: float = 16.0) -> deployment.Utilisation:
        return deployment.Utilisation(lambda: inflight, target, cpu=lambda: self.cpu, clock=lambda: self.wall)


def test_a_busy_core_counts_as_the_target() -> None:
    """Requests that are answered without waiting are never seen by counting; the time they take is."""
    clocks = Clocks()
    load = clocks.load(inflight=0)
    clocks.cpu, clocks.wall = 4.0, 5.0

    assert load.measure() == pytest.approx(16.0)


def test_load_is_what_happened_since_it_was_last_asked() -> None:
    clocks = Clocks()
    load = clocks.load(inflight=0)
    clocks.cpu, clocks.wall = 4.0, 5.0
    load.measure()
    clocks.wall = 10.0

    assert load.measure() == 0.0


def test_waiting_requests_count_even_if_the_core_is_idle() -> None:
    clocks = Clocks()
    load = clocks.load(inflight=20)
    clocks.wall = 1.0

    assert load.measure() == 20.0


def test_asking_twice_at_once_gives_the_count() -> None:
    assert Clocks().load(inflight=3).measure() == 3.0


class StubEndpoints:
    """A stand-in for a process's endpoints: remembers what came to it."""

    def __init__(self) -> None:
        self.seen: list[str] = []
        self.started: list[Any] = []
        self.drained = 0

    async def app(self, scope: dict[str, Any], _receive: Any, _send: Any) -> None:
        self.seen.append(scope["path"])

    @property
    def background(self) -> "StubEndpoints":
        return self

    def periodic(self, name: str, make: Any) -> None:
        """Nothing runs by itself here."""

    def drain(self) -> None:
        self.drained += 1


def ask(middleware: deployment.ReplicaMiddleware, path: str, kind: str = "http") -> list[dict[str, Any]]:
    """What is sent in answer."""
    sent: list[dict[str, Any]] = []

    async def send(message: dict[str, Any]) -> None:
        sent.append(message)

    asyncio.run(middleware({"type": kind, "path": path}, None, send))
    return sent


def test_requests_are_answered_before_rays_wrapper(monkeypatch: pytest.MonkeyPatch) -> None:
    """Ray keeps its own routes, and everything that is not plain HTTP."""
    ours, rays = StubEndpoints(), StubEndpoints()
    monkeypatch.setattr(deployment, "_endpoints", ours)
    middleware = deployment.ReplicaMiddleware(rays.app)

    for path in ("/v1/models/a:predict", "/", "/-", "/-/healthz", "/-/routes"):
        ask(middleware, path)
    ask(middleware, "/v1/models", kind="websocket")

    assert ours.seen == ["/v1/models/a:predict", "/", "/-"]
    assert rays.seen == ["/-/healthz", "/-/routes", "/v1/models"]


def test_without_a_scorer_requests_go_to_ray_and_ready_is_no(monkeypatch: pytest.MonkeyPatch) -> None:
    """The head's fallback proxy runs the same middleware, and must pass requests on to where scorers live."""
    rays = StubEndpoints()
    monkeypatch.setattr(deployment, "_endpoints", None)
    middleware = deployment.ReplicaMiddleware(rays.app)

    start, _ = ask(middleware, "/readyz")
    ask(middleware, "/v1/models/a:predict")

    assert start["status"] == 503
    assert (b"retry-after", b"1") in start["headers"]
    assert rays.seen == ["/v1/models/a:predict"]


def test_an_answer_by_rays_own_way_has_one_request_id(monkeypatch: pytest.MonkeyPatch) -> None:
    """Ray puts the id that it knows behind the one that the replica has answered under; a client would get both."""
    given = [(b"content-type", b"application/json"), (b"x-request-id", b"mine"), (b"x-request-id", b"rays")]

    async def ray(_scope: Any, _receive: Any, send: Any) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": given})
        await send({"type": "http.response.body", "body": b"{}"})

    monkeypatch.setattr(deployment, "_endpoints", None)

    start, body = ask(deployment.ReplicaMiddleware(ray), "/v1/models/a:predict")

    assert start == {"type": "http.response.start", "status": 200, "headers": given[:2]}
    assert body["body"] == b"{}"


def test_a_drain_is_noticed_once() -> None:
    """Ray says so on its health route, once the replica is up: unhealthy for another reason is no drain."""
    answers = [b"", b"success", b"UNHEALTHY", b"success", b"DRAINING", b"DRAINING"]
    drained = []

    async def ray(scope: dict[str, Any], receive: Any, send: Any) -> None:
        assert scope["path"] == "/-/healthz"
        await receive()
        answer = answers.pop(0)
        assert answer, "the replica is not up yet"
        await send({"type": "http.response.start", "status": 200})
        await send({"type": "http.response.body", "body": answer})

    asyncio.run(deployment.watch_drain(ray, lambda: drained.append(len(answers)), seconds=0))

    assert drained == [1]


@pytest.fixture
def address() -> Iterator[str]:
    """A free one that stays free: a socket holds it that shares it and does not listen."""
    with socket.socket() as held:
        held.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        held.bind(("127.0.0.1", 0))
        yield f"127.0.0.1:{held.getsockname()[1]}"


@pytest.fixture(autouse=True)
def _gate_open_again() -> Iterator[None]:
    yield
    grpc_gate.opened.set()


@contextlib.contextmanager
def listening(directory: Path, address: str, version: str = "1") -> Iterator[tuple[deployment.Endpoints, World]]:
    """Endpoints that answer gRPC by themselves, as a replica's; its model waits in a thread."""
    with world([gate_bundle(directory / version, version)], inline_seconds=0.0) as served:
        endpoints = Loop.shared().call(lambda: deployment.Endpoints(served.serving, served.serving.telemetry))
        Loop.shared().call(lambda: endpoints.listen_grpc(address))
        try:
            yield endpoints, served
        finally:
            grpc_gate.opened.set()
            Loop.shared().run(endpoints.close)


@contextlib.contextmanager
def connected(address: str, method: str = "ModelInfer") -> Iterator[Any]:
    """A method of the inference service over a connection of its own."""
    with grpc.insecure_channel(address, [("grpc.use_local_subchannel_pool", 1)]) as channel:
        send, answer = (getattr(wire, f"{method}{kind}") for kind in ("Request", "Response"))
        yield channel.unary_unary(f"/{INFERENCE}/{method}", send.SerializeToString, answer.FromString)


def infer(address: str, x: float) -> tuple[float, str]:
    """The answer, and the version that gave it, over a connection of its own."""
    with connected(address) as call:
        answer = call(request_of(x), timeout=SECONDS, wait_for_ready=True)
    return answer.outputs[0].contents.fp64_contents[0], answer.model_version


def served_at(address: str) -> str:
    """The version that is served where a new connection ends; this asks no model, so it never waits for one."""
    with connected(address, "ModelMetadata") as call:
        answer = call(wire.ModelMetadataRequest(name="gate"), timeout=SECONDS, wait_for_ready=True)
    (version,) = answer.versions
    return str(version)


def until_refused(address: str) -> None:
    """Return when nobody listens there any more."""
    where, port = address.split(":")
    end = time.monotonic() + SECONDS
    while True:
        try:
            socket.create_connection((where, int(port)), SECONDS).close()
        except ConnectionRefusedError:
            return
        except ConnectionResetError:  # it was in the queue of a listener that closed
            pass
        assert time.monotonic() < end
        time.sleep(0.005)


def test_an_endpoint_of_its_own_answers(tmp_path: Path, address: str) -> None:
    """Under the address that was asked for; there may be two while one replica replaces another."""
    with listening(tmp_path, address), listening(tmp_path, address, "2"):
        answers = {infer(address, 3) for _ in range(5)}

    assert answers <= {(6.0, "1"), (6.0, "2")}


def test_an_endpoint_where_a_stranger_listens_is_an_error(tmp_path: Path) -> None:
    """The replica does not come up, and says why, instead of missing calls."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        address = f"127.0.0.1:{taken.getsockname()[1]}"

        with pytest.raises(RuntimeError, match=f"^{address} is taken$"), listening(tmp_path, address):
            pass


def test_a_drain_finishes_the_call_in_work_and_takes_no_connection(tmp_path: Path, address: str) -> None:
    """Who is connected hears of it too: the next call fails at once, and can be asked elsewhere."""
    with listening(tmp_path, address) as (endpoints, served), connected(address) as call:
        grpc_gate.shut()
        working = call.future(request_of(-1), timeout=SECONDS, wait_for_ready=True)
        grpc_gate.wait_for_one()
        Loop.shared().call(endpoints.drain)
        Loop.shared().call(endpoints.drain)
        until_refused(address)
        with pytest.raises(grpc.RpcError) as refused:
            call(request_of(1), timeout=SECONDS)
        still = not working.done()
        grpc_gate.opened.set()
        answer = working.result()

    assert refused.value.code() is grpc.StatusCode.UNAVAILABLE
    assert still
    assert answer.outputs[0].contents.fp64_contents[0] == -2.0
    assert not served.serving.ready


def test_new_connections_go_to_the_replica_that_does_not_drain(tmp_path: Path, address: str) -> None:
    """They share the address; what the old one has in work it still answers."""
    with listening(tmp_path, address) as (endpoints, served), connected(address) as call:
        grpc_gate.shut()
        working = call.future(request_of(-1), timeout=SECONDS, wait_for_ready=True)
        grpc_gate.wait_for_one()
        with listening(tmp_path, address, "2"):
            Loop.shared().call(endpoints.drain)
            end = time.monotonic() + SECONDS
            while {served_at(address) for _ in range(10)} != {"2"}:
                assert time.monotonic() < end
            elsewhere = infer(address, 3)
            held = served.serving.inflight
            grpc_gate.opened.set()
            answer = working.result()

    assert elsewhere == (6.0, "2")
    assert held == 1
    assert (answer.outputs[0].contents.fp64_contents[0], answer.model_version) == (-2.0, "1")


def test_an_endpoint_closes_when_the_call_in_work_is_answered(tmp_path: Path, address: str) -> None:
    """Not before: Ray does not count it, and would end the process."""
    with listening(tmp_path, address) as (endpoints, served), connected(address) as call:
        grpc_gate.shut()
        working = call.future(request_of(-1), timeout=SECONDS, wait_for_ready=True)
        grpc_gate.wait_for_one()
        closing = asyncio.run_coroutine_threadsafe(endpoints.close(), Loop.shared().loop)
        until_refused(address)
        waits = not closing.done()
        grpc_gate.opened.set()
        answer = working.result()
        closing.result(SECONDS)

    assert waits
    assert answer.outputs[0].contents.fp64_contents[0] == -2.0
    assert served.serving.inflight == 0


def test_an_endpoint_that_listens_nowhere_closes_too(tmp_path: Path) -> None:
    """Where a proxy is in front, the replica has no address of its own."""
    with world([gate_bundle(tmp_path / "gate")]) as served:
        endpoints = Loop.shared().call(lambda: deployment.Endpoints(served.serving, served.serving.telemetry))
        Loop.shared().run(endpoints.close)

        assert not served.serving.ready


@pytest.mark.parametrize("which", ["http", "grpc"])
def test_an_endpoint_whose_server_dies_ends_the_process(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, which: str
) -> None:
    """A replica that says it is up and answers nobody would be worse than none: another one is started for it."""
    ended = threading.Event()

    async def dies(_: Any) -> None:
        raise OSError(24, "Too many open files")

    monkeypatch.setattr(background, "leave", ended.set)
    monkeypatch.setattr(f"fivefold.serving.{which}.{which}_server.{which.capitalize()}Server.run", dies)
    hand_over = HandOver(ports.listener("127.0.0.1:0"), tmp_path / "s")
    with world([gate_bundle(tmp_path / "gate")]) as served, log_lines() as lines:
        endpoints = Loop.shared().call(lambda: deployment.Endpoints(served.serving, served.serving.telemetry))
        if which == "http":
            Loop.shared().call(lambda: endpoints.listen_http(str(tmp_path / "s")))
        else:
            Loop.shared().call(lambda: endpoints.listen_grpc("127.0.0.1:0"))
        assert ended.wait(SECONDS)
        Loop.shared().run(endpoints.background.close)
        if which == "http":
            endpoints._direct[0]._listener.close()
    hand_over.close()

    (line,) = [line for line in lines if line["event"] == "background"]
    assert (line["task"], line["level"]) == (which, "error")


def test_an_endpoint_keeps_to_the_names_of_the_address_that_it_listens_at(tmp_path: Path) -> None:
    """By whatever port the socket has that it is handed; another name is refused, and probes ask by any."""
    kept = ports.listener("127.0.0.1:0")
    port = kept.getsockname()[1]
    hand_over = HandOver(kept, tmp_path / "s")
    with world([gate_bundle(tmp_path / "gate")]) as served:
        endpoints = Loop.shared().call(lambda: deployment.Endpoints(served.serving, served.serving.telemetry))
        Loop.shared().call(lambda: endpoints.listen_http(str(tmp_path / "s")))
        until_listening(port)
        found = []
        for name, path in (
            (f"localhost:{port}", "/v2/models/gate"),
            ("evil.example", "/v2/models/gate"),
            ("evil.example", "/readyz"),
            (f"evil.example:{port}", "/v1/models/gate:predict"),
            (f"127.0.0.1:{port}", "/v1/models/gate:predict"),
        ):
            with contextlib.closing(http.client.HTTPConnection("127.0.0.1", port, timeout=SECONDS)) as asking:
                post = path.endswith("predict")
                body = json.dumps({"instances": [{"x": 1}]}) if post else None
                given = {"host": name} | ({"content-type": "application/json"} if post else {})
                asking.request("POST" if post else "GET", path, body, given)
                found.append(asking.getresponse().status)
        Loop.shared().run(endpoints.close)
    hand_over.close()

    assert found == [200, 403, 200, 403, 200]


def test_a_replica_listens_where_it_is_told_to() -> None:
    """Empty, as on a cluster, means that all requests come through the proxy."""
    assert built().init_args[4] == ""
    assert built(http_socket="/run/s").init_args[4] == "/run/s"


def test_an_endpoint_answers_http_on_the_socket_that_it_is_handed(tmp_path: Path) -> None:
    """And lets go of it when it closes, for the next one."""
    kept = ports.listener("127.0.0.1:0")
    port = kept.getsockname()[1]
    hand_over = HandOver(kept, tmp_path / "s")
    versions = []
    for version in ("1", "2"):
        with world([gate_bundle(tmp_path / version, version)]) as served:
            endpoints = Loop.shared().call(lambda: deployment.Endpoints(served.serving, served.serving.telemetry))
            Loop.shared().call(lambda: endpoints.listen_http(str(tmp_path / "s")))  # noqa: B023
            with contextlib.closing(http.client.HTTPConnection("127.0.0.1", port, timeout=SECONDS)) as asking:
                until_listening(port)
                asking.request("GET", "/v2/models/gate")
                versions += json.loads(asking.getresponse().read())["versions"]
            Loop.shared().run(endpoints.close)
    hand_over.close()

    assert versions == ["1", "2"]
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection(("127.0.0.1", port), SECONDS)


def until_listening(port: int) -> None:
    """Return when a connection is taken; from the first time on, one is, whoever answers."""
    end = time.monotonic() + SECONDS
    while True:
        try:
            socket.create_connection(("127.0.0.1", port), SECONDS).close()
            return
        except ConnectionRefusedError:
            assert time.monotonic() < end
            time.sleep(0.005)
