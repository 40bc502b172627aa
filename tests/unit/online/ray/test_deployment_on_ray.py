"""The parts of Ray that are private and that this package stands on. When one of these fails, Ray has been changed."""

import asyncio
import inspect
import logging
import re
from importlib.metadata import requires, version
from pathlib import Path
from typing import Any

import pytest
import ray
from ray._private import node, services
from ray.serve._private import (
    client,
    common,
    default_impl,
    grpc_util,
    haproxy,
    haproxy_templates,
    http_util,
    replica,
)
from ray.serve._private.constants import SERVE_NAMESPACE
from ray.serve.config import HTTPOptions
from tests.support.grpc_calls import gate_bundle
from tests.support.http_calls import SECONDS, World, world
from uvicorn.protocols.http import auto

from fivefold.online.ray import cluster_variables, deployment


def source(thing: object) -> str:
    return inspect.getsource(thing)  # type: ignore[arg-type]


def test_ray_is_the_version_that_was_read() -> None:
    """The exact version is pinned, so nobody gets another one without seeing this file."""
    pins = [line for line in requires("ray") or [] if "haproxy" in line]

    assert version("ray") == "2.60.0"
    assert pins, "HAProxy comes with ray[serve]"


PARTS = {
    "the load we report replaces Ray's own count": (
        replica.ReplicaMetricsManager._add_autoscaling_metrics_point_async,
        ["{RUNNING_REQUESTS_KEY: self._num_ongoing_requests}", "metrics_dict.update(custom_metrics)"],
    ),
    "our middleware is the outermost": (
        http_util._apply_middlewares,
        ["[Middleware(RequestIdMiddleware)] + middlewares"],
    ),
    "the callback's middlewares are used": (http_util.configure_http_middlewares, ["middlewares.extend("]),
    "the server's stop waits for requests that Ray does not count": (
        replica.Replica._perform_graceful_shutdown,
        [
            "_direct_ingress_http_server.should_exit = True",
            "self._direct_ingress_grpc_server.stop(remaining_grace_s())",
        ],
    ),
    "the replica asks for the middlewares before it starts its HTTP server, and anew": (
        replica.Replica._maybe_start_direct_ingress_servers,
        ["configure_http_middlewares(", "await start_asgi_http_server("],
    ),
    "a drain shows on the health route": (replica.Replica._dataplane_health_check, ["_shutting_down", '"DRAINING"']),
    "a replica can be told to drain": (replica.ReplicaActor.perform_graceful_shutdown, ["perform_graceful_shutdown"]),
    "gRPC services can be passed through": (grpc_util.gRPCGenericServer.add_passthrough_service, []),
    "gRPC ports are bound where loopback replaces it": (
        grpc_util.start_grpc_server,
        ["from ray.serve._private.default_impl import add_grpc_address", "servicer_fn(mock_servicer, server)"],
    ),
    "the replica's internal port, too": (replica.Replica._on_initialized, ["add_port_to_grpc_server(self._server"]),
    "the node's address": (services.resolve_ip_for_localhost, []),
    "the parts that a local run leaves out": (
        node.Node.start_head_processes,
        ["self.start_monitor()", "self.start_api_server("],
    ),
    "HAProxy starts through our launcher": (haproxy._resolve_haproxy_binary, ["RAY_SERVE_HAPROXY_BINARY_PATH"]),
    "HAProxy is known by its configuration's name": (haproxy.HAProxyApi._is_our_haproxy, ["config_file_path"]),
}


@pytest.mark.parametrize("what", PARTS)
def test_ray_still_works_as_it_did(what: str) -> None:
    thing, lines = PARTS[what]

    text = source(thing)

    assert [line for line in lines if line not in text] == []


def test_names_that_are_used_exist() -> None:
    assert common.RUNNING_REQUESTS_KEY == "running_requests"
    assert common.ReplicaID.is_full_id_str("SERVE_REPLICA::fivefold#Online#abc")
    assert SERVE_NAMESPACE == "serve"
    assert client.CLIENT_POLLING_INTERVAL_S > 0
    assert hasattr(default_impl, "add_grpc_address")
    assert hasattr(node.Node, "start_log_monitor")


