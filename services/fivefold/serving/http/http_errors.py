"""Errors on HTTP: which status each code has, and the one body that all of them have.

What went wrong, and in which words, is decided where it went wrong; logging and counting it is left to `Dataplane`.
"""

from __future__ import annotations

import json
import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import msgspec

from fivefold.core.errors import VIOLATION_CODES, FivefoldError

if TYPE_CHECKING:
    from fivefold.serving.http.asgi import Send
    from fivefold.serving.messages import Call

HTTP_STATUS: Final[dict[str, int]] = {
    "malformed": 400,
    **dict.fromkeys(VIOLATION_CODES, 422),
    "contract_invalid": 422,
    "bundle_invalid": 422,
    "too_many_bad_rows": 422,
    "input_broken": 422,
    "unauthenticated": 401,
    "forbidden": 403,
    "not_found": 404,
    "model_not_found": 404,
    "version_not_found": 404,
    "method_not_allowed": 405,
    "not_acceptable": 406,
    "request_timeout": 408,
    "contract_unsupported": 409,
    "run_conflict": 409,
    "too_large": 413,
    "unsupported_media_type": 415,
    "rate_limited": 429,
    "headers_too_large": 431,
    # Not in any registry: nginx's status for a client that has hung up. It is counted and never arrives.
    "cancelled": 499,
    "model_failed": 500,
    "worker_lost": 500,
    "internal": 500,
    "not_implemented": 501,
    "not_ready": 503,
    "overloaded": 503,
    "deadline_exceeded": 504,
    "storage_failed": 507,
}
"""Every code of `fivefold.core.errors.CODES` -> the HTTP status that carries it."""

Header = tuple[bytes, bytes]

JSON: Final[Header] = (b"content-type", b"application/json")


@dataclass(slots=True)
class HttpReply:
    """A whole answer: status, headers (lower-case names, without content-length) and body."""

    status: int
    headers: list[Header]
    body: bytes


def problem(error: FivefoldError, call: Call) -> HttpReply:
    """The answer that tells a caller of an error."""
    status = HTTP_STATUS[error.code]
    reply = HttpReply(status, [JSON, *identity(call)], to_bytes(error.to_json(call.request_id)))
    if status in (429, 503):
        seconds = max(1, math.ceil(error.retry_after or 1))
        reply.headers.append((b"retry-after", str(seconds).encode()))
    if status == 401:
        reply.headers.append((b"www-authenticate", b"Bearer"))
    if status in (408, 413, 431):
        # The rest of the request was not read, so the connection cannot carry another one.
        reply.headers.append((b"connection", b"close"))
    return reply


async def deliver(reply: HttpReply, send: Send) -> None:
    """Send a reply as ASGI messages."""
    if reply.status != 204:
        reply.headers.append((b"content-length", b"%d" % len(reply.body)))
    await send({"type": "http.response.start", "status": reply.status, "headers": reply.headers})
    await send({"type": "http.response.body", "body": reply.body})


def identity(call: Call) -> list[Header]:
    """The headers that every answer carries: the request's id, the trace it belongs to, and what CORS asks for."""
    headers = [(b"x-request-id", call.request_id.encode())]
    if call.traceparent:
        headers.append((b"traceparent", call.traceparent.encode()))
    if call.marks:
        headers += call.marks
    return headers


def to_bytes(value: object) -> bytes:
    """JSON text; lone surrogates, which a sentence may quote from a request, as escapes."""
    try:
        return msgspec.json.encode(value)
    except UnicodeEncodeError:
        return json.dumps(value).encode()
