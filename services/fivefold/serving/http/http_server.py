"""A plain HTTP server around one application: a replica's own endpoint, where no proxy has to choose between replicas.

What comes through Ray's proxy reaches the replica's other server, which is Ray's. Whose socket it is, and when to stop,
is left to the host; what a connection says, to `protocol`.
"""

from __future__ import annotations

import asyncio
import contextlib
import math
import socket
from collections.abc import Iterator

import uvicorn

from fivefold.serving.http.dispatch import Dispatch
from fivefold.serving.http.protocol import protocol_of

KEEP_ALIVE_SECONDS = 75
"""How long an idle connection is kept. Longer than clients and proxies commonly keep theirs (60 s), so that it is they
who close: a request that meets a server's close is lost."""


class HttpServer:
    """Answers on one listening socket, which it closes when it stops."""

    def __init__(self, app: Dispatch, listener: socket.socket) -> None:
        """`listener` is bound; it need not listen yet."""
        listener.setblocking(False)
        self._listener = listener
        self._server = _Uvicorn(
            uvicorn.Config(
                app,
                http=protocol_of(app),
                ws="none",
                lifespan="off",
                access_log=False,
                log_config=None,
                server_header=False,
                timeout_keep_alive=KEEP_ALIVE_SECONDS,
            )
        )
        self._serving: asyncio.Task[None] | None = None

    @property
    def listening(self) -> bool:
        """Whether connections are taken."""
        return self._server.started

    async def start(self) -> None:
        """Begin to answer; returns when the socket listens."""
        self._serving = asyncio.create_task(self._server.serve(sockets=[self._listener]))
        while not self._server.started and not self._serving.done():
            await asyncio.sleep(0)
        if self._serving.done():
            await self._serving

    async def run(self) -> None:
        """Answer until `stop`; raises what ends the server before that."""
        await self.start()
        assert self._serving is not None
        await self._serving

    async def stop(self, grace: float = 5.0) -> None:
        """Accept no more connections, close idle ones, finish what is being answered for at most `grace` seconds."""
        if self._serving is None:
            return
        self._server.config.timeout_graceful_shutdown = math.ceil(grace)
        self._server.should_exit = True
        await self._serving


class _Uvicorn(uvicorn.Server):
    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Signals belong to the process around it."""
        yield
