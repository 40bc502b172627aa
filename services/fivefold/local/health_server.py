"""Health and metrics of a process that answers no requests: `/livez`, `/readyz` and `/metrics`.

Paths, statuses and bodies are those of the serving routes, so that probes and scrapes are the same for every workload.
A connection carries one request, which has `SECONDS` in all; at most `CONNECTIONS` are open, and a newcomer takes the
place of the oldest, so that slow clients keep no probe out. What live and ready mean, and whether others than this
machine may ask, is left to the caller.
"""

from __future__ import annotations

import contextlib
import json
import logging
import re
import socket
import socketserver
import threading
import time
from collections.abc import Callable
from http import HTTPStatus
from types import TracebackType
from typing import Any, Final

from prometheus_client import CollectorRegistry
from prometheus_client.exposition import choose_encoder

CONNECTIONS: Final = 16
"""Connections that are open at once; each has a thread."""

SECONDS: Final = 5.0
"""What one request may take, from its connection to its answer's last byte."""

MAX_HEAD: Final = 8 * 1024
"""Bytes of a request's line and headers."""

_MAX_REST: Final = 64 * 1024
_REST_SECONDS: Final = 0.5
_METHODS: Final = ("GET", "HEAD")
_LINE: Final = re.compile(rb"([A-Za-z]+) ([!-~]+) HTTP/1\.[01]")
_ACCEPT: Final = re.compile(rb"\r\naccept:[ \t]*([ -~\t]*)", re.IGNORECASE)
_BODY: Final = re.compile(rb"\r\n(?:content-length|transfer-encoding):", re.IGNORECASE)

Answer = tuple[int, dict[str, str], bytes]
"""Status, headers and body."""

_log = logging.getLogger(__name__)


class HealthServer:
    """A server that runs from its construction to `close`, in threads of its own."""

    def __init__(
        self,
        host: str = "127.0.0.1",
        port: int = 0,
        *,
        ready: Callable[[], bool],
        live: Callable[[], bool] = lambda: True,
        registry: CollectorRegistry | None = None,
        retry_after: float = 1.0,
    ) -> None:
        """Listen at the address; port 0 is any free one. Raises `OSError` where that is not possible.

        `ready` and `live` are asked by each probe, from any thread, and should answer at once; what they raise is
        logged and answered 500. Without a `registry` there are no metrics. `retry_after` is in seconds.
        """
        self._ready, self._live, self._registry = ready, live, registry
        self._retry_after = max(1, round(retry_after))
        self._server = _Server((host, port), self._answer)
        self._thread = threading.Thread(target=self._server.serve_forever, name="health", daemon=True)
        self._thread.start()

    @property
    def address(self) -> tuple[str, int]:
        """Host and port that it listens at."""
        host, port = self._server.server_address[:2]
        return str(host), int(port)

    def close(self) -> None:
        """Take no more connections and end those that are open; waits for both, at most `SECONDS` for the second."""
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()
        self._server.end_connections()

    def __enter__(self) -> HealthServer:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()

    def _answer(self, head: bytes) -> Answer:
        """The answer to a request's line and headers."""
        line = _LINE.fullmatch(head.partition(b"\r\n")[0])
        if line is None:
            return _problem(400, "malformed", "expected a request of HTTP/1.1")
        method, target = line[1].decode(), line[2].decode().partition("?")[0]
        routes = {"/livez": self._liveness, "/readyz": self._readiness, "/metrics": self._metrics}
        if target not in routes or (target == "/metrics" and self._registry is None):
            return _problem(404, "not_found", f"no route {target[:256]}")
        if method not in _METHODS:
            allowed = ", ".join(_METHODS)
            answer = _problem(405, "method_not_allowed", f"{method[:16]} {target}: expected {allowed}")
            answer[1]["allow"] = allowed
            return answer
        try:
            return routes[target](head)
        except Exception:
            _log.exception("%s cannot be answered", target)
            return _problem(500, "internal", "the server failed on this request")

    def _liveness(self, _: bytes) -> Answer:
        live = bool(self._live())
        return _json(200 if live else 503, {"live": live})

    def _readiness(self, _: bytes) -> Answer:
        ready = bool(self._ready())
        answer = _json(200 if ready else 503, {"ready": ready})
        if not ready:
            answer[1]["retry-after"] = str(self._retry_after)
        return answer

    def _metrics(self, head: bytes) -> Answer:
        assert self._registry is not None
        accept = _ACCEPT.search(head)
        encode, media_type = choose_encoder(accept[1].decode() if accept else "")
        return 200, {"content-type": media_type}, encode(self._registry)


