"""A real HTTP server for bundles, which fails on the way as it is told."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler
from urllib.parse import unquote

from tests.support.listening import listening


@dataclass
class Shelf:
    """What the server has by path, and what it does instead of answering well, one entry a request."""

    url: str = ""
    files: dict[str, bytes] = field(default_factory=dict)
    troubles: list[str] = field(default_factory=list)
    """A status, or `break` (half of the body and then nothing), or `stall` (half of the body, then `go_on`)."""
    asked: list[str] = field(default_factory=list)
    """The targets of all requests so far."""
    etag: str = ""
    """Sent with every file; a client may then ask for the rest of a body that broke off, which is not answered here."""
    stalled: threading.Event = field(default_factory=threading.Event)
    go_on: threading.Event = field(default_factory=threading.Event)

    def put(self, path: str, data: bytes, digest: str) -> str:
        """Keep a file, and give the reference to it."""
        self.files[path] = data
        return f"{self.url}{path}#sha256={digest}"


@contextlib.contextmanager
def shelf() -> Iterator[Shelf]:
    """A running server on a free port of the loopback."""
    state = Shelf()

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def log_message(self, *_: object) -> None:
            pass

        def do_GET(self) -> None:
            state.asked.append(self.path)
            trouble = state.troubles.pop(0) if state.troubles else ""
            data = state.files.get(unquote(self.path.partition("?")[0]))
            if trouble.isdigit() or data is None:
                self.send_error(int(trouble or 404))
                return
            self.send_response(200)
            self.send_header("content-length", str(len(data)))
            self.send_header("last-modified", "Thu, 01 Jan 2026 00:00:00 GMT")
            if state.etag:
                self.send_header("etag", state.etag)
            self.end_headers()
            half = len(data) // 2
            self.wfile.write(data[:half])
            if trouble == "break":
                self.close_connection = True
                return
            if trouble == "stall":
                self.wfile.flush()
                state.stalled.set()
                state.go_on.wait(60)
            with contextlib.suppress(ConnectionError):
                self.wfile.write(data[half:])

    with listening(Handler) as state.url:
        try:
            yield state
        finally:
            state.go_on.set()
