"""A plain gRPC server around one `Dataplane`: a replica's own endpoint past the proxy, and for use without Ray.

What comes through Ray's proxy reaches the replica's other server, which is Ray's: see `servicer.register`.
"""

from __future__ import annotations

import socket
from types import TracebackType
from typing import TYPE_CHECKING

import grpc

from fivefold.serving.grpc.servicer import Servicer, register

if TYPE_CHECKING:
    from fivefold.serving.dataplane import Dataplane
    from fivefold.serving.limits import ServingLimits


class GrpcServer:
    """A server that listens on one address; `async with` starts and stops it.

    `address` is where it listens, with the port that was free where port 0 was asked for.
    """

    def __init__(
        self,
        dataplane: Dataplane,
        address: str,
        settings: ServingLimits | None = None,
        *,
        servicer: Servicer | None = None,
        shared: bool = False,
    ) -> None:
        """`shared` lets several processes of one user listen on the address; each connection then is one's of them.

        Raises `RuntimeError` where the address is taken.
        """
        settings = settings or dataplane.settings
        self.servicer = servicer or Servicer(dataplane, settings)
        if shared:
            _refuse_strangers(address)
        self._server = grpc.aio.server(
            options=[
                # Twice what we take, so that a message somewhat too large still gets our error and not gRPC's bare one.
                ("grpc.max_receive_message_length", min(2 * settings.max_body_bytes, 2**31 - 1)),
                ("grpc.max_send_message_length", -1),
                ("grpc.max_metadata_size", settings.max_header_bytes),
                ("grpc.absolute_max_metadata_size", settings.max_header_bytes),
                # Clients of the field ask every 10 s, with and without calls; gRPC itself allows it every 300 s.
                ("grpc.http2.min_ping_interval_without_data_ms", _ping_milliseconds(settings.grpc_min_ping_seconds)),
                ("grpc.keepalive_permit_without_calls", 1),
                # Two servers on one port each get some of the other's calls.
                ("grpc.so_reuseport", int(shared)),
            ]
        )
        register(self.servicer, self._server)
        self.listening = False
        host = address.rpartition(":")[0]
        self.address = f"{host}:{self._server.add_insecure_port(address)}"

    async def start(self) -> None:
        """Begin to answer."""
        await self._server.start()
        self.listening = True

    async def stop(self, grace: float = 5.0) -> None:
        """Take no more calls, finish those in work for at most `grace` seconds, end the streams."""
        self.servicer.drain()
        await self._server.stop(grace)

    async def run(self) -> None:
        """Answer until `stop`."""
        await self.start()
        await self.wait()

    async def wait(self) -> None:
        """Return when the server has stopped."""
        await self._server.wait_for_termination()

    async def __aenter__(self) -> GrpcServer:
        await self.start()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.stop()


def _ping_milliseconds(seconds: float) -> int:
    """What gRPC is told: a tenth less, since no two pings are exactly as far apart as they were sent."""
    return min(round(seconds * 900), 2**31 - 1)


def _refuse_strangers(address: str) -> None:
    """Raise `RuntimeError` where one listens that does not share; gRPC itself would say it less clearly."""
    host, _, port = address.rpartition(":")
    family = socket.AF_INET6 if host.startswith("[") else socket.AF_INET
    with socket.socket(family) as trial:
        trial.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        # As gRPC does: a port with old connections still closing is free.
        trial.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            trial.bind((host.strip("[]"), int(port)))
        except OSError as error:
            raise RuntimeError(f"{address} is taken") from error


def server(dataplane: Dataplane, address: str = "127.0.0.1:0", settings: ServingLimits | None = None) -> GrpcServer:
    """A server for these models; call it where an event loop runs. Raises `RuntimeError` where the address is taken."""
    return GrpcServer(dataplane, address, settings)
