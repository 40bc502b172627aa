"""Publishing to a hub at another machine, as its operator; signing stays where the publisher's key is."""

from __future__ import annotations

import base64
from types import TracebackType
from typing import Any, Final
from urllib.parse import quote, urlsplit

import httpx
import msgspec

from fivefold.core import redact
from fivefold.core.errors import AccessError, ProtocolError, Unavailable
from fivefold.core.settings import SettingsError, is_loopback
from fivefold.edge.sync.hub_client import trust
from fivefold.edge.updates.descriptor import CHUNK_BYTES, SignedRelease

SECONDS: Final = 30.0


class HubPublisher:
    """The requests of one publisher. `with HubPublisher(url, key) as hub` closes it."""

    def __init__(self, url: str, key: str, *, ca: str | None = None) -> None:
        """`key` is an operator's (scope `admin`); empty for a hub of this machine that asks for none. `ca` is a file of
        certificates. Raises `SettingsError` for an address that would show the key to everybody on the way."""
        try:
            parts = urlsplit(url)
            _ = parts.port
        except ValueError:
            raise SettingsError(f"hub: expected an http or https URL, got {redact.address(url)}") from None
        if parts.scheme not in ("https", "http") or not parts.hostname or parts.query or parts.fragment:
            raise SettingsError(f"hub: expected an http or https URL, got {redact.address(url)}")
        if parts.scheme == "http" and not is_loopback(parts.hostname):
            raise SettingsError(f"hub: {redact.address(url)} is not https: everybody on the way would see the key")
        self._shown = redact.address(url)
        headers = {"user-agent": "fivefold"} | ({"authorization": f"Bearer {key}"} if key else {})
        self._client = httpx.Client(
            base_url=f"{url.rstrip('/')}/v1/hub/",
            headers=headers,
            timeout=SECONDS,
            follow_redirects=False,
            verify=trust(ca) if parts.scheme == "https" else False,
            trust_env=not is_loopback(parts.hostname),
        )

    def __enter__(self) -> HubPublisher:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._client.close()

    def next_number(self, model: str) -> int:
        """The number of a model's next release. Raises as `publish`."""
        found = self._ask("GET", f"models/{quote(model, safe='')}/next")
        try:
            return int(msgspec.json.decode(found, type=dict[str, int])["release"])
        except (msgspec.MsgspecError, KeyError):
            raise ProtocolError("not_acceptable", f"what answers at {self._shown} is no hub") from None

    def publish(self, signed: SignedRelease, archive: bytes, channel: str, share: int) -> None:
        """Send an archive, and put its release on the shelf. Raises `AccessError`, `ProtocolError` and `Unavailable`;
        the same may be published again after that."""
        sha256 = signed.descriptor.archive.sha256
        for at in range(0, len(archive), CHUNK_BYTES):
            self._ask("PUT", f"archives/{sha256}/chunks/{at // CHUNK_BYTES}", archive[at : at + CHUNK_BYTES])
        self._ask("POST", "releases", _publication(signed, channel, share))

    def _ask(self, method: str, path: str, body: bytes | None = None) -> bytes:
        try:
            answer = self._client.request(method, path, content=body)
        except httpx.HTTPError as err:
            raise Unavailable("not_ready", f"the hub at {self._shown} cannot be reached: {err}") from None
        if answer.is_success:
            return answer.content
        try:
            said = msgspec.json.decode(answer.content, type=dict[str, Any])
        except (msgspec.MsgspecError, UnicodeError, RecursionError):
            said = {}
        reason = f"the hub at {self._shown} answers {answer.status_code}: {str(said.get('error', ''))[:300]}"
        help = str(said.get("help") or "")[:300] or None
        if answer.status_code in (401, 403):
            code = "unauthenticated" if answer.status_code == 401 else "forbidden"
            raise AccessError(
                code, reason, help="--admin-key-file: a key of scope admin, which the hub was served with"
            )
        if answer.status_code in (429, 503):
            raise Unavailable("not_ready", reason, retry_after=1.0)
        raise ProtocolError("not_acceptable", reason, help=help)


def _publication(signed: SignedRelease, channel: str, share: int) -> bytes:
    """The body of a `POST /v1/hub/releases`."""
    return msgspec.json.encode(
        {
            "descriptor": base64.b64encode(signed.raw).decode(),
            "signature": base64.b64encode(signed.signature).decode(),
            "channel": channel,
            "share": share,
        }
    )
