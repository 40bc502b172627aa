"""The server of health and metrics: its answers are the serving host's, and nobody keeps a probe out."""

from __future__ import annotations

import contextlib
import http.client
import json
import socket
import threading
import time
from collections.abc import Iterator

import pytest
from prometheus_client import CollectorRegistry, Counter
from tests.support.bundles import write_sum
from tests.support.live_servers import serving

from fivefold.core.errors import CODES
from fivefold.local import health_server
from fivefold.local.health_server import CONNECTIONS, MAX_HEAD, HealthServer
from fivefold.serving.http.http_errors import HTTP_STATUS


class Process:
    """What the probes are asked of."""

    def __init__(self) -> None:
        self.is_live = self.is_ready = True
        self.registry = CollectorRegistry()
        Counter("fivefold_events", "Events.", registry=self.registry).inc(3)

    def live(self) -> bool:
        return self.is_live

    def ready(self) -> bool:
        return self.is_ready


@pytest.fixture
def process() -> Process:
    """A process that is live and ready."""
    return Process()


@pytest.fixture
def server(process: Process) -> Iterator[HealthServer]:
    """Its server, on a free port of the loopback."""
    with HealthServer(ready=process.ready, live=process.live, registry=process.registry) as started:
        yield started


Answer = tuple[int, dict[str, str], bytes]


def ask(address: tuple[str, int], path: str, method: str = "GET", **more: object) -> Answer:
    """One request, by the library's client."""
    connection = http.client.HTTPConnection(*address, timeout=30)
    try:
        connection.request(method, path, **more)  # type: ignore[arg-type]  # a body or headers
        answer = connection.getresponse()
        return answer.status, {name.lower(): value for name, value in answer.getheaders()}, answer.read()
    finally:
        connection.close()


def raw(address: tuple[str, int], data: bytes) -> bytes:
    """Everything that comes back for some bytes."""
    with socket.create_connection(address, 30) as client:
        client.sendall(data)
        return b"".join(iter(lambda: client.recv(65536), b""))


def test_probes_follow_the_process(server: HealthServer, process: Process) -> None:
    """200 while it is well, 503 while it is not, and when to ask again."""
    assert [ask(server.address, path)[::2] for path in ("/livez", "/readyz")] == [
        (200, b'{"live":true}'),
        (200, b'{"ready":true}'),
    ]

    process.is_live = process.is_ready = False

    assert ask(server.address, "/livez")[::2] == (503, b'{"live":false}')
    status, headers, body = ask(server.address, "/readyz?verbose")
    assert (status, headers["retry-after"], body) == (503, "1", b'{"ready":false}')


def test_the_metrics_are_the_registrys(server: HealthServer) -> None:
    """As text, or as OpenMetrics where that is asked for."""
    status, headers, body = ask(server.address, "/metrics")
    assert (status, headers["content-type"].partition(";")[0]) == (200, "text/plain")
    assert b"fivefold_events_total 3.0" in body

    asked = {"Accept": "application/openmetrics-text; version=1.0.0"}
    status, headers, body = ask(server.address, "/metrics", headers=asked)
    assert headers["content-type"].startswith("application/openmetrics-text")
    assert body.endswith(b"# EOF\n")


def test_the_answers_are_those_of_the_serving_host(server: HealthServer, tmp_path: object) -> None:
    """The same paths, statuses, media types and bodies: one chart's probes fit both."""
    with serving([write_sum(tmp_path / "b")]) as url:  # type: ignore[operator]  # a path
        host, _, port = url.removeprefix("http://").partition(":")
        for path in ("/livez", "/readyz"):
            ours, theirs = ask(server.address, path), ask((host, int(port)), path)
            assert (ours[0], ours[1]["content-type"], ours[2]) == (theirs[0], theirs[1]["content-type"], theirs[2])
        ours, theirs = ask(server.address, "/metrics"), ask((host, int(port)), "/metrics")
        assert (ours[0], ours[1]["content-type"]) == (theirs[0], theirs[1]["content-type"])


