"""A live service for the gate: the real HTTP application under uvicorn, on a free port of the loopback."""

from __future__ import annotations

import contextlib
import socket
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import uvicorn

from fivefold.core.bundle.bundle import Bundle
from fivefold.core.runtime.scorer import Scorer
from fivefold.core.telemetry import Telemetry
from fivefold.serving.dataplane import Dataplane
from fivefold.serving.http import app
from fivefold.serving.limits import ServingLimits
from fivefold.serving.repository import Model, Repository

SECONDS = 30.0


@contextlib.contextmanager
def serving(bundles: Sequence[Bundle], defaults: Mapping[str, str] | None = None) -> Iterator[str]:
    """The URL of a server that answers for the bundles."""
    settings = ServingLimits(log_sample=0.0)
    models = Repository([Model(bundle, Scorer.open(bundle)) for bundle in bundles], defaults=defaults)
    inner = Dataplane(models, settings, Telemetry("online", log_sample=0.0))
    try:
        with running(app(inner, settings)) as url:
            yield url
    finally:
        inner.close()


@contextlib.contextmanager
def running(application: Any) -> Iterator[str]:
    """The URL of an ASGI application's server."""
    with socket.socket() as listening:
        listening.bind(("127.0.0.1", 0))
        server = uvicorn.Server(uvicorn.Config(application, lifespan="off", log_level="critical", ws="none"))
        thread = threading.Thread(target=server.run, args=([listening],))
        thread.start()
        deadline = time.monotonic() + SECONDS
        while not server.started:
            assert thread.is_alive()
            assert time.monotonic() < deadline
            time.sleep(0.01)
        try:
            yield f"http://127.0.0.1:{listening.getsockname()[1]}"
        finally:
            server.should_exit = True
            thread.join(SECONDS)
