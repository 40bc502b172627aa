"""Errors on gRPC: which status each code has, and what travels beside it.

The sentence is the status message. The rest is in `grpc-status-details-bin`, as google.rpc messages: `ErrorInfo`
(domain `fivefold`, the code as reason, and `code`, `path`, `help` as metadata), `BadRequest` with the violations,
`RequestInfo`, and `RetryInfo` where waiting helps. The code stands once more in the ASCII trailer `fivefold-code`. What
went wrong, and in which words, is decided where it went wrong; logging and counting it is left to `Dataplane`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final, NoReturn
from urllib.parse import quote

import grpc
from google.rpc import error_details_pb2, status_pb2

from fivefold.core.errors import VIOLATION_CODES, FivefoldError

if TYPE_CHECKING:
    from fivefold.serving.messages import Call

GRPC_STATUS: Final[dict[str, grpc.StatusCode]] = {
    "malformed": grpc.StatusCode.INVALID_ARGUMENT,
    **dict.fromkeys(VIOLATION_CODES, grpc.StatusCode.INVALID_ARGUMENT),
    "contract_invalid": grpc.StatusCode.FAILED_PRECONDITION,
    "bundle_invalid": grpc.StatusCode.FAILED_PRECONDITION,
    "unauthenticated": grpc.StatusCode.UNAUTHENTICATED,
    "forbidden": grpc.StatusCode.PERMISSION_DENIED,
    "not_found": grpc.StatusCode.UNIMPLEMENTED,
    "model_not_found": grpc.StatusCode.NOT_FOUND,
    "version_not_found": grpc.StatusCode.NOT_FOUND,
    "method_not_allowed": grpc.StatusCode.UNIMPLEMENTED,
    "not_acceptable": grpc.StatusCode.UNIMPLEMENTED,
    "unsupported_media_type": grpc.StatusCode.UNIMPLEMENTED,
    "not_implemented": grpc.StatusCode.UNIMPLEMENTED,
    "request_timeout": grpc.StatusCode.DEADLINE_EXCEEDED,
    "headers_too_large": grpc.StatusCode.RESOURCE_EXHAUSTED,
    "contract_unsupported": grpc.StatusCode.FAILED_PRECONDITION,
    "too_large": grpc.StatusCode.RESOURCE_EXHAUSTED,
    "rate_limited": grpc.StatusCode.RESOURCE_EXHAUSTED,
    "not_ready": grpc.StatusCode.UNAVAILABLE,
    "overloaded": grpc.StatusCode.UNAVAILABLE,
    "deadline_exceeded": grpc.StatusCode.DEADLINE_EXCEEDED,
    "cancelled": grpc.StatusCode.CANCELLED,
    "model_failed": grpc.StatusCode.INTERNAL,
    "run_conflict": grpc.StatusCode.FAILED_PRECONDITION,
    "too_many_bad_rows": grpc.StatusCode.FAILED_PRECONDITION,
    "input_broken": grpc.StatusCode.FAILED_PRECONDITION,
    "storage_failed": grpc.StatusCode.RESOURCE_EXHAUSTED,
    "worker_lost": grpc.StatusCode.INTERNAL,
    "internal": grpc.StatusCode.INTERNAL,
}
"""Every code of `fivefold.core.errors.CODES` -> the gRPC status that carries it."""

DOMAIN: Final = "fivefold"

MAX_MESSAGE: Final = 1024
"""Bytes of a status message as it travels, percent-encoded. gRPC refuses trailers of more than 8 KiB by default: a
client would then get RESOURCE_EXHAUSTED instead of the error."""

MAX_DETAILS: Final = 3584
"""Bytes of the details before base64, for the same reason; the last violations are left out where they do not fit."""

Metadata = tuple[tuple[str, str | bytes], ...]


def sentence(error: FivefoldError) -> str:
    """The error's sentence as a status message: valid UTF-8, and cut where it would be too long to travel."""
    data = str(error).encode("utf-8", "backslashreplace")
    text = data.decode()
    # A byte is at most three, percent-encoded.
    if 3 * len(data) <= MAX_MESSAGE or len(quote(text)) <= MAX_MESSAGE:
        return text
    # One character is at most twelve bytes, percent-encoded.
    while len(quote(text)) > MAX_MESSAGE - 3:
        text = text[: -max(1, (len(quote(text)) - MAX_MESSAGE + 3) // 12)]
    return text + "..."


def status(error: FivefoldError, request_id: str) -> status_pb2.Status:
    """The error as google.rpc.Status, small enough for the trailers."""
    message = sentence(error)
    out = status_pb2.Status(code=GRPC_STATUS[error.code].value[0], message=message)
    info = {"code": error.code}
    if error.path:
        info["path"] = _short(error.path)
    if error.help:
        info["help"] = _short(error.help)
    _add(out, error_details_pb2.ErrorInfo(reason=error.code.upper(), domain=DOMAIN, metadata=info))
    _add(out, error_details_pb2.RequestInfo(request_id=request_id))
    if error.retry_after is not None:
        retry = error_details_pb2.RetryInfo()
        retry.retry_delay.FromNanoseconds(round(error.retry_after * 1e9))
        _add(out, retry)
    bad = error_details_pb2.BadRequest(
        field_violations=[
            error_details_pb2.BadRequest.FieldViolation(
                field=_short(violation.path),
                description=_short(violation.message),
                reason=violation.code.upper(),
            )
            for violation in error.details
        ]
    )
    room = MAX_DETAILS - out.ByteSize() - 64  # the name of the type and two lengths
    while bad.field_violations and bad.ByteSize() > room:
        bad.field_violations.pop()
    if bad.field_violations:
        _add(out, bad)
    return out


def identity(call: Call) -> Metadata:
    """The trailers that every answer carries: the request's id, the trace it belongs to, and its contract version."""
    out: Metadata = (("x-request-id", call.request_id),)
    if call.traceparent:
        out += (("traceparent", call.traceparent),)
    if call.marks:
        out += tuple((name.decode(), value.decode()) for name, value in call.marks)
    return out


def trailers(error: FivefoldError, call: Call) -> Metadata:
    """The trailers of a call that failed."""
    details = status(error, call.request_id).SerializeToString()
    return (*identity(call), ("fivefold-code", error.code), ("grpc-status-details-bin", details))


async def abort(context: grpc.aio.ServicerContext[Any, Any], error: FivefoldError, call: Call) -> NoReturn:
    """End the call with the error; what it raises is gRPC's own and belongs to nobody else."""
    await context.abort(GRPC_STATUS[error.code], sentence(error), trailers(error, call))
    raise AssertionError("abort returned")


def _add(out: status_pb2.Status, detail: Any) -> None:
    out.details.add().Pack(detail)


def _utf8(text: str) -> str:
    """Text that protobuf takes: a lone surrogate, which a sentence may quote, as its escape."""
    return text.encode("utf-8", "backslashreplace").decode()


def _short(text: str) -> str:
    text = _utf8(text)
    return text if len(text) <= 256 else text[:253] + "..."
