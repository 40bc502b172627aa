"""One inference over HTTP: check the headers, take in the body, ask `Dataplane`, give the reply.

The dispatch and the FastAPI routes both come through `inference`, so they answer alike. What a body means is left to
the protocol (`v1`, `v2`), reading it to `request_body`; whether and when the model runs, to `Dataplane`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, Protocol, TypeVar

from fivefold.core.errors import AccessError, FivefoldError, ProtocolError
from fivefold.guard.callers import several
from fivefold.serving.contract_version import ASKED
from fivefold.serving.dataplane import Dataplane, defect
from fivefold.serving.http.answer_compression import asked, fitted
from fivefold.serving.http.asgi import Headers, Receive, Scope
from fivefold.serving.http.http_errors import HttpReply, identity, problem
from fivefold.serving.http.request_body import EXPANSION, Body, inflater, read_body
from fivefold.serving.messages import Call, Codec, reading_size

if TYPE_CHECKING:
    from fivefold.guard import Guard, Principal
    from fivefold.guard.keys import Scope as Right
    from fivefold.serving.limits import ServingLimits

T = TypeVar("T")

_CONTRACT: Final = ASKED.encode()


class HttpCodec(Codec[Body, HttpReply], Protocol):
    """A protocol's own half: the media types it reads and writes, and the meaning of its bodies."""

    consumes: tuple[str, ...]
    produces: tuple[str, ...]

    def raw_bytes(self, headers: Headers, size: int, /) -> int:
        """How many bytes of a body of `size` are numbers as they lie in memory."""
        ...


def begin(dataplane: Dataplane, headers: Headers) -> Call:
    """The call that a request's headers describe."""
    request_id, traceparent, timeout = map(headers.get, (b"x-request-id", b"traceparent", b"x-request-timeout"))
    contract = headers.get(_CONTRACT)
    call = Call(
        "http",
        dataplane.request_id(request_id.decode("latin-1") if request_id else None),
        traceparent=traceparent.decode("latin-1") if traceparent else None,
        timeout=timeout.decode("latin-1") if timeout is not None else None,
        contract=contract.decode("latin-1") if contract is not None else None,
        headers=headers,
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
            inflate = inflater(headers.get(b"content-encoding"), dataplane.settings.max_body_bytes)
            raw = await read_body(headers, receive, dataplane.settings, dataplane.room)
            body = Body(headers, raw, inflate, dataplane.room)
            size = len(raw)
            call.size = reading_size(size, codec.raw_bytes(headers, size)) if inflate is None else size * EXPANSION
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


async def _hung_up(receive: Receive) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass
