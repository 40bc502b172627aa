"""A schema registry in this process, by Confluent's protocol, which fails as it is told; and a real one."""

from __future__ import annotations

import contextlib
import json
import os
import socket
import ssl
import subprocess
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from typing import Any
from urllib.parse import unquote

from tests.support.listening import listening

Trouble = int | str


@dataclass
class Registry:
    """What is registered, and what the registry does instead of answering well, one entry a request."""

    url: str = ""
    schemas: dict[int, dict[str, Any]] = field(default_factory=dict)
    """The answers by id."""
    subjects: dict[str, dict[str, int]] = field(default_factory=dict)
    troubles: list[Trouble] = field(default_factory=list)
    """A status, or `page` (a 404 of somebody else's), `subject` (a 404 of another thing), `text`, `list`, `empty`,
    `break`, `long` (a schema), `wide` (a page), `elsewhere` (it sends on), `stall` (until `go_on`)."""
    authorization: str = ""
    """What a request has to say to be answered."""
    refuses: int = 0
    """The status for every new schema."""
    asked: list[str] = field(default_factory=list)
    go_on: threading.Event = field(default_factory=threading.Event)

    def add(self, schema: Any, **more: Any) -> int:
        """Register a schema, as JSON or as a text that is to be its text; give its id."""
        number = len(self.schemas) + 1
        text = schema if isinstance(schema, str) else json.dumps(schema)
        self.schemas[number] = {"schema": text, **more}
        return number


@contextlib.contextmanager
def serving(tls: ssl.SSLContext | None = None) -> Iterator[Registry]:
    """A registry at an address of its own."""
    registry = Registry()

    class Handler(BaseHTTPRequestHandler):
        def log_message(self, *_: object) -> None:
            pass

        def do_GET(self) -> None:
            self._answer(None)

        def do_POST(self) -> None:
            self._answer(json.loads(self.rfile.read(int(self.headers["content-length"]))))

        def _answer(self, body: Any) -> None:
            registry.asked.append(f"{self.command} {self.path}")
            trouble = registry.troubles.pop(0) if registry.troubles else None
            if trouble == "break":
                self.wfile.write(b"HTTP/1.0 200 OK\r\ncontent-length: 100\r\n\r\n{")
            elif trouble == "stall":
                registry.go_on.wait(20)
            elif trouble == "elsewhere":
                self.send_response(302)
                self.send_header("location", registry.url + self.path)
                self.end_headers()
            elif trouble == "page":
                self._send(404, b"<html>not here</html>")
            elif trouble == "wide":
                self._send(200, b"<html>" + b" " * (5 << 20), "text/html")
            elif trouble == "subject":
                self._send(404, b'{"error_code": 40401, "message": "Subject not found"}')
            elif trouble in ("text", "list", "empty", "long"):
                bodies = {"text": b"\xff{", "list": b"[]", "empty": b"{}", "long": b'{"schema": "' + b"x" * (5 << 20)}
                self._send(200, bodies[trouble])
            elif isinstance(trouble, int):
                self._send(trouble, b'{"error_code": 50001, "message": "no"}')
            elif registry.authorization and self.headers["authorization"] != registry.authorization:
                self._send(401, b'{"error_code": 401, "message": "who?"}')
            else:
                status, said = answer(registry, self.command, unquote(self.path), body)
                self._send(status, json.dumps(said).encode())

        def _send(self, status: int, body: bytes, kind: str = "application/vnd.schemaregistry.v1+json") -> None:
            self.send_response(status)
            self.send_header("content-type", kind)
            self.send_header("content-length", str(len(body)))
            self.end_headers()
            with contextlib.suppress(OSError):
                self.wfile.write(body)

    with listening(Handler, tls) as registry.url:
        try:
            yield registry
        finally:
            registry.go_on.set()


def answer(registry: Registry, method: str, path: str, body: Any) -> tuple[int, Any]:
    """What a registry says."""
    missing = 404, {"error_code": 40403, "message": "Schema not found"}
    parts = path.strip("/").split("/")
    if method == "GET" and parts[:2] == ["schemas", "ids"]:
        found = registry.schemas.get(int(parts[2]))
        return missing if found is None else (200, found)
    subject = registry.subjects.get(parts[1])
    if parts[2:] == ["versions"]:
        if registry.refuses:
            return registry.refuses, {"error_code": registry.refuses, "message": "not compatible"}
        number = registry.add(body["schema"])
        registry.subjects.setdefault(parts[1], {})[body["schema"]] = number
        return 200, {"id": number}
    if subject is None:
        return 404, {"error_code": 40401, "message": "Subject not found"}
    number = subject.get(body["schema"], 0)
    return (200, {"id": number, "version": 1, "subject": parts[1], **body}) if number else missing


@contextlib.contextmanager
def apicurio(program: str, home: Path) -> Iterator[str]:
    """A real registry: the URL of its Confluent protocol."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        port = taken.getsockname()[1]
    url = f"http://127.0.0.1:{port}/apis/ccompat/v7"
    environ = {**os.environ, "QUARKUS_HTTP_HOST": "127.0.0.1", "QUARKUS_HTTP_PORT": str(port)}
    with (
        (home / "registry.log").open("wb") as log,
        subprocess.Popen([program], cwd=home, env=environ, stdout=log, stderr=log) as process,
    ):
        try:
            deadline = time.monotonic() + 120
            while not _answers(f"{url}/subjects"):
                assert process.poll() is None
                assert time.monotonic() < deadline, (home / "registry.log").read_text()[-2000:]
                time.sleep(0.2)
            yield url
        finally:
            process.terminate()


def _answers(url: str) -> bool:
    try:
        with urllib.request.urlopen(url, timeout=5) as answer:
            return answer.status == 200
    except (urllib.error.URLError, OSError):
        return False
