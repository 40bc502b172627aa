"""Failed attempts by address: what is free, how holds grow and end, and how little is remembered."""

from __future__ import annotations

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fivefold.core.settings import SettingsError
from fivefold.guard import attempts
from fivefold.guard.attempts import FIRST_HOLD, FREE, LONGEST_HOLD, REFILL_SECONDS, Attempts
from fivefold.guard.peers import Peers, networks
from fivefold.guard.settings import GuardSettings


class Clock:
    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


def held() -> tuple[Attempts, Clock]:
    """An address that has used up what is free."""
    clock = Clock()
    found = Attempts(clock)
    for _ in range(FREE):
        assert found.fail("192.0.2.1") == 0
    return found, clock


def test_some_are_free_and_then_each_waits_twice_as_long() -> None:
    """What is asked during a hold adds nothing to it, so the wait that was said is the wait."""
    found, clock = held()

    for hold in (FIRST_HOLD, 2 * FIRST_HOLD, 4 * FIRST_HOLD):
        assert found.fail("192.0.2.1") == hold
        clock.now += hold / 2
        assert found.fail("192.0.2.1") == hold / 2
        clock.now += hold / 2
    for _ in range(20):
        clock.now += found.fail("192.0.2.1")
    assert found.fail("192.0.2.1") == LONGEST_HOLD


def test_others_do_not_wait() -> None:
    found, _ = held()

    assert found.fail("192.0.2.1") > 0
    assert found.fail("192.0.2.2") == 0
    assert found.fail("") == 0


def test_who_stops_begins_anew() -> None:
    """One more is free after a few seconds, all of them after a minute, and then the first hold is the first one's."""
    found, clock = held()
    for _ in range(3):
        clock.now += found.fail("192.0.2.1")
    clock.now += REFILL_SECONDS
    assert found.fail("192.0.2.1") == 0
    assert found.fail("192.0.2.1") == 8 * FIRST_HOLD

    clock.now += 8 * FIRST_HOLD + FREE * REFILL_SECONDS
    assert [found.fail("192.0.2.1") for _ in range(FREE + 1)] == [0.0] * FREE + [FIRST_HOLD]


@pytest.mark.parametrize(
    ("one", "other", "same"),
    [
        ("2001:db8:1:2::1", "2001:db8:1:2:ffff:ffff:ffff:ffff", True),
        ("2001:db8:1:2::1", "2001:db8:1:3::1", False),
        ("::ffff:192.0.2.1", "192.0.2.1", True),
        ("::ffff:192.0.2.1", "::ffff:192.0.2.2", False),
        ("fe80::1%eth0", "fe80::2", True),
        ("192.0.2.1", "192.0.2.2", False),
        ("", "no address", True),
    ],
)
def test_what_counts_as_one_address(one: str, other: str, same: bool) -> None:
    found = Attempts(Clock())
    for _ in range(FREE):
        found.fail(one)

    assert (found.fail(other) > 0) is same


def test_memory_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    """The one that failed longest ago is forgotten, not one that is at it."""
    monkeypatch.setattr(attempts, "MAX_ADDRESSES", 8)
    found = Attempts(Clock())
    for number in range(FREE):
        found.fail("192.0.2.1")
        found.fail(f"2001:db8:0:{number:x}::1")
    for number in range(6):
        found.fail(f"198.51.100.{number}")

    assert len(found) == 8
    assert found.fail("192.0.2.1") > 0


@given(st.lists(st.tuples(st.text(max_size=8) | st.ip_addresses().map(str), st.floats(0, 1000)), max_size=60))
def test_every_wait_is_finite_and_is_kept(asked: list[tuple[str, float]]) -> None:
    """A wait ends when it was said to: after it, the hold is another one or none."""
    clock = Clock()
    found = Attempts(clock)
    for address, pause in asked:
        clock.now += pause
        wait = found.fail(address)
        assert 0 <= wait <= LONGEST_HOLD


@pytest.mark.parametrize(
    ("peer", "forwarded", "client"),
    [
        ("192.0.2.9", [b"203.0.113.1"], "192.0.2.9"),
        ("127.0.0.1", [], "127.0.0.1"),
        ("127.0.0.1", [b"203.0.113.1"], "203.0.113.1"),
        ("::1", [b"6.6.6.6, 203.0.113.1"], "203.0.113.1"),
        ("127.0.0.1", [b"6.6.6.6", b"203.0.113.1"], "203.0.113.1"),
        ("127.0.0.1", [b"203.0.113.1, 10.1.2.3"], "203.0.113.1"),
        ("10.1.2.3", ["203.0.113.1, 10.9.9.9"], "203.0.113.1"),
        ("10.1.2.3", [b"6.6.6.6, 203.0.113.1, 10.9.9.9, 127.0.0.1"], "203.0.113.1"),
        ("10.1.2.3", [b"garbage, 10.9.9.9"], "10.9.9.9"),
        ("10.1.2.3", [b"203.0.113.1:4711"], "203.0.113.1"),
        ("10.1.2.3", [b"[2001:db8::1]:4711"], "2001:db8::1"),
        ("10.1.2.3", [b"2001:db8::1"], "2001:db8::1"),
        ("::ffff:127.0.0.1", [b"203.0.113.1"], "203.0.113.1"),
        ("", [b"203.0.113.1"], "203.0.113.1"),
        ("", [], ""),
        ("10.1.2.3", [b"", b" , "], "10.1.2.3"),
        ("testclient", [b"203.0.113.1"], "testclient"),
    ],
)
def test_the_client_behind_proxies(peer: str, forwarded: list[bytes | str], client: str) -> None:
    """The header is believed as far as proxies of ours have written it; what stands before that is a stranger's."""
    assert Peers(("10.0.0.0/8",)).client(peer, forwarded) == client


@given(st.lists(st.binary(max_size=60), max_size=4))
def test_no_header_breaks_it(forwarded: list[bytes]) -> None:
    assert isinstance(Peers().client("127.0.0.1", forwarded), str)


@pytest.mark.parametrize("given", ["proxy.example", "10.0.0.1/8", "10.0.0.0/99", ""])
def test_what_is_no_range_is_refused(given: str) -> None:
    """Passed over, it would be a proxy whose clients are all held to be one."""
    with pytest.raises(SettingsError, match="trusted_proxies: expected an address or a range"):
        GuardSettings(trusted_proxies=(given,))


def test_ranges_of_both_families() -> None:
    assert [str(found) for found in networks(("10.0.0.0/8", "2001:db8::/32", "192.0.2.1"), "x")] == [
        "10.0.0.0/8",
        "2001:db8::/32",
        "192.0.2.1/32",
    ]
    assert len(list(itertools.islice(networks((), "x"), 1))) == 0
