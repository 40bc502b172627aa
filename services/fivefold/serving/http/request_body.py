"""A request's body: taken in within its bounds, and inflated where it came compressed."""

from __future__ import annotations

import asyncio
import zlib
from asyncio import isfuture
from collections.abc import Callable, Coroutine, Generator
from typing import TYPE_CHECKING, Any, Generic, TypeVar

from fivefold.core.errors import ContractError, Interrupted, ProtocolError
from fivefold.serving.admission import FREE, Room
from fivefold.serving.http.asgi import Headers, Receive

if TYPE_CHECKING:
    from fivefold.serving.limits import ServingLimits

T = TypeVar("T")

EXPANSION = 1032
"""How much larger than its compressed form deflate's output can be (RFC 1951: a match of 258 bytes from two bits)."""

_SMALL = 4096
"""Bytes of a body's part below which it is put together with its neighbours."""


class Body:
    """A request's body as it came, with its headers; what it holds beyond `FREE` bytes is `room`'s until `close`.

    A compressed one is inflated whenever it is asked for: keeping both would hold it twice.
    """

    __slots__ = ("_inflate", "_raw", "_room", "headers", "held")

    def __init__(self, headers: Headers, raw: bytes, inflate: Callable[[bytes], bytes] | None, room: Room) -> None:
        """What `raw` itself holds has been taken from `room` already (`read_body`)."""
        self.headers, self._raw, self._inflate, self._room = headers, raw, inflate, room
        size = len(raw)
        self.held = size - FREE if size > FREE else 0
        """Bytes to give back."""

    def whole(self) -> bytes:
        """The body, inflated."""
        if self._inflate is None:
            return self._raw
        whole = self._inflate(self._raw)
        size = len(whole) - FREE + max(len(self._raw) - FREE, 0)
        if len(whole) > FREE and size > self.held:
            self._room.take(size - self.held)
            self.held = size
        return whole

    def close(self) -> None:
        """Give back what it holds."""
        held, self.held = self.held, 0
        self._room.give(held)


async def read_body(
    headers: Headers,
    receive: Receive,
    settings: ServingLimits,
    room: Room | None = None,
    *,
    limit: int | None = None,
) -> bytes:
    """The body as it came, at most `limit` bytes (None: `max_body_bytes`).

    Raises `too_large`, `request_timeout`, `cancelled`, `overloaded`. What it holds beyond `FREE` bytes is taken from
    `room`, as it arrives, and left to the caller to give back.
    """
    limit = settings.max_body_bytes if limit is None else limit
    announced = headers.get(b"content-length")
    if announced is not None and announced.isdigit() and int(announced[:19]) > limit:
        raise too_large(limit)
    waiting = _collect(receive, limit, room)
    # The whole body is nearly always there already: the timer, which costs more than all the rest here, is set up only
    # when the first step has to wait.
    try:
        pending = waiting.send(None)
    except StopIteration as done:
        body: bytes = done.value
        return body
    try:
        async with asyncio.timeout(settings.body_timeout):
            return await Begun(waiting, pending)
    except TimeoutError:
        raise late(settings.body_timeout) from None


class Begun(Generic[T]):
    """A coroutine whose first step has been made: awaiting it makes the others."""

    __slots__ = ("_pending", "_waiting")

    def __init__(self, waiting: Coroutine[Any, Any, T], pending: Any) -> None:
        self._waiting = waiting
        self._pending = pending

    def __await__(self) -> Generator[Any, Any, T]:
        pending = self._pending
        try:
            while True:
                try:
                    # What it waited for may have come while nobody was awaiting this.
                    given = None if isfuture(pending) and pending.done() else (yield pending)
                except BaseException as error:
                    pending = self._waiting.throw(error)
                else:
                    pending = self._waiting.send(given)
        except StopIteration as done:
            value: T = done.value
            return value


