"""A Kubernetes API over real HTTP with one namespace's objects: what `fivefold.cluster.kubernetes_api` asks of one."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs

from fivefold.cluster.kubernetes_api import CRONJOB, JOB, RAYJOB, RAYSERVICE, SECRET, Api, Kind
from tests.support.listening import listening

Objects = dict[str, dict[str, Any]]


class Cluster:
    """Objects by name, what was asked, and an account's token that is expected; empty: nobody is asked for one.

    `course` has what an operator would write into a RayJob's status, one more at each question for it; a number in it
    is a status of HTTP with which that question fails. `ends` is the status of every Job that is made.
    """

    def __init__(self) -> None:
        self.secrets: Objects = {}
        self.jobs: Objects = {}
        self.cronjobs: Objects = {}
        self.rayjobs: Objects = {}
        self.rayservices: Objects = {}
        self.course: list[dict[str, Any] | int] = []
        self.ends: dict[str, Any] = {}
        self.asked: list[str] = []
        self.token = "first"
        self.forbidden: set[str] = set()
        self.version = 0

    def answer(self, method: str, path: str, token: str, body: dict[str, Any]) -> tuple[int, dict[str, Any]]:
        """What the API answers to one call."""
        path, _, query = path.partition("?")
        held_in, name = self._place(path)
        name = name or body.get("metadata", {}).get("name", "")
        self.asked.append(f"{method} {name}")
        if self.token and token != f"Bearer {self.token}":
            return 401, {}
        if name in self.forbidden or held_in is None:
            return 403, {"kind": "Status", "message": f"{name} is none of yours"}
        held = held_in.get(name)
        if method == "GET" and not name:
            return 200, {"items": [item for item in held_in.values() if _chosen(item, query)]}
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
        if held_in is self.jobs and self.ends:
            body["status"] = self.ends
        held_in[name] = body
        return 201, body

    def _held(self) -> list[tuple[Kind, Objects]]:
        return [
            (SECRET, self.secrets),
            (JOB, self.jobs),
            (CRONJOB, self.cronjobs),
            (RAYJOB, self.rayjobs),
            (RAYSERVICE, self.rayservices),
        ]

    def _place(self, path: str) -> tuple[Objects | None, str]:
        """The objects that a path is about, and the name in it."""
        for kind, objects in self._held():
            if path.startswith(begin := _collection(kind)):
                return objects, path.removeprefix(begin).lstrip("/")
        return None, ""


def _collection(kind: Kind) -> str:
    return f"{kind.group}/namespaces/scores/{kind.plural}"


def _chosen(item: dict[str, Any], query: str) -> bool:
    """Whether an object has the labels that a query asks for."""
    wanted = [pair.split("=") for text in parse_qs(query).get("labelSelector", []) for pair in text.split(",")]
    return all(item["metadata"].get("labels", {}).get(name) == value for name, value in wanted)


@contextmanager
def running(directory: Path) -> Iterator[tuple[Cluster, Api]]:
    """The API on a port of its own, and what a pod would use to reach it."""
    cluster = Cluster()

    class Handler(BaseHTTPRequestHandler):
        def _body(self) -> bytes:
            if self.headers.get("transfer-encoding") != "chunked":
                return self.rfile.read(int(self.headers.get("content-length") or 0))
            chunks = []
            while size := int(self.rfile.readline(), 16):
                chunks.append(self.rfile.read(size))
                self.rfile.readline()
            self.rfile.readline()
            return b"".join(chunks)

        def _answer(self) -> None:
            body = json.loads(self._body() or b"{}")
            status, answer = cluster.answer(self.command, self.path, self.headers.get("authorization", ""), body)
            data = json.dumps(answer).encode()
            self.send_response(status)
            self.send_header("content-type", "application/json")
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
