"""The shortest way from a connection to an answer: inference without a task, without ASGI messages, in one write.

`framing` does all of HTTP; this class steps in where a whole request for inference has arrived in one piece. It takes
the first step of `inference` by itself, and where that was all, as it is for quick models, writes the answer. Whatever
needs more (a body in several pieces, a slow model, any other route) goes on as a task. So nothing is decided here: this
is the same `inference`, started earlier.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

from fivefold.serving.http.asgi import Application
from fivefold.serving.http.dispatch import Dispatch, Target, route_path
from fivefold.serving.http.exchange import HttpExchange
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
        self._held: tuple[HttpExchange, Application, Target] | None = None
        self._reading = False
        self._first = self.take_over is not None

    def data_received(self, data: bytes) -> None:
        """Read what has come; a request that is not whole by then becomes a task."""
        if self._first:
            self._first = False
            if self.take_over is not None and self.take_over(self, data):
                return
        self._reading = True
        super().data_received(data)
        self._reading = False
        if self._held is not None:
            exchange, application, _ = self._held
            self._held = None
            if not self.refused:
                super()._begin(exchange, application)

    def _begin(self, exchange: HttpExchange, application: Application) -> None:
        """Hold a request for inference back until its body is there; begin any other."""
        if self.gone():
            return
        if self._reading and exchange.more_body and not exchange.expects and application is self.app:
            scope = exchange.scope
            if scope["method"] == "POST":
                target = self.dispatch.targets.get(route_path(scope))
                if target is not None:
                    self.answering = exchange
                    # An answer given within the same read has begun to count it.
                    self.idle_since = None
                    self._held = exchange, application, target
                    return
        super()._begin(exchange, application)

    def on_message_complete(self) -> None:
        """The body is there: answer at once if that can be done at once."""
        super().on_message_complete()
        if self._held is None:
            return
        exchange, application, target = self._held
        if exchange is not self.exchange:
            return
        self._held = None
        if self.gone():
            return
        if self.write_paused:
            super()._begin(exchange, application)
            return
        work = infer(self.dispatch.dataplane, *target, exchange.scope, exchange.receive)
        try:
            pending = work.send(None)
        except StopIteration as done:
            self.write_whole(exchange, done.value)
            return
        self.start(self._later(exchange, Begun(work, pending)))

    async def _later(self, exchange: HttpExchange, work: Begun[HttpReply]) -> None:
        try:
            reply = await work
        except asyncio.CancelledError:
            self.transport.close()
            raise
        if self.write_paused and not exchange.disconnected:
            await self.drain()
        if not exchange.disconnected:
            self.write_whole(exchange, reply)


TakeOver = Callable[[Protocol, bytes], bool]
"""What is asked about a new connection's first bytes: whether it has taken the connection over, and those with it."""


def protocol_of(app: Dispatch, take_over: TakeOver | None = None) -> type[Protocol]:
    """The connection class of a server that has this application; `take_over` may want some of its connections."""
    members = {"dispatch": app, "dataplane": app.dataplane, "take_over": take_over and staticmethod(take_over)}
    return type("FivefoldProtocol", (Protocol,), members)
