"""Performing sends: httpx and grpc channels, blocking and async. Each turns its own failures into `NoReply`."""

from __future__ import annotations

import asyncio
import os
import ssl
import time
from contextlib import nullcontext
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import grpc
import httpx

from fivefold.client.retry import NoReply, Send, ServerReply
from fivefold.client.total_timeout import TotalTimeout
from fivefold.core import redact
from fivefold.core.errors import ContractError, FivefoldError, InternalError, Unavailable
from fivefold.core.settings import is_loopback

SERVICE = "/inference.GRPCInferenceService/"
MAX_MESSAGE = 256 * 1024 * 1024
"""Bytes of one gRPC message; gRPC's own default of 4 MiB cuts off ordinary batches."""


def is_grpc(url: str) -> bool:
    """Whether a URL names a gRPC server; raises `ValueError` for a scheme that is neither."""
    scheme = urlsplit(url).scheme
    if scheme not in ("http", "https", "grpc", "grpcs"):
        raise ValueError(f"expected a URL of http, https, grpc or grpcs, got {redact.address(url)!r}")
    return scheme.startswith("grpc")


def is_private(url: str) -> bool:
    """Whether nobody on the way can read what is sent: the URL says TLS, or leads to this machine."""
    parts = urlsplit(url if "//" in url else f"//{url}")
    return parts.scheme in ("https", "grpcs") or is_loopback(parts.hostname or "")


def _trust(ca: Path | None) -> dict[str, Any]:
    """httpx's option for the certificate authorities of a PEM file, and no others."""
    return {} if ca is None else {"verify": ssl.create_default_context(cafile=os.fspath(ca))}


class HttpTransport:
    """HTTP, blocking."""

    def __init__(self, url: str, ca: Path | None = None, **options: Any) -> None:
        self._client = httpx.Client(base_url=url, **_trust(ca), **options)
        self._network = TotalTimeout.of(self._client)
        self._url = redact.address(url).rstrip("/")

    def send(self, message: Send) -> ServerReply:
        """Perform one send within its timeout; raises `NoReply`."""
        source = self._url + message.target
        deadline = time.monotonic() + message.timeout
        try:
            with nullcontext() if self._network is None else self._network.until(deadline):
                return _reply(self._client.request(*_request(message), **_parts(message)), source)
        except httpx.HTTPError as err:
            raise _no_reply(err, source) from err

    def close(self) -> None:
        self._client.close()


class AsyncHttpTransport:
    """HTTP, async."""

    def __init__(self, url: str, ca: Path | None = None, **options: Any) -> None:
        self._client = httpx.AsyncClient(base_url=url, **_trust(ca), **options)
        self._url = redact.address(url).rstrip("/")

    async def send(self, message: Send) -> ServerReply:
        """Perform one send within its timeout; raises `NoReply`."""
        source = self._url + message.target
        try:
            async with asyncio.timeout(message.timeout):
                return _reply(await self._client.request(*_request(message), **_parts(message)), source)
        except TimeoutError as err:
            raise NoReply(f"{source}: the time is up", late=True) from err
        except httpx.HTTPError as err:
            raise _no_reply(err, source) from err

    async def close(self) -> None:
        await self._client.aclose()


def _request(message: Send) -> tuple[str, str]:
    return message.method, message.target


def _parts(message: Send) -> dict[str, Any]:
    return {"content": message.body or None, "headers": message.headers, "timeout": message.timeout}


def _reply(response: httpx.Response, source: str) -> ServerReply:
    headers = {key.lower(): value for key, value in response.headers.items()}
    return ServerReply(response.status_code, headers, response.content, source)


def _no_reply(err: httpx.HTTPError, source: str) -> NoReply:
    reason = str(err) or type(err).__name__
    text = f"{source}: {reason[:_REASON]}"
    final: FivefoldError | None = None
    if isinstance(err, httpx.DecodingError):
        final = InternalError(
            "internal", f"{source} answered with a body that is not coded as it says: {reason[:_REASON]}"
        )
    elif isinstance(err, httpx.LocalProtocolError | httpx.UnsupportedProtocol):
        final = ContractError("malformed", f"cannot ask {text}")
    elif (way := _tls(reason, "http", "https")) is not None:
        final = Unavailable("not_ready", f"cannot reach {text}", help=way)
    help = _ASK if isinstance(err, httpx.RemoteProtocolError | httpx.ReadError) else None
    return NoReply(text, late=isinstance(err, httpx.TimeoutException), final=final, help=help)


