"""Small models behind the HTTP application in this process, and a client that can also misbehave."""

from __future__ import annotations

import asyncio
import json
import logging
from collections.abc import Callable, Coroutine, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, TypeVar

import httpx

from fivefold.core.bundle.bundle import Bundle
from fivefold.core.runtime.scorer import Scorer
from fivefold.core.telemetry import LOGGER, Telemetry
from fivefold.guard import Guard
from fivefold.serving.dataplane import Dataplane
from fivefold.serving.http import app
from fivefold.serving.limits import ServingLimits
from fivefold.serving.origins import Origins
from fivefold.serving.repository import Model, Repository

T = TypeVar("T")

SECONDS = 20.0
"""The longest that a test waits for anything."""


@dataclass
class Reply:
    """A whole answer."""

    status: int
    headers: dict[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        return json.loads(self.body)

    @property
    def code(self) -> str:
        """The error's code, after a look at what every error answer has."""
        answer = self.json
        assert self.headers["content-type"] == "application/json"
        assert set(answer) <= {"error", "code", "path", "help", "details", "request_id"}
        assert answer["request_id"] == self.headers["x-request-id"]
        return str(answer["code"])


class Exchange:
    """One ASGI request in slow motion: what the client sends comes from `messages`, and it may wait between them."""

    def __init__(self, application: Any, scope: Mapping[str, Any]) -> None:
        self._application = application
        self._scope = dict(scope)
        self._incoming: asyncio.Queue[dict[str, Any]] = asyncio.Queue()
        self._sent: list[dict[str, Any]] = []

    def say(self, body: bytes, *, more: bool = False) -> None:
        self._incoming.put_nowait({"type": "http.request", "body": body, "more_body": more})

    def hang_up(self) -> None:
        self._incoming.put_nowait({"type": "http.disconnect"})

    async def run(self) -> Reply:
        async def send(message: dict[str, Any]) -> None:
            self._sent.append(message)

        await asyncio.wait_for(self._application(self._scope, self._incoming.get, send), SECONDS)
        start, *bodies = self._sent
        headers = {name.decode(): value.decode("latin-1") for name, value in start["headers"]}
        assert len(headers) == len(start["headers"]), "the same header twice"
        body = b"".join(message.get("body", b"") for message in bodies)
        return Reply(start["status"], headers, body)


class World:
    """The application with its models, and the loop that drives them."""

    def __init__(self, serving: Dataplane, runner: asyncio.Runner) -> None:
        self.serving = serving
        self.app = app(serving, serving.settings)
        self.lines: list[dict[str, Any]] = []
        self._runner = runner

    def run(self, work: Coroutine[Any, Any, T]) -> T:
        return self._runner.run(work)

    def exchange(
        self, method: str, path: str, headers: Mapping[str, str] | None = None, *, root_path: str = ""
    ) -> Exchange:
        scope = {
            "type": "http",
            "asgi": {"version": "3.0", "spec_version": "2.3"},
            "http_version": "1.1",
            "method": method,
            "scheme": "http",
            "path": root_path + path,
            "raw_path": (root_path + path).encode(),
            "query_string": b"",
            "root_path": root_path,
            "headers": [(name.lower().encode(), value.encode("latin-1")) for name, value in (headers or {}).items()],
            "client": ("127.0.0.1", 1),
            "server": ("127.0.0.1", 8000),
        }
        return Exchange(self.app, scope)

    def ask(
        self,
        method: str,
        path: str,
        body: bytes | None = None,
        *,
        json: Any = None,
        headers: Mapping[str, str] | None = None,
        root_path: str = "",
    ) -> Reply:
        """One well-behaved request."""
        given = dict(headers or {})
        if json is not None:
            body = dumps(json)
            given.setdefault("content-type", "application/json")
        exchange = self.exchange(method, path, given, root_path=root_path)
        exchange.say(body or b"")
        return self.run(exchange.run())

    def get(self, path: str, **headers: str) -> Reply:
        return self.ask("GET", path, headers={name.replace("_", "-"): value for name, value in headers.items()})

    def post(self, path: str, json: Any, **headers: str) -> Reply:
        given = {name.replace("_", "-"): value for name, value in headers.items()}
        return self.ask("POST", path, json=json, headers=given)

    def count(self, code: str, model: str = "", version: str = "") -> float:
        """How many HTTP requests ended with the code."""
        labels = {"pattern": "online", "model": model, "version": version, "transport": "http", "code": code}
        return self.serving.telemetry.registry.get_sample_value("fivefold_requests_total", labels) or 0.0


def dumps(value: Any) -> bytes:
    return json.dumps(value).encode()


class _Lines(logging.Handler):
    def __init__(self, lines: list[dict[str, Any]]) -> None:
        super().__init__()
        self._lines = lines

    def emit(self, record: logging.LogRecord) -> None:
        self._lines.append(json.loads(record.getMessage()))


@contextmanager
def log_lines() -> Iterator[list[dict[str, Any]]]:
    """What the product logs meanwhile, parsed."""
    lines: list[dict[str, Any]] = []
    handler = _Lines(lines)
    before = LOGGER.level, LOGGER.propagate
    LOGGER.addHandler(handler)
    LOGGER.setLevel(logging.INFO)
    LOGGER.propagate = False
    try:
        yield lines
    finally:
        LOGGER.removeHandler(handler)
        LOGGER.level, LOGGER.propagate = before


@contextmanager
def world(
    bundles: Sequence[Bundle],
    *,
    prepare: Callable[[Dataplane], None] | None = None,
    local: bool = False,
    **settings: Any,
) -> Iterator[World]:
    """The bundles behind the application. `prepare` sees the `Dataplane` before the application is built; `local` is
    the product's own server."""
    chosen = ServingLimits(**{"log_sample": 0.0, **settings})
    models = Repository([Model(bundle, Scorer.open(bundle)) for bundle in bundles])
    telemetry = Telemetry("online", log_sample=chosen.log_sample)
    serving = Dataplane(models, chosen, telemetry, Guard.of(chosen), origins=Origins.of(chosen, local=local))
    if prepare:
        prepare(serving)
    with asyncio.Runner() as runner, log_lines() as lines:
        out = World(serving, runner)
        out.lines = lines
        try:
            yield out
        finally:
            serving.close()


class Client:
    """A reader's application and httpx, driven from tests that are not coroutines."""

    def __init__(self, application: Any, runner: asyncio.Runner) -> None:
        transport = httpx.ASGITransport(application)
        self._client = httpx.AsyncClient(transport=transport, base_url="http://here", timeout=SECONDS)
        self._runner = runner

    def get(self, path: str, **rest: Any) -> httpx.Response:
        return self._runner.run(self._client.get(path, **rest))

    def post(self, path: str, **rest: Any) -> httpx.Response:
        return self._runner.run(self._client.post(path, **rest))


@contextmanager
def client(application: Any) -> Iterator[Client]:
    """The application between its startup and its shutdown."""
    with asyncio.Runner() as runner:
        lifespan = application.router.lifespan_context(application)
        runner.run(lifespan.__aenter__())
        try:
            yield Client(application, runner)
        finally:
            runner.run(lifespan.__aexit__(None, None, None))
