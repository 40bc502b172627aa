"""A connection that stays in step: no answer of it ever meets another request than its own.

What uvicorn's connection class leaves open is closed here:
- What `request_head` refuses ends the connection, behind the answers to what came before it.
- An offer to upgrade is ignored, and the request is read to its end: uvicorn drops what lies behind such a head.
- A trailer is never a header.
- An answer that does not wait for the whole body closes the connection, and waits a little for the client to read it.

It also holds for headers what `inference` holds for bodies: they have to arrive in time and within bounds. What is no
HTTP at all is answered from the product's own table of errors. How a request is answered is left to `protocol`.

It derives from a class that uvicorn does not document, which the exact pin and a test of the real thing guard.
"""

from __future__ import annotations

import asyncio
from typing import Any, Final

import httptools
from uvicorn.protocols.http.flow_control import HIGH_WATER_LIMIT
from uvicorn.protocols.http.httptools_impl import STATUS_LINE, HttpToolsProtocol, RequestResponseCycle

from fivefold.core.errors import ContractError, FivefoldError, Interrupted, ProtocolError
from fivefold.serving.dataplane import Dataplane
from fivefold.serving.http import request_head
from fivefold.serving.http.cycle import Cycle
from fivefold.serving.http.http_errors import HttpReply, problem
from fivefold.serving.http.inference import begin

_UNREAD: Final = 64 * 1024
"""Bytes beyond the limit on headers that are kept of a request whose headers have no end: one read's worth, so that it
is `inference` which refuses whatever has an end."""

_FRAMING: Final = 16
"""Bytes around each byte of a chunked body, above which it is no body: the smallest chunks take 5."""

LEAVE_SECONDS: Final = 5.0
"""How long a connection that is to be closed stays readable. Were it closed with bytes unread, the network would throw
away the answer that lies before the client (RFC 9112, section 9.6)."""

_WATCHED: Final = frozenset((b"host", b"transfer-encoding", b"expect", b"upgrade"))


