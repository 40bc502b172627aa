"""Failed attempts by address: after some of them, further ones are told to wait, for longer each time.

Only what has failed comes here, so that whoever shows a right credential is let in at once, whatever others behind the
same address have done; and every failure is answered alike, so that a hold says nothing about what was shown. Where an
address comes from is left to the adapters. Each replica counts what reaches it.
"""

from __future__ import annotations

import ipaddress
import time
from collections.abc import Callable
from typing import Final

from fivefold.core.errors import FivefoldError, Unavailable

FREE: Final = 20
"""Failures at once that an address may have; a person mistypes, and a program is told of its old key."""

REFILL_SECONDS: Final = 3.0
"""One more is free again after so long: twenty in a minute."""

FIRST_HOLD: Final = 1.0
LONGEST_HOLD: Final = 300.0

MAX_ADDRESSES: Final = 10_000
"""Addresses that are remembered, about two megabytes; the one that failed longest ago is forgotten."""

IPV6_PREFIX: Final = 64
"""One customer's network: whoever has it has all of its addresses."""


class Attempts:
    """The addresses whose attempts have failed lately. One thread, that of the event loop, uses it."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        """`clock` gives seconds."""
        self._clock = clock
        self._known: dict[bytes, _Failures] = {}

    def __len__(self) -> int:
        return len(self._known)

    def fail(self, address: str) -> float:
        """Count one failure of an address; the seconds that it has to wait before the next one, 0 where none."""
        key = _network(address)
        now = self._clock()
        found = self._known.pop(key, None)
        if found is None:
            found = _Failures(now)
            if len(self._known) >= MAX_ADDRESSES:
                del self._known[next(iter(self._known))]
        # At the end: the order is that of the last failure.
        self._known[key] = found
        return found.add(now)

    def refused(self, error: FivefoldError, address: Callable[[], str]) -> FivefoldError:
        """What to answer in place of an error of somebody who has shown a credential: after some that were not known,
        `Unavailable` `rate_limited`. `address` is asked only where one was not known; other errors stay as they are."""
        if error.code != "unauthenticated":
            return error
        wait = self.fail(address())
        if not wait:
            return error
        return Unavailable(
            "rate_limited",
            "too many attempts from this address have failed",
            help="a right key is let in at once; send authorization: Bearer KEY",
            retry_after=wait,
        )


class _Failures:
    __slots__ = ("at", "holds", "until", "used")

    def __init__(self, now: float) -> None:
        self.used, self.at = 0.0, now
        self.holds, self.until = 0, now

    def add(self, now: float) -> float:
        if now < self.until:
            # Nothing is added to a hold, or who keeps asking would never hear the end of it.
            return self.until - now
        self.used = max(0.0, self.used - (now - max(self.at, self.until)) / REFILL_SECONDS)
        self.at = now
        if not self.used:
            self.holds = 0
        if self.used + 1 <= FREE:
            self.used += 1
            return 0.0
        hold = min(LONGEST_HOLD, FIRST_HOLD * 2.0 ** min(self.holds, 20))
        self.holds += 1
        self.until = now + hold
        return hold


def _network(address: str) -> bytes:
    """What counts as one address: IPv4 as it is, also where it is written as IPv6; of IPv6 the network."""
    try:
        found = ipaddress.ip_address(address.partition("%")[0])
    except ValueError:
        # A Unix socket, or a server that does not know: all of those together.
        return b""
    if isinstance(found, ipaddress.IPv6Address):
        if found.ipv4_mapped is not None:
            return found.ipv4_mapped.packed
        return found.packed[: IPV6_PREFIX // 8]
    return found.packed
