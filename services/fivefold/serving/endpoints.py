"""What a process with scorers answers with, at Ray's servers and at its own: one application, one set of gRPC services.

Who tells it to drain is left to `deployment`, what a request becomes to `Serving`.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

from fivefold.serving.background import Background

if TYPE_CHECKING:
    from fivefold.serving.dataplane import Serving


class Door:
    """What a process with scorers answers with: its `Serving`, HTTP app and gRPC services."""

    def __init__(self, serving: Serving, telemetry: Any) -> None:
        from fivefold.serving.grpc.servicer import Servicer
        from fivefold.serving.http.app import app

        self.serving = serving
        self.telemetry = telemetry
        self.app = app(serving, serving.settings, local=True)
        self.servicer = Servicer(serving, serving.settings)
        self.background = Background()
        self._direct: list[Any] = []
        self._leaving: asyncio.Future[Any] | None = None

    def listen_grpc(self, address: str) -> None:
        """Answer gRPC on an address of the replica's own; raises `RuntimeError` where that is taken."""
        from fivefold.serving.grpc.server import Server

        self._listen("grpc", Server(self.serving, address, servicer=self.servicer, shared=True))

    def listen_http(self, path: str) -> None:
        """Answer HTTP on the socket that the keeper at `path` lends; raises `OSError` where there is none."""
        from fivefold.serving.handover import borrow
        from fivefold.serving.http.server import Server

        self._listen("http", Server(self.app, borrow(path)))

    def _listen(self, name: str, server: Any) -> None:
        self._direct.append(server)
        self.background.vital(name, server.run)

    def drain(self) -> None:
        """Say not ready; open streams end after the message they are working on."""
        self.serving.drain()
        self.servicer.drain()
        if self._direct and not self._leaving:
            self.background.expect_end()
            # Clients hear of it by a GOAWAY or a closed connection, and open their next one elsewhere; what they asked
            # is answered.
            grace = self.serving.settings.drain_seconds
            self._leaving = asyncio.gather(*(server.stop(grace) for server in self._direct))

    async def close(self) -> None:
        """Finish what was asked past Ray's own count, then end the background work and the scorers."""
        self.drain()
        if self._leaving:
            await self._leaving
        await self.background.close()
        if self.serving.guard is not None:
            await asyncio.to_thread(self.serving.guard.close)
        self.serving.close()
