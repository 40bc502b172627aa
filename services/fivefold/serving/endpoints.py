"""What a process with scorers answers with, at others' servers and at its own: one application, and gRPC services.

Who tells it to drain is left to the host, what a request becomes to `Dataplane`.
"""

from __future__ import annotations

import asyncio
import socket
from functools import partial
from typing import TYPE_CHECKING, Any

from fivefold.serving.background import Background

if TYPE_CHECKING:
    from fivefold.serving.dataplane import Dataplane
    from fivefold.serving.http.dispatch import Dispatch
    from fivefold.serving.repository import Repository
    from fivefold.serving.scheduler import Scheduler


_LOOK_SECONDS = 0.005
"""Between two looks at whether every server listens."""


class Endpoints:
    """What a process with scorers answers with: its `Dataplane`, HTTP app and, where they are wanted, gRPC services."""

    def __init__(self, dataplane: Dataplane, telemetry: Any, *, app: Dispatch | None = None, grpc: bool = True) -> None:
        """`app` is an application of that dataplane; None: the plain one. Without `grpc` nothing of gRPC is loaded."""
        self.dataplane = dataplane
        self.telemetry = telemetry
        self.app = app or _application(dataplane)
        self.servicer: Any = _servicer(dataplane) if grpc else None
        self.background = Background()
        self._direct: list[Any] = []
        self._leaving: asyncio.Future[Any] | None = None

    def listen_grpc(self, address: str, *, shared: bool = True) -> None:
        """Answer gRPC on an address of the process's own, which other replicas may have too where it is `shared`;
        raises `RuntimeError` where somebody else has it."""
        from fivefold.serving.grpc.grpc_server import GrpcServer

        self._listen("grpc", GrpcServer(self.dataplane, address, servicer=self.servicer, shared=shared))

    def listen_http(self, listener: str | socket.socket) -> None:
        """Answer HTTP on a bound socket, or on the one that is handed over at a path; raises `OSError` where there is
        none."""
        from fivefold.serving.handover import take_over
        from fivefold.serving.http.http_server import HttpServer

        self._listen("http", HttpServer(self.app, take_over(listener) if isinstance(listener, str) else listener))

    async def listening(self) -> None:
        """Return when every server of the process's own takes connections."""
        while not all(server.listening for server in self._direct):
            await asyncio.sleep(_LOOK_SECONDS)

    async def replace(self, models: Repository) -> None:
        """Answer with these models from now on; returns when those that are gone have finished and are closed."""
        await self.dataplane.retire(self._go_over(models))

    async def swap(self, models: Repository) -> None:
        """Answer with these models from now on, and return at once: those that are gone finish beside it, however long
        one that hangs may take."""
        self.background.periodic("retire", partial(self.dataplane.retire, self._go_over(models)))

    def _go_over(self, models: Repository) -> list[Scheduler]:
        """Answer with these models from the next step of the event loop on; the schedulers of those that are gone."""
        gone = self.dataplane.replace(models)
        self.app.refresh()
        if self.servicer is not None:
            self.servicer.refresh()
        return gone

    def _listen(self, name: str, server: Any) -> None:
        self._direct.append(server)
        self.background.vital(name, server.run)

    def drain(self) -> None:
        """Say not ready; open streams end after the message they are working on."""
        self.dataplane.drain()
        if self.servicer is not None:
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


def _application(dataplane: Dataplane) -> Dispatch:
    from fivefold.serving.http.app import app

    return app(dataplane, dataplane.settings)


def _servicer(dataplane: Dataplane) -> Any:
    from fivefold.serving.grpc.servicer import Servicer

    return Servicer(dataplane, dataplane.settings)