def test_every_variable_that_is_set_is_one_that_ray_reads() -> None:
    """A variable that Ray has renamed would be ignored in silence."""
    from ray.serve._private import constants

    text = source(constants)
    # What is none of Serve's is the core's, which reads `RAY_` and the name of any of its own settings.
    core = (Path(ray.__file__).parent / "core" / "src" / "ray" / "raylet" / "raylet").read_bytes()

    unread = [name for name in cluster_variables.ENVIRONMENT if f'"{name}"' not in text]
    assert [name for name in unread if name.removeprefix("RAY_").encode() not in core] == []
    assert unread == ["RAY_worker_niceness"]


def test_the_lines_that_the_launcher_edits_are_there() -> None:
    template = haproxy_templates.HAPROXY_CONFIG_TEMPLATE

    assert len(re.findall(r"(?m)^\s*errorfile 50[234] ", template)) == 3
    assert re.search(r"(?m)^frontend prometheus\n\s*bind :", template)
    assert re.search(r"(?m)^listen stats\n\s*bind \*:", template)


async def asked_of_ray(out: World, pieces: list[bytes], monkeypatch: pytest.MonkeyPatch) -> tuple[bytes, list[str]]:
    """What an HTTP server answers that is started as a replica's is, and which paths it took through the middleware."""
    through: list[str] = []
    wrapped = deployment.ReplicaMiddleware.__call__

    async def seen(self: deployment.ReplicaMiddleware, scope: Any, receive: Any, send: Any) -> None:
        through.append(scope["path"])
        await wrapped(self, scope, receive, send)

    async def rays(scope: Any, _receive: Any, _send: Any) -> None:
        assert scope["path"] == "/-/healthz", "only the drain's own question is Ray's"

    monkeypatch.setattr(deployment.ReplicaMiddleware, "__call__", seen)
    monkeypatch.setattr(deployment, "_endpoints", deployment.Endpoints(out.serving, out.serving.telemetry))
    monkeypatch.setattr(
        http_util,
        "RAY_SERVE_HTTP_PROXY_CALLBACK_IMPORT_PATH",
        cluster_variables.ENVIRONMENT["RAY_SERVE_HTTP_PROXY_CALLBACK_IMPORT_PATH"],
    )
    options = http_util.configure_http_middlewares(HTTPOptions(host="127.0.0.1", port=0))
    loop = asyncio.get_running_loop()
    serving, server = await http_util.start_asgi_http_server(rays, options, event_loop=loop)
    async with asyncio.timeout(SECONDS):
        while not server.started:
            await asyncio.sleep(0.005)
        reader, writer = await asyncio.open_connection(*server.servers[0].sockets[0].getsockname())
        for number, piece in enumerate(pieces):
            writer.write(piece)
            while number < len(pieces) - 1 and not through:
                await asyncio.sleep(0.005)
        answer = await reader.read()
        writer.close()
        await writer.wait_closed()
        server.should_exit = True
        await serving
        assert deployment._endpoints is not None
        await deployment._endpoints.close()
    return answer, through


@pytest.mark.parametrize("cut", [False, True], ids=["one piece", "two pieces"])
def test_a_replicas_http_server_answers_early(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, cut: bool) -> None:
    """The server that Ray's own functions start has our connection class: only a body in pieces meets the middleware.

    Ray names no connection class and uvicorn then takes `auto`'s, when the server starts. If either of them no longer
    did so, everything would still be answered, at half the speed: nothing but this would tell.
    """
    for module, name in ((auto, "AutoHTTPProtocol"), (logging.getLogger("uvicorn.error"), "level")):
        monkeypatch.setattr(module, name, getattr(module, name))
    body = b'{"instances": [{"x": 2}]}'
    path = "/v1/models/gate:predict"
    named = "host: localhost:8000\r\nconnection: close"
    head = f"POST {path} HTTP/1.1\r\n{named}\r\ncontent-length: {len(body)}\r\n\r\n".encode()
    pieces = [head, body] if cut else [head + body]
    with world([gate_bundle(tmp_path / "gate")], local=True) as out:
        answer, through = out.run(asked_of_ray(out, pieces, monkeypatch))

    assert answer.startswith(b"HTTP/1.1 200 OK\r\n")
    assert b'"predictions":[{"y":4.0}]' in answer
    assert through == ([path] if cut else [])
