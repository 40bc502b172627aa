"""What a process with scorers answers with, at Ray's servers and at its own: one application, one set of gRPC services.

Who tells it to drain is left to `host`, what a request becomes to `Serving`.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from fivefold.online.serving import Serving


class Door:
    """What a process with scorers answers with: its `Serving`, HTTP app and gRPC services."""

    def __init__(self, serving: Serving, telemetry: Any) -> None:
        from fivefold.online.grpc.servicer import Servicer
        from fivefold.online.http.app import app

        self.serving = serving
        self.telemetry = telemetry
        self.app = app(serving, serving.settings, local=True)
        self.servicer = Servicer(serving, serving.settings)
        self._tasks: set[asyncio.Task[None]] = set()
        self._direct: list[Any] = []
        self._leaving: asyncio.Future[Any] | None = None

    def listen_grpc(self, address: str) -> None:
        """Answer gRPC on an address of the replica's own; raises `RuntimeError` where that is taken."""
        from fivefold.online.grpc.server import Server

        self._listen(Server(self.serving, address, servicer=self.servicer, shared=True))

    def listen_http(self, path: str) -> None:
        """Answer HTTP on the socket that the keeper at `path` lends; raises `OSError` where there is none."""
        from fivefold.online.handover import borrow
        from fivefold.online.http.server import Server

        self._listen(Server(self.app, borrow(path)))

    def _listen(self, server: Any) -> None:
        self._direct.append(server)
        self.start(server.start())

    def start(self, coroutine: Any) -> None:
        """Run a coroutine for as long as the process lives."""
        self._tasks.add(asyncio.get_running_loop().create_task(coroutine))

    def drain(self) -> None:
        """Say not ready; open streams end after the message they are working on."""
        self.serving.drain()
        self.servicer.drain()
        if self._direct and not self._leaving:
            # Clients hear of it by a GOAWAY or a closed connection, and open their next one elsewhere; what they asked
            # is answered.
            grace = self.serving.settings.drain_seconds
            self._leaving = asyncio.gather(*(server.stop(grace) for server in self._direct))

    async def close(self) -> None:
        """Finish what was asked past Ray's own count, then end the background work and the scorers."""
        self.drain()
        if self._leaving:
            await self._leaving
        for task in self._tasks:
            task.cancel()
        if self.serving.guard is not None:
            await asyncio.to_thread(self.serving.guard.close)
        self.serving.close()
