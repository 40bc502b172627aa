"""The shortest way from a connection to an answer: inference without a task, without ASGI messages, in one write.

uvicorn's own connection class does all of HTTP; this one steps in where a whole request for inference has arrived in
one piece. It takes the first step of `exchange` by itself, and where that was all, as it is for quick models, writes
the answer. Whatever needs more (a body in several pieces, a slow model, any other route) goes on as a task, as with
plain uvicorn. So nothing is decided here: this is the same `exchange`, started earlier.

Beyond that it holds for headers what `exchange` holds for bodies: they have to arrive in time and within bounds, and
what is no HTTP at all is answered from the product's own table of errors.

It derives from a class that uvicorn does not document, which the exact pin and a test of the real thing guard.
"""

from __future__ import annotations

import asyncio
from typing import Any, Final, cast

from uvicorn.protocols.http.httptools_impl import STATUS_LINE, HttpToolsProtocol, RequestResponseCycle

from fivefold.core.errors import ContractError, FivefoldError, Interrupted, ProtocolError
from fivefold.online.http.exchange import Begun, Receive, Scope, begin, exchange
from fivefold.online.http.lean import Lean, Target, route_path
from fivefold.online.http.problems import Reply, problem

_UNREAD: Final = 64 * 1024
"""Bytes beyond the limit on headers that are kept of a request whose headers have no end: one read's worth, so that it
is `exchange` which refuses whatever has an end."""


class Protocol(HttpToolsProtocol):
    """One connection. `lean` is set by `protocol_of`."""

    lean: Lean

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._held: tuple[RequestResponseCycle, Any, Target] | None = None
        self._reading = False
        self._unread = 0
        self._late: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]  # as uvicorn has it
        """Wait for the first request."""
        super().connection_made(transport)
        self._await_headers()

    def connection_lost(self, exc: Exception | None) -> None:
        """The client has gone, or we have closed."""
        self._headers_are_there()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        """Read what has come; a request that is not whole by then goes uvicorn's way."""
        self._reading = True
        super().data_received(data)
        self._reading = False
        if self._held is not None:
            cycle, app, _ = self._held
            self._held = None
            super()._start_asgi_task(cycle, app)
        # A request's scope has a path as soon as all its headers are there.
        if self.scope is None or "path" not in self.scope:
            self._more_headers(len(data))
        elif self._late is not None:
            self._headers_are_there()

    def send_400_response(self, msg: str) -> None:  # noqa: ARG002  # uvicorn's words are not ours
        """What uvicorn calls for bytes that are no HTTP."""
        self._refuse(ContractError("malformed", "this is not an HTTP request"))

    def _await_headers(self) -> None:
        self._late = self.loop.call_later(self.lean.serving.settings.body_timeout, self._headers_are_late)

    def _headers_are_there(self) -> None:
        self._unread = 0
        if self._late is not None:
            self._late.cancel()
            self._late = None

    def _more_headers(self, size: int) -> None:
        if self.transport.is_closing():
            return
        self._unread += size
        limit = self.lean.serving.settings.max_header_bytes
        if self._unread > limit + _UNREAD:
            self._refuse(ProtocolError("headers_too_large", f"expected at most {limit} bytes of headers, got more"))
        elif self._late is None:
            self._await_headers()

    def _headers_are_late(self) -> None:
        self._late = None
        if self.transport.is_closing():
            return
        if not self._unread:
            # Nobody asked for anything.
            self.transport.close()
            return
        seconds = self.lean.serving.settings.body_timeout
        self._refuse(Interrupted("request_timeout", f"the headers did not arrive within {seconds:g} s"))

    def _refuse(self, error: FivefoldError) -> None:
        """Answer what cannot become a request, and close."""
        call = begin(self.lean.serving, {})
        reply = problem(self.lean.serving.refuse(call, error), call)
        self.transport.write(self._message(reply, keep_alive=False))
        self.transport.close()

    def _start_asgi_task(self, cycle: RequestResponseCycle, app: Any) -> None:
        """Hold a request for inference back until its body is there; start any other."""
        if self.transport.is_closing():
            # Behind an answer that closes the connection nothing is processed (RFC 9112, section 9.6).
            return
        # An answer given within the same read has begun to count the idle time.
        self._unset_keepalive_if_required()
        scope = cast("Scope", cycle.scope)
        target = None
        if self._reading and scope["method"] == "POST" and cycle.more_body and not cycle.waiting_for_100_continue:
            target = self.lean.targets.get(route_path(scope))
        if target is None or app is not self.app:
            super()._start_asgi_task(cycle, app)
        else:
            self._held = cycle, app, target

    def on_message_complete(self) -> None:
        """The body is there: answer at once if that can be done at once."""
        super().on_message_complete()
        if self._held is None:
            return
        cycle, app, target = self._held
        if cycle is not self.cycle:
            return
        self._held = None
        if self.transport.is_closing():
            return
        if self.flow.write_paused:
            super()._start_asgi_task(cycle, app)
            return
        scope, receive = cast("Scope", cycle.scope), cast("Receive", cycle.receive)
        work = exchange(self.lean.serving, *target, scope, receive)
        try:
            pending = work.send(None)
        except StopIteration as done:
            self._write(cycle, done.value)
            return
        task = self.loop.create_task(self._later(cycle, Begun(work, pending)))
        task.add_done_callback(self.tasks.discard)
        self.tasks.add(task)

    async def _later(self, cycle: RequestResponseCycle, work: Begun[Reply]) -> None:
        try:
            reply = await work
        except asyncio.CancelledError:
            self.transport.close()
            raise
        if self.flow.write_paused and not cycle.disconnected:
            await self.flow.drain()
        if not cycle.disconnected:
            self._write(cycle, reply)

    def _write(self, cycle: RequestResponseCycle, reply: Reply) -> None:
        if cycle.keep_alive and reply.status >= 400 and (b"connection", b"close") in reply.headers:
            cycle.keep_alive = False
        self.transport.write(self._message(reply, keep_alive=cycle.keep_alive))
        cycle.response_started = cycle.response_complete = True
        cycle.message_event.set()
        if not cycle.keep_alive:
            self.transport.close()
        self.on_response_complete()

    def _message(self, reply: Reply, *, keep_alive: bool) -> bytes:
        content = [STATUS_LINE[reply.status]]
        for name, value in (*self.server_state.default_headers, *reply.headers):
            content += (name, b": ", value, b"\r\n")
        if not keep_alive and (b"connection", b"close") not in reply.headers:
            content.append(b"connection: close\r\n")
        content.append(b"content-length: %d\r\n\r\n" % len(reply.body))
        content.append(reply.body)
        return b"".join(content)


def protocol_of(app: Lean) -> type[Protocol]:
    """The connection class of a server that has this application."""
    return type("FivefoldProtocol", (Protocol,), {"lean": app})