@pytest.mark.parametrize(
    ("data", "status", "code"),
    [
        (b"GET /health HTTP/1.1\r\n\r\n", 404, "not_found"),
        (b"GET http://127.0.0.1/livez HTTP/1.1\r\n\r\n", 404, "not_found"),
        (b"POST /livez HTTP/1.1\r\ncontent-length: 2\r\n\r\n{}", 405, "method_not_allowed"),
        (b"GET /livez\r\n\r\n", 400, "malformed"),
        (b"\x16\x03\x01\r\n\r\n", 400, "malformed"),
        (b"GET /livez HTTP/1.1\r\nx: " + b"y" * MAX_HEAD + b"\r\n\r\n", 431, "headers_too_large"),
        (b"y" * (MAX_HEAD + 1), 431, "headers_too_large"),
    ],
)
def test_another_request_is_refused_in_the_one_form(server: HealthServer, data: bytes, status: int, code: str) -> None:
    """With a code of the core's and the status that serving has for it."""
    head, _, body = raw(server.address, data).partition(b"\r\n\r\n")

    assert head.startswith(b"HTTP/1.1 %d " % status)
    assert (HTTP_STATUS[code], json.loads(body).keys()) == (status, {"error", "code", "path"})
    assert json.loads(body)["code"] == code
    assert code in CODES


def test_no_answer_says_what_the_server_is(server: HealthServer) -> None:
    """Nor the time; HEAD has the headers alone, and a connection carries one request."""
    got = raw(server.address, b"HEAD /livez HTTP/1.1\r\n\r\nGET /livez HTTP/1.1\r\n\r\n")

    assert got == (
        b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: 13\r\nconnection: close\r\n\r\n"
    )


def test_a_probe_that_raises_is_a_failure_without_its_text(caplog: pytest.LogCaptureFixture) -> None:
    """The text goes to the log."""

    def broken() -> bool:
        raise RuntimeError("secret")

    with HealthServer(ready=broken) as server:
        status, _, body = ask(server.address, "/readyz")
        live, metrics = ask(server.address, "/livez")[0], ask(server.address, "/metrics")[0]

    assert (status, json.loads(body)["code"], live, metrics) == (500, "internal", 200, 404)
    assert b"secret" not in body
    assert "secret" in caplog.text


def test_slow_clients_keep_no_probe_out(server: HealthServer) -> None:
    """The oldest of them makes room, and no more threads run than there may be connections."""
    before = threading.active_count()
    with contextlib.ExitStack() as stack:
        clients = [stack.enter_context(socket.create_connection(server.address, 30)) for _ in range(3 * CONNECTIONS)]
        for client in clients:
            with contextlib.suppress(OSError):
                client.sendall(b"GET /livez HTT")
        for _ in range(5):
            assert ask(server.address, "/livez")[0] == 200

        assert threading.active_count() - before <= CONNECTIONS
        assert clients[0].recv(1) == b""


def test_a_slow_client_has_its_time_and_no_more(monkeypatch: pytest.MonkeyPatch, server: HealthServer) -> None:
    """However often it sends a byte."""
    monkeypatch.setattr(health_server, "SECONDS", 0.2)
    ended = False
    with socket.create_connection(server.address, 30) as client:
        client.settimeout(0.01)
        deadline = time.monotonic() + 30
        while not ended and time.monotonic() < deadline:
            try:
                client.sendall(b"x")
                ended = client.recv(1) == b""
            except TimeoutError:
                continue
            except OSError:
                ended = True

    assert ended


def test_a_big_request_gets_its_answer(server: HealthServer) -> None:
    """What it sends beyond its head is not read into memory, and does not tear the answer up."""
    body = b"x" * 40_000
    data = b"GET /livez HTTP/1.1\r\ncontent-length: %d\r\n\r\n%b" % (len(body), body)

    assert raw(server.address, data).endswith(b'{"live":true}')


def test_it_listens_where_it_is_told_and_leaves_nothing(process: Process) -> None:
    """No thread, no port: the next one may have it; a port that is taken is an error."""
    before = set(threading.enumerate())
    first = HealthServer(ready=process.ready)
    host, port = first.address
    with pytest.raises(OSError):
        HealthServer(host, port, ready=process.ready)
    with socket.create_connection(first.address, 30) as idle:
        # Connections are taken in their order.
        assert ask(first.address, "/readyz")[0] == 200
        first.close()
        assert idle.recv(1) == b""

    assert host == "127.0.0.1"
    assert set(threading.enumerate()) <= before
    with HealthServer(host, port, ready=process.ready) as second:
        assert ask(second.address, "/readyz")[0] == 200


def test_a_probe_that_hangs_does_not_keep_the_server_open(process: Process, monkeypatch: pytest.MonkeyPatch) -> None:
    """Closing waits for it a while and goes on."""
    monkeypatch.setattr(health_server, "SECONDS", 0.2)
    entered, go_on = threading.Event(), threading.Event()

    def hangs() -> bool:
        entered.set()
        return go_on.wait(60)

    server = HealthServer(ready=hangs)
    with socket.create_connection(server.address, 30) as client:
        client.sendall(b"GET /readyz HTTP/1.1\r\n\r\n")
        assert entered.wait(30)
        server.close()
    go_on.set()
