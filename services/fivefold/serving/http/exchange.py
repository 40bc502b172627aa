"""One request and its answer on a connection: what ASGI calls `receive` and `send`.

What may follow the answer, and when the next request begins, is the connection's (`framing`).
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import Sequence
from http import HTTPStatus
from typing import Final, Protocol

from fivefold.serving.dataplane import Dataplane, defect
from fivefold.serving.http.asgi import Application, Message, Scope
from fivefold.serving.http.http_errors import Header, deliver, problem
from fivefold.serving.http.inference import begin

HIGH_WATER: Final = 64 * 1024
"""Bytes of a body that may lie here, and nobody has received them, before no more is read."""

_BODILESS: Final = (204, 304)
_SPLITS: Final = re.compile(rb"[\x00\r\n]")
"""What would end a header's line before its end."""


def _status_line(status: int) -> bytes:
    try:
        phrase = HTTPStatus(status).phrase
    except ValueError:
        phrase = ""
    return f"HTTP/1.1 {status} {phrase}\r\n".encode("ascii")


STATUS_LINES: Final = {status: _status_line(status) for status in range(100, 600)}


class Carrier(Protocol):
    """What an exchange needs of its connection."""

    dataplane: Dataplane
    transport: asyncio.Transport
    write_paused: bool

    def default_headers(self) -> Sequence[Header]:
        """What each answer begins with."""

    def resume_reading(self) -> None:
        """Read on."""

    async def drain(self) -> None:
        """Wait until more may be written, or the connection is lost."""

    def leave(self) -> None:
        """Close, but leave the client the time to read what has been written."""

    def on_complete(self) -> None:
        """An answer is complete."""


class HttpExchange:
    """One request and its answer."""

    __slots__ = (
        "_announced",
        "_chunked",
        "_event",
        "_news",
        "body",
        "complete",
        "connection",
        "disconnected",
        "expects",
        "keep_alive",
        "more_body",
        "scope",
        "started",
        "then",
    )

    def __init__(self, connection: Carrier, scope: Scope, keep_alive: bool, expects: bool) -> None:
        """`expects` says that the client waits with the body until it is told to go on."""
        self.connection, self.scope = connection, scope
        self.keep_alive, self.expects = keep_alive, expects
        self.body: bytes | bytearray = b""
        """What has come of the body, and nobody has received."""
        self.more_body = True
        self.started = self.complete = False
        """Of the answer."""
        self.disconnected = False
        self.then = connection.on_complete
        """Called when the answer is complete."""
        # An event costs more than most of the rest here, and few requests are waited for.
        self._event: asyncio.Event | None = None
        self._news = False
        self._chunked = False
        self._announced = 0

    # -- what the connection says -----------------------------------------------------------------------------------

    def more(self, part: bytes) -> None:
        """A part of the body has come."""
        if not self.body:
            self.body = part
        elif isinstance(self.body, bytes):
            self.body = bytearray(self.body + part)
        else:
            self.body += part
        self.tell()

    def whole(self) -> None:
        """The body is there."""
        self.more_body = False
        self.tell()

    def hang_up(self) -> None:
        """Nobody waits for the answer any more."""
        self.disconnected = not self.complete
        self.tell()

    def tell(self) -> None:
        """Wake whoever waits in `receive`."""
        self._news = True
        if self._event is not None:
            self._event.set()

    # -- what the application asks ----------------------------------------------------------------------------------

    async def run(self, application: Application) -> None:
        """Let the application answer; what it leaves undone is answered as a defect, or ends the connection."""
        try:
            await application(self.scope, self.receive, self.send)
            if self.complete or self.disconnected:
                return
            raise RuntimeError("the application has returned before its answer was complete")
        except asyncio.CancelledError:
            self.connection.transport.close()
            raise
        except Exception as cause:
            if self.disconnected:
                self.connection.transport.close()
                return
            dataplane = self.connection.dataplane
            call = begin(dataplane, dict(self.scope["headers"]))
            error = dataplane.refuse(call, defect(cause))
            if self.started:
                self.connection.transport.close()
                return
            self.keep_alive = False
            await deliver(problem(error, call), self.send)

    async def receive(self) -> Message:
        """The next part of the body, or that the client has gone; waits for either."""
        connection = self.connection
        if self.expects and not connection.transport.is_closing():
            connection.transport.write(b"HTTP/1.1 100 Continue\r\n\r\n")
            self.expects = False
        if not self.disconnected and not self.complete:
            connection.resume_reading()
            if not self._news:
                if self._event is None:
                    self._event = asyncio.Event()
                self._event.clear()
                await self._event.wait()
            self._news = False
        if self.disconnected or self.complete:
            return {"type": "http.disconnect"}
        part, self.body = self.body, b""
        return {"type": "http.request", "body": bytes(part), "more_body": self.more_body}

    async def send(self, message: Message) -> None:
        """Write a part of the answer; waits while the client does not read."""
        connection = self.connection
        if connection.write_paused and not self.disconnected:
            await connection.drain()
        if self.disconnected:
            return
        kind = message["type"]
        if not self.started and kind == "http.response.start":
            self._start(message)
        elif self.started and not self.complete and kind == "http.response.body":
            self._continue(message.get("body", b""), bool(message.get("more_body", False)))
        else:
            raise RuntimeError(f"{kind!r} is not what follows in an answer")

    def _start(self, message: Message) -> None:
        status: int = message["status"]
        lines = [STATUS_LINES[status]]
        announced: int | None = None
        chunked = closing = False
        for name, value in (*self.connection.default_headers(), *message.get("headers", ())):
            if _SPLITS.search(name) or _SPLITS.search(value):
                raise RuntimeError(f"{name!r}: a header with the end of a line in it")
            name = name.lower()
            if name == b"content-length" and not chunked:
                announced = int(value)
            elif name == b"transfer-encoding" and value.lower() == b"chunked":
                chunked = True
            elif name == b"connection" and b"close" in [token.strip().lower() for token in value.split(b",")]:
                self.keep_alive, closing = False, True
            lines += (name, b": ", value, b"\r\n")
        if self.more_body:
            # What is left of it would be taken for the next request.
            self.keep_alive = False
        if not self.keep_alive and not closing:
            lines.append(b"connection: close\r\n")
        bodiless = self.scope["method"] == "HEAD" or status in _BODILESS
        if announced is None and not chunked and not bodiless:
            chunked = True
            lines.append(b"transfer-encoding: chunked\r\n")
        lines.append(b"\r\n")
        self.started, self.expects = True, False
        self._chunked = chunked and not bodiless
        self._announced = -1 if bodiless else announced or 0
        self.connection.transport.write(b"".join(lines))

    def _continue(self, part: bytes, more: bool) -> None:
        write = self.connection.transport.write
        if self._chunked:
            content = b"%x\r\n%b\r\n" % (len(part), part) if part else b""
            write(content if more else content + b"0\r\n\r\n")
        elif self._announced >= 0:
            self._announced -= len(part)
            if self._announced < 0 or (self._announced and not more):
                raise RuntimeError("the answer's body is not as long as its content-length")
            if part:
                write(part)
        if not more:
            self.end()

    def end(self) -> None:
        """The answer is complete: close behind it, or let the next request begin."""
        self.started = self.complete = True
        self.tell()
        if not self.keep_alive:
            if self.more_body:
                self.connection.leave()
            else:
                self.connection.transport.close()
        self.then()