class Framed(HttpToolsProtocol):
    """One connection."""

    dataplane: Dataplane

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        _name_nobody(self.config, self.server_state)
        self.answering: RequestResponseCycle | None = None
        self.refused = False
        """Nothing more is read of what comes."""
        self.idle_since: float | None = None
        """When the last answer was complete, by the loop's clock; None while one is owed."""
        self._unread = 0
        self._late: asyncio.TimerHandle | None = None
        self._leaving: asyncio.TimerHandle | None = None
        # Of the request whose head is being read:
        self._hosts = 0
        self._host: bytes | None = None
        self._codings: list[bytes] = []
        self._watched = False
        self._upgrading = False
        # Bytes of a chunked body that carry nothing, less what its content excuses.
        self._framing = 0

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]  # as uvicorn has it
        """Wait for the first request."""
        super().connection_made(transport)
        self._await_headers()

    def connection_lost(self, exc: Exception | None) -> None:
        """The client has gone, or we have closed."""
        self._headers_are_there()
        self._unset_keepalive_if_required()
        if self._leaving is not None:
            self._leaving.cancel()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        """Read what has come."""
        if self.refused:
            self._drop(len(data))
            return
        self.idle_since = None
        try:
            self.parser.feed_data(data)
        except httptools.HttpParserUpgrade as offer:
            self._read_on(data, offer)
        except httptools.HttpParserError as error:
            self._refuse(request_head.refusal(error))
        # A request's scope has a path as soon as all its headers are there.
        if self.scope is None or "path" not in self.scope:
            self._more_headers(len(data))
        elif self._late is not None:
            self._headers_are_there()
        if self.headers is None and self._codings and self.cycle.more_body:
            self._more_framing(len(data))

    def _read_on(self, data: bytes, offer: httptools.HttpParserUpgrade) -> None:
        """Read the rest of a request that offers to upgrade: its head once more without the offer, then what follows.

        The parser has stopped behind the head and would take the body for another protocol's words.
        """
        rest = memoryview(data)
        while True:
            rest = rest[offer.args[0] :]
            self._upgrading = False
            head = self._head_without_upgrade()
            self.parser = httptools.HttpRequestParser(self)
            self.parser.set_dangerous_leniencies(lenient_data_after_close=True)
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
        lines = [b"%b %b HTTP/%b" % (method, self.url, version)]
        lines += [b"%b: %b" % each for each in self.headers if each[0] != b"upgrade"]
        return b"\r\n".join([*lines, b"", b""])

    def on_message_begin(self) -> None:
        """The first byte of a request."""
        self.url = b""
        self.expect_100_continue = False
        self.headers = []
        self._hosts = 0
        self._host = None
        self._watched = False
        if self._codings:
            self._codings = []
        self.scope = {  # type: ignore[typeddict-item]  # the rest of it comes with the end of the head
            "type": "http",
            "asgi": {"version": self.asgi_version, "spec_version": "2.3"},
            "http_version": "1.1",
            "server": self.server,
            "client": self.client,
            "scheme": self.scheme,  # type: ignore[typeddict-item]  # it has one
            "root_path": self.root_path,
            "headers": self.headers,
            "state": self.app_state.copy(),
        }

    def on_header(self, name: bytes, value: bytes) -> None:
        """A header, or a trailer behind a body."""
        name = name.lower()
        headers = self.headers
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
                self.expect_100_continue = True

    def on_headers_complete(self) -> None:
        """The head is there: refuse it, or begin the request."""
        parser, scope = self.parser, self.scope
        version, method = parser.get_http_version(), parser.get_method()
        if self._watched or self._hosts != 1 or version != "1.1":
            self._check(version)
            if parser.should_upgrade() and method != b"CONNECT":
                self._upgrading = True
                return
        path, raw, scope["query_string"] = request_head.target(method, self.url, self._host)
        scope["method"] = method.decode("ascii")
        scope["raw_path"] = self.root_path.encode("ascii") + raw if self.root_path else raw
        scope["path"] = self.root_path + path
        # What comes behind the body is for nobody.
        self.headers = None  # type: ignore[assignment]  # nothing is added
        self._framing = 0
        before = self.cycle
        self.cycle = cycle = Cycle(
            scope=scope,
            transport=self.transport,
            flow=self.flow,
            logger=self.logger,
            access_logger=self.access_logger,
            access_log=self.access_log,
            default_headers=self.server_state.default_headers,
            message_event=asyncio.Event(),
            expect_100_continue=self.expect_100_continue,
            keep_alive=version != "1.0" and parser.should_keep_alive(),
            on_response=self.on_response_complete,
        )
        cycle.connection = self
        if before is None or before.response_complete:
            self._start_asgi_task(cycle, self.app)
        else:
            # One answer after the other.
            self.flow.pause_reading()
            self.pipeline.appendleft((cycle, self.app))

    def _check(self, version: str) -> None:
        if version not in request_head.VERSIONS:
            request_head.malformed(f"expected HTTP/1.1, got HTTP/{version}")
        request_head.check_hosts(version, self._hosts)
        if self._codings:
            request_head.check_lengths(version, self._codings)
        if version == "1.0":
            self.scope["http_version"] = version
            self.expect_100_continue = False

    def on_body(self, body: bytes) -> None:
        """A part of the body."""
        cycle = self.cycle
        if self._codings:
            self._framing -= _FRAMING * len(body)
        if cycle.response_complete:
            return
        cycle.body += body
        if len(cycle.body) > HIGH_WATER_LIMIT:
            self.flow.pause_reading()
        cycle.message_event.set()

    def on_message_complete(self) -> None:
        """The body is there."""
        cycle = self.cycle
        if self._upgrading or cycle.response_complete:
            return
        cycle.more_body = False
        cycle.message_event.set()

    def on_response_complete(self) -> None:
        """Begin the next request that is there, or wait for one.

        One timer waits for all of a connection's idle times: to set up one for each costs more than the rest here.
        """
        self.server_state.total_requests += 1
        if self.gone():
            return
        self.flow.resume_reading()
        if self.pipeline:
            self._start_asgi_task(*self.pipeline.pop())
            return
        self.idle_since = self.loop.time()
        if self.timeout_keep_alive_task is None:
            self._look_when_idle(self.timeout_keep_alive)

    def _look_when_idle(self, seconds: float) -> None:
        self.timeout_keep_alive_task = self.loop.call_later(seconds, self.timeout_keep_alive_handler)

    def timeout_keep_alive_handler(self) -> None:
        """Close the connection if it has been idle for long enough."""
        self.timeout_keep_alive_task = None
        if self.idle_since is None:
            return
        left = self.idle_since + self.timeout_keep_alive - self.loop.time()
        if left > 0:
            self._look_when_idle(left)
        elif not self.transport.is_closing():
            self.transport.close()

    def _start_asgi_task(self, cycle: RequestResponseCycle, app: Any) -> None:
        self.answering = cycle
        self.idle_since = None
        # Behind an answer that closes the connection nothing is processed (RFC 9112, section 9.6).
        if not self.gone():
            super()._start_asgi_task(cycle, app)

    def gone(self) -> bool:
        """Whether no more requests are answered here."""
        return self._leaving is not None or self.transport.is_closing()

    def send_400_response(self, msg: str) -> None:  # noqa: ARG002  # uvicorn's words are not ours
        """What uvicorn calls for bytes that are no HTTP."""
        self._refuse(ContractError("malformed", "this is not an HTTP request"))

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
        if not self._unread:
            # Nobody asked for anything.
            self.transport.close()
            return
        seconds = self.dataplane.settings.body_timeout
        self._refuse(Interrupted("request_timeout", f"the headers did not arrive within {seconds:g} s"))

    def _refuse(self, error: FivefoldError) -> None:
        """Answer what cannot become a request, behind the answers to those before it, and close."""
        self.refused = True
        last, waiting = self.answering, self.pipeline
        if self.cycle is not None and self.cycle.more_body:
            # It had begun as one.
            if waiting:
                waiting.popleft()
            elif self.cycle.response_started:
                self.transport.close()
                return
            else:
                last = None
                # Whoever waits for the rest of it has nothing more to say.
                self.cycle.disconnected = True
                self.cycle.message_event.set()
        if waiting:
            last = waiting[0][0]
        if last is None or last.response_complete:
            self._answer(error)
            return
        answered = last.on_response

        def then() -> None:
            answered()
            self._answer(error)

        last.on_response = then

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
        """Close, but leave the client the time to read what has been written."""
        if self._leaving is not None or self.transport.is_closing():
            return
        self.refused = True
        self._unread = 0
        self._leaving = self.loop.call_later(LEAVE_SECONDS, self.transport.close)
        self._unset_keepalive_if_required()
        self.flow.resume_reading()
        if self.transport.can_write_eof():
            self.transport.write_eof()

    def _drop(self, size: int) -> None:
        """Read what nobody will answer, up to the size of one body."""
        self._unread += size
        if self._leaving is not None and self._unread > self.dataplane.settings.max_body_bytes:
            self.transport.close()

    def message(self, reply: HttpReply, *, keep_alive: bool) -> bytes:
        """A whole answer as it goes over the wire."""
        content = [STATUS_LINE[reply.status]]
        for name, value in (*self.server_state.default_headers, *reply.headers):
            content += (name, b": ", value, b"\r\n")
        if not keep_alive and (b"connection", b"close") not in reply.headers:
            content.append(b"connection: close\r\n")
        content.append(b"content-length: %d\r\n\r\n" % len(reply.body))
        content.append(reply.body)
        return b"".join(content)


def _name_nobody(config: Any, state: Any) -> None:
    """Take out the header that names the server's program, where whoever started the server has left it in."""
    if any(name == b"server" for name, _ in (*config.encoded_headers, *state.default_headers)):
        config.encoded_headers = [header for header in config.encoded_headers if header[0] != b"server"]
        state.default_headers = [header for header in state.default_headers if header[0] != b"server"]
