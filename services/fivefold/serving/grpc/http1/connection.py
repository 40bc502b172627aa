"""One connection on which a proxy asks unary gRPC calls, one after the other.

It belongs to a server that speaks HTTP too, whose own connection class hands a new connection over when the first
request on it is one of these (`taking_over`). What is no POST of such a path ends it without an answer: then a proxy
that has mixed the two up asks again elsewhere, and no caller of the one gets an answer of the other. A request that
comes before the answer to the one before it is not answered either: proxies send none.

A message that has come in one piece is answered at once where its method can; anything else goes on as a task, which
ends with the connection. What is meant by a call is left to the methods (`call.Unary`), the form to `wire`.
"""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Final

import httptools

from fivefold.core.errors import ContractError, FivefoldError, NotFound, ProtocolError
from fivefold.serving.dataplane import defect
from fivefold.serving.grpc.call import AskedCall, Payload, Reply, Unary, begin
from fivefold.serving.grpc.http1 import wire
from fivefold.serving.grpc.http1.message import Incoming
from fivefold.serving.http.request_body import Begun

if TYPE_CHECKING:
    from collections.abc import Coroutine

    from fivefold.serving.dataplane import Dataplane
    from fivefold.serving.http.protocol import Protocol, TakeOver

LEAVE_SECONDS: Final = 5.0
"""How long a connection that is to be closed stays readable. Were it closed with bytes unread, the network would throw
away the answer that lies before the proxy (RFC 9112, section 9.6)."""

_SPARE: Final = 64 * 1024
"""Bytes beyond the limit on headers that a request may have beside its body's content: one read's worth, so that it is
said what is too large of a head that has an end."""

_FRAMING: Final = 16
"""Bytes around each byte of a chunked body, above which it is no body: the smallest chunks take 5."""


class Methods:
    """The unary methods by path, and the `Dataplane` that they belong to."""

    def __init__(self, dataplane: Dataplane, methods: Mapping[str, Unary]) -> None:
        self.dataplane = dataplane
        self.by_path = {path.encode(): method for path, method in methods.items()}
        self._services = tuple({path[: path.rindex(b"/") + 1] for path in self.by_path})
        self._begins = tuple(b"POST " + service for service in self._services)

    def begins(self, data: bytes) -> bool:
        """Whether a connection's first bytes ask for a method of one of these services."""
        return data.startswith(self._begins)

    def find(self, path: bytes) -> Unary | None:
        """The method, one that says there is no such method of these services, or None where it is no path of them."""
        found = self.by_path.get(path)
        if found is None and path.startswith(self._services):
            return self._unimplemented
        return found

    async def _unimplemented(self, said: AskedCall, payload: Payload) -> Reply:  # noqa: ARG002  # a method's signature
        call = begin(self.dataplane.request_id, said)
        return Reply(call, error=self.dataplane.refuse(call, NotFound("not_found", "Method not found!")))


