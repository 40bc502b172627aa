"""Models behind HTTP and gRPC at once, on free ports of the loopback."""

from __future__ import annotations

import asyncio
import contextlib
import threading
from collections.abc import Iterator, Sequence

import uvicorn

from fivefold.core.bundle.bundle import Bundle
from fivefold.core.runtime.scorer import Scorer
from fivefold.core.telemetry import Telemetry
from fivefold.serving.dataplane import Dataplane
from fivefold.serving.grpc.grpc_server import server
from fivefold.serving.http import app
from fivefold.serving.limits import ServingLimits
from fivefold.serving.repository import Model, Repository


@contextlib.contextmanager
def serving(bundles: Sequence[Bundle], limits: ServingLimits | None = None) -> Iterator[dict[str, str]]:
    """The URLs of a server of the bundles, by `http` and `grpc`."""
    models = Repository([Model(bundle, Scorer.open(bundle)) for bundle in bundles])
    limits = limits or ServingLimits(log_sample=0.0)
    servers = _Servers(Dataplane(models, limits, Telemetry("online", log_sample=0.0)))
    try:
        yield servers.urls
    finally:
        servers.close()


class _Servers:
    """Both transports on one loop in a thread."""

    def __init__(self, serving: Dataplane) -> None:
        self._serving = serving
        self._up = threading.Event()
        self._stop: asyncio.Event
        self._thread = threading.Thread(target=lambda: asyncio.run(self._main()))
        self._thread.start()
        assert self._up.wait(30)

    async def _main(self) -> None:
        self._loop, self._stop = asyncio.get_running_loop(), asyncio.Event()
        config = uvicorn.Config(app(self._serving, self._serving.settings), port=0, log_level="error", lifespan="off")
        web = uvicorn.Server(config)
        running = asyncio.ensure_future(web.serve())
        while not web.started:
            await asyncio.sleep(0.01)
        async with server(self._serving, "127.0.0.1:0") as rpc:
            port = web.servers[0].sockets[0].getsockname()[1]
            self.urls = {"http": f"http://127.0.0.1:{port}", "grpc": f"grpc://{rpc.address}"}
            self._up.set()
            await self._stop.wait()
        web.should_exit = True
        await running

    def close(self) -> None:
        self._loop.call_soon_threadsafe(self._stop.set)
        self._thread.join(30)
        self._serving.close()
