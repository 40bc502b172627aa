"""Who may ask a hub what: devices by their keys, people and programs by an operator's, or from this machine alone.

A device's key opens that device's paths. Everything else is the operators': with key files they need the scope `admin`,
and without any only requests of this machine are answered, by one of its own names and not through a proxy, so that
neither a web page nor a stranger behind a proxy here is taken for the operator.
"""

from __future__ import annotations

import ipaddress
from typing import Final

from starlette.requests import Request

from fivefold.core.errors import AccessError, FivefoldError
from fivefold.edge.hub.database import HubDatabase
from fivefold.edge.hub.device_register import device_of_key
from fivefold.guard.attempts import Attempts
from fivefold.guard.callers import Guard
from fivefold.guard.peers import Peers
from fivefold.serving.http.inference import admit
from fivefold.serving.limits import ServingLimits
from fivefold.serving.origins import Origins

_PROXIED: Final = ("x-forwarded-for", "forwarded", "x-forwarded-host", "x-real-ip")


class RequestAccess:
    """Asked by one event loop, but for `device_key`."""

    def __init__(self, database: HubDatabase, limits: ServingLimits, guard: Guard | None) -> None:
        self._database, self._guard = database, guard
        self._attempts = Attempts()
        self._peers = guard.peers if guard is not None else Peers(limits.trusted_proxies)
        self._local = Origins(limits, local=True)

    def credential(self, request: Request) -> bytes:
        """The key that a device shows; raises `AccessError` where it shows none."""
        shown = [value for name, value in request.scope["headers"] if name == b"authorization"]
        scheme, _, key = (shown[0] if shown else b"").partition(b" ")
        if len(shown) != 1 or scheme.lower() != b"bearer" or not key.strip():
            raise AccessError(
                "unauthenticated", "expected a device's key", help="send the header authorization: Bearer KEY"
            )
        return bytes(key.strip())

    def device_key(self, key: bytes) -> str:
        """Whose key it is, for any thread; raises `AccessError` `unauthenticated`."""
        with self._database.reading() as connection:
            return device_of_key(connection, key)

    def refused(self, error: FivefoldError, request: Request) -> FivefoldError:
        """The error to answer for a key that is not known: after some of one address' it is `rate_limited`."""
        return self._attempts.refused(error, lambda: self._address(request))

    def _address(self, request: Request) -> str:
        """Who asks, behind the proxies that are trusted."""
        forwarded = [value for name, value in request.scope["headers"] if name == b"x-forwarded-for"]
        peer = request.client.host if request.client is not None else ""
        return self._peers.client(peer, forwarded)

    @staticmethod
    def own(found: str, device: str) -> None:
        """Raise `AccessError` `forbidden` where a key's device is another than the path's."""
        if found != device:
            raise AccessError("forbidden", "this key is another device's", path="device")

    def operator(self, request: Request) -> None:
        """Let an operator in; raises `AccessError`, and `Unavailable`."""
        headers = dict(request.scope["headers"])
        if self._guard is not None:
            admit(self._guard, request.scope, headers, "admin").release()
            return
        peer = request.client.host if request.client is not None else ""
        if not _is_this_machine(peer) or any(name in request.headers for name in _PROXIED):
            raise AccessError(
                "forbidden",
                "without operators' keys only this machine may look at the hub",
                help="fivefold keys create --file keys.json --scope admin --name ops, and serve with --keys keys.json",
            )
        self._local.check(request.scope, headers)


def _is_this_machine(peer: str) -> bool:
    try:
        found = ipaddress.ip_address(peer)
    except ValueError:
        return False
    mapped = found.ipv4_mapped if isinstance(found, ipaddress.IPv6Address) else None
    return (mapped or found).is_loopback
