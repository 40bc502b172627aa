"""The drivers of a server behind real sockets, in another process."""

from __future__ import annotations

import asyncio

import grpc
import httpx

from tests.conformance.cases import Limits
from tests.conformance.transports import Grpc, Http
from tests.support.serve_process import Host


class Remote:
    """The drivers of one running server; it has the default limits and no others."""

    def __init__(self, running: Host) -> None:
        self._runner = asyncio.Runner()
        self._client = httpx.AsyncClient(base_url=running.url, timeout=60)
        self._channel = self._runner.run(_channel(running.grpc))
        self.http = Http(lambda limits: self._client if limits == Limits() else None, self._run)
        self.grpc = Grpc(lambda limits: self._channel if limits == Limits() else None, self._run)

    def _run(self, work: object) -> object:
        async def wait() -> object:
            return await work  # type: ignore[misc]  # whatever a client gives to wait for

        return self._runner.run(wait())

    def close(self) -> None:
        """Hang up."""
        self._run(self._client.aclose())
        self._run(self._channel.close())
        self._runner.close()


async def _channel(address: str) -> grpc.aio.Channel:
    return grpc.aio.insecure_channel(address)
