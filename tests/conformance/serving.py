"""The conformance models behind real transports inside this process: one event loop, an ASGI app, a gRPC server.

One server for each set of limits that cases ask for, of each kind; the loop belongs to the session's fixture.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Mapping
from contextlib import AsyncExitStack
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

import grpc
import httpx
from fastapi import FastAPI

import fivefold
from fivefold.core.bundle.bundle import Bundle
from fivefold.core.runtime.scorer import Scorer
from fivefold.core.telemetry import Telemetry
from fivefold.edge.gateway.outbox_writer import OutboxWriter
from fivefold.edge.gateway.storing import StoringScheduler
from fivefold.edge.outbox import Outbox
from fivefold.serving.dataplane import Dataplane
from fivefold.serving.grpc.grpc_server import GrpcServer, server
from fivefold.serving.http import app
from fivefold.serving.limits import ServingLimits
from fivefold.serving.repository import Model, Repository
from tests.conformance.cases import Limits
from tests.support.grpc_calls import proxied_unary

T = TypeVar("T")


def _settings(limits: Limits) -> ServingLimits:
    given: dict[str, Any] = {"max_rows": limits.max_rows, "max_json_depth": limits.max_depth}
    return ServingLimits(log_sample=0.0, serve_bundles=True, **{name: value for name, value in given.items() if value})


class InProcess:
    """Servers in this process, made when a case first asks for their limits; `close` ends all of them."""

    def __init__(self, bundles: Mapping[str, Bundle]) -> None:
        self._bundles = bundles
        self._runner = asyncio.Runner()
        self._servings: dict[Limits, Dataplane] = {}
        self._clients: dict[Limits, httpx.AsyncClient] = {}
        self._mounted: dict[Limits, httpx.AsyncClient] = {}
        self._open_apps = AsyncExitStack()
        self._servers: list[GrpcServer] = []
        self._channels: dict[tuple[Limits, Path | None], grpc.aio.Channel] = {}

    def run(self, work: Awaitable[T]) -> T:
        """Wait for the work on the servers' own loop."""

        async def wait() -> T:
            return await work

        return self._runner.run(wait())

    def serving(self, limits: Limits) -> Dataplane:
        """The one path behind both transports."""
        if limits not in self._servings:
            models = Repository(Model(bundle, Scorer.open(bundle)) for bundle in self._bundles.values())
            self._servings[limits] = self._dataplane(models, _settings(limits))
        return self._servings[limits]

    def _dataplane(self, models: Repository, settings: ServingLimits) -> Dataplane:
        return Dataplane(models, settings, Telemetry("online", log_sample=0.0))

    def client(self, limits: Limits) -> httpx.AsyncClient:
        """An HTTP client of the ASGI app with those limits."""
        if limits not in self._clients:
            serving = self.serving(limits)
            transport = httpx.ASGITransport(app(serving, serving.settings))
            self._clients[limits] = httpx.AsyncClient(transport=transport, base_url="http://conformance")
        return self._clients[limits]

    def mounted(self, limits: Limits) -> httpx.AsyncClient:
        """An HTTP client of somebody's own FastAPI application with `fivefold.router` below a prefix."""
        if limits not in self._mounted:
            theirs = FastAPI()
            theirs.include_router(
                fivefold.router(*self._bundles.values(), settings=_settings(limits)), prefix="/scoring"
            )
            self.run(self._open_apps.enter_async_context(theirs.router.lifespan_context(theirs)))
            transport = httpx.ASGITransport(theirs)
            self._mounted[limits] = httpx.AsyncClient(transport=transport, base_url="http://conformance/scoring")
        return self._mounted[limits]

    def channel(self, limits: Limits, *, behind: Path | None = None) -> grpc.aio.Channel:
        """A channel to a gRPC server on a free port of this machine with those limits, or to a HAProxy before it.

        `behind` is a directory for that one.
        """
        if (limits, behind) not in self._channels:
            self._channels[limits, behind] = self.run(self._open(self.serving(limits), behind))
        return self._channels[limits, behind]

    async def _open(self, serving: Dataplane, behind: Path | None) -> grpc.aio.Channel:
        started = server(serving, "127.0.0.1:0")
        await started.start()
        self._servers.append(started)
        address = started.address
        if behind is not None:
            directory = behind / str(len(self._servers))
            address = await self._open_apps.enter_async_context(proxied_unary(serving, started, directory))
        return grpc.aio.insecure_channel(address, [("grpc.max_receive_message_length", -1)])

    def close(self) -> None:
        """Stop the servers, close the models, end the loop."""

        async def stop() -> None:
            for client in (*self._clients.values(), *self._mounted.values()):
                await client.aclose()
            for channel in self._channels.values():
                await channel.close()
            await self._open_apps.aclose()
            for started in self._servers:
                await started.stop(0)

        self._runner.run(stop())
        for serving in self._servings.values():
            serving.close()
        self._runner.close()


class StoringInProcess(InProcess):
    """The same with a gateway's scheduler and a real outbox: nothing is answered before it is on the disk."""

    def __init__(self, bundles: Mapping[str, Bundle], path: Path) -> None:
        super().__init__(bundles)
        self._outbox = Outbox(path, quota_bytes=1024 * 1024 * 1024)
        self._writer = OutboxWriter(self._outbox)

    def stored(self) -> int:
        """Events that wait."""
        return self._outbox.status().events

    def _dataplane(self, models: Repository, settings: ServingLimits) -> Dataplane:
        scheduler = partial(StoringScheduler, self._writer, True, False)
        return Dataplane(models, settings, Telemetry("edge", log_sample=0.0), scheduler=scheduler)

    def close(self) -> None:
        super().close()
        self._writer.close()
        self._outbox.close()
