"""A request's message, as it comes in over HTTP/1.1: held within bounds, unframed, inflated."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any, Final

from fivefold.core.errors import ContractError
from fivefold.serving.admission import FREE
from fivefold.serving.grpc.http1 import wire
from fivefold.serving.http.request_body import EXPANSION, inflate, read_body

if TYPE_CHECKING:
    from fivefold.serving.dataplane import Dataplane

_HIGH_WATER: Final = 64 * 1024
"""Bytes that may wait to be taken before no more are read from the connection."""


class Incoming:
    """The message of one request; its connection adds what comes and says when that is all."""

    __slots__ = ("_came", "_dataplane", "_held", "_parts", "_paused", "_size", "_transport", "whole", "window")

    def __init__(self, dataplane: Dataplane, transport: asyncio.Transport) -> None:
        self._dataplane, self._transport = dataplane, transport
        self._parts: list[bytes] = []
        self._size = self._held = 0
        self._came: asyncio.Event | None = None
        self._paused = False
        self.whole = False
        """Whether all of it has come."""
        self.window: int | None = None
        """What zlib is to be told for a compressed message, 0 for one that is not; None: the caller has not said."""

    def add(self, part: bytes) -> None:
        """A part of the body."""
        self._parts.append(part)
        self._size += len(part)
        if self._size > _HIGH_WATER and not self._paused:
            self._paused = True
            self._transport.pause_reading()
        if self._came is not None:
            self._came.set()

    def end(self) -> None:
        """That was all."""
        self.whole = True
        if self._came is not None:
            self._came.set()

    async def read(self) -> bytes:
        """See `call.Payload`."""
        settings, room = self._dataplane.settings, self._dataplane.room
        limit = settings.max_body_bytes
        if self.whole and self._size <= FREE:
            body = self._parts[0] if len(self._parts) == 1 else b"".join(self._parts)
            self._parts = []
        else:
            try:
                body = await read_body({}, self._receive, settings, room, limit=limit + wire.PREFIX)
            except ContractError:
                raise ContractError("too_large", f"expected a message of at most {limit} bytes, got more") from None
            self._held = max(len(body) - FREE, 0)
        compressed, message = wire.unframe(body)
        if not compressed or self.window == 0:
            return message
        if self.window is None:
            raise ContractError("malformed", "expected grpc-encoding with a compressed message")
        return await self._inflate(message, self.window, limit)

    async def _inflate(self, message: bytes, window: int, limit: int) -> bytes:
        if not message:
            return message
        if len(message) * EXPANSION > self._dataplane.settings.inline_bytes:
            whole = await self._dataplane.read(lambda: inflate(message, window, limit))
        else:
            whole = inflate(message, window, limit)
        more = len(whole) - FREE
        if more > self._held:
            self._dataplane.room.take(more - self._held)
            self._held = more
        return whole

    async def _receive(self) -> Any:
        """What has come since this was asked last, in ASGI's words."""
        while not self._parts and not self.whole:
            self._came = asyncio.Event()
            await self._came.wait()
        parts, self._parts, self._size = self._parts, [], 0
        more = not self.whole
        if self._paused:
            self._paused = False
            self._transport.resume_reading()
        return {"type": "http.request", "body": b"".join(parts), "more_body": more}

    def release(self) -> None:
        """See `call.Payload`."""
        if self._held:
            self._dataplane.room.give(self._held)
            self._held = 0
