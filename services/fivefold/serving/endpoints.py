"""What a process with scorers answers with, at Ray's servers and at its own: one application, one set of gRPC services.

Who tells it to drain is left to `deployment`, what a request becomes to `Dataplane`.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

from fivefold.serving.background import Background

if TYPE_CHECKING:
    from fivefold.serving.dataplane import Dataplane


class Endpoints:
    """What a process with scorers answers with: its `Dataplane`, HTTP app and gRPC services."""

    def __init__(self, dataplane: Dataplane, telemetry: Any) -> None:
        from fivefold.serving.grpc.servicer import Servicer
        from fivefold.serving.http.app import app

        self.dataplane = dataplane
        self.telemetry = telemetry
        self.app = app(dataplane, dataplane.settings)
        self.servicer = Servicer(dataplane, dataplane.settings)
        self.background = Background()
        self._direct: list[Any] = []
        self._leaving: asyncio.Future[Any] | None = None

    def listen_grpc(self, address: str) -> None:
        """Answer gRPC on an address of the replica's own; raises `RuntimeError` where that is taken."""
        from fivefold.serving.grpc.grpc_server import GrpcServer

        self._listen("grpc", GrpcServer(self.dataplane, address, servicer=self.servicer, shared=True))

    def listen_http(self, path: str) -> None:
        """Answer HTTP on the socket that is handed over at `path`; raises `OSError` where there is none."""
        from fivefold.serving.handover import take_over
        from fivefold.serving.http.http_server import HttpServer

        self._listen("http", HttpServer(self.app, take_over(path)))

    def _listen(self, name: str, server: Any) -> None:
        self._direct.append(server)
        self.background.vital(name, server.run)

    def drain(self) -> None:
        """Say not ready; open streams end after the message they are working on."""
        self.dataplane.drain()
        self.servicer.drain()
        if self._direct and not self._leaving:
            self.background.expect_end()
            # Clients hear of it by a GOAWAY or a closed connection, and open their next one elsewhere; what they asked
            # is answered.
            grace = self.dataplane.settings.drain_seconds
            self._leaving = asyncio.gather(*(server.stop(grace) for server in self._direct))

    async def close(self) -> None:
        """Finish what was asked past Ray's own count, then end the background work and the scorers."""
        self.drain()
        if self._leaving:
            await self._leaving
        await self.background.close()
        if self.dataplane.guard is not None:
            await asyncio.to_thread(self.dataplane.guard.close)
        self.dataplane.close()
