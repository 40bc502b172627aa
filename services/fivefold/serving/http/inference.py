"""One inference over HTTP: check the headers, take in the body, ask `Dataplane`, give the reply.

The dispatch and the FastAPI routes both come through `inference`, so they answer alike. What a body means is left to
the protocol (`v1`, `v2`); whether and when the model runs, to `Dataplane`.
"""

from __future__ import annotations

import asyncio
import zlib
from asyncio import isfuture
from collections.abc import Callable, Coroutine, Generator
from typing import TYPE_CHECKING, Any, Generic, Protocol, TypeVar

from fivefold.core.errors import AccessError, ContractError, FivefoldError, Interrupted, ProtocolError
from fivefold.guard.callers import several
from fivefold.serving.admission import FREE, Room
from fivefold.serving.dataplane import Dataplane, defect
from fivefold.serving.http.answer_compression import asked, fitted
from fivefold.serving.http.asgi import Headers, Receive, Scope
from fivefold.serving.http.http_errors import HttpReply, identity, problem
from fivefold.serving.messages import Call, Codec

if TYPE_CHECKING:
    from fivefold.guard import Guard, Principal
    from fivefold.guard.keys import Scope as Right
    from fivefold.serving.limits import ServingLimits

T = TypeVar("T")

_EXPANSION = 1032
"""How much larger than its compressed form deflate's output can be (RFC 1951: a match of 258 bytes from two bits)."""


class HttpCodec(Codec["Body", HttpReply], Protocol):
    """A protocol's own half: the media types it reads and writes, and the meaning of its bodies."""

    consumes: tuple[str, ...]
    produces: tuple[str, ...]


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


def begin(dataplane: Dataplane, headers: Headers) -> Call:
    """The call that a request's headers describe."""
    request_id, traceparent, timeout = map(headers.get, (b"x-request-id", b"traceparent", b"x-request-timeout"))
    call = Call(
        "http",
        dataplane.request_id(request_id.decode("latin-1") if request_id else None),
        traceparent=traceparent.decode("latin-1") if traceparent else None,
        timeout=timeout.decode("latin-1") if timeout is not None else None,
    )
    if dataplane.origins is not None and dataplane.origins.cors:
        call.marks = dataplane.origins.marks(headers)
    return call


async def infer(
    dataplane: Dataplane, codec: HttpCodec, name: str, version: str | None, scope: Scope, receive: Receive
) -> HttpReply:
    """Answer one inference request. Raises nothing but `asyncio.CancelledError`: every error is a reply."""
    headers = dict(scope["headers"])
    call = begin(dataplane, headers)
    caller: Principal | None = None
    body: Body | None = None
    try:
        try:
            check_headers(scope, dataplane.settings)
            if dataplane.origins is not None:
                dataplane.origins.check(scope, headers)
            if dataplane.guard is not None:
                # Before the body: nobody unknown makes us hold one.
                caller = admit(dataplane.guard, scope, headers, "infer")
            check_media_types(headers, codec.consumes, codec.produces)
            coding = asked(headers)
            inflate = _inflater(headers.get(b"content-encoding"), dataplane.settings.max_body_bytes)
            raw = await read_body(headers, receive, dataplane.settings, dataplane.room)
            body = Body(headers, raw, inflate, dataplane.room)
            call.size = len(raw) if inflate is None else len(raw) * _EXPANSION
            call.gone = lambda: _hung_up(receive)
        except FivefoldError as error:
            return problem(dataplane.refuse(call, error), call)
        reply = await dataplane.answer(name, version, call, codec, body)
        reply.headers += identity(call)
        return reply if coding is None else await fitted(reply, coding)
    except FivefoldError as error:
        return problem(error, call)
    except Exception as cause:
        return problem(dataplane.refuse(call, defect(cause)), call)
    finally:
        if body is not None and body.held:
            body.close()
        if caller is not None:
            caller.release()


def admit(guard: Guard, scope: Scope, headers: Headers, right: Right) -> Principal:
    """Who asks, to be released when the request has ended; raises what `Guard.admit` raises.

    A request with several credentials is refused, and who has failed often from its address has to wait.
    """
    authorization, api_key = headers.get(b"authorization"), headers.get(b"x-api-key")
    try:
        # The mapping has each name once: where it lost one, that may have been a credential.
        if len(headers) != len(scope["headers"]):
            shown = [name for name, _ in scope["headers"] if name in (b"authorization", b"x-api-key")]
            if len(shown) > 1:
                raise several()
        return guard.admit(authorization, api_key, right)
    except AccessError as error:
        if authorization is None and api_key is None:
            raise
        client = scope.get("client")
        forwarded = [value for name, value in scope["headers"] if name == b"x-forwarded-for"]
        raise guard.refused(error, client[0] if client else "", forwarded) from None


def check_headers(scope: Scope, settings: ServingLimits) -> None:
    """Raise `headers_too_large` for more header bytes than one request may have."""
    size = 0
    for name, value in scope["headers"]:
        size += len(name) + len(value)
    if size > settings.max_header_bytes:
        raise ProtocolError(
            "headers_too_large", f"expected at most {settings.max_header_bytes} bytes of headers, got {size}"
        )


