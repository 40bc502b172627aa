"""A hub that does as its protocol says, or as a script says for the next requests; what it has taken can be seen."""

from __future__ import annotations

import contextlib
import gzip
import json
import threading
from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler
from typing import Any

from tests.support.listening import listening

Answer = tuple[int, dict[str, str], bytes]
Script = Callable[["ScriptedHub", "Request"], Answer | None]
"""Gives the answer, or None to break the connection off."""


@dataclass
class Request:
    """One request."""

    method: str
    path: str
    headers: dict[str, str]
    body: bytes

    @property
    def lane(self) -> str:
        return self.path.split("/")[5]

    @property
    def lines(self) -> list[dict[str, Any]]:
        return [json.loads(line) for line in gzip.decompress(self.body).splitlines()]


@dataclass
class ScriptedHub:
    """What it has, and what it does next: each of `script` answers one request, then it is right again."""

    url: str = ""
    marks: dict[str, int] = field(default_factory=dict)
    lines: dict[str, list[dict[str, Any]]] = field(default_factory=dict)
    requests: list[Request] = field(default_factory=list)
    script: deque[Script] = field(default_factory=deque)
    most_lines: int = 500
    mutex: threading.Lock = field(default_factory=threading.Lock)

    def posts(self) -> list[Request]:
        return [each for each in self.requests if each.method == "POST"]

    def right(self, request: Request) -> Answer:
        """What the protocol says."""
        if request.method == "GET":
            outbox = request.path.partition("outbox=")[2]
            return answer(200, {"outbox": outbox, "lanes": self.marks})
        if request.method == "PUT":
            return answer(200, {})
        mark, lines = self.marks.get(request.lane, 0), request.lines
        if len(lines) > self.most_lines:
            return answer(413, {"code": "too_large", "error": "too many lines"})
        if lines[0].get("from_seq", lines[0]["seq"]) > mark + 1:
            return answer(409, {"code": "sequence_gap", "acked_through": mark})
        for line in lines:
            if line["seq"] > mark:
                assert line.get("from_seq", line["seq"]) <= mark + 1
                self.lines.setdefault(request.lane, []).append(line)
                mark = line["seq"]
        self.marks[request.lane] = mark
        return answer(200, {"acked_through": mark, "rejected": []})


def answer(status: int, content: dict[str, Any], **headers: str) -> Answer:
    return status, {name.replace("_", "-"): value for name, value in headers.items()}, json.dumps(content).encode()


@contextlib.contextmanager
def scripted_hub() -> Iterator[ScriptedHub]:
    """One on loopback."""
    hub = ScriptedHub()

    class ScriptedHandler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def log_message(self, *_: object) -> None:
            pass

        def do(self) -> None:
            body = self.rfile.read(int(self.headers.get("content-length", 0)))
            headers = {name.lower(): value for name, value in self.headers.items()}
            request = Request(self.command, self.path, headers, body)
            with hub.mutex:
                hub.requests.append(request)
                given = hub.script.popleft()(hub, request) if hub.script else hub.right(request)
            if given is None:
                self.close_connection = True
                return
            status, more, content = given
            self.send_response(status)
            for name, value in more.items():
                self.send_header(name, value)
            self.send_header("content-length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)

        do_GET = do_POST = do_PUT = do

    with listening(ScriptedHandler) as hub.url:
        yield hub
