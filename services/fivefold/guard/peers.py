"""Whose address a request comes from, where proxies stand before the server.

A proxy adds the address that it was asked from to `x-forwarded-for`, behind what was there already, which anybody may
have written. So the header is read from its end, and only as long as every address passed was a proxy of ours.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Iterable, Sequence
from typing import Final

from fivefold.core.settings import SettingsError

MAX_HOPS: Final = 16
"""Entries of the header that are looked at; there are never so many proxies of one's own."""

_Network = ipaddress.IPv4Network | ipaddress.IPv6Network
_Address = ipaddress.IPv4Address | ipaddress.IPv6Address


def networks(given: Sequence[str], name: str) -> tuple[_Network, ...]:
    """The networks of addresses and CIDR ranges; raises `SettingsError`."""
    out = []
    for text in given:
        try:
            out.append(ipaddress.ip_network(text))
        except ValueError:
            raise SettingsError(f"{name}: expected an address or a range such as 10.0.0.0/8, got {text!r}") from None
    return tuple(out)


class Peers:
    """Finds the client's address. `trusted` are proxies beside those on this machine, which always are."""

    def __init__(self, trusted: Sequence[str] = ()) -> None:
        """Raises `SettingsError` for what is no address and no range."""
        self._trusted = networks(trusted, "trusted_proxies")

    def client(self, peer: str, forwarded: Iterable[bytes | str]) -> str:
        """The address to hold responsible: `peer`'s, the other end of the connection, or the last in the header's
        values `forwarded` that no proxy of ours has. A Unix socket's `peer` is empty, and on this machine."""
        if not self._ours(peer):
            return peer
        last = peer
        hops = [hop for value in forwarded for hop in _text(value).split(",")]
        for hop in reversed(hops[-MAX_HOPS:]):
            address = _bare(hop.strip())
            if _parsed(address) is None:
                # Whatever stands before it was written by whoever wrote this.
                break
            last = address
            if not self._ours(address):
                break
        return last

    def _ours(self, address: str) -> bool:
        if not address:
            return True
        found = _parsed(address)
        if found is None:
            return False
        return found.is_loopback or any(
            found.version == network.version and found in network for network in self._trusted
        )


def _text(value: bytes | str) -> str:
    return value if isinstance(value, str) else value.decode("latin-1")


def _bare(hop: str) -> str:
    """An entry without a port, which some proxies add."""
    if hop.startswith("["):
        return hop[1:].partition("]")[0]
    return hop.partition(":")[0] if hop.count(":") == 1 else hop


def _parsed(address: str) -> _Address | None:
    try:
        found = ipaddress.ip_address(address)
    except ValueError:
        return None
    return (found.ipv4_mapped or found) if isinstance(found, ipaddress.IPv6Address) else found
