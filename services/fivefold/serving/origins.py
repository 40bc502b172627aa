"""Which browsers' pages may ask: a local server's own names, requests of other sites, and CORS.

A server on loopback that asks nobody for a key relies on being out of others' reach. A browser on the same machine is
a way around that: a page anywhere can send a form or a `fetch` here, and by pointing its own name at 127.0.0.1 (DNS
rebinding) it can read the answer too. So such a server answers to its own names alone, and refuses what a browser says
comes from another site. A server with a guard needs neither: no page has the key, and gateways bring names of their
own.

Origins that are to be let in stand in `cors_origins`; what they are told (the Fetch standard's CORS protocol) is made
once, and an answer takes it by one look-up. Programs that are no browsers send none of these headers and notice
nothing.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, Final

from fivefold.core.errors import AccessError
from fivefold.core.settings import address, is_loopback

if TYPE_CHECKING:
    from fivefold.serving.limits import ServingLimits

METHODS: Final = b"GET, HEAD, POST, OPTIONS"

TAKEN: Final = (
    b"accept, authorization, content-encoding, content-type, if-none-match, inference-header-content-length, "
    b"traceparent, x-api-key, x-contract-version, x-request-id, x-request-timeout"
)
"""Headers of requests that mean something here."""

SHOWN: Final = (
    b"deprecation, etag, inference-header-content-length, retry-after, sunset, traceparent, www-authenticate, "
    b"x-contract-ignored, x-contract-version, x-fivefold-replica, x-request-id"
)
"""Headers of answers that a page may read beside those that every page may."""

KEEP_SECONDS: Final = b"600"
"""How long a browser may keep the answer to a preflight."""

_VARY: Final = (b"vary", b"origin")
_OWN_SITE: Final = (b"same-origin", b"none")
_LOCAL: Final = ("127.0.0.1", "localhost", "[::1]")

Header = tuple[bytes, bytes]
Headers = Mapping[bytes, bytes]


class Origins:
    """What one server says of origins. Looks at headers alone, and keeps nothing of a request."""

    def __init__(
        self, settings: ServingLimits, *, local: bool, takes: Sequence[bytes] = (), shows: Sequence[bytes] = ()
    ) -> None:
        """`local` holds a server without a guard on loopback to its own names: right where it is asked at the addresses
        of its settings, and at no others. `takes` and `shows` are headers of requests and of answers that this server
        has beyond `TAKEN` and `SHOWN`."""
        host, port = address(settings.http)
        self.local = local and not settings.guarded and is_loopback(host)
        """Whether names and sites are looked at."""

        self._address, self._further = host, settings.hosts
        self._hosts = _own_hosts(host, port, settings.hosts) if self.local else frozenset()
        self._any = "*" in settings.cors_origins
        self._taken, shown = b", ".join([TAKEN, *takes]), b", ".join([SHOWN, *shows])
        self._answers = {
            origin.encode(): _allowed(origin.encode(), shown, varies=not self._any) for origin in settings.cors_origins
        }
        self.cors = bool(self._answers)
        """Whether any origin is let in."""

    @classmethod
    def of(
        cls, settings: ServingLimits, *, local: bool, takes: Sequence[bytes] = (), shows: Sequence[bytes] = ()
    ) -> Origins | None:
        """None where nothing is to be looked at."""
        made = cls(settings, local=local, takes=takes, shows=shows)
        return made if made.local or made.cors else None

    def check(self, scope: Mapping[str, Any], headers: Headers) -> None:
        """Raise `AccessError` `forbidden` for a request by another name, or from another site's page.

        `scope` is ASGI's, whose `server` says at which port this connection came in.
        """
        if not self.local:
            return
        host = headers.get(b"host")
        # HTTP/1.0 may leave it out, as health checks do; no browser does.
        if host is not None and host not in self._hosts and not self._is_own(host, scope.get("server")):
            raise AccessError(
                "forbidden",
                f"expected a host of this server, got {_shown(host)}",
                help="it answers to 127.0.0.1, localhost and its own address; to others by FIVEFOLD_HOSTS=NAME:PORT",
            )
        if b"origin" in headers or b"sec-fetch-site" in headers:
            self._check_site(scope["method"], headers, host)

    def _is_own(self, host: bytes, server: Any) -> bool:
        """`check` for a host that is spelled in another way, or has the port of another of the process's servers."""
        plain = _plain(host)
        if plain in self._hosts:
            return True
        port = server[1] if server else None
        return isinstance(port, int) and plain in _own_hosts(self._address, port, self._further)

    def _check_site(self, method: str, headers: Headers, host: bytes | None) -> None:
        origin, site = headers.get(b"origin"), headers.get(b"sec-fetch-site", b"").lower()
        if origin is not None:
            scheme, _, name = origin.partition(b"://")
            own = scheme in (b"http", b"https") and host is not None and _plain(name) == _plain(host)
            if own or self._any or origin in self._answers:
                return
        elif site in (b"", *_OWN_SITE) or self._any or (method in ("GET", "HEAD") and _follows_link(headers)):
            return
        raise AccessError(
            "forbidden",
            f"expected a request of this server's own pages, got one of {_shown(origin or site)}",
            help="let an origin in: FIVEFOLD_CORS_ORIGINS=ORIGIN, or fivefold serve --cors ORIGIN",
        )

    def marks(self, headers: Headers) -> tuple[Header, ...]:
        """The headers that an answer carries for the origin of its request."""
        if self._any:
            return self._answers[b"*"]
        origin = headers.get(b"origin")
        # Without an origin too, or a cache would keep that answer for all.
        return (_VARY,) if origin is None else self._answers.get(origin, (_VARY,))

    def preflight(self, method: str, headers: Headers) -> list[Header] | None:
        """What a preflight is answered beside `marks`; None for what is none, or of an origin that is not let in."""
        asked = method == "OPTIONS" and b"access-control-request-method" in headers
        if not asked or not (self._any or headers.get(b"origin") in self._answers):
            return None
        out = [
            (b"access-control-allow-methods", METHODS),
            (b"access-control-allow-headers", self._taken),
            (b"access-control-max-age", KEEP_SECONDS),
        ]
        if headers.get(b"access-control-request-private-network") == b"true":
            out.append((b"access-control-allow-private-network", b"true"))
        return out