def _json(status: int, value: Any) -> Answer:
    return status, {"content-type": "application/json"}, json.dumps(value, separators=(",", ":")).encode()


def _problem(status: int, code: str, message: str) -> Answer:
    return _json(status, {"error": message, "code": code, "path": ""})


class _Server(socketserver.ThreadingTCPServer):
    """Accepts connections, of which at most `CONNECTIONS` are open."""

    allow_reuse_address = True
    daemon_threads = True
    block_on_close = False
    request_queue_size = CONNECTIONS

    def __init__(self, address: tuple[str, int], answer: Callable[[bytes], Answer]) -> None:
        if ":" in address[0]:
            self.address_family = socket.AF_INET6
        self.answer = answer
        self._free = threading.Semaphore(CONNECTIONS)
        self._lock = threading.Lock()
        self._open: dict[socket.socket, None] = {}
        """Connections, the oldest first."""
        super().__init__(address, _Handler)

    def process_request(self, request: Any, client_address: Any) -> None:
        """Give a connection a thread; one for which none comes free is closed."""
        if not self._free.acquire(blocking=False):
            self._break_off(1)
            if not self._free.acquire(timeout=_REST_SECONDS):
                self.shutdown_request(request)
                return
        with self._lock:
            self._open[request] = None
        try:
            super().process_request(request, client_address)
        except BaseException:
            self._ended(request)
            raise

    def process_request_thread(self, request: Any, client_address: Any) -> None:
        """One connection."""
        try:
            super().process_request_thread(request, client_address)
        finally:
            self._ended(request)

    def _ended(self, request: socket.socket) -> None:
        with self._lock:
            del self._open[request]
        self._free.release()

    def handle_error(self, request: Any, client_address: Any) -> None:  # noqa: ARG002  # that of the library
        """A client that went away is no event; anything else is a defect."""
        _log.exception("a connection failed")

    def end_connections(self) -> None:
        """Break off what is open, and wait for its threads."""
        self._break_off(CONNECTIONS)
        deadline = time.monotonic() + SECONDS
        for _ in range(CONNECTIONS):
            if not self._free.acquire(timeout=max(0.0, deadline - time.monotonic())):
                return

    def _break_off(self, count: int) -> None:
        """End the oldest connections: whoever reads or writes there is woken."""
        with self._lock:
            for request in list(self._open)[:count]:
                with contextlib.suppress(OSError):
                    request.shutdown(socket.SHUT_RDWR)


class _Handler(socketserver.BaseRequestHandler):
    """One request of one connection."""

    server: _Server
    request: socket.socket

    def handle(self) -> None:
        """Read a head of at most `MAX_HEAD` bytes, and answer it."""
        deadline = time.monotonic() + SECONDS
        # A client that is too slow, or went away, gets no answer.
        with contextlib.suppress(OSError):
            head = self._head(deadline)
            if head is None:
                return
            if len(head) > MAX_HEAD:
                message = f"expected a request's line and headers of at most {MAX_HEAD} bytes"
                self._send(b"", _problem(431, "headers_too_large", message), deadline)
            else:
                self._send(head, self.server.answer(head), deadline)
            if len(head) > MAX_HEAD or _BODY.search(head):
                self._read_away()

    def _head(self, deadline: float) -> bytes | None:
        """The request's bytes up to the empty line or a few beyond `MAX_HEAD`; None where the client goes before."""
        head = b""
        while len(head) <= MAX_HEAD:
            self.request.settimeout(max(0.001, deadline - time.monotonic()))
            received = self.request.recv(MAX_HEAD + 1 - len(head))
            if not received:
                return None
            head += received
            end = head.find(b"\r\n\r\n")
            if end >= 0:
                return head[: end + 4]
        return head

    def _send(self, head: bytes, answer: Answer, deadline: float) -> None:
        status, headers, body = answer
        lines = [f"HTTP/1.1 {status} {HTTPStatus(status).phrase}"]
        lines += [f"{name}: {value}" for name, value in headers.items()]
        lines += [f"content-length: {len(body)}", "connection: close", "", ""]
        message = "\r\n".join(lines).encode()
        self.request.settimeout(max(0.001, deadline - time.monotonic()))
        self.request.sendall(message if head.startswith(b"HEAD ") else message + body)

    def _read_away(self) -> None:
        """Take in some of what nobody wants: closing on bytes that were not read would tear the answer up."""
        self.request.shutdown(socket.SHUT_WR)
        deadline, left = time.monotonic() + _REST_SECONDS, _MAX_REST
        while left > 0 and (seconds := deadline - time.monotonic()) > 0:
            self.request.settimeout(seconds)
            received = self.request.recv(min(left, 4096))
            if not received:
                return
            left -= len(received)