class GrpcConnection(asyncio.Protocol):
    """One connection; made where the server's own class has one already."""

    def __init__(
        self,
        methods: Methods,
        transport: asyncio.Transport,
        connections: set[Any],
        tasks: set[asyncio.Task[None]],
        idle_seconds: float,
    ) -> None:
        """`connections` and `tasks` are the server's, which waits for them when it stops; an idle connection is closed
        after `idle_seconds`."""
        self._methods, self._transport = methods, transport
        self._dataplane = methods.dataplane
        self._connections, self._tasks = connections, tasks
        connections.add(self)
        self._loop = asyncio.get_running_loop()
        self._parser: Any = httptools.HttpRequestParser(self)
        self._peer = _peer(transport)
        self._task: asyncio.Task[None] | None = None
        self._closing = False
        """Whether the answer that is due is the last one."""
        self._deaf = False
        """Whether nothing more is read of what comes."""
        self._blocked = False
        self._read = 0
        """Bytes that are being read."""
        self._leaving: asyncio.TimerHandle | None = None
        self._wait: dict[bool, float] = {True: idle_seconds, False: self._dataplane.settings.body_timeout}
        self._since = self._loop.time()
        self._idle = True
        self._timer = self._loop.call_later(min(self._wait.values()), self._look)
        self._begin_request()

    def _begin_request(self) -> None:
        self._url = b""
        self._headers: list[tuple[bytes, bytes]] = []
        self._head = True
        self._message: Incoming | None = None
        self._method: Unary | None = None
        self._status = 200
        self._said = AskedCall((), self._peer, None)
        # Bytes that are not the body's content, less what its content excuses.
        self._beside = 0

    # What the transport says.

    def data_received(self, data: bytes) -> None:
        """Read what has come."""
        if self._deaf:
            if self._leaving is not None:
                self._drop(len(data))
            return
        self._read = len(data)
        self._beside += self._read
        try:
            self._parser.feed_data(data)
        except (httptools.HttpParserError, httptools.HttpParserUpgrade) as error:
            if isinstance(error, httptools.HttpParserCallbackError) and error.__context__ is not None:
                call = begin(self._dataplane.request_id, self._said)
                self._dataplane.refuse(call, defect(error.__context__))
            self._hang_up()
            return
        if self._deaf or self._transport.is_closing():
            return
        if self._beside > self._dataplane.settings.max_header_bytes + _SPARE:
            self._hang_up()
        elif self._message is not None and self._method is not None and self._task is None:
            # It is not whole, so it has to be waited for.
            self._start(self._answer_later(self._method(self._said, self._message)))

    def eof_received(self) -> None:
        """Nothing more will come, so nobody waits for an answer: the transport closes."""

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: ARG002  # asyncio's signature
        """The proxy has gone, because its client has, or we have closed."""
        self._connections.discard(self)
        self._deaf = True
        self._timer.cancel()
        if self._leaving is not None:
            self._leaving.cancel()
        if self._task is not None:
            self._task.cancel()
        # It knows this object, which knows it.
        self._parser = None

    def pause_writing(self) -> None:
        """More has been written than is read."""
        self._blocked = True

    def resume_writing(self) -> None:
        """It has been read."""
        self._blocked = False

    def shutdown(self) -> None:
        """Answer what has been asked, and close."""
        if self._idle:
            self._transport.close()
        self._closing = True

    # What the parser says.

    def on_message_begin(self) -> None:
        """The first byte of a request."""
        if not self._idle or self._blocked:
            # Somebody asks who has not heard the answer before.
            self._deaf = self._closing = True
            if self._task is None:
                self._hang_up()
            return
        self._idle = False
        self._since = self._loop.time()
        self._begin_request()

    def on_url(self, url: bytes) -> None:
        """A part of the path."""
        if not self._deaf:
            self._url += url

    def on_header(self, name: bytes, value: bytes) -> None:
        """A header; trailers behind a body are read past."""
        if self._head and not self._deaf:
            self._headers.append((name.lower(), value))

    def on_headers_complete(self) -> None:
        """The head is there: find the method, or hang up."""
        if self._deaf:
            return
        self._head = False
        parser = self._parser
        method = self._methods.find(self._url)
        other = parser.get_http_version() != "1.1" or parser.get_method() != b"POST" or parser.should_upgrade()
        if method is None or other:
            self._hang_up()
            return
        if not parser.should_keep_alive():
            self._closing = True
        self._message = Incoming(self._dataplane, self._transport)
        try:
            self._said = self._read_head()
        except FivefoldError as error:
            method = self._refusing(error)
        self._method = method

    def on_body(self, body: bytes) -> None:
        """A part of the body."""
        if self._message is not None and not self._deaf:
            self._beside -= _FRAMING * len(body)
            self._message.add(body)

    def on_message_complete(self) -> None:
        """The body is there: answer at once if that can be done at once."""
        message = self._message
        if message is None or self._deaf:
            return
        self._beside = 0
        message.end()
        if self._task is not None or self._method is None:
            return
        work = self._method(self._said, message)
        try:
            pending = work.send(None)
        except StopIteration as done:
            self._reply(done.value)
            return
        self._start(self._answer_later(Begun(work, pending)))

    # What becomes of a request.

    def _read_head(self) -> AskedCall:
        metadata: list[tuple[str, str | bytes]] = []
        deadline: float | None = None
        kind = te = b""
        for name, value in self._headers:
            known = wire.METADATA.get(name)
            if known is not None:
                metadata.append((known, value))
            elif name == b"content-type":
                kind = value
            elif name == b"te":
                te = value
            elif name == b"grpc-timeout":
                deadline = time.monotonic() + wire.seconds(value)
            elif name == b"grpc-encoding":
                assert self._message is not None
                self._message.window = wire.window(value)
            elif name.endswith(b"-bin"):
                wire.check_binary(name, value)
        if not kind.startswith(b"application/grpc"):
            # Who asks so does not read gRPC's status.
            self._status = 415
            raise ProtocolError(
                "unsupported_media_type",
                f"expected content-type application/grpc, got {kind[:128].decode('latin-1')!r}",
            )
        if b"trailers" not in te:
            raise ContractError("malformed", "te: expected trailers, which an answer ends with")
        limit = self._dataplane.settings.max_header_bytes
        # Most have come in fewer bytes than that, with their bodies.
        if self._beside + self._read > limit:
            size = sum(len(name) + len(value) for name, value in self._headers)
            if size > limit:
                raise ProtocolError("headers_too_large", f"expected at most {limit} bytes of metadata, got {size}")
        return AskedCall(metadata, self._peer, deadline)

    def _refusing(self, error: FivefoldError) -> Unary:
        """A method that answers every call with this error, counted and logged."""

        async def refuse(said: AskedCall, payload: Payload) -> Reply:  # noqa: ARG001  # a method's signature
            call = begin(self._dataplane.request_id, said)
            return Reply(call, error=self._dataplane.refuse(call, error))

        return refuse

    def _start(self, work: Coroutine[Any, Any, None]) -> None:
        self._task = task = self._loop.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _answer_later(self, work: Any) -> None:
        try:
            reply = await work
        except asyncio.CancelledError:
            self._transport.close()
            raise
        self._task = None
        if not self._transport.is_closing():
            self._reply(reply)

    def _reply(self, reply: Reply) -> None:
        assert self._message is not None
        whole = self._message.whole
        if not whole:
            # The rest of it would be taken for a request.
            self._closing = True
        self._transport.write(wire.answer(reply, keep_alive=not self._closing, status=self._status))
        if not self._closing:
            self._message = self._method = None
            self._idle = True
            self._since = self._loop.time()
        elif whole:
            self._hang_up()
        else:
            self._leave()

    def _hang_up(self) -> None:
        """Close behind what has been written."""
        self._deaf = True
        self._transport.close()

    def _leave(self) -> None:
        """Close, but leave the proxy the time to read what has been written: it is not done with sending."""
        self._deaf = True
        self._beside = 0
        self._leaving = self._loop.call_later(LEAVE_SECONDS, self._transport.close)
        self._transport.resume_reading()
        # TLS has no half of a connection.
        if self._transport.can_write_eof():
            # It may have gone already.
            with contextlib.suppress(OSError):
                self._transport.write_eof()

    def _drop(self, size: int) -> None:
        """Read what nobody will answer, up to the size of one message."""
        self._beside += size
        if self._beside > self._dataplane.settings.max_body_bytes:
            self._transport.close()

    def _look(self) -> None:
        """Close a connection on which nothing has been asked for long, or a head does not end."""
        head = not self._idle and self._head
        now = self._loop.time()
        left = self._since + self._wait[self._idle] - now if self._idle or head else self._wait[False]
        if left <= 0:
            self._hang_up()
        else:
            self._timer = self._loop.call_later(min(left, self._wait[False]), self._look)


def _peer(transport: asyncio.Transport) -> str:
    """The other end by gRPC's name."""
    address = transport.get_extra_info("peername")
    if not isinstance(address, tuple):
        return "unix:"
    host, port = address[:2]
    return f"ipv6:[{host}]:{port}" if ":" in host else f"ipv4:{host}:{port}"


def taking_over(methods: Methods) -> TakeOver:
    """What a server's own connections are to be asked: those that begin with a call of these methods are taken over."""

    def take(http: Protocol, data: bytes) -> bool:
        if not methods.begins(data):
            return False
        connection = GrpcConnection(
            methods, http.transport, http.connections, http.tasks, float(http.timeout_keep_alive)
        )
        http.let_go()
        http.transport.set_protocol(connection)
        connection.data_received(data)
        return True

    return take
