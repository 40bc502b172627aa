"""The life of a process that answers by itself, without Ray: from its first connection to its last answer.

A device's gateway and `fivefold serve --dev` are such processes. What they do beside answering, and what they open
before it, is left to each of them; which signals ask for the end is `fivefold.local.signals`'.
"""

from __future__ import annotations

import asyncio
import gc
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import socket

    from fivefold.local.signals import StopSignals
    from fivefold.serving.endpoints import Endpoints


async def answer_until(
    stop: StopSignals,
    endpoints: Endpoints,
    http: socket.socket,
    *,
    grpc: str = "",
    begin: Callable[[], None],
    ready: Callable[[], None],
    end: Callable[[], Awaitable[None]],
) -> None:
    """Answer HTTP on a bound socket, and gRPC at HOST:PORT where one is given, until `stop` is asked.

    `begin` starts what works beside, `ready` is called when the first request can be answered, `end` waits for what
    works beside while the last requests are answered. Raises `RuntimeError` where the address of gRPC is taken.
    """
    loop = asyncio.get_running_loop()
    asked = asyncio.Event()
    loop.add_reader(stop.fileno, asked.set)
    if endpoints.dataplane.guard is not None:
        endpoints.dataplane.guard.start()
    # What has been loaded by now stays; a full collection would walk through all of it, and answer nobody meanwhile.
    gc.collect()
    gc.freeze()
    try:
        endpoints.listen_http(http)
        if grpc:
            endpoints.listen_grpc(grpc, shared=False)
        begin()
        await endpoints.listening()
        ready()
        with stop.waking(loop):
            await asked.wait()
    finally:
        loop.remove_reader(stop.fileno)
        endpoints.dataplane.drain()
        await end()
        await endpoints.close()
