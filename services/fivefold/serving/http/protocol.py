"""The shortest way from a connection to an answer: inference without a task, without ASGI messages, in one write.

uvicorn's own connection class does all of HTTP, and `framing` keeps it in step; this one steps in where a whole request
for inference has arrived in one piece. It takes the first step of `inference` by itself, and where that was all, as it
is for quick models, writes the answer. Whatever needs more (a body in several pieces, a slow model, any other route)
goes on as a task, as with plain uvicorn. So nothing is decided here: this is the same `inference`, started earlier.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any, cast

from uvicorn.protocols.http.httptools_impl import RequestResponseCycle

from fivefold.serving.http.asgi import Receive, Scope
from fivefold.serving.http.dispatch import Dispatch, Target, route_path
from fivefold.serving.http.framing import Framed
from fivefold.serving.http.http_errors import HttpReply
from fivefold.serving.http.inference import infer
from fivefold.serving.http.request_body import Begun


class Protocol(Framed):
    """One connection. `dispatch` and `dataplane` are set by `protocol_of`."""

    dispatch: Dispatch
    take_over: TakeOver | None = None

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._held: tuple[RequestResponseCycle, Any, Target] | None = None
        self._reading = False
        self._first = self.take_over is not None

    def data_received(self, data: bytes) -> None:
        """Read what has come; a request that is not whole by then goes uvicorn's way."""
        if self._first:
            self._first = False
            if self.take_over is not None and self.take_over(self, data):
                return
        self._reading = True
        super().data_received(data)
        self._reading = False
        if self._held is not None:
            cycle, app, _ = self._held
            self._held = None
            if not self.refused:
                super()._start_asgi_task(cycle, app)

    def _start_asgi_task(self, cycle: RequestResponseCycle, app: Any) -> None:
        """Hold a request for inference back until its body is there; start any other."""
        if self.gone():
            return
        scope = cast("Scope", cycle.scope)
        target = None
        if self._reading and scope["method"] == "POST" and cycle.more_body and not cycle.waiting_for_100_continue:
            target = self.dispatch.targets.get(route_path(scope))
        if target is None or app is not self.app:
            super()._start_asgi_task(cycle, app)
        else:
            self.answering = cycle
            # An answer given within the same read has begun to count it.
            self.idle_since = None
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
        if self.gone():
            return
        if self.flow.write_paused:
            super()._start_asgi_task(cycle, app)
            return
        scope, receive = cast("Scope", cycle.scope), cast("Receive", cycle.receive)
        work = infer(self.dispatch.dataplane, *target, scope, receive)
        try:
            pending = work.send(None)
        except StopIteration as done:
            self._write(cycle, done.value)
            return
        task = self.loop.create_task(self._later(cycle, Begun(work, pending)))
        task.add_done_callback(self.tasks.discard)
        self.tasks.add(task)

    async def _later(self, cycle: RequestResponseCycle, work: Begun[HttpReply]) -> None:
        try:
            reply = await work
        except asyncio.CancelledError:
            self.transport.close()
            raise
        if self.flow.write_paused and not cycle.disconnected:
            await self.flow.drain()
        if not cycle.disconnected:
            self._write(cycle, reply)

    def _write(self, cycle: RequestResponseCycle, reply: HttpReply) -> None:
        if cycle.keep_alive and reply.status >= 400 and (b"connection", b"close") in reply.headers:
            cycle.keep_alive = False
        self.transport.write(self.message(reply, keep_alive=cycle.keep_alive))
        cycle.response_started = cycle.response_complete = True
        cycle.message_event.set()
        if not cycle.keep_alive:
            self.transport.close()
        cycle.on_response()

    def let_go(self) -> None:
        """Do nothing more for the connection: it is another protocol's from here on."""
        self._headers_are_there()
        self._unset_keepalive_if_required()
        self.connections.discard(self)
        self.parser = None  # type: ignore[assignment]  # as uvicorn does at a connection's end


TakeOver = Callable[[Protocol, bytes], bool]
"""What is asked about a new connection's first bytes: whether it has taken the connection over, and those with it."""


def protocol_of(app: Dispatch, take_over: TakeOver | None = None) -> type[Protocol]:
    """The connection class of a server that has this application; `take_over` may want some of its connections."""
    members = {"dispatch": app, "dataplane": app.dataplane, "take_over": take_over and staticmethod(take_over)}
    return type("FivefoldProtocol", (Protocol,), members)