async def _collect(receive: Receive, limit: int, room: Room | None) -> bytes:
    message = await receive()
    first: bytes = message.get("body", b"")
    size = len(first)
    if size <= limit and size <= FREE and message["type"] == "http.request" and not message.get("more_body", False):
        return first
    parts: list[bytes | bytearray] = [first]
    held = 0
    try:
        while True:
            if message["type"] == "http.disconnect":
                raise Interrupted("cancelled", "the caller hung up before its body was complete")
            if size > limit:
                raise too_large(limit)
            if size > FREE and room is not None:
                room.take(size - FREE - held)
                held = size - FREE
            if not message.get("more_body", False):
                break
            message = await receive()
            part = message.get("body", b"")
            size += len(part)
            append(parts, part)
    except BaseException:
        if held and room is not None:
            room.give(held)
        raise
    return first if len(parts) == 1 else b"".join(parts)


def append(parts: list[bytes | bytearray], part: bytes) -> None:
    """Add a part of a body that is joined once, at its end: an array that grows is moved again and again. Small parts
    behind the first are put together, since each takes more than its bytes."""
    if len(part) >= _SMALL or not parts:
        parts.append(part)
    elif isinstance(parts[-1], bytearray):
        parts[-1] += part
    elif part:
        parts.append(bytearray(part))


def late(seconds: float) -> Interrupted:
    """The error of a body that did not come in time."""
    return Interrupted("request_timeout", f"the body did not arrive within {seconds:g} s")


def too_large(limit: int) -> ContractError:
    """The error of a body beyond the limit."""
    return ContractError("too_large", f"expected a body of at most {limit} bytes, got more")


def inflater(encoding: bytes | None, limit: int) -> Callable[[bytes], bytes] | None:
    if encoding is None:
        return None
    name = encoding.strip().lower()
    if name in (b"", b"identity"):
        return None
    if name in (b"gzip", b"x-gzip"):
        return lambda raw: inflate(raw, 31, limit)
    if name == b"deflate":
        # RFC 9110 means zlib's framing; some clients send the bare stream. The first two bytes tell them apart.
        return lambda raw: inflate(raw, 15 if _zlib_framed(raw) else -15, limit)
    raise ProtocolError(
        "unsupported_media_type",
        f"expected content-encoding gzip or deflate, got {encoding.decode('latin-1')[:64]!r}",
    )


def _zlib_framed(raw: bytes) -> bool:
    return len(raw) >= 2 and raw[0] & 0x0F == 8 and (raw[0] << 8 | raw[1]) % 31 == 0


_MEMBERS = 4096
"""Members that a gzip body may have. Each costs a decompressor of its own, and an empty one is twenty bytes long."""

_STEP = 512


def inflate(raw: bytes, window: int, limit: int) -> bytes:
    """The inflated body, several gzip members joined; never more than `limit` bytes are made."""
    view = memoryview(raw)
    parts: list[bytes] = []
    size = at = members = 0
    stream: Any = None
    # All at once for the first member, which is nearly always the only one. What follows a member's end is copied, so
    # the others are fed in steps that grow.
    step = len(raw)
    try:
        while True:
            if stream is None:
                members += 1
                if members > _MEMBERS:
                    raise ContractError("too_large", f"expected a body of at most {_MEMBERS} gzip members, got more")
                stream = zlib.decompressobj(window)
            given = view[at : at + step]
            at += len(given)
            part = stream.decompress(given, limit - size + 1)
            size += len(part)
            if size > limit:
                raise too_large(limit)
            if part:
                parts.append(part)
            if not stream.eof:
                if at == len(raw):
                    raise ContractError("malformed", "the compressed body ends too early")
                step *= 2
                continue
            at -= len(stream.unused_data)
            if at == len(raw):
                break
            if window != 31:
                raise ContractError("malformed", "bytes follow the end of the compressed body")
            stream, step = None, _STEP
    except zlib.error as error:
        raise ContractError("malformed", f"the body cannot be inflated: {str(error)[:128]}") from None
    return parts[0] if len(parts) == 1 else b"".join(parts)