def check_media_types(headers: Headers, consumes: tuple[str, ...], produces: tuple[str, ...]) -> None:
    """Raise `unsupported_media_type` or `not_acceptable` for a request that this route cannot read or answer."""
    sent = headers.get(b"content-type")
    if sent is not None and sent != b"application/json":
        text = sent.decode("latin-1")
        if text not in consumes and not _readable(text, consumes):
            raise ProtocolError(
                "unsupported_media_type",
                f"expected content-type {' or '.join(consumes)}, got {text[:128]!r}",
                help=f"send the header content-type: {consumes[0]}",
            )
    check_accept(headers, produces)


def check_accept(headers: Headers, produces: tuple[str, ...]) -> None:
    """Raise `not_acceptable` for a client that takes none of the media types that this route writes."""
    wanted = headers.get(b"accept")
    if wanted is None or wanted == b"*/*" or wanted == b"application/json":
        return
    text = wanted.decode("latin-1")
    if not any(_accepts(text, media_type) for media_type in produces):
        raise ProtocolError("not_acceptable", f"this route answers {' or '.join(produces)}, not {text[:128]!r}")


def _readable(sent: str, consumes: tuple[str, ...]) -> bool:
    media_type, _, parameters = sent.partition(";")
    media_type = media_type.strip().lower()
    for parameter in parameters.split(";"):
        key, _, value = parameter.strip().partition("=")
        if key.lower() == "charset" and value.strip("\"'").lower() not in ("utf-8", "utf8", "us-ascii"):
            return False
    return media_type in consumes or ("application/json" in consumes and _is_json(media_type))


def _is_json(media_type: str) -> bool:
    return media_type.startswith("application/") and media_type.endswith("+json")


def _accepts(text: str, media_type: str) -> bool:
    """Whether an Accept header takes the media type; the most specific of its ranges decides (RFC 9110, 12.5.1)."""
    family = media_type.partition("/")[0] + "/*"
    best, taken = -1, False
    for part in text.split(","):
        wanted, _, parameters = part.partition(";")
        rank = {"*/*": 0, family: 1, media_type: 2}.get(wanted.strip().lower(), -1)
        if rank > best:
            weight = next((p.partition("=")[2] for p in parameters.split(";") if p.strip()[:2].lower() == "q="), "1")
            best, taken = rank, weight.strip(" 0.") != ""
    return taken


async def read_body(headers: Headers, receive: Receive, settings: ServingLimits, room: Room | None = None) -> bytes:
    """The body as it came, at most `max_body_bytes`; raises `too_large`, `request_timeout`, `cancelled`, `overloaded`.

    What it holds beyond `FREE` bytes is taken from `room`, as it arrives, and left to the caller to give back.
    """
    limit = settings.max_body_bytes
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
        raise Interrupted("request_timeout", f"the body did not arrive within {settings.body_timeout:g} s") from None


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
    whole: bytes | bytearray = message.get("body", b"")
    size = len(whole)
    if size <= limit and size <= FREE and message["type"] == "http.request" and not message.get("more_body", False):
        return bytes(whole)
    size = held = 0
    try:
        while True:
            if message["type"] == "http.disconnect":
                raise Interrupted("cancelled", "the caller hung up before its body was complete")
            size = len(whole)
            if size > limit:
                raise too_large(limit)
            if size > FREE and room is not None:
                room.take(size - FREE - held)
                held = size - FREE
            if not message.get("more_body", False):
                break
            message = await receive()
            part = message.get("body", b"")
            if part:
                if isinstance(whole, bytes):
                    whole = bytearray(whole)
                whole += part
    except BaseException:
        if held and room is not None:
            room.give(held)
        raise
    return whole if isinstance(whole, bytes) else bytes(whole)


def too_large(limit: int) -> ContractError:
    """The error of a body beyond the limit."""
    return ContractError("too_large", f"expected a body of at most {limit} bytes, got more")


async def _hung_up(receive: Receive) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass


def _inflater(encoding: bytes | None, limit: int) -> Callable[[bytes], bytes] | None:
    if encoding is None:
        return None
    name = encoding.strip().lower()
    if name in (b"", b"identity"):
        return None
    if name in (b"gzip", b"x-gzip"):
        return lambda raw: _inflate(raw, 31, limit)
    if name == b"deflate":
        # RFC 9110 means zlib's framing; some clients send the bare stream. The first two bytes tell them apart.
        return lambda raw: _inflate(raw, 15 if _zlib_framed(raw) else -15, limit)
    raise ProtocolError(
        "unsupported_media_type",
        f"expected content-encoding gzip or deflate, got {encoding.decode('latin-1')[:64]!r}",
    )


def _zlib_framed(raw: bytes) -> bool:
    return len(raw) >= 2 and raw[0] & 0x0F == 8 and (raw[0] << 8 | raw[1]) % 31 == 0


_MEMBERS = 4096
"""Members that a gzip body may have. Each costs a decompressor of its own, and an empty one is twenty bytes long."""

_STEP = 512


def _inflate(raw: bytes, window: int, limit: int) -> bytes:
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
