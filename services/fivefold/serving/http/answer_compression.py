"""gzip on answers, for the clients that ask for it: what `Accept-Encoding` wants, and when it pays.

Compressed bodies of requests are `inference`'s. Answers that a strong validator (ETag) names stay as they are, byte for
byte; so do those below `LEAST` bytes, errors, and what would not become smaller.
"""

from __future__ import annotations

import asyncio
import zlib
from collections.abc import Callable, Iterable
from functools import lru_cache
from typing import TYPE_CHECKING, Final, Literal

from fivefold.core.errors import ProtocolError
from fivefold.serving.http.http_errors import HttpReply

if TYPE_CHECKING:
    from fivefold.serving.http.asgi import Headers

Coding = Literal["gzip", "must"]
"""What a client wants: gzip where it pays, or gzip in any case, since it refuses what is not compressed."""

LEAST: Final = 4096
"""Bytes from which gzip pays: three packets become one, for a time that is small beside that of making the answer."""

AT_ONCE: Final = 64 * 1024
"""Bytes up to which the event loop compresses by itself: about a millisecond, which a hop to a thread costs too."""

_LEVEL: Final = 1
"""Of zlib: two to four times as quick as the usual level on numbers in JSON, and a few per cent larger."""

_GZIP: Final = 16 + zlib.MAX_WBITS

_COMPRESSIBLE: Final = (
    b"application/json",
    b"application/octet-stream",
    b"application/openmetrics-text",
    b"application/wasm",
    b"text/",
)


def asked(headers: Headers) -> Coding | None:
    """What a request's headers want; raises `ProtocolError` `not_acceptable` where neither gzip nor plain is wanted."""
    given = headers.get(b"accept-encoding")
    return None if given is None else _coding(given)


@lru_cache(maxsize=64)
def _coding(given: bytes) -> Coding | None:
    """RFC 9110, section 12.5.3. A coding that is not named has the weight of `*`; plain may be sent unless refused."""
    weights = _weights(given)
    others = weights.get("*")
    gzip = weights.get("gzip", others or 0.0)
    plain = weights.get("identity", others)
    if plain == 0:
        if not gzip:
            text = given.decode("latin-1")
            raise ProtocolError("not_acceptable", f"answers are gzip or plain, not accept-encoding {text[:64]!r}")
        return "must"
    return "gzip" if gzip and (plain is None or "identity" not in weights or gzip >= plain) else None


def taken(headers: Headers, codings: Iterable[str]) -> str | None:
    """The first of some codings that a request's headers name and do not refuse; None: as it is."""
    weights = _weights(headers.get(b"accept-encoding", b""))
    return next((coding for coding in codings if weights.get(coding)), None)


def _weights(given: bytes) -> dict[str, float]:
    """Each coding of an `Accept-Encoding` and its weight."""
    weights: dict[str, float] = {}
    for part in given.decode("latin-1").lower().split(","):
        name, _, parameters = part.partition(";")
        name = name.strip()
        weights["gzip" if name == "x-gzip" else name] = _weight(parameters)
    return weights


def _weight(parameters: str) -> float:
    """The q-value among a coding's parameters; 1 without one, 0 for one that is none."""
    for parameter in parameters.split(";"):
        key, equals, value = parameter.partition("=")
        if key.strip() == "q" and equals:
            value = value.strip()
            if not value.replace(".", "", 1).isdecimal() or len(value) > 5:
                return 0.0
            return min(float(value), 1.0)
    return 1.0


def fitting(reply: HttpReply, coding: Coding | None, packed: Callable[[], bytes] | None = None) -> HttpReply:
    """The answer, compressed where that is wanted and pays. What counts its parts counts them uncompressed.

    `packed` gives the compressed body where that is known.
    """
    if coding == "must":
        if not reply.body or any(name == b"content-encoding" for name, _ in reply.headers):
            return reply
    elif not _pays(reply):
        return reply
    vary(reply)
    if coding is None:
        return reply
    body = compress(reply.body) if packed is None else packed()
    if coding == "must" or len(body) < len(reply.body):
        reply.body = body
        # A strong validator names bytes, and these are others.
        reply.headers = [(name, b"W/" + value if name == b"etag" else value) for name, value in reply.headers]
        reply.headers.append((b"content-encoding", b"gzip"))
    return reply


async def fitted(reply: HttpReply, coding: Coding) -> HttpReply:
    """`fitting`, in a thread where it would hold the event loop up."""
    if len(reply.body) <= AT_ONCE:
        return fitting(reply, coding)
    return await asyncio.to_thread(fitting, reply, coding)


def compress(body: bytes) -> bytes:
    """The body as one gzip member."""
    packer = zlib.compressobj(_LEVEL, zlib.DEFLATED, _GZIP)
    return packer.compress(body) + packer.flush()


def vary(reply: HttpReply, names: bytes = b"accept-encoding") -> None:
    """Tell caches which headers of a request the answer depends on."""
    for index, (name, value) in enumerate(reply.headers):
        if name == b"vary":
            reply.headers[index] = (name, value if names in value else value + b", " + names)
            return
    reply.headers.append((b"vary", names))


def _pays(reply: HttpReply) -> bool:
    if reply.status != 200 or len(reply.body) < LEAST:
        return False
    media_type = b""
    for name, value in reply.headers:
        if name == b"content-type":
            media_type = value
        elif name in (b"etag", b"content-encoding"):
            return False
    return media_type.startswith(_COMPRESSIBLE)
