"""A connection's life, whatever is said on it: its ends, its tasks, its idle times, and how it is closed.

uvicorn's server, and Ray's, which is one, make it and stop it by the names that uvicorn's own connections have. What is
read is left to `framing`.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Coroutine, Sequence
from typing import TYPE_CHECKING, Any, Final

from fivefold.serving.dataplane import Dataplane
from fivefold.serving.http.asgi import Application
from fivefold.serving.http.exchange import STATUS_LINES, HttpExchange
from fivefold.serving.http.http_errors import Header, HttpReply

if TYPE_CHECKING:
    import uvicorn
    from uvicorn.server import ServerState

LEAVE_SECONDS: Final = 5.0
"""How long a connection that is to be closed stays readable. Were it closed with bytes unread, the network would throw
away the answer that lies before the client (RFC 9112, section 9.6)."""


class Connection(asyncio.Protocol):
    """One connection."""

    dataplane: Dataplane

    def __init__(
        self,
        config: uvicorn.Config,
        server_state: ServerState,
        app_state: dict[str, Any],
        _loop: asyncio.AbstractEventLoop | None = None,
    ) -> None:
        if not config.loaded:
            config.load()
        _name_nobody(config, server_state)
        self.app: Application = config.loaded_app
        self.loop = _loop or asyncio.get_running_loop()
        self.connections, self.tasks = server_state.connections, server_state.tasks
        self.timeout_keep_alive = float(config.timeout_keep_alive)
        self._state, self.app_state = server_state, app_state
        self.root_path, self.limit = config.root_path, config.limit_concurrency
        self.transport: asyncio.Transport = None  # type: ignore[assignment]  # until the connection is made
        self.ends: dict[str, Any] = {}
        """Of a scope: both ends, and the scheme."""
        self.leaving: asyncio.TimerHandle | None = None
        self.idle_since: float | None = None
        """When the last answer was complete, by the loop's clock; None while one is owed."""
        self.write_paused = False
        self._writable: asyncio.Event | None = None
        self.reading_paused = False
        self._idle: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]  # it is no other kind
        """There is a client."""
        self.connections.add(self)  # type: ignore[arg-type]  # it has what uvicorn's server calls
        self.transport = transport
        self.ends = {
            "server": _address(transport.get_extra_info("sockname")),
            "client": _address(transport.get_extra_info("peername")),
            "scheme": "https" if transport.get_extra_info("sslcontext") else "http",
        }

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: ARG002  # asyncio's signature
        """The client has gone, or we have closed."""
        self.let_go()
        if self.leaving is not None:
            self.leaving.cancel()
        self.resume_writing()
        self.transport.close()

    def let_go(self) -> None:
        """Do nothing more for the connection: it is lost, or another protocol's from here on."""
        self.connections.discard(self)
        self._forget_idle()

    def eof_received(self) -> None:
        """The client says no more; the transport closes."""

    def pause_writing(self) -> None:
        """More has been written than the client reads."""
        self.write_paused = True
        if self._writable is not None:
            self._writable.clear()

    def resume_writing(self) -> None:
        """The client has read it."""
        self.write_paused = False
        if self._writable is not None:
            self._writable.set()

    async def drain(self) -> None:
        """Wait until more may be written, or the connection is lost."""
        if self.write_paused:
            if self._writable is None:
                self._writable = asyncio.Event()
            await self._writable.wait()

    def pause_reading(self) -> None:
        """Leave what comes to the kernel."""
        if not self.reading_paused:
            self.reading_paused = True
            self.transport.pause_reading()

    def resume_reading(self) -> None:
        """Read on."""
        if self.reading_paused:
            self.reading_paused = False
            self.transport.resume_reading()

    def answered(self) -> None:
        """Count an answer that is complete."""
        self._state.total_requests += 1

    def wait_for_more(self) -> None:
        """Nothing is owed any more: wait for as long as a connection may be idle.

        One timer waits for all of a connection's idle times: to set up one for each costs more than the rest here.
        """
        self.idle_since = self.loop.time()
        if self._idle is None:
            self._look_when_idle(self.timeout_keep_alive)

    def _look_when_idle(self, seconds: float) -> None:
        self._idle = self.loop.call_later(seconds, self._idle_for_long)

    def _idle_for_long(self) -> None:
        """Close the connection if it has been idle for long enough."""
        self._idle = None
        if self.idle_since is None:
            return
        left = self.idle_since + self.timeout_keep_alive - self.loop.time()
        if left > 0:
            self._look_when_idle(left)
        elif not self.transport.is_closing():
            self.transport.close()

    def _forget_idle(self) -> None:
        if self._idle is not None:
            self._idle.cancel()
            self._idle = None

    def start(self, work: Coroutine[Any, Any, None]) -> None:
        """Run a coroutine as a task that the server waits for when it stops."""
        task = self.loop.create_task(work)
        self.tasks.add(task)
        task.add_done_callback(self.tasks.discard)

    def gone(self) -> bool:
        """Whether no more requests are answered here."""
        return self.leaving is not None or self.transport.is_closing()

    def leave(self) -> None:
        """Close, but leave the client the time to read what has been written."""
        self.leaving = self.loop.call_later(LEAVE_SECONDS, self.transport.close)
        self._forget_idle()
        self.resume_reading()
        if self.transport.can_write_eof():
            # The client may have gone already.
            with contextlib.suppress(OSError):
                self.transport.write_eof()

    def default_headers(self) -> Sequence[Header]:
        """What each answer begins with: the time of day."""
        return self._state.default_headers

    def write_whole(self, exchange: HttpExchange, reply: HttpReply) -> None:
        """Write a whole answer at once, and end the exchange."""
        if exchange.keep_alive and (
            exchange.more_body or (reply.status >= 400 and (b"connection", b"close") in reply.headers)
        ):
            exchange.keep_alive = False
        self.transport.write(self.message(reply, keep_alive=exchange.keep_alive))
        exchange.end()

    def message(self, reply: HttpReply, *, keep_alive: bool) -> bytes:
        """A whole answer as it goes over the wire."""
        content = [STATUS_LINES[reply.status]]
        for name, value in (*self._state.default_headers, *reply.headers):
            content += (name, b": ", value, b"\r\n")
        if not keep_alive and (b"connection", b"close") not in reply.headers:
            content.append(b"connection: close\r\n")
        content.append(b"content-length: %d\r\n\r\n" % len(reply.body))
        content.append(reply.body)
        return b"".join(content)


def _address(info: Any) -> tuple[str, int | None] | None:
    """An end of a connection as ASGI has it: a host and a port, a path and nothing, or not known."""
    if isinstance(info, tuple):
        return str(info[0]), int(info[1])
    return (info, None) if isinstance(info, str) and info else None


def _name_nobody(config: Any, state: Any) -> None:
    """Take out the header that names the server's program, where whoever started the server has left it in."""
    if any(name == b"server" for name, _ in (*config.encoded_headers, *state.default_headers)):
        config.encoded_headers = [header for header in config.encoded_headers if header[0] != b"server"]
        state.default_headers = [header for header in state.default_headers if header[0] != b"server"]
