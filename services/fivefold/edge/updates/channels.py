"""Which release of a model a device is offered, and when a release is halted: decisions without side effects.

A release is on the channel `stable`, for every device, or on `canary`, for a share of them that depends on the device
and the release alone, so that each release tries other devices first and a larger share keeps those of a smaller one.
One whose canaries go back is halted by itself. Storing releases, answering devices and telling people is the hub's.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Final, Literal

from fivefold.core.errors import ProtocolError

Channel = Literal["stable", "canary"]

HALT_ABOVE: Final = 0.1
"""The share of the devices that tried a release; where more of them went back, it is halted."""

CONCLUDED: Final = ("active", "rolled_back", "refused")
"""States of a device's report that end a trial; `testing` is not over yet."""
FAILED: Final = ("rolled_back", "refused")


@dataclass(frozen=True, slots=True)
class ReleaseOffer:
    """A release of one model as the hub offers it; `share` is in percent of devices and counts on `canary` alone."""

    model: str
    release: int
    channel: Channel = "stable"
    share: int = 100
    halted: str | None = None
    """Why it is offered to nobody any more."""

    def __post_init__(self) -> None:
        if self.channel not in ("stable", "canary") or not 0 <= self.share <= 100:
            raise ProtocolError(
                "not_acceptable",
                f"expected the channel stable or canary and a share of 0 to 100, got {self.channel!r} and {self.share}",
            )


def bucket(device: str, model: str, release: int) -> int:
    """0 to 99: the device is a canary of the release where this is below the share."""
    return int.from_bytes(hashlib.sha256(f"{device}/{model}/{release}".encode()).digest()) % 100


def offered(device: str, offer: ReleaseOffer) -> bool:
    """Whether the device may have the release."""
    if offer.halted is not None:
        return False
    return offer.channel == "stable" or bucket(device, offer.model, offer.release) < offer.share


def choose(device: str, offers: Iterable[ReleaseOffer]) -> ReleaseOffer | None:
    """The newest release that the device may have, of offers of one model; None where there is none."""
    return max((one for one in offers if offered(device, one)), key=lambda one: one.release, default=None)


def next_release(known: Iterable[int]) -> int:
    """The number of a model's next release, halted and withdrawn ones included in `known`."""
    return max(known, default=0) + 1


def publishable(release: int, known: Iterable[int]) -> None:
    """Raise `ProtocolError` where a release's number does not rise above every one that is known of the model."""
    highest = max(known, default=0)
    if release <= highest:
        raise ProtocolError(
            "not_acceptable",
            f"release {release} does not rise above release {highest}; devices would refuse it",
            path="release",
            help=f"publish it as release {highest + 1}",
        )


def halt_reason(offer: ReleaseOffer, states: Mapping[str, str]) -> str | None:
    """Why a canary release has to be halted, or None; `states` maps devices to the state that each last reported of it.

    At least one device went back or refused it, and more than `HALT_ABOVE` of those that have tried it.
    """
    if offer.channel != "canary" or offer.halted is not None:
        return None
    tried = sum(state in CONCLUDED for state in states.values())
    failed = sum(state in FAILED for state in states.values())
    if not failed or failed <= HALT_ABOVE * tried:
        return None
    return f"{failed} of {tried} canaries went back"


def halted(offer: ReleaseOffer, reason: str) -> ReleaseOffer:
    """The release, offered to nobody; devices that serve it well keep it until a higher one."""
    return offer if offer.halted is not None else replace(offer, halted=reason)


def promoted(offer: ReleaseOffer) -> ReleaseOffer:
    """The release on `stable`, for every device; raises `ProtocolError` for one that was halted."""
    if offer.halted is not None:
        raise ProtocolError(
            "not_acceptable",
            f"release {offer.release} of {offer.model} was halted: {offer.halted}",
            help="publish a bundle that devices keep, under a higher number",
        )
    return replace(offer, channel="stable", share=100)
