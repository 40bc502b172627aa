"""API keys at rest: what a key looks like, what its file holds, and that a file is taken whole or refused."""

from __future__ import annotations

import datetime as dt
import json
import stat
import threading
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fivefold.core.settings import SettingsError
from fivefold.guard import keys

_ENTRY = {"id": "0123abcd", "name": "ci", "salt": "00" * 16, "sha256": "11" * 32, "scopes": ["infer"]}


def _file(*entries: Any, **rest: Any) -> bytes:
    return json.dumps({"format": 1, "keys": list(entries)} | rest).encode()


def test_a_key_is_recognised_and_long_enough_to_be_beyond_guessing() -> None:
    """`ff_`, an id that is no secret, and 256 random bits in characters that need no quoting anywhere."""
    key, entry = keys.make("ci")
    other, _ = keys.make("ci")

    prefix, id, secret = key.split("_", 2)
    assert (prefix, id, len(secret)) == ("ff", entry.id, 43)
    assert set(secret) <= set("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_")
    assert other.split("_", 2)[2] != secret


def test_a_file_holds_no_secret(tmp_path: Path) -> None:
    """What lies on disk is readable by its owner alone, and gives no access even so."""
    place = tmp_path / "keys.json"
    key, entry = keys.make("ci", ["infer", "admin"], rate=5, burst=7, concurrency=2, expires="2030-01-31T12:00:00Z")

    keys.add(place, entry)

    assert key.split("_", 2)[2] not in place.read_text() + repr(entry)
    assert stat.S_IMODE(place.stat().st_mode) == 0o600
    assert keys.load(place).keys == (entry,)
    assert not list(tmp_path.glob(".*"))


def test_keys_are_added_and_removed_one_by_one(tmp_path: Path) -> None:
    place = tmp_path / "keys.json"
    entries = [keys.make(name)[1] for name in ("a", "b", "c")]
    for entry in entries:
        keys.add(place, entry)

    assert keys.remove(place, entries[1].id) == entries[1]
    assert keys.remove(place, entries[1].id) is None
    assert [entry.name for entry in keys.load(place).keys] == ["a", "c"]


def test_commands_at_once_lose_nothing(tmp_path: Path) -> None:
    """Whoever changes the file waits for who is at it."""
    place = tmp_path / "keys.json"
    entries = [keys.make(str(index))[1] for index in range(12)]
    threads = [threading.Thread(target=keys.add, args=(place, entry)) for entry in entries]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert set(keys.load(place).keys) == set(entries)


@pytest.mark.parametrize(
    ("data", "says"),
    [
        (b"", "truncated"),
        (b"[]", "object"),
        (_file(format=2), "format"),
        (_file(_ENTRY, extra=1), "extra"),
        (_file(_ENTRY | {"secret": "x"}), "keys[0]"),
        (_file({name: value for name, value in _ENTRY.items() if name != "scopes"}), "scopes"),
        (_file(_ENTRY, _ENTRY | {"id": "nope"}), "keys[1]"),
        (_file(_ENTRY | {"name": ""}), "name"),
        (_file(_ENTRY | {"name": "a\nb"}), "name"),
        (_file(_ENTRY | {"salt": "00"}), "salt"),
        (_file(_ENTRY | {"sha256": "11" * 31}), "sha256"),
        (_file(_ENTRY | {"sha256": "zz" * 32}), "sha256"),
        (_file(_ENTRY | {"scopes": []}), "scope"),
        (_file(_ENTRY | {"scopes": ["root"]}), "scopes[0]"),
        (_file(_ENTRY | {"rate": 0}), "rate"),
        (_file(_ENTRY | {"burst": 2}), "burst"),
        (_file(_ENTRY | {"rate": 1, "burst": 0.5}), "burst"),
        (_file(_ENTRY | {"concurrency": 0}), "concurrency"),
        (_file(_ENTRY | {"expires": "2030-01-31"}), "time"),
        (_file(_ENTRY | {"expires": "2030-01-31T12:00:00"}), "time"),
        (_file(_ENTRY, _ENTRY), "once"),
    ],
)
def test_a_file_that_is_not_one_says_where(data: bytes, says: str) -> None:
    """The sentence names the file and the place in it; a digest or a salt it never quotes."""
    with pytest.raises(SettingsError, match=r"keys\.json") as caught:
        keys.parse(data, "keys.json")

    assert says in str(caught.value)
    assert "11" * 31 not in str(caught.value)


@pytest.mark.parametrize(
    "wrong",
    [{"name": ""}, {"scopes": ["root"]}, {"scopes": []}, {"rate": -1}, {"rate": float("nan")}, {"burst": 2}],
)
def test_no_key_is_made_that_no_file_may_hold(wrong: dict[str, Any]) -> None:
    with pytest.raises(SettingsError):
        keys.make(**({"name": "ci"} | wrong))


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("90d", "2030-04-01T00:00:00Z"),
        ("12h", "2030-01-01T12:00:00Z"),
        ("30m", "2030-01-01T00:30:00Z"),
        ("45s", "2030-01-01T00:00:45Z"),
        ("2031-01-31T12:00:00+02:00", "2031-01-31T12:00:00+02:00"),
    ],
)
def test_when_a_key_expires(text: str, expected: str) -> None:
    """A span counts from now, a time stays as it is; both are a time that a file may hold."""
    assert keys.expiry(text, dt.datetime(2030, 1, 1, tzinfo=dt.UTC)) == expected
    assert keys.timestamp(expected) > 1.8e9


@pytest.mark.parametrize("text", ["", "90", "d", "0d", "-1d", "soon", "2031-01-31", "2031-01-31T12:00:00"])
def test_what_is_no_time(text: str) -> None:
    with pytest.raises(SettingsError, match="90d"):
        keys.expiry(text)


@given(st.binary(min_size=16, max_size=32), st.binary(max_size=60), st.binary(max_size=60))
def test_digests_differ_where_secrets_do(salt: bytes, one: bytes, other: bytes) -> None:
    assert (keys.digest(salt, one) == keys.digest(salt, other)) == (one == other)