def _follows_link(headers: Headers) -> bool:
    """Whether a person follows a link to here: what it leads to is shown to the person, and to no page."""
    return headers.get(b"sec-fetch-mode") == b"navigate" and headers.get(b"sec-fetch-dest") == b"document"


def _own_hosts(host: str, port: int, further: tuple[str, ...]) -> frozenset[bytes]:
    bracketed = f"[{host}]" if ":" in host else host
    names = {f"{name}:{port}" for name in (*_LOCAL, bracketed)}
    if port == 80:
        names |= {*_LOCAL, bracketed}
    for name in further:
        bare = name.rpartition(":")[2].isdigit() and not name.endswith("]")
        names |= {name} if bare else {name, f"{name}:{port}"}
    return frozenset(_plain(name.encode("latin-1", "replace")) for name in names)


def _plain(host: bytes) -> bytes:
    """A host as names are compared: in lower case, without the root's dot, an IPv6 address in its shortest form."""
    name, colon, port = host.lower().rpartition(b":")
    if not colon or not port.isdigit():
        name, colon, port = host.lower(), b"", b""
    if name.startswith(b"[") and name.endswith(b"]"):
        try:
            name = b"[%s]" % str(ipaddress.ip_address(name[1:-1].decode("latin-1"))).encode()
        except ValueError:
            return host
    return name.removesuffix(b".") + colon + port


def _allowed(origin: bytes, shown: bytes, *, varies: bool) -> tuple[Header, ...]:
    marks = ((b"access-control-allow-origin", origin), (b"access-control-expose-headers", shown))
    return (*marks, _VARY) if varies else marks


def _shown(value: bytes) -> str:
    return repr(value[:64].decode("latin-1"))
