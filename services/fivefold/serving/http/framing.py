"""A connection that stays in step: no answer of it ever meets another request than its own.

- What `request_head` refuses ends the connection, behind the answers to what came before it.
- An offer to upgrade is ignored, and the request is read to its end.
- A trailer is never a header.
- An answer that does not wait for the whole body closes the connection, and waits a little for the client to read it.

It also holds for headers what `inference` holds for bodies: they have to arrive in time and within bounds. What is no
HTTP at all is answered from the product's own table of errors. How a request is answered is left to `exchange` and
`protocol`, the connection itself to `connection`.
"""

from __future__ import annotations

import asyncio
from collections import deque
from typing import Any, Final

import httptools

from fivefold.core.errors import ContractError, FivefoldError, Interrupted, ProtocolError, Unavailable
from fivefold.serving.http import request_head
from fivefold.serving.http.asgi import Application, Receive, Scope, Send
from fivefold.serving.http.exchange import HIGH_WATER, HttpExchange
from fivefold.serving.http.http_connection import Connection
from fivefold.serving.http.http_errors import Header, deliver, problem
from fivefold.serving.http.inference import begin

_UNREAD: Final = 64 * 1024
"""Bytes beyond the limit on headers that are kept of a request whose headers have no end: one read's worth, so that it
is `inference` which refuses whatever has an end."""

_FRAMING: Final = 16
"""Bytes around each byte of a chunked body, above which it is no body: the smallest chunks take 5."""

_WATCHED: Final = frozenset((b"host", b"transfer-encoding", b"expect", b"upgrade"))

_ASGI: Final = {"version": "3.0", "spec_version": "2.3"}


