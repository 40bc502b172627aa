"""One request to a hub, and its reply in the protocol's words, or why there is none.

A reply is read up to a limit and within a time, and is not believed before it has the protocol's shape: on the way
there may be a portal that answers 200 to everybody. What follows from a reply is the sender's.
"""

from __future__ import annotations

import ssl
import time
from http import HTTPStatus
from pathlib import Path
from typing import Any, Final, TypeVar
from urllib.parse import urlsplit

import httpx
import msgspec

from fivefold.core import redact
from fivefold.core.settings import SettingsError, is_loopback
from fivefold.edge.sync.lane_batches import LaneBatch
from fivefold.edge.sync.lane_protocol import (
    AFTER,
    DEVICE_ID,
    MEDIA_TYPE,
    OUTBOX_COPIED,
    OUTBOX_HEADER,
    SEQUENCE_GAP,
    BatchReply,
    Conflict,
    DeviceReport,
    Watermarks,
    events_path,
    report_path,
    to_json,
    watermark_path,
)

T = TypeVar("T")

STEP_SECONDS: Final = 30.0
"""For a connection, and for each read and write."""
REPLY_SECONDS: Final = 120.0
REPLY_BYTES: Final = 1024 * 1024

_CODES: Final[dict[int, str]] = {
    HTTPStatus.UNAUTHORIZED: "unauthenticated",
    HTTPStatus.FORBIDDEN: "forbidden",
    HTTPStatus.NOT_FOUND: "not_found",
    HTTPStatus.REQUEST_ENTITY_TOO_LARGE: "too_large",
    HTTPStatus.TOO_MANY_REQUESTS: "rate_limited",
}


class HubFailure(Exception):
    """A request that did not do what it was for: `code` of `core.errors.CODES`, `status` (0 without a reply), and the
    seconds that the hub asks to wait, or None."""

    def __init__(self, code: str, message: str, *, status: int = 0, retry_after: float | None = None) -> None:
        super().__init__(message)
        self.code, self.status, self.retry_after = code, status, retry_after


