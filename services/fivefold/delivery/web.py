"""One object's bytes over `http` and `https`, redirects included.

The library that fetches from object stores names the address that redirected it in `Referer`, query and all, to whoever
it is redirected to: for a presigned URL that is a credential. Nothing here sends that header. A redirect is followed to
`https`, or to plain `http` where the reference or the settings allow that. Bytes and retries are `download`'s.
"""

from __future__ import annotations

import http.client
import socket
import ssl
import urllib.error
import urllib.request
from collections.abc import Iterator
from http import HTTPStatus
from typing import Any, Final
from urllib.parse import quote, urljoin, urlsplit

from fivefold.core import redact
from fivefold.core.redirects import NoRedirects
from fivefold.core.settings import is_loopback

MAX_REDIRECTS: Final = 10

RETRIED: Final = (HTTPStatus.REQUEST_TIMEOUT, HTTPStatus.TOO_MANY_REQUESTS)
"""Statuses below 500 that another try may change."""

_REDIRECTS: Final = (301, 302, 303, 307, 308)

_HEADERS: Final = {"user-agent": "fivefold", "accept": "*/*", "accept-encoding": "identity"}


class Refused(Exception):
    """The server answered with a status that is none of success: `status`, and its phrase as the message."""

    def __init__(self, status: int) -> None:
        phrase = next((known.phrase for known in HTTPStatus if known == status), "")
        super().__init__(f"{status} {phrase}".strip())
        self.status = status


class Away(Exception):
    """The server cannot be reached, or broke off; the message says why, without an address."""


class Denied(Exception):
    """A redirect that is not followed; the message says which, without what may be secret."""


class Object:
    """One object that is being read; `with` closes it."""

    def __init__(self, url: str, *, seconds: float, allow_http: bool) -> None:
        """Ask for it. `seconds` bounds each step; `allow_http` allows plain http to other machines.

        Raises `Refused`, `Away` and `Denied`.
        """
        # Each redirect is looked at before it is followed.
        opener = urllib.request.build_opener(NoRedirects)
        for _ in range(MAX_REDIRECTS + 1):
            # As it stands: escapes and order may be part of what was signed.
            request = urllib.request.Request(_written(url), headers=_HEADERS)  # noqa: S310  # the scheme has been looked at
            try:
                self._answer: http.client.HTTPResponse = opener.open(request, timeout=seconds)
            except urllib.error.HTTPError as error:
                with error:
                    if error.code not in _REDIRECTS:
                        raise Refused(error.code) from None
                    url = _followed(url, error.headers.get("location"), allow_http)
                    continue
            except (OSError, http.client.HTTPException, ValueError) as error:
                raise _away(error) from None
            if self._answer.status != HTTPStatus.OK:
                self._answer.close()
                raise Refused(self._answer.status)
            return
        raise Denied(f"expected at most {MAX_REDIRECTS} redirects")

    @property
    def size(self) -> int | None:
        """Its bytes, where the server says how many."""
        return self._answer.length

    def chunks(self, size: int) -> Iterator[bytes]:
        """The bytes, as they come; raises `Away` where they end too early."""
        try:
            while True:
                chunk = self._answer.read1(size)
                if not chunk:
                    break
                yield chunk
        except (OSError, http.client.HTTPException, ValueError) as error:
            raise _away(error) from None
        if self._answer.length:
            raise Away("the body ended before its end")

    def __enter__(self) -> Object:
        return self

    def __exit__(self, *_: object) -> None:
        self._answer.close()


def _written(url: str) -> str:
    """The URL with what no request line may hold behind its host escaped, and everything else as it is."""
    scheme, slashes, rest = url.partition("://")
    host, slash, path = rest.partition("/")
    return scheme + slashes + host + slash + "".join(char if "!" <= char <= "~" else quote(char) for char in path)


def _followed(url: str, location: str | None, allow_http: bool) -> str:
    if not location:
        raise Denied("a redirect leads nowhere")
    try:
        found = urljoin(url, location).partition("#")[0]
        parts = urlsplit(found)
        host = parts.hostname or ""
        _ = parts.port
    except ValueError:
        raise Denied("a redirect leads to what is no URL") from None
    if parts.scheme not in ("https", "http") or not host or "@" in parts.netloc:
        raise Denied(f"a redirect leads to {redact.address(found)}")
    here = urlsplit(url).scheme == "http" and is_loopback(host)
    if parts.scheme == "http" and not allow_http and not here:
        raise Denied(f"a redirect leads to {redact.address(found)}, which is not https")
    return found


def _away(error: Exception) -> Away:
    reason: Any = getattr(error, "reason", None) or error
    if isinstance(reason, ssl.SSLCertVerificationError):
        return Away(f"the certificate is not trusted: {reason.verify_message}")
    if isinstance(reason, TimeoutError):
        return Away("no answer in time")
    if isinstance(reason, socket.gaierror):
        return Away("the host is not known")
    if isinstance(reason, OSError) and reason.strerror:
        return Away(reason.strerror)
    # Its text may quote what the server or the address said.
    return Away(type(reason).__name__)
