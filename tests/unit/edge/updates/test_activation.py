from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fivefold.core.errors import BundleInvalid, RunFailed
from fivefold.edge.updates import activation
from fivefold.edge.updates.activation import TRIES, ActivationState
from fivefold.edge.updates.descriptor import ArchiveChunks, ReleaseDescriptor


def descriptor(release: int, bundle: int | None = None) -> ReleaseDescriptor:
    archive = ArchiveChunks.of(b"%d" % (release if bundle is None else bundle))
    return ReleaseDescriptor("m", release, str(release), f"sha256:{archive.sha256}", archive, "2026-01-01T00:00:00Z")


def confirmed(*releases: int) -> ActivationState:
    state = ActivationState("m")
    for release in releases:
        state = state.take(descriptor(release)).confirmed()
    return state


def active(state: ActivationState) -> int | None:
    return None if state.active is None else state.active.release


def test_a_release_is_on_trial_until_the_gateway_is_ready() -> None:
    state = confirmed(1).take(descriptor(2))

    assert (active(state), state.testing) == (2, True)
    assert state.previous == confirmed(1).active
    assert not state.starting().confirmed().testing


def test_three_starts_that_do_not_get_ready_go_back() -> None:
    state = confirmed(1).take(descriptor(2))
    for _ in range(TRIES):
        state = state.starting()
        assert active(state) == 2
    state = state.starting()

    assert active(state) == 1
    assert not state.testing
    assert state.ended is not None
    assert (state.ended.release, state.ended.state) == (2, "rolled_back")
    assert "3 starts" in state.ended.reason
    assert state.starting() == state


def test_the_first_release_goes_back_to_what_the_device_came_with() -> None:
    assert active(ActivationState("m").take(descriptor(1)).back("bad")) is None


@pytest.mark.parametrize("stale", [1, 4, 5])
def test_an_older_or_equal_release_is_refused(stale: int) -> None:
    state = confirmed(1, 5)

    with pytest.raises(BundleInvalid, match="is not newer") as caught:
        state.take(descriptor(stale))
    assert caught.value.help is not None


def test_a_release_that_was_refused_or_went_back_is_never_taken_again() -> None:
    refused = confirmed(1).refusing(descriptor(3), "answers differently")
    back = confirmed(1).take(descriptor(3)).back("crashed")

    for state, says in ((refused, "refused here: answers differently"), (back, "rolled back here: crashed")):
        assert active(state) == 1
        for release in (2, 3):
            with pytest.raises(BundleInvalid, match="not newer"):
                state.take(descriptor(release))
        with pytest.raises(BundleInvalid, match=says):
            state.check_newer(descriptor(3))
        assert active(state.take(descriptor(4, bundle=1))) == 4


def test_a_release_on_trial_gives_way_to_a_newer_one_but_is_nothing_to_go_back_to() -> None:
    state = confirmed(1).take(descriptor(2)).take(descriptor(3))

    assert active(state) == 3
    assert active(state.back("bad")) == 1


def test_what_wore_out_on_the_disk_may_be_fetched_again() -> None:
    state = confirmed(1, 2).back("damaged", damaged=True)

    assert active(state) == 1
    assert active(state.take(descriptor(2))) == 2
    with pytest.raises(BundleInvalid):
        state.take(descriptor(1))


STEPS = st.lists(
    st.one_of(
        st.tuples(st.just("take"), st.integers(1, 8)),
        st.tuples(st.just("refuse"), st.integers(1, 8)),
        st.tuples(st.sampled_from(("start", "confirm", "back", "damage")), st.just(0)),
    ),
    max_size=30,
)


@given(STEPS)
def test_whatever_happens_the_highest_number_never_falls(steps: list[tuple[str, int]]) -> None:
    state = ActivationState("m")
    known: list[int] = []
    for step, release in steps:
        before = state
        if step == "take":
            try:
                state = state.take(descriptor(release))
            except BundleInvalid:
                assert release <= before.highest
                continue
            assert release > before.highest or release == before.damaged
            assert state.previous == (before.previous if before.testing else before.active)
        elif step == "refuse":
            if release > before.highest:
                state = state.refusing(descriptor(release), "bad")
                assert state.active == before.active
        elif step == "start":
            state = state.starting()
        elif step == "confirm":
            state = state.confirmed()
        else:
            state = state.back("bad", damaged=step == "damage")
            assert state.active == before.previous or before.active is None
        assert state.highest >= before.highest
        assert state.starts <= TRIES
        known.append(active(state) or 0)
    assert state.highest >= max(known, default=0)


def test_a_state_is_read_as_it_was_written(tmp_path: Path) -> None:
    path = tmp_path / "state.json"
    state = confirmed(1).take(descriptor(2)).starting().refusing(descriptor(3), "é" * 2000)

    activation.write(path, state)

    assert activation.read(path, "m") == state
    assert activation.read(tmp_path / "other.json", "m") == ActivationState("m")


def test_a_damaged_state_is_not_taken_for_a_new_devices(tmp_path: Path) -> None:
    path = tmp_path / "state.json"
    activation.write(path, confirmed(7))
    raw = path.read_bytes()

    for damaged in (raw.replace(b'"highest": 7', b'"highest": 1'), raw[:-10], b"", b"{}\n", raw + b"x", b"\xff" * 99):
        path.write_bytes(damaged)
        with pytest.raises(RunFailed, match="cannot be read") as caught:
            activation.read(path, "m")
        assert caught.value.code == "storage_failed"
    path.write_bytes(raw)
    with pytest.raises(RunFailed, match="of the model m"):
        activation.read(path, "other")
