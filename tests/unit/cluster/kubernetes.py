"""A Kubernetes API with one namespace's Secrets in it, over real HTTP: what `fivefold.cluster.api` asks of one."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

from fivefold.cluster.api import Api

PATH = "/api/v1/namespaces/scores/secrets"


class Cluster:
    """The Secrets by name, what was asked, and an account's token that is expected."""

    def __init__(self) -> None:
        self.secrets: dict[str, dict[str, Any]] = {}
        self.asked: list[str] = []
        self.token = "first"
        self.forbidden: set[str] = set()
        self.version = 0

    def answer(self, method: str, path: str, token: str, body: dict[str, Any]) -> tuple[int, dict[str, Any]]:
        """What the API answers to one call."""
        name = path.removeprefix(PATH).lstrip("/") or body.get("metadata", {}).get("name", "")
        self.asked.append(f"{method} {name}")
        if token != f"Bearer {self.token}":
            return 401, {}
        if name in self.forbidden or not path.startswith(PATH):
            return 403, {}
        held = self.secrets.get(name)
        if method == "GET":
            return (200, held) if held else (404, {})
        if method == "POST" and held:
            return 409, {}
        if method == "PUT" and (not held or held["metadata"]["resourceVersion"] != body["metadata"]["resourceVersion"]):
            return 409, {}
        self.version += 1
        body["metadata"]["resourceVersion"] = str(self.version)
        self.secrets[name] = body
        return 201, body


@contextmanager
def running(directory: Path) -> Iterator[tuple[Cluster, Api]]:
    """The API on a port of its own, and what a pod would use to reach it."""
    cluster = Cluster()

    class Handler(BaseHTTPRequestHandler):
        def _answer(self) -> None:
            length = int(self.headers.get("content-length") or 0)
            body = json.loads(self.rfile.read(length) or b"{}")
            status, answer = cluster.answer(self.command, self.path, self.headers.get("authorization", ""), body)
            data = json.dumps(answer).encode()
            self.send_response(status)
            self.send_header("content-length", str(len(data)))
            self.end_headers()
            self.wfile.write(data)

        do_GET = do_POST = do_PUT = _answer

        def log_message(self, *_: Any) -> None:
            """Nothing."""

    token = directory / "token"
    token.write_text("first\n")
    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        try:
            yield cluster, Api(f"http://127.0.0.1:{server.server_port}", "scores", token)
        finally:
            server.shutdown()
            thread.join()
