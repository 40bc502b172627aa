"""One bundle behind serving's own servers on free ports of the loopback, without Ray: what HTTP and gRPC are asked."""

from __future__ import annotations

import asyncio
import socket
import threading
from collections.abc import Callable
from concurrent.futures import Future
from typing import Any

from fivefold.core.bundle.bundle import Bundle
from fivefold.core.runtime.scorer import Scorer
from fivefold.core.telemetry import Telemetry
from fivefold.serving.dataplane import Dataplane
from fivefold.serving.limits import ServingLimits
from fivefold.serving.repository import Model, Repository

Start = Callable[[Dataplane], Any]
"""Makes the server, on the loop that will run it; it has `start`, `stop` and `address`."""

SECONDS = 60.0
"""How long starting and stopping may take."""

GRACE = 5.0
"""How long an answer may still take when the server stops; by then all are there."""


class ServedBundle:
    """A server in a thread with an event loop of its own; `close` ends it."""

    def __init__(self, bundle: Bundle, start: Start) -> None:
        limits = ServingLimits(log_sample=0.0)
        models = Repository([Model(bundle, Scorer.open(bundle))])
        self._dataplane = Dataplane(models, limits, Telemetry("online", log_sample=0.0))
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="fivefold-parity", daemon=True)
        self._thread.start()
        self._server: Any = None
        try:
            self._server = self._run(self._begin(start))
        except BaseException:
            self.close()
            raise
        self.address: str = self._server.address

    async def _begin(self, start: Start) -> Any:
        server = start(self._dataplane)
        await server.start()
        return server

    def _run(self, work: Any) -> Any:
        waited: Future[Any] = asyncio.run_coroutine_threadsafe(work, self._loop)
        return waited.result(SECONDS)

    def close(self) -> None:
        """Stop the server and the loop, close the model."""
        if self._server is not None:
            self._run(self._server.stop(GRACE))
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(SECONDS)
        self._loop.close()
        self._dataplane.close()


def http(dataplane: Dataplane) -> Any:
    """Serving's HTTP server on a free port."""
    from fivefold.serving.http.app import app
    from fivefold.serving.http.http_server import HttpServer

    listener = socket.socket()
    listener.bind(("127.0.0.1", 0))
    server: Any = HttpServer(app(dataplane, dataplane.settings), listener)
    server.address = f"127.0.0.1:{listener.getsockname()[1]}"
    return server


def grpc(dataplane: Dataplane) -> Any:
    """Serving's gRPC server on a free port."""
    from fivefold.serving.grpc.grpc_server import GrpcServer

    return GrpcServer(dataplane, "127.0.0.1:0")
