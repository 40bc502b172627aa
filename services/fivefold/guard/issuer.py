"""An OIDC issuer's published keys, over the network: discovery, then the key set (RFC 8414, RFC 7517).

Everything here waits; when it is asked is left to `tokens`.
"""

from __future__ import annotations

import http.client
import json
import time
import urllib.error
import urllib.request
from typing import Any, Final

import jwt

from fivefold.core import redact
from fivefold.core.redirects import NoRedirects
from fivefold.core.settings import SettingsError
from fivefold.guard.settings import check_url

TIMEOUT_SECONDS: Final = 5.0
"""For each step of an answer."""

WHOLE_SECONDS: Final = 15.0
"""For a whole answer, whose bytes may come one by one."""

MAX_KEYS: Final = 256
"""Keys of a set that are read."""

CHUNK: Final = 64 * 1024

MAX_BYTES: Final = 1024 * 1024
"""A longer answer is not a key set."""

_USED: Final = ("RSA", "EC", "OKP")


class IssuerFailed(Exception):
    """The issuer's keys cannot be had; the message says why, with the URL."""


class Issuer:
    """Where an issuer's keys are. `name` is its URL as tokens spell it."""

    def __init__(self, name: str, jwks: str = "") -> None:
        """`jwks` is the URL of the key set; empty: the one in the discovery document."""
        self.name = name
        self._jwks = jwks
        # Nobody may send us elsewhere, least of all to plain http.
        self._open = urllib.request.build_opener(NoRedirects).open

    def keys(self) -> dict[str | None, jwt.PyJWK]:
        """Key id -> key, of those that verify signatures and that we know how to use. Raises `IssuerFailed`."""
        url = self._jwks or self._discovered()
        found = self._get(url).get("keys")
        url = redact.address(url)
        if not isinstance(found, list):
            raise IssuerFailed(f"{url}: expected a JSON object with keys")
        out: dict[str | None, jwt.PyJWK] = {}
        for item in found[:MAX_KEYS]:
            # Sets hold keys for encryption, and kinds newer than this code: those are not an error.
            if not isinstance(item, dict) or item.get("kty") not in _USED or item.get("use", "sig") != "sig":
                continue
            try:
                key = jwt.PyJWK.from_dict(item)
            except (jwt.PyJWTError, ValueError, TypeError, AttributeError, KeyError, ArithmeticError):
                # A number where a text should be, and their like.
                continue
            if key.key_id is None or isinstance(key.key_id, str):
                out[key.key_id] = key
        if not out:
            raise IssuerFailed(f"{url}: expected a public key for signatures, got none")
        return out

    def _discovered(self) -> str:
        url = self.name.rstrip("/") + "/.well-known/openid-configuration"
        about = self._get(url)
        if about.get("issuer") != self.name:
            raise IssuerFailed(f"{url}: expected the issuer {self.name!r}, got {str(about.get('issuer'))[:256]!r}")
        jwks = about.get("jwks_uri")
        try:
            check_url(jwks if isinstance(jwks, str) else "", f"{url}: jwks_uri")
        except SettingsError as error:
            raise IssuerFailed(str(error)) from None
        return str(jwks)

    def _get(self, url: str) -> dict[str, Any]:
        request = urllib.request.Request(url, headers={"accept": "application/json"})  # noqa: S310  # checked: https
        url = redact.address(url)
        try:
            with self._open(request, timeout=TIMEOUT_SECONDS) as answer:
                body = _read(answer, url)
        except urllib.error.HTTPError as error:
            error.close()
            raise IssuerFailed(f"{url}: expected the status 200, got {error.code}") from None
        except (OSError, http.client.HTTPException) as error:
            raise IssuerFailed(f"{url}: {redact.text(str(getattr(error, 'reason', None) or error))}") from None
        try:
            found = json.loads(body)
        except (ValueError, RecursionError):
            raise IssuerFailed(f"{url}: expected JSON") from None
        if not isinstance(found, dict):
            raise IssuerFailed(f"{url}: expected a JSON object")
        return found


def _read(answer: http.client.HTTPResponse, url: str) -> bytes:
    """The whole body; raises `IssuerFailed` where it is too large or takes too long, and `OSError`."""
    parts: list[bytes] = []
    size, latest = 0, time.monotonic() + WHOLE_SECONDS
    while part := answer.read1(CHUNK):
        parts.append(part)
        size += len(part)
        if size > MAX_BYTES:
            raise IssuerFailed(f"{url}: expected at most {MAX_BYTES} bytes")
        if time.monotonic() > latest:
            raise IssuerFailed(f"{url}: expected the whole answer within {WHOLE_SECONDS:g} seconds")
    return b"".join(parts)
