"""A unary gRPC call as HTTP/1.1: what its headers and its body mean, and its answer as bytes.

    POST /package.Service/Method   content-type: application/grpc, te: trailers, grpc-timeout, grpc-encoding, metadata
    body                           one message: a flag (1: compressed), its length in four bytes, big-endian, its bytes

    200, chunked                   the answer's message, framed alike, and the trailers: grpc-status, metadata
    200, no body                   an error: grpc-status, grpc-message and metadata are headers

It is what a proxy makes of gRPC over HTTP/2, and makes HTTP/2 of again ("gRPC over HTTP2", in gRPC's documentation).
How bytes come in and go out is left to `connection`, what a call means to the methods.
"""

from __future__ import annotations

import base64
import binascii
import re
from http import HTTPStatus
from typing import TYPE_CHECKING, Final
from urllib.parse import quote

from fivefold.core.errors import ContractError, ProtocolError
from fivefold.serving.contract_version import ASKED
from fivefold.serving.grpc import grpc_errors

if TYPE_CHECKING:
    from fivefold.serving.grpc.call import Reply

PREFIX: Final = 5
"""Bytes before a message: the flag and the length."""

_TIMEOUT: Final = re.compile(rb"([0-9]{1,19}) ?([HMSmun])")
_SECONDS: Final = {b"H": 3600.0, b"M": 60.0, b"S": 1.0, b"m": 1e-3, b"u": 1e-6, b"n": 1e-9}

METADATA: Final = {
    name.encode(): name
    for name in (
        "x-request-id", "x-request-timeout", "traceparent", ASKED, "authorization", "x-api-key", "x-forwarded-for",
    )
}  # fmt: skip
"""The metadata that something here goes by; the rest is read past."""

ENCODINGS: Final = {b"identity": 0, b"gzip": 31, b"deflate": 15}
"""`grpc-encoding` -> the window that zlib is to be told; 0: nothing is compressed."""

_ANSWERED: Final = (
    b"HTTP/1.1 200 OK\r\ncontent-type: application/grpc\r\ngrpc-accept-encoding: identity, deflate, gzip\r\n"
    b"transfer-encoding: chunked\r\n"
)
_VALUE: Final = re.compile(rb"[ -~]*")
_PRINTABLE: Final = "".join(map(chr, range(0x20, 0x7F))).replace("%", "")


def seconds(value: bytes) -> float:
    """The seconds of a `grpc-timeout`; raises `ContractError(malformed)`."""
    found = _TIMEOUT.fullmatch(value.strip())
    if found is None:
        raise ContractError(
            "malformed", f"grpc-timeout: expected digits and one of H M S m u n, got {value[:64].decode('latin-1')!r}"
        )
    return int(found[1]) * _SECONDS[found[2]]


def window(encoding: bytes) -> int:
    """The window that zlib is to be told for messages compressed so, 0 for none; raises `ProtocolError`."""
    found = ENCODINGS.get(encoding)
    if found is None:
        raise ProtocolError(
            "unsupported_media_type",
            f"grpc-encoding: expected identity, deflate or gzip, got {encoding[:64].decode('latin-1')!r}",
        )
    return found


def check_binary(name: bytes, value: bytes) -> None:
    """Raise `ContractError(malformed)` for a `-bin` header that is not base64, padded or not."""
    bare = value.strip().rstrip(b"=")
    try:
        if len(bare) % 4 == 1 or len(value.strip()) - len(bare) > 2:
            raise binascii.Error
        base64.b64decode(bare + b"=" * (-len(bare) % 4), validate=True)
    except binascii.Error:
        raise ContractError("malformed", f"{name[:64].decode('latin-1')}: expected base64") from None


def unframe(body: bytes) -> tuple[bool, bytes]:
    """Whether the body's one message is compressed, and its bytes; raises `ContractError(malformed)`."""
    return _is_compressed(body, len(body)), body[PREFIX:]


def unframe_parts(parts: list[bytes | bytearray], size: int) -> tuple[bool, bytes]:
    """The same of a body of `size` bytes that came in parts, joined; the first one is changed."""
    first = parts[0] if parts else b""
    if len(first) < PREFIX:
        return unframe(b"".join(parts))
    compressed = _is_compressed(first, size)
    # A part is sooner cut than the whole.
    parts[0] = first[PREFIX:]
    return compressed, b"".join(parts)


def _is_compressed(begin: bytes | bytearray, length: int) -> bool:
    """Of a body of that length, which begins so."""
    if length < PREFIX:
        raise ContractError("malformed", f"expected a message behind its flag and length, got {length} bytes")
    size = int.from_bytes(begin[1:PREFIX])
    if length != PREFIX + size:
        raise ContractError("malformed", f"expected one message of {size} bytes, got {length - PREFIX}")
    if begin[0] > 1:
        raise ContractError("malformed", f"expected 0 or 1 as a message's flag, got {begin[0]}")
    return begin[0] == 1


def answer(reply: Reply, *, keep_alive: bool = True, status: int = 200) -> bytes:
    """The whole answer to a call; `status` is HTTP's, for an error of what has not been gRPC."""
    close = b"" if keep_alive else b"connection: close\r\n"
    if reply.error is None:
        size = len(reply.message)
        return b"".join(
            (
                _ANSWERED,
                close,
                b"\r\n%x\r\n\0" % (PREFIX + size),
                size.to_bytes(4),
                reply.message,
                b"\r\n0\r\ngrpc-status: 0\r\n",
                _fields(grpc_errors.identity(reply.call)),
                b"\r\n",
            )
        )
    code: int = grpc_errors.GRPC_STATUS[reply.error.code].value[0]
    message = quote(grpc_errors.sentence(reply.error), safe=_PRINTABLE)
    return b"".join(
        (
            b"HTTP/1.1 %d %b\r\ncontent-type: application/grpc\r\n" % (status, HTTPStatus(status).phrase.encode()),
            b"grpc-accept-encoding: identity, deflate, gzip\r\ncontent-length: 0\r\n",
            close,
            b"grpc-status: %d\r\ngrpc-message: %b\r\n" % (code, message.encode()),
            _fields(grpc_errors.trailers(reply.error, reply.call)),
            b"\r\n",
        )
    )


def _fields(metadata: grpc_errors.Metadata) -> bytes:
    lines = []
    for key, value in metadata:
        text = value.encode("latin-1", "replace") if isinstance(value, str) else base64.b64encode(value).rstrip(b"=")
        # Nothing that a caller has said, or a bundle, may end a line here.
        if _VALUE.fullmatch(text):
            lines.append(b"%b: %b\r\n" % (key.encode(), text))
    return b"".join(lines)