class Framed(Connection):
    """One connection, and what is read on it."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.parser = _parser(self)
        self.exchange: HttpExchange | None = None
        """Of the request that is read, or was last."""
        self.answering: HttpExchange | None = None
        """Of the request that is answered, or was last."""
        self.waiting: deque[tuple[HttpExchange, Application]] = deque()
        """Requests behind that one, the next one at the right."""
        self.refused = False
        """Nothing more is read of what comes."""
        self._unread = 0
        self._content = 0
        """Bytes of bodies in what has come last."""
        self._late: asyncio.TimerHandle | None = None
        # Of the request whose head is being read:
        self._url = b""
        self._headers: list[Header] | None = []
        """None behind the head."""
        self._hosts = 0
        self._host: bytes | None = None
        self._codings: list[bytes] = []
        self._expects = False
        self._watched = False
        self._upgrading = False
        # Bytes of a chunked body that carry nothing, less what its content excuses.
        self._framing = 0

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]  # it is no other kind
        """Wait for the first request."""
        super().connection_made(transport)
        self._await_headers()

    def connection_lost(self, exc: Exception | None) -> None:
        """Whoever answers, or waits for the rest of a request, is told."""
        for each in (self.answering, self.exchange, *(exchange for exchange, _ in self.waiting)):
            if each is not None:
                each.hang_up()
        super().connection_lost(exc)
        # They know this object, which knows them.
        self.exchange = self.answering = None
        self.waiting.clear()

    def let_go(self) -> None:
        """Read no more."""
        super().let_go()
        self._headers_are_there()
        # It knows this object, which knows it.
        self.parser = None

    def shutdown(self) -> None:
        """The server stops: answer what has been asked, and close."""
        if self.exchange is None or self.exchange.complete:
            self.transport.close()
        else:
            self.exchange.keep_alive = False

    def data_received(self, data: bytes) -> None:
        """Read what has come."""
        if self.refused:
            self._drop(len(data))
            return
        self.idle_since = None
        head, stopped = self._headers, None
        self._content = 0
        try:
            self.parser.feed_data(data)
        except (httptools.HttpParserError, httptools.HttpParserUpgrade) as error:
            stopped = error
        # Not in the clause above: what is raised there loses what it came of.
        if stopped is not None:
            self._stopped(data, stopped)
            # It knows this frame.
            stopped = None
        if self._headers is not None:
            self._more_headers(len(data) if self._headers is head else self._begun(data))
            return
        if self._late is not None:
            self._headers_are_there()
        if self._codings and self.exchange is not None and self.exchange.more_body:
            self._more_framing(len(data))

    def _stopped(self, data: bytes, why: httptools.HttpParserError | httptools.HttpParserUpgrade) -> None:
        if isinstance(why, httptools.HttpParserUpgrade):
            self._read_on(data, why)
        else:
            self._refuse(request_head.refusal(why))

    def _read_on(self, data: bytes, offer: httptools.HttpParserUpgrade) -> None:
        """Read the rest of a request that offers to upgrade: its head once more without the offer, then what follows.

        The parser has stopped behind the head and would take the body for another protocol's words.
        """
        rest = memoryview(data)
        while True:
            rest = rest[offer.args[0] :]
            self._upgrading = False
            head = self._head_without_upgrade()
            self.parser = _parser(self)
            try:
                self.parser.feed_data(head)
                self.parser.feed_data(rest)
            except httptools.HttpParserUpgrade as another:
                offer = another
            except httptools.HttpParserError as error:
                self._refuse(request_head.refusal(error))
                return
            else:
                return

    def _head_without_upgrade(self) -> bytes:
        method, version = self.parser.get_method(), self.parser.get_http_version().encode()
        lines = [b"%b %b HTTP/%b" % (method, self._url, version)]
        lines += [b"%b: %b" % each for each in self._headers or () if each[0] != b"upgrade"]
        return b"\r\n".join([*lines, b"", b""])

    # -- what the parser says ---------------------------------------------------------------------------------------

    def on_message_begin(self) -> None:
        """The first byte of a request."""
        self._url = b""
        self._headers = []
        self._hosts = 0
        self._expects = self._watched = False
        if self._codings:
            self._codings = []

    def on_url(self, url: bytes) -> None:
        """A part of the target."""
        self._url += url

    def on_header(self, name: bytes, value: bytes) -> None:
        """A header, or a trailer behind a body."""
        name = name.lower()
        headers = self._headers
        if headers is None:
            if name in request_head.NOT_TRAILERS:
                request_head.malformed(f"{name.decode('latin-1')}: expected before the body, got it as a trailer")
            return
        headers.append((name, value))
        if name in _WATCHED:
            if name == b"host":
                request_head.check_host(value)
                self._hosts += 1
                self._host = value
                return
            self._watched = True
            if name == b"transfer-encoding":
                self._codings.append(value)
            elif name == b"expect" and value.strip().lower() == b"100-continue":
                self._expects = True

    def on_headers_complete(self) -> None:
        """The head is there: refuse it, or begin the request."""
        parser = self.parser
        version, method = parser.get_http_version(), parser.get_method()
        if self._watched or self._hosts != 1 or version != "1.1":
            self._check(version)
            if parser.should_upgrade() and method != b"CONNECT":
                self._upgrading = True
                return
        path, raw, query = request_head.target(method, self._url, self._host if self._hosts else None)
        root = self.root_path
        scope: Scope = {
            "type": "http",
            "asgi": _ASGI,
            "http_version": version,
            "method": method.decode("ascii"),
            "path": root + path if root else path,
            "raw_path": root.encode("ascii") + raw if root else raw,
            "query_string": query,
            "root_path": root,
            "headers": self._headers,
            "state": self.app_state.copy(),
            **self.ends,
        }
        # What comes behind the body is for nobody.
        self._headers = None
        self._framing = 0
        before = self.exchange
        keep_alive = version != "1.0" and parser.should_keep_alive()
        self.exchange = exchange = HttpExchange(self, scope, keep_alive, self._expects)
        application = self.app if self.limit is None else self._limited()
        if before is None or before.complete:
            self._begin(exchange, application)
        else:
            # One answer after the other.
            self.pause_reading()
            self.waiting.appendleft((exchange, application))

    def _check(self, version: str) -> None:
        if version not in request_head.VERSIONS:
            request_head.malformed(f"expected HTTP/1.1, got HTTP/{version}")
        request_head.check_hosts(version, self._hosts)
        if self._codings:
            request_head.check_lengths(version, self._codings)
        if version == "1.0":
            self._expects = False

    def _limited(self) -> Application:
        """The application, or what says that there are too many connections or requests for one more."""
        limit = self.limit or 0
        return self.app if len(self.connections) < limit and len(self.tasks) < limit else self._overloaded

    async def _overloaded(self, scope: Scope, receive: Receive, send: Send) -> None:  # noqa: ARG002  # ASGI's signature
        call = begin(self.dataplane, dict(scope["headers"]))
        why = f"expected fewer than {self.limit} connections and requests at once"
        error = Unavailable("overloaded", why, retry_after=self.dataplane.settings.retry_after)
        reply = problem(self.dataplane.refuse(call, error), call)
        reply.headers.append((b"connection", b"close"))
        await deliver(reply, send)

    def on_body(self, body: bytes) -> None:
        """A part of the body."""
        exchange = self.exchange
        self._content += len(body)
        if self._codings:
            self._framing -= _FRAMING * len(body)
        if exchange is None or exchange.complete:
            return
        exchange.more(body)
        if len(exchange.body) > HIGH_WATER:
            self.pause_reading()

    def on_message_complete(self) -> None:
        """The body is there."""
        exchange = self.exchange
        if exchange is not None and not self._upgrading and not exchange.complete:
            exchange.whole()

    # -- one request after the other --------------------------------------------------------------------------------

    def on_complete(self) -> None:
        """An answer is complete: begin the next request that is there, or wait for one."""
        self.answered()
        if self.gone():
            return
        self.resume_reading()
        if self.waiting:
            self._begin(*self.waiting.pop())
        else:
            self.wait_for_more()

    def _begin(self, exchange: HttpExchange, application: Application) -> None:
        """Let a request be answered."""
        self.answering = exchange
        self.idle_since = None
        # Behind an answer that closes the connection nothing is processed (RFC 9112, section 9.6).
        if not self.gone():
            self.start(exchange.run(application))

    # -- what is no request, or none in time ------------------------------------------------------------------------

    def _await_headers(self) -> None:
        self._late = self.loop.call_later(self.dataplane.settings.body_timeout, self._headers_are_late)

    def _headers_are_there(self) -> None:
        self._unread = 0
        if self._late is not None:
            self._late.cancel()
            self._late = None

    def _more_headers(self, size: int) -> None:
        if self.refused or self.transport.is_closing():
            return
        self._unread += size
        limit = self.dataplane.settings.max_header_bytes
        if self._unread > limit + _UNREAD:
            self._refuse(ProtocolError("headers_too_large", f"expected at most {limit} bytes of headers, got more"))
        elif self._late is None:
            self._await_headers()

    def _begun(self, data: bytes) -> int:
        """Bytes of a head that has begun in these, among which are requests before it: the line that is not whole, and
        what the parser has told of the others."""
        line = len(data) - max(data.rfind(b"\n") + 1, self._content)
        return line + len(self._url) + sum(len(name) + len(value) for name, value in self._headers or ())

    def _more_framing(self, size: int) -> None:
        """Bound what a chunked body has beside its content: extensions, trailers, and chunks of nearly nothing."""
        self._framing += size
        limit = self.dataplane.settings.max_header_bytes + _UNREAD
        if self._framing > limit and not self.refused:
            self._refuse(ContractError("malformed", f"expected at most {limit} bytes around the chunks, got more"))

    def _headers_are_late(self) -> None:
        self._late = None
        if self.refused or self.transport.is_closing():
            return
        if self.reading_paused:
            # It is not the client who is late.
            self._await_headers()
            return
        if not self._unread:
            # Nobody asked for anything.
            self.transport.close()
            return
        seconds = self.dataplane.settings.body_timeout
        self._refuse(Interrupted("request_timeout", f"the headers did not arrive within {seconds:g} s"))

    def _refuse(self, error: FivefoldError) -> None:
        """Answer what cannot become a request, behind the answers to those before it, and close."""
        self.refused = True
        last, waiting, exchange = self.answering, self.waiting, self.exchange
        if exchange is not None and exchange.more_body:
            # It had begun as one.
            if waiting:
                waiting.popleft()
            elif exchange.started:
                self.transport.close()
                return
            else:
                last = None
                # Whoever waits for the rest of it has nothing more to say.
                exchange.hang_up()
        if waiting:
            last = waiting[0][0]
        if last is None or last.complete:
            self._answer(error)
            return
        answered = last.then

        def then() -> None:
            answered()
            self._answer(error)

        last.then = then

    def _answer(self, error: FivefoldError) -> None:
        if self.transport.is_closing():
            return
        call = begin(self.dataplane, {})
        reply = problem(self.dataplane.refuse(call, error), call)
        if error.code == "method_not_allowed":
            reply.headers.append((b"allow", b"GET, HEAD, OPTIONS, POST"))
        self.transport.write(self.message(reply, keep_alive=False))
        self.leave()

    def leave(self) -> None:
        """Close, but leave the client the time to read what has been written; what comes meanwhile is for nobody."""
        if not self.gone():
            self.refused = True
            self._unread = 0
            super().leave()

    def _drop(self, size: int) -> None:
        """Read what nobody will answer, up to the size of one body."""
        self._unread += size
        if self.leaving is not None and self._unread > self.dataplane.settings.max_body_bytes:
            self.transport.close()


def _parser(connection: Framed) -> Any:
    parser = httptools.HttpRequestParser(connection)
    # What lies behind a request that is the last one is not taken for one either (`gone`).
    parser.set_dangerous_leniencies(lenient_data_after_close=True)
    return parser