class HubClient:
    """The requests of one device, for one thread."""

    def __init__(
        self, hub_url: str, device: str, key: str, outbox: str, *, allow_http: bool = False, ca: str | None = None
    ) -> None:
        """Raises `SettingsError` for an address, a device id, a key or a file of certificates that cannot be used."""
        if not DEVICE_ID.match(device):
            raise SettingsError(f"device: expected a-z, 0-9, '.', '_', '-', at most 63 characters, got {device!r}")
        if not key or not key.isascii() or not key.isprintable() or " " in key:
            raise SettingsError("key: expected printable ASCII without spaces")
        try:
            parts = urlsplit(hub_url)
            host, _ = parts.hostname or "", parts.port
        except ValueError:
            host = ""
        shown = redact.address(hub_url)
        if not host or parts.scheme not in ("https", "http") or parts.username or parts.query or parts.fragment:
            raise SettingsError(f"hub: expected https://HOST, got {shown!r}")
        if parts.scheme == "http" and not is_loopback(host) and not allow_http:
            raise SettingsError(f"hub: plain http would send the device's key in the open to {shown!r}")
        self._device = device
        self.outbox = outbox
        """The id that the requests name."""
        self._client = httpx.Client(
            base_url=hub_url.rstrip("/"),
            headers={
                "authorization": f"Bearer {key}",
                "user-agent": "fivefold-edge",
                "accept": "application/json",
                "accept-encoding": "identity",
            },
            timeout=httpx.Timeout(STEP_SECONDS),
            verify=trust(ca) if parts.scheme == "https" else False,
            follow_redirects=False,
            # A proxy that is set for the machine is not asked for the machine itself.
            trust_env=not is_loopback(host),
        )

    def watermarks(self) -> Watermarks:
        """What the hub has of this outbox, lane by lane."""
        body = self._exchange("GET", watermark_path(self._device), params={"outbox": self.outbox})
        reply = _shaped(body, Watermarks)
        if reply.outbox != self.outbox:
            raise HubFailure("internal", "the hub answers for another outbox", status=200)
        if any(through < 0 for through in reply.lanes.values()):
            raise HubFailure("internal", "the hub has a watermark below zero", status=200)
        return reply

    def send(self, lane: str, batch: LaneBatch, after: str) -> BatchReply | Conflict:
        """Send a batch; `after` is the id of the line in front of it, empty where it is not known."""
        headers = {"content-type": MEDIA_TYPE, "content-encoding": "gzip", OUTBOX_HEADER: self.outbox}
        path = events_path(self._device, lane)
        try:
            body = self._exchange("POST", path, params={AFTER: after}, content=batch.body, headers=headers)
        except _ConflictReply as conflict:
            return _shaped(conflict.body, Conflict)
        return _shaped(body, BatchReply)

    def report(self, report: DeviceReport) -> None:
        """Say how the device stands."""
        headers = {"content-type": "application/json"}
        self._exchange("PUT", report_path(self._device), content=to_json(report), headers=headers)

    def close(self) -> None:
        self._client.close()

    def _exchange(self, method: str, path: str, **rest: Any) -> bytes:
        until = time.monotonic() + REPLY_SECONDS
        try:
            with self._client.stream(method, path, **rest) as response:
                body = bytearray()
                for some in response.iter_raw():
                    body += some
                    if len(body) > REPLY_BYTES or time.monotonic() > until:
                        raise HubFailure("internal", "the hub's reply has no end", status=response.status_code)
                return _body(response, bytes(body))
        except httpx.TimeoutException as err:
            raise HubFailure("deadline_exceeded", f"the hub does not answer: {_reason(err)}") from None
        # The second is for a header of the reply that cannot be read.
        except (httpx.HTTPError, httpx.InvalidURL, ValueError) as err:
            raise HubFailure("not_ready", f"the hub cannot be reached: {_reason(err)}") from None


class _ConflictReply(Exception):
    """A 409 that says where the hub is."""

    def __init__(self, body: bytes) -> None:
        super().__init__()
        self.body = body


def _body(response: httpx.Response, body: bytes) -> bytes:
    status = response.status_code
    if 200 <= status < 300:
        return body
    try:
        said = msgspec.json.decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        said = {}
    said = said if isinstance(said, dict) else {}
    if status == HTTPStatus.CONFLICT and said.get("code") in (SEQUENCE_GAP, OUTBOX_COPIED):
        raise _ConflictReply(body)
    code = _CODES.get(status, "not_ready" if status >= 500 else "internal")
    reason = said.get("error") or said.get("message")
    sentence = f"the hub answers {status}" + (f": {str(reason)[:300]}" if reason else "")
    raise HubFailure(code, sentence, status=status, retry_after=_seconds(response.headers.get("retry-after")))


def _shaped(body: bytes, shape: type[T]) -> T:
    try:
        return msgspec.json.decode(body, type=shape)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        raise HubFailure("internal", "what answers is no hub: its reply has not the protocol's shape") from None


def _seconds(text: str | None) -> float | None:
    """The seconds of a `Retry-After`; its other form, a date, is not looked at: the device's clock may be wrong."""
    return float(text) if text is not None and text.isascii() and text.isdigit() and len(text) < 10 else None


def _reason(err: Exception) -> str:
    return str(err).strip()[:200] or type(err).__name__


def trust(ca: str | None) -> ssl.SSLContext:
    """Who is believed to be a hub: by a file of certificates, or by the system's. Raises `SettingsError`."""
    context = ssl.create_default_context()
    if ca is not None:
        if not Path(ca).is_file():
            raise SettingsError(f"ca: no file {ca}")
        try:
            context = ssl.create_default_context(cafile=ca)
        except (ssl.SSLError, OSError) as err:
            raise SettingsError(f"ca: expected certificates in PEM in {ca}: {err}") from None
    return context
