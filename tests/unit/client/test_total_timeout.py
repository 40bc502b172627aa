"""`timeout` is the time that a call takes at most, whatever the network does: none of these calls ends otherwise."""

from __future__ import annotations

import asyncio
import contextlib
import http.server
import socket
import ssl
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpcore
import httpx
import pytest
from tests.support.listening import listening
from tests.unit.client.test_access import certificate

from fivefold.client import AsyncClient, Client
from fivefold.client.total_timeout import TotalTimeout
from fivefold.core.errors import Interrupted


@contextlib.contextmanager
def dripping(head: bytes, tls: ssl.SSLContext | None = None) -> Iterator[int]:
    """A port whose server sends `head`, and then a byte every hundredth of a second for as long as it is asked."""
    stop = threading.Event()
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def talk(connection: socket.socket) -> None:
            with (
                contextlib.suppress(OSError),
                connection if tls is None else tls.wrap_socket(connection, server_side=True) as talking,
            ):
                talking.sendall(head)
                while not stop.wait(0.01):
                    talking.sendall(b"x")

        def accept() -> None:
            with contextlib.suppress(OSError):
                while True:
                    connection, _ = listener.accept()
                    threads.append(threading.Thread(target=talk, args=[connection]))
                    threads[-1].start()

        threads = [threading.Thread(target=accept)]
        threads[0].start()
        try:
            yield listener.getsockname()[1]
        finally:
            stop.set()
            listener.shutdown(socket.SHUT_RDWR)
            for thread in threads:
                thread.join(30)


_BODY = b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: 1000000\r\n\r\n"
_HEADERS = b"HTTP/1.1 200 OK\r\nx-endless: "


@pytest.mark.parametrize("head", [_BODY, _HEADERS])
@pytest.mark.parametrize("kind", ["blocking", "async"])
def test_an_answer_that_never_ends(head: bytes, kind: str) -> None:
    """Each byte comes in time, and the whole never does: in the headers, and in the body."""

    async def awaited(url: str) -> None:
        async with AsyncClient(url) as client:
            await client.predict([{}], model="m", timeout=0.3)

    def blocking(url: str) -> None:
        with Client(url) as client:
            client.predict([{}], model="m", timeout=0.3)

    with dripping(head) as port:
        url = f"http://127.0.0.1:{port}"
        with pytest.raises(Interrupted) as caught:
            blocking(url) if kind == "blocking" else asyncio.run(awaited(url))

    assert caught.value.code == "deadline_exceeded"


def test_an_answer_that_never_ends_over_tls(tmp_path: Path) -> None:
    """The same below TLS."""
    private, public = certificate(tmp_path)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(public, private)
    with dripping(_BODY, context) as port:
        client = Client(f"https://127.0.0.1:{port}", ca=tmp_path / "ca.pem")
        with client, pytest.raises(Interrupted):
            client.predict([{}], model="m", timeout=0.5)


def test_a_resolver_that_does_not_answer(monkeypatch: pytest.MonkeyPatch) -> None:
    """It is not waited for any longer than the call may take."""
    release = threading.Event()

    def stuck(*_: object, **__: object) -> list[object]:
        release.wait(60)
        raise OSError("no such name")

    monkeypatch.setattr("fivefold.client.total_timeout.socket.getaddrinfo", stuck)
    try:
        with Client("http://models.example:8000", key="") as client, pytest.raises(Interrupted) as caught:
            client.predict([{}], model="m", timeout=0.2)
    finally:
        release.set()

    assert caught.value.code == "deadline_exceeded"


def test_the_next_address_is_tried(monkeypatch: pytest.MonkeyPatch) -> None:
    """A name with an address where nobody listens, and one where somebody does."""

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            self.rfile.read(int(self.headers.get("content-length", 0)))
            body = b'{"predictions": [{"y": 1}], "metadata": {}}'
            self.send_response(200)
            self.send_header("content-length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, format: str, *args: object) -> None:
            """Quiet."""

    real = socket.getaddrinfo
    addresses = ["127.0.0.2", "127.0.0.1"]

    def two(host: str, *rest: Any, **options: Any) -> list[Any]:
        asked = addresses if host == "models.example" else [host]
        return [found for address in asked for found in real(address, *rest, **options)]

    with listening(Handler) as url:
        monkeypatch.setattr("fivefold.client.total_timeout.socket.getaddrinfo", two)
        with Client(f"http://models.example:{url.rpartition(':')[2]}", key="") as client:
            assert client.predict([{}], model="m").predictions == [{"y": 1}]


def test_every_connection_of_the_client_has_it(monkeypatch: pytest.MonkeyPatch) -> None:
    """Those through a proxy too; a transport of the caller's own is left as it is."""
    monkeypatch.setenv("HTTPS_PROXY", "http://127.0.0.1:9")
    with httpx.Client() as client:
        network = TotalTimeout.of(client)
        pools = [each._pool for each in (client._transport, *client._mounts.values()) if each is not None]  # type: ignore[attr-defined]
        assert len(pools) > 1
        assert all(pool._network_backend is network for pool in pools)
    with httpx.Client(transport=httpx.MockTransport(lambda _: httpx.Response(200))) as own:
        assert TotalTimeout.of(own) is None


@pytest.mark.parametrize("timeout", [0, -1, float("nan"), float("inf")])
def test_what_is_no_time(timeout: float) -> None:
    """A budget is a number of seconds above 0."""
    with pytest.raises(ValueError, match="timeout"):
        Client("http://127.0.0.1", timeout=timeout)
    with Client("http://127.0.0.1") as client, pytest.raises(ValueError, match="timeout"):
        client.predict([{}], model="m", timeout=timeout)


@pytest.mark.parametrize("host", ["a..b", "x" * 64 + ".example"])
def test_a_name_that_no_resolver_takes_is_not_reached(host: str) -> None:
    """An error of the call, not of a thread behind it."""
    network = TotalTimeout(httpcore.SyncBackend())

    with pytest.raises(httpcore.ConnectError, match="idna"):
        network.connect_tcp(host, 80, timeout=30)