def _tls(reason: str, plain: str, encrypted: str) -> str | None:
    """What to do where the two ends do not agree on TLS; None where that is not what has happened."""
    if any(word in reason for word in ("WRONG_VERSION_NUMBER", "RECORD_LAYER_FAILURE", "UNKNOWN_PROTOCOL")):
        return f"this port speaks no TLS: {plain}:// in place of {encrypted}://"
    if "CERTIFICATE_VERIFY_FAILED" in reason:
        return "the certificate is not trusted here: give the file of its authority as ca"
    return None


_ASK = "if it stays so: does this port speak the address's protocol, and with or without TLS as it says?"

_REASON = 300
"""Characters of a library's reason that are passed on."""


def _grpc_target(url: str) -> str:
    parts = urlsplit(url)
    # Without user and password, which gRPC would take for a part of the name, and show.
    return (parts.netloc or parts.path).rpartition("@")[2]


def _grpc_credentials(ca: Path | None) -> grpc.ChannelCredentials:
    return grpc.ssl_channel_credentials(None if ca is None else ca.read_bytes())


def _grpc_options() -> list[tuple[str, Any]]:
    return [("grpc.max_receive_message_length", MAX_MESSAGE), ("grpc.max_send_message_length", MAX_MESSAGE)]


class GrpcTransport:
    """gRPC, blocking."""

    def __init__(self, url: str, ca: Path | None = None) -> None:
        target, options = _grpc_target(url), _grpc_options()
        self._url = redact.address(url).rstrip("/")
        if urlsplit(url).scheme == "grpcs":
            self._channel = grpc.secure_channel(target, _grpc_credentials(ca), options=options)
        else:
            self._channel = grpc.insecure_channel(target, options=options)

    def send(self, message: Send) -> ServerReply:
        """Perform one send; an error status is a reply, an unreachable server is `NoReply`."""
        method: Any = self._channel.unary_unary(SERVICE + message.target)
        source = f"{self._url} ({message.target})"
        try:
            body, done = method.with_call(
                message.body, timeout=message.timeout, metadata=tuple(message.headers.items())
            )
        except grpc.RpcError as err:
            return _failed(err, source)
        return ServerReply(0, _metadata(done.trailing_metadata()), body, source)

    def close(self) -> None:
        self._channel.close()


class AsyncGrpcTransport:
    """gRPC, async."""

    def __init__(self, url: str, ca: Path | None = None) -> None:
        target, options = _grpc_target(url), _grpc_options()
        self._url = redact.address(url).rstrip("/")
        if urlsplit(url).scheme == "grpcs":
            self._channel = grpc.aio.secure_channel(target, _grpc_credentials(ca), options=options)
        else:
            self._channel = grpc.aio.insecure_channel(target, options=options)

    async def send(self, message: Send) -> ServerReply:
        """Perform one send; an error status is a reply, an unreachable server is `NoReply`."""
        method: Any = self._channel.unary_unary(SERVICE + message.target)
        ongoing = method(message.body, timeout=message.timeout, metadata=tuple(message.headers.items()))
        source = f"{self._url} ({message.target})"
        try:
            body = await ongoing
        except grpc.aio.AioRpcError as err:
            return _failed(err, source)
        return ServerReply(0, _metadata(await ongoing.trailing_metadata()), body, source)

    async def close(self) -> None:
        await self._channel.close()


def _metadata(pairs: Any) -> dict[str, Any]:
    return {str(key): value for key, value in pairs or ()}


def _failed(err: Any, source: str) -> ServerReply:
    """A failed call as a reply, or `NoReply` where no server of ours has spoken."""
    code, trailers = err.code(), _metadata(err.trailing_metadata())
    if "fivefold-code" not in trailers:
        if code is grpc.StatusCode.UNAVAILABLE:
            raise _unavailable(err.details() or "unavailable", source) from err
        if code is grpc.StatusCode.DEADLINE_EXCEEDED:
            raise NoReply(f"{source}: the time is up", late=True) from err
    return ServerReply(int(code.value[0]), trailers, err.details() or "", source)


def _unavailable(reason: str, source: str) -> NoReply:
    text = f"{source}: {reason[:_REASON]}"
    help = _tls(reason, "grpc", "grpcs")
    if any(words in reason for words in ("http1.x server", "Expected SETTINGS frame", "ALPN")):
        help = "this port speaks no gRPC, but HTTP/1 (http://, https://), or TLS (grpcs://)"
    final = Unavailable("not_ready", f"cannot reach {text}", help=help) if help else None
    return NoReply(text, final=final, help=_ASK if "Socket closed" in reason else None)
