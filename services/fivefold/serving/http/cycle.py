"""One request and its answer by uvicorn's way, on a connection that stays in step."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Protocol, cast

from uvicorn.protocols.http.httptools_impl import RequestResponseCycle

if TYPE_CHECKING:
    import asyncio


class Connection(Protocol):
    """What a cycle needs of its connection."""

    transport: asyncio.Transport

    def leave(self) -> None:
        """Close, but leave the client the time to read what has been written."""


class Cycle(RequestResponseCycle):
    """One request and its answer, by uvicorn's way."""

    connection: Connection

    async def send(self, message: Any) -> None:
        """Pass on a part of the answer; where the body is not all there yet, it is the connection's last."""
        if self.more_body and not self.response_started:
            self.keep_alive = False
            self.transport = cast("asyncio.Transport", _Leaving(self.connection))
        await super().send(message)


class _Leaving:
    """What a cycle writes to, and closes, when its request has not been read to the end."""

    def __init__(self, connection: Connection) -> None:
        self.write = connection.transport.write
        self.is_closing = connection.transport.is_closing
        self.close = connection.leave
