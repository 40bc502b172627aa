"""The page's server for browsers: REST under uvicorn and gRPC on one loop in a thread, on free ports of loopback."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import partial

import uvicorn

from fivefold.core.bundle.bundle import Bundle
from fivefold.core.runtime.scorer import Scorer
from fivefold.core.telemetry import Telemetry
from fivefold.guard import Guard
from fivefold.serving.dataplane import Dataplane
from fivefold.serving.grpc.grpc_server import GrpcServer
from fivefold.serving.http import app
from fivefold.serving.limits import ServingLimits
from fivefold.serving.repository import Model, Repository
from tests.support.grpc_calls import SECONDS, Loop


@dataclass(frozen=True)
class Served:
    """A running server: where its page is, and which bundles it has."""

    url: str
    grpc: str
    bundles: Sequence[Bundle]


async def _listen(server: uvicorn.Server, listening: socket.socket) -> asyncio.Task[None]:
    task = asyncio.create_task(server.serve([listening]))
    async with asyncio.timeout(SECONDS):
        while not server.started:
            await asyncio.sleep(0.01)
    return task


@contextmanager
def served(
    bundles: Sequence[Bundle], port: int = 0, keys: str = "", *, serve_bundles: bool = True, page_runtime: str = ""
) -> Iterator[Served]:
    """The bundles behind both transports, for the length of a `with`; `port` is REST's, a free one where it is 0.

    `keys` is a file of API keys for a server that asks for one, `page_runtime` where the browser's runtime lies.
    """
    loop = Loop.shared()
    models = Repository([Model(bundle, Scorer.open(bundle)) for bundle in bundles])
    limits = ServingLimits(log_sample=0.0, keys=keys, serve_bundles=serve_bundles, page_runtime=page_runtime)
    serving = loop.call(lambda: Dataplane(models, limits, Telemetry("online", log_sample=0.0), Guard.of(limits)))
    grpc = loop.call(lambda: GrpcServer(serving, "127.0.0.1:0"))
    loop.run(grpc.start)
    settings = replace(limits, grpc=grpc.address)
    with socket.socket() as listening:
        listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listening.bind(("127.0.0.1", port))
        config = uvicorn.Config(app(serving, settings), lifespan="off", log_level="critical", ws="none")
        http = uvicorn.Server(config)
        running = loop.run(partial(_listen, http, listening))
        try:
            yield Served(f"http://127.0.0.1:{listening.getsockname()[1]}/", grpc.address, bundles)
        finally:
            http.should_exit = True
            loop.run(partial(asyncio.wait_for, running, SECONDS))
            loop.run(grpc.stop)
            serving.close()
