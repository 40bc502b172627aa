"""The keys of a running server: who is known, and how files that change are followed."""

from __future__ import annotations

import errno
import os
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.support.http_calls import log_lines

from fivefold.core.errors import AccessError, Unavailable
from fivefold.core.settings import SettingsError
from fivefold.guard import keys
from fivefold.guard.allowance import CallerLimits
from fivefold.guard.keyring import Keyring


def _new(place: Path, name: str = "ci", **rest: Any) -> bytes:
    key, entry = keys.make(name, **rest)
    keys.add(place, entry)
    return key.encode()


def _refused(ring: Keyring, key: bytes) -> str:
    with pytest.raises(AccessError) as caught:
        ring.find(key)
    assert caught.value.code == "unauthenticated"
    assert len(key) < 20 or key.decode("latin-1")[12:] not in str(caught.value)
    return caught.value.message


def test_a_key_is_its_owners(tmp_path: Path) -> None:
    place = tmp_path / "keys.json"
    first, second = _new(place), _new(place, "ops", scopes=["admin", "sync"])
    ring = Keyring(place)

    assert ring.find(first).scopes == {"infer"}
    assert ring.find(second).scopes == {"admin", "sync"}
    assert ring.find(first).name == f"key:{first[3:11].decode()}"
    assert ring.find(first) is ring.find(first)
    assert first.decode()[12:] not in repr(ring.find(first)) + repr(ring)


@pytest.mark.parametrize(
    "change",
    [
        lambda key: key[:-1],
        lambda key: key + b"A",
        lambda key: key[:-1] + bytes([key[-1] ^ 1]),
        lambda key: b"ff_00000000" + key[11:],
        lambda key: b"ff_" + key[12:],
        lambda key: key[:11],
        lambda key: b"ff_",
        lambda key: key * 10,
        lambda key: b"ff_\xff\xfe_" + key,
    ],
)
def test_anything_else_is_not_known(tmp_path: Path, change: Any) -> None:
    """A wrong secret and an unknown id get the same words."""
    key = _new(tmp_path / "keys.json")

    assert _refused(Keyring(tmp_path / "keys.json"), change(key)) == "this API key is not known"


@pytest.fixture(scope="module")
def no_keys(tmp_path_factory: pytest.TempPathFactory) -> Keyring:
    place = tmp_path_factory.mktemp("none") / "keys.json"
    place.write_bytes(keys.File(1, ()).to_bytes())
    return Keyring(place)


@given(text=st.binary(max_size=300))
def test_no_bytes_break_the_guard(no_keys: Keyring, text: bytes) -> None:
    """A file without keys is one, too: it lets nobody in."""
    assert _refused(no_keys, b"ff_" + text) == "this API key is not known"


def test_a_key_expires_by_itself(tmp_path: Path) -> None:
    """To the second, without a reload."""
    place = tmp_path / "keys.json"
    key = _new(place, expires="2030-01-01T00:00:00Z")
    now = keys.timestamp("2030-01-01T00:00:00Z") - 1
    ring = Keyring(place, now=lambda: now)

    assert ring.find(key).scopes == {"infer"}
    now += 1
    assert _refused(ring, key) == "this API key has expired"


def test_a_change_is_seen(tmp_path: Path) -> None:
    """A key that was added is known and one that was revoked is not, from the next look on."""
    place = tmp_path / "keys.json"
    first = _new(place)
    ring = Keyring(place)
    assert not ring.refresh()

    second = _new(place)
    with log_lines() as lines:
        assert ring.refresh()
        assert not ring.refresh()
    assert ring.find(first).name != ring.find(second).name
    assert [(line["event"], line["keys"]) for line in lines] == [("keys", 2)]

    keys.remove(place, first[3:11].decode())
    assert ring.refresh()
    _refused(ring, first)
    assert ring.find(second)


def test_a_write_in_place_of_the_same_length_is_seen(tmp_path: Path) -> None:
    place = tmp_path / "keys.json"
    key = _new(place, scopes=["infer"])
    ring = Keyring(place)
    place.write_bytes(place.read_bytes().replace(b'"infer"', b'"admin"'))
    os.utime(place, ns=(1, 1))

    assert ring.refresh()
    assert ring.find(key).scopes == {"admin"}


def test_a_secret_that_kubernetes_mounts(tmp_path: Path) -> None:
    """The kubelet swaps a symlink to a directory of files; hidden names and other files are none of the keys."""
    one, two = tmp_path / "..2030_01", tmp_path / "..2030_02"
    for directory in (one, two):
        directory.mkdir()
        (directory / "key").write_text("ff_plain")
    first, second, third = _new(one / "a.json"), _new(two / "a.json"), _new(two / "b.json")
    (tmp_path / "..data").symlink_to(one.name)
    for name in ("a.json", "key"):
        (tmp_path / name).symlink_to(f"..data/{name}")
    ring = Keyring(tmp_path)
    assert ring.find(first)
    _refused(ring, second)

    (tmp_path / "..new").symlink_to(two.name)
    (tmp_path / "..new").rename(tmp_path / "..data")
    (tmp_path / "b.json").symlink_to("..data/b.json")

    assert ring.refresh()
    assert ring.find(second).name != ring.find(third).name
    _refused(ring, first)


