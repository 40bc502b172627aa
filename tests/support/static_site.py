"""A web server for an exported page: static files, compressed ones where they lie beside them, and a hub's endpoint.

It counts what goes over the wire, can be stopped and started on the same port, and can send a file with one byte
changed. The endpoint keeps to the protocol of devices (`/v1/edge/…`): a line is applied once, however often it is sent.
"""

from __future__ import annotations

import gzip
import hashlib
import json
import re
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

TYPES = {
    "html": "text/html; charset=utf-8",
    "js": "text/javascript",
    "mjs": "text/javascript",
    "css": "text/css",
    "json": "application/json",
    "wasm": "application/wasm",
    "svg": "image/svg+xml",
    "png": "image/png",
    "webmanifest": "application/manifest+json",
}
_EVENTS = re.compile(r"/v1/edge/([^/]+)/lanes/([^/]+)/events")


class StaticSite:
    """The server; `with` starts it, `stop` and `start` take it off the network and back."""

    def __init__(self, root: Path, key: str = "") -> None:
        self.root = root
        self.key = key
        self.sent_bytes = 0
        self.paths: list[str] = []
        self.changed: str | None = None
        """The end of a path that goes out with one byte changed."""
        self.applied: dict[tuple[str, str], list[dict[str, Any]]] = {}
        self.watermarks: dict[tuple[str, str], int] = {}
        self.answers: list[tuple[int, dict[str, Any], dict[str, str]]] = []
        """Replies that the endpoint gives before it takes anything: status, body, headers."""
        self.lose_replies = 0
        """How many batches are applied and not answered."""
        self.port = 0
        self._lock = threading.Lock()
        self._server: ThreadingHTTPServer | None = None

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}/"

    def start(self) -> None:
        """Listen on the port of the first time."""
        site = self

        class Handler(_Handler):
            serving = site

        self._server = _Server(("127.0.0.1", self.port), Handler)
        self.port = self._server.server_address[1]
        threading.Thread(target=self._server.serve_forever, args=(0.02,), daemon=True).start()

    def stop(self) -> None:
        """Refuse connections from now on."""
        if self._server is not None:
            self._server.shutdown()
            self._server.server_close()
            self._server = None

    def count(self, path: str, sent: int) -> None:
        with self._lock:
            self.paths.append(path)
            self.sent_bytes += sent

    def take(self, lane: tuple[str, str], lines: list[dict[str, Any]]) -> tuple[int, dict[str, Any]]:
        """Apply the lines above the watermark; the reply's status and body."""
        with self._lock:
            mark = self.watermarks.get(lane, 0)
            first = lines[0].get("from_seq", lines[0]["seq"])
            if first > mark + 1:
                return 409, {"code": "sequence_gap", "acked_through": mark}
            for line in lines:
                if line["seq"] > self.watermarks.get(lane, 0):
                    self.applied.setdefault(lane, []).append(line)
                    self.watermarks[lane] = line["seq"]
            return 200, {"acked_through": self.watermarks[lane], "rejected": []}

    def events(self, lane: str = "bulk") -> list[dict[str, Any]]:
        """What was applied of a lane, in order, over all outboxes."""
        with self._lock:
            return [line for (_, name), lines in self.applied.items() if name == lane for line in lines]


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    allow_reuse_address = True

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A browser that goes away is no error."""


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    serving: StaticSite

    def log_message(self, format: str, *args: Any) -> None:
        """Nothing on stderr."""

    def do_GET(self) -> None:
        site = self.serving
        path = self.path.partition("?")[0].lstrip("/") or "index.html"
        place = (site.root / path).resolve()
        if not place.is_relative_to(site.root.resolve()) or not place.is_file():
            self._reply(404, b"", {})
            return
        headers = {
            "content-type": TYPES.get(path.rpartition(".")[2], "application/octet-stream"),
            "vary": "accept-encoding",
        }
        body = place.read_bytes()
        tag = f'"{hashlib.sha256(body).hexdigest()[:16]}"'
        headers |= {"etag": tag, "cache-control": "no-cache"}
        if self.headers.get("if-none-match") == tag:
            self._reply(304, b"", headers)
            return
        accepted = self.headers.get("accept-encoding", "")
        if site.changed is not None and path.endswith(site.changed):
            body = body[:-1] + bytes([body[-1] ^ 1])
        else:
            for name, end in (("br", ".br"), ("gzip", ".gz")):
                beside = place.with_name(place.name + end)
                if name in accepted and beside.is_file():
                    body = beside.read_bytes()
                    headers["content-encoding"] = name
                    break
        self._reply(200, body, headers)

    def do_POST(self) -> None:
        site = self.serving
        body = self.rfile.read(int(self.headers["content-length"]))
        match = _EVENTS.fullmatch(self.path.partition("?")[0])
        if match is None:
            self._reply(404, b"{}", {})
            return
        if self.headers.get("authorization") != f"Bearer {site.key}":
            self._json(401, {"error": "unknown key", "code": "unauthenticated", "path": ""}, {})
            return
        if site.answers:
            self._json(*site.answers.pop(0))
            return
        if self.headers.get("content-encoding") == "gzip":
            body = gzip.decompress(body)
        assert len(body) <= 1 << 20
        lines = [json.loads(line) for line in body.split(b"\n") if line]
        status, reply = site.take((self.headers["x-fivefold-outbox"], match[2]), lines)
        if site.lose_replies:
            site.lose_replies -= 1
            self.close_connection = True
            return
        self._json(status, reply, {})

    def _json(self, status: int, body: dict[str, Any], headers: dict[str, str]) -> None:
        self._reply(status, json.dumps(body).encode(), {"content-type": "application/json", **headers})

    def _reply(self, status: int, body: bytes, headers: dict[str, str]) -> None:
        self.serving.count(self.path, len(body))
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name, value)
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)


@contextmanager
def static_site(root: Path, key: str = "") -> Iterator[StaticSite]:
    """A running server for the length of a `with`."""
    site = StaticSite(root, key)
    site.start()
    try:
        yield site
    finally:
        site.stop()
