"""What the head of a request must be before anything acts on it (RFC 9112): one host, one length, a target of ours.

The parser refuses most of what two readers could take for two things: both lengths at once, several lengths, odd
spellings of one, folded lines, bare CR and LF, control characters. Here is what it leaves to its caller. Everything
raises `malformed`, whose answer closes the connection, because where the next request begins is in doubt.
"""

from __future__ import annotations

import re
from functools import lru_cache
from typing import Final, NoReturn
from urllib.parse import unquote

import httptools

from fivefold.core.errors import ContractError, FivefoldError, ProtocolError
from fivefold.serving.dataplane import defect

VERSIONS: Final = ("1.1", "1.0")

NOT_TRAILERS: Final = frozenset(
    b"authorization connection content-encoding content-length content-type cookie expect host te trailer "
    b"transfer-encoding upgrade x-api-key x-forwarded-for x-forwarded-host x-forwarded-proto".split()
)
"""Fields that say how a message is read, whose it is or where it goes: behind a body they come too late
(RFC 9110, section 6.5.1)."""

# Without a comma, which would be two headers that somebody has joined.
_HOST: Final = re.compile(rb"(?:[A-Za-z0-9._~!$&'()*+;=%-]*|\[[0-9A-Fa-fvV:.]+\])(?::[0-9]{0,5})?")

_KEPT: Final = 256
"""Targets and hosts that are remembered, because a client's next request most often has the same."""

_KEPT_BYTES: Final = 256


def malformed(message: str, help: str | None = None) -> NoReturn:
    """Raise `malformed`."""
    raise ContractError("malformed", message, help=help)


def refusal(error: httptools.HttpParserError) -> FivefoldError:
    """What the parser found, or what its caller raised while it read."""
    cause = error.__context__
    if isinstance(cause, FivefoldError):
        return cause
    if cause is not None and isinstance(error, httptools.HttpParserCallbackError):
        return defect(cause)
    return ContractError("malformed", f"this is not an HTTP request: {error}")


@lru_cache(maxsize=_KEPT)
def _is_host(value: bytes) -> bool:
    return _HOST.fullmatch(value) is not None


def check_host(value: bytes) -> None:
    """Raise `malformed` for a Host header that is no name or address with at most a port."""
    if len(value) > _KEPT_BYTES or not _is_host(value.rstrip(b" \t")):
        malformed(f"host: expected a name or an address and at most a port, got {_shown(value)}")


def check_lengths(version: str, codings: list[bytes]) -> None:
    """Raise `malformed` for a body whose end is not told by `Transfer-Encoding: chunked` alone."""
    if version == "1.0":
        malformed("transfer-encoding: HTTP/1.0 has none", "send the request as HTTP/1.1, or with a content-length")
    if len(codings) != 1 or codings[0].strip().lower() != b"chunked":
        got = _shown(b", ".join(codings))
        malformed(f"transfer-encoding: expected chunked, got {got}", "compress by content-encoding: gzip")


def check_hosts(version: str, hosts: int) -> None:
    """Raise `malformed` where it is not clear which host is meant."""
    if hosts > 1:
        malformed(f"host: expected one, got {hosts}")
    if not hosts and version != "1.0":
        malformed("host: expected one, got none")


def target(method: bytes, url: bytes, host: bytes | None) -> tuple[str, bytes, bytes]:
    """The path (unescaped), the path as it came and the query of a request's target, in any of its forms.

    `host` is the Host header. Raises `malformed` for what is no target, and `method_not_allowed` for a tunnel.
    """
    if url.startswith(b"/"):
        return origin(url) if len(url) > _KEPT_BYTES else _kept(url)
    if method == b"CONNECT":
        raise ProtocolError(
            "method_not_allowed",
            "CONNECT: this server is no proxy, got a request for a tunnel",
            help="send GET or POST",
        )
    if url == b"*":
        if method != b"OPTIONS":
            malformed(f"{method.decode('latin-1')} *: the target * is for OPTIONS")
        return "*", url, b""
    return _absolute(url, host)


def origin(url: bytes) -> tuple[str, bytes, bytes]:
    """`target` for a path with or without a query."""
    if b"#" in url:
        malformed(f"expected a target without a fragment, got {_shown(url)}")
    raw, _, query = url.partition(b"?")
    path = raw.decode("ascii")
    return unquote(path) if "%" in path else path, raw, query


_kept = lru_cache(maxsize=_KEPT)(origin)


def _absolute(url: bytes, host: bytes | None) -> tuple[str, bytes, bytes]:
    try:
        parsed = httptools.parse_url(url)
    except httptools.HttpParserInvalidURLError:
        malformed(f"expected a path or a URL as target, got {_shown(url)}")
    if parsed.schema is None or parsed.schema.lower() not in (b"http", b"https") or not parsed.host:
        malformed(f"expected a path or an http URL as target, got {_shown(url)}")
    authority = url.partition(b"://")[2]
    authority = re.split(rb"[/?#]", authority, maxsplit=1)[0]
    # Whoever looks at the host must see the one that was meant.
    if host is None or authority.lower() != host.strip(b" \t").lower():
        malformed(f"expected the target's host in the host header too, got {_shown(host or b'none')}")
    path, raw, query = origin(b"/" + url.partition(b"://")[2][len(authority) :].removeprefix(b"/"))
    return path, raw, query


def _shown(value: bytes) -> str:
    return repr(value[:64].decode("latin-1"))