@pytest.mark.parametrize("break_it", ["garbage", "gone", "twice"])
def test_what_is_broken_changes_nothing(tmp_path: Path, break_it: str) -> None:
    """The keys stay, the log says it once, and the repaired file is taken up."""
    place = tmp_path / "keys.json"
    key = _new(place, rate=5)
    ring = Keyring(tmp_path)
    good = place.read_bytes()
    if break_it == "garbage":
        place.write_bytes(good[:-20])
    elif break_it == "gone":
        place.unlink()
    else:
        (tmp_path / "other.json").write_bytes(good.replace(b"5.0", b"7.0"))

    with log_lines() as lines:
        assert not ring.refresh()
        assert not ring.refresh()
        assert ring.trouble
    assert ring.find(key).allowance.limits == CallerLimits(5.0)
    assert [line["level"] for line in lines] == ["error"]
    assert "API keys stay as they were" in lines[0]["error"]

    (tmp_path / "other.json").unlink(missing_ok=True)
    place.write_bytes(good.replace(b"5.0", b"9.0"))
    assert ring.refresh()
    assert not ring.trouble
    assert ring.find(key).allowance.limits == CallerLimits(9.0)


def _nothing_opens(monkeypatch: pytest.MonkeyPatch, *, at: str) -> None:
    """As where a process has no descriptor left."""

    def full(*_: Any, **__: Any) -> Any:
        raise OSError(errno.EMFILE, os.strerror(errno.EMFILE), "keys.json")

    monkeypatch.setattr(Path, at, full)


@pytest.mark.parametrize("at", ["open", "stat"])
def test_a_look_that_failed_is_made_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, at: str) -> None:
    """A process that had no descriptor for a moment does not keep a revoked key, nor miss a new one."""
    place = tmp_path / "keys.json"
    first = _new(place)
    ring = Keyring(place)
    second = _new(place)
    keys.remove(place, first[3:11].decode())
    with log_lines() as lines, monkeypatch.context() as patch:
        _nothing_opens(patch, at=at)
        assert not ring.refresh()
        assert not ring.refresh()
        assert ring.find(first)
    assert [line["level"] for line in lines] == ["error"]
    assert "Too many open files" in lines[0]["error"]

    assert ring.refresh()
    _refused(ring, first)
    assert ring.find(second)


def test_a_half_written_file_is_read_again(tmp_path: Path) -> None:
    """Also where what completes it cannot be told by size and time: after trouble the files are read anyway."""
    place = tmp_path / "keys.json"
    key = _new(place)
    good = place.read_bytes()
    ring = Keyring(place)
    place.write_bytes(good[:-1] + b"?")
    assert not ring.refresh()
    place.write_bytes(good)

    ring.refresh()
    assert not ring.trouble
    assert ring.find(key)


@pytest.mark.parametrize("trouble", ["gone", "garbage", "denied", "hung"])
def test_keys_that_cannot_be_read_for_long_open_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, trouble: str
) -> None:
    """After `max_age`, whatever the reason, also where nobody looks any more; wrong keys are unknown as ever."""
    place = tmp_path / "keys.json"
    key = _new(place)
    now = 1000.0
    ring = Keyring(place, max_age=600, clock=lambda: now)
    good = place.read_bytes()
    with log_lines() as lines, monkeypatch.context() as patch:
        if trouble == "gone":
            place.unlink()
        elif trouble == "garbage":
            place.write_bytes(b"{")
        elif trouble == "denied":
            _nothing_opens(patch, at="stat")
        for now in (1001.0, 1600.0, 1600.5, 1601.0, 1700.0):
            if trouble != "hung":
                ring.refresh()
            if now <= 1600:
                assert ring.find(key)
                continue
            with pytest.raises(Unavailable, match="could not read its API keys for more than 600 seconds") as caught:
                ring.find(key)
            assert caught.value.code == "not_ready"
            _refused(ring, key[:-1])
        assert ring.age() == 700
    if trouble != "hung":
        assert [line["level"] for line in lines] == ["error", "error"]
        assert "are taken no more" in lines[1]["error"]

    place.write_bytes(good)
    ring.refresh()
    assert ring.age() == 0
    assert ring.find(key)


def test_a_start_without_keys_is_refused(tmp_path: Path) -> None:
    """A server that cannot read what it should ask for must not begin to answer."""
    (tmp_path / "notes.txt").write_text("{}")
    (tmp_path / "broken.json").write_text("{")
    for place, says in (
        (tmp_path / "missing.json", "No such file"),
        (tmp_path / "broken.json", "not a file of API keys"),
    ):
        with pytest.raises(SettingsError, match=says):
            Keyring(place)
    (tmp_path / "broken.json").unlink()
    with pytest.raises(SettingsError, match="expected files"):
        Keyring(tmp_path)


def test_who_is_at_it_stays_counted(tmp_path: Path) -> None:
    """A reload is no way to a fresh allowance: not for what is in work, and not for what is used up."""
    place = tmp_path / "keys.json"
    key = _new(place, concurrency=1)
    ring = Keyring(place)
    working = ring.find(key)
    working.allowance.enter(1)
    _new(place)
    assert ring.refresh()

    assert ring.find(key).allowance.inflight == 1
    working.release()
    assert ring.find(key).allowance.inflight == 0
