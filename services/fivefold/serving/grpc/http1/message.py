"""A request's message, as it comes in over HTTP/1.1: held within bounds, unframed, inflated."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Final

from fivefold.core.errors import ContractError, FivefoldError
from fivefold.serving.admission import FREE
from fivefold.serving.grpc.http1 import wire
from fivefold.serving.http.request_body import EXPANSION, append, inflate, late

if TYPE_CHECKING:
    from fivefold.serving.dataplane import Dataplane

_HIGH_WATER: Final = 64 * 1024
"""Bytes that may come before anybody wants them; then no more are read from the connection until somebody does."""


class Incoming:
    """The message of one request; its connection adds what comes and says when that is all.

    Whoever reads it is woken once, when it is whole or will not be taken: it may come in a hundred parts. What it holds
    meanwhile is the process's room, part by part.
    """

    __slots__ = (
        "_came",
        "_dataplane",
        "_error",
        "_held",
        "_parts",
        "_paused",
        "_size",
        "_transport",
        "whole",
        "window",
    )

    def __init__(self, dataplane: Dataplane, transport: asyncio.Transport) -> None:
        self._dataplane, self._transport = dataplane, transport
        self._parts: list[bytes | bytearray] = []
        self._size = self._held = 0
        self._came: asyncio.Event | None = None
        """Set when there is nothing more to wait for; there is one once somebody waits."""
        self._error: FivefoldError | None = None
        """Why it is not taken."""
        self._paused = False
        self.whole = False
        """Whether all of it has come."""
        self.window: int | None = None
        """What zlib is to be told for a compressed message, 0 for one that is not; None: the caller has not said."""

    def add(self, part: bytes) -> None:
        """A part of the body."""
        if self._error is not None:
            return
        append(self._parts, part)
        self._size += len(part)
        if self._came is not None:
            self._hold(self._came)
        elif self._size > _HIGH_WATER and not self._paused:
            self._paused = True
            self._transport.pause_reading()

    def end(self) -> None:
        """That was all."""
        self.whole = True
        if self._came is not None:
            self._came.set()

    def _hold(self, came: asyncio.Event) -> None:
        """Take what has come from the room, or take no more of it and set `came`."""
        limit = self._dataplane.settings.max_body_bytes
        try:
            if self._size > limit + wire.PREFIX:
                raise ContractError("too_large", f"expected a message of at most {limit} bytes, got more")
            more = self._size - FREE - self._held
            if more > 0:
                self._dataplane.room.take(more)
                self._held += more
        except FivefoldError as error:
            self._error = error
            self._parts = []
            came.set()

    async def read(self) -> bytes:
        """See `call.Payload`."""
        if not self.whole or self._size > FREE:
            await self._gather()
        parts, self._parts = self._parts, []
        if len(parts) == 1:
            compressed, message = wire.unframe(bytes(parts[0]))
        else:
            compressed, message = wire.unframe_parts(parts, self._size)
        if not compressed or self.window == 0:
            return message
        if self.window is None:
            raise ContractError("malformed", "expected grpc-encoding with a compressed message")
        return await self._inflate(message, self.window, self._dataplane.settings.max_body_bytes)

    async def _gather(self) -> None:
        """Wait until all of it has come; raises `too_large`, `overloaded`, `request_timeout`."""
        self._came = came = asyncio.Event()
        self._hold(came)
        if self._paused:
            self._paused = False
            self._transport.resume_reading()
        seconds = self._dataplane.settings.body_timeout
        if not self.whole and self._error is None:
            try:
                async with asyncio.timeout(seconds):
                    await came.wait()
            except TimeoutError:
                # Kept, so that nothing that comes later is taken.
                self._error = late(seconds)
        if self._error is not None:
            raise self._error

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

    def release(self) -> None:
        """See `call.Payload`."""
        if self._held:
            self._dataplane.room.give(self._held)
            self._held = 0
