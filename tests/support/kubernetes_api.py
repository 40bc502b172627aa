"""A Kubernetes API over real HTTP with one namespace's objects: what `fivefold.cluster.kubernetes_api` asks of one."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from typing import Any

from fivefold.cluster.kubernetes_api import JOB, RAYJOB, RAYSERVICE, SECRET, Api, Kind
from tests.support.listening import listening

Objects = dict[str, dict[str, Any]]


class Cluster:
    """Objects by name, what was asked, and an account's token that is expected.

    `course` has what an operator would write into a RayJob's status, one more at each question for it; a number in it
    is a status of HTTP with which that question fails.
    """

    def __init__(self) -> None:
        self.secrets: Objects = {}
        self.jobs: Objects = {}
        self.rayjobs: Objects = {}
        self.rayservices: Objects = {}
        self.course: list[dict[str, Any] | int] = []
        self.asked: list[str] = []
        self.token = "first"
        self.forbidden: set[str] = set()
        self.version = 0

    def answer(self, method: str, path: str, token: str, body: dict[str, Any]) -> tuple[int, dict[str, Any]]:
        """What the API answers to one call."""
        held_in, name = self._place(path)
        name = name or body.get("metadata", {}).get("name", "")
        self.asked.append(f"{method} {name}")
        if token != f"Bearer {self.token}":
            return 401, {}
        if name in self.forbidden or held_in is None:
            return 403, {"kind": "Status", "message": f"{name} is none of yours"}
        held = held_in.get(name)
        if method == "GET":
            if held and held_in is self.rayjobs and self.course:
                state = self.course.pop(0)
                if isinstance(state, int):
                    return state, {}
                held["status"] = state
            return (200, held) if held else (404, {})
        if method == "POST" and held:
            return 409, {}
        if method == "PUT" and (not held or held["metadata"]["resourceVersion"] != body["metadata"]["resourceVersion"]):
            return 409, {}
        self.version += 1
        body["metadata"]["resourceVersion"] = str(self.version)
        held_in[name] = body
        return 201, body

    def _place(self, path: str) -> tuple[Objects | None, str]:
        """The objects that a path is about, and the name in it."""
        kept = ((SECRET, self.secrets), (JOB, self.jobs), (RAYJOB, self.rayjobs), (RAYSERVICE, self.rayservices))
        for kind, objects in kept:
            if path.startswith(begin := _collection(kind)):
                return objects, path.removeprefix(begin).lstrip("/")
        return None, ""


def _collection(kind: Kind) -> str:
    return f"{kind.group}/namespaces/scores/{kind.plural}"


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
    with listening(Handler) as url:
        yield cluster, Api(url, "scores", token)
