from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fivefold.core.errors import ProtocolError
from fivefold.edge.updates.channels import (
    ReleaseOffer,
    bucket,
    choose,
    halt_reason,
    halted,
    next_release,
    offered,
    promoted,
    publishable,
)

DEVICES = [f"device-{index}" for index in range(2000)]


def canary(release: int = 2, share: int = 10) -> ReleaseOffer:
    return ReleaseOffer("m", release, "canary", share)


def test_a_share_of_the_devices_tries_a_canary() -> None:
    tried = {device for device in DEVICES if offered(device, canary())}

    assert 0.07 < len(tried) / len(DEVICES) < 0.13
    assert tried != {device for device in DEVICES if offered(device, canary(3))}
    assert tried < {device for device in DEVICES if offered(device, canary(share=50))}


@pytest.mark.parametrize(("share", "count"), [(0, 0), (100, len(DEVICES))])
def test_nobody_and_everybody(share: int, count: int) -> None:
    assert sum(offered(device, canary(share=share)) for device in DEVICES) == count


def test_a_bucket_is_the_devices_own_and_stays() -> None:
    # sha256("device-0/m/2") mod 100: a hub that is updated may not deal canaries anew.
    assert [bucket("device-0", "m", 2), bucket("device-1", "m", 2), bucket("device-0", "m", 3)] == [89, 86, 57]


def test_a_device_gets_the_newest_that_it_may_have() -> None:
    stable, newer = ReleaseOffer("m", 1), canary(2, share=50)
    chosen = {device: choose(device, [newer, stable]) for device in DEVICES[:50]}

    assert {one.release for one in chosen.values() if one} == {1, 2}
    assert all((one == newer) == offered(device, newer) for device, one in chosen.items())
    assert choose("device-0", [halted(newer, "bad"), stable]) == stable
    assert choose("device-0", [halted(stable, "bad")]) is None
    assert choose("device-0", []) is None


def states(**counts: int) -> dict[str, str]:
    return {f"{state}-{index}": state for state, count in counts.items() for index in range(count)}


@pytest.mark.parametrize(
    ("counts", "halts"),
    [
        ({}, False),
        ({"active": 5}, False),
        ({"rolled_back": 1}, True),
        ({"refused": 1}, True),
        ({"rolled_back": 1, "active": 9}, False),
        ({"rolled_back": 1, "active": 8}, True),
        ({"rolled_back": 1, "refused": 1, "active": 17}, True),
        ({"rolled_back": 1, "active": 8, "testing": 90}, True),
        ({"testing": 90}, False),
    ],
)
def test_a_release_whose_canaries_go_back_is_halted(counts: dict[str, int], halts: bool) -> None:
    reason = halt_reason(canary(), states(**counts))

    assert (reason is not None) == halts
    if reason is not None:
        assert not any(offered(device, halted(canary(), reason)) for device in DEVICES)


def test_only_a_canary_is_halted_and_once() -> None:
    assert halt_reason(ReleaseOffer("m", 2), states(rolled_back=9)) is None
    assert halt_reason(halted(canary(), "told"), states(rolled_back=9)) is None
    assert halted(halted(canary(), "first"), "second").halted == "first"


def test_a_promoted_release_is_for_every_device() -> None:
    assert promoted(canary()) == ReleaseOffer("m", 2)
    with pytest.raises(ProtocolError, match="was halted: 2 of 3"):
        promoted(halted(canary(), "2 of 3 canaries went back"))


def test_numbers_rise() -> None:
    publishable(1, [])
    publishable(9, [1, 5])
    assert next_release([1, 5]) == 6
    assert next_release([]) == 1
    for stale in (5, 4, 0):
        with pytest.raises(ProtocolError) as caught:
            publishable(stale, [1, 5])
        assert caught.value.help == "publish it as release 6"


@pytest.mark.parametrize("share", [-1, 101])
def test_a_share_is_in_percent(share: int) -> None:
    with pytest.raises(ProtocolError, match="0 to 100"):
        canary(share=share)


@pytest.mark.full
@given(st.text(min_size=1, max_size=63), st.integers(1, 2**53 - 1), st.integers(0, 100), st.integers(0, 100))
def test_a_larger_share_keeps_the_devices_of_a_smaller_one(device: str, release: int, one: int, two: int) -> None:
    less, more = sorted((one, two))
    if offered(device, ReleaseOffer("m", release, "canary", less)):
        assert offered(device, ReleaseOffer("m", release, "canary", more))
