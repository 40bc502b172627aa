"""The one question that every transport asks: who may do what, in which order it is refused, and what stays hidden."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.support.http_calls import SECONDS, log_lines
from tests.support.oidc_issuer import AUDIENCE, issuer

from fivefold.core.errors import AccessError, FivefoldError, Unavailable
from fivefold.core.settings import SettingsError, read
from fivefold.guard import Guard, keys
from fivefold.guard.attempts import FREE
from fivefold.guard.callers import LOOK_SECONDS
from fivefold.guard.settings import GuardSettings


def made(place: Path, **rest: Any) -> bytes:
    key, entry = keys.make("test", **rest)
    keys.add(place, entry)
    return key.encode()


def refused(ask: Callable[[], object]) -> FivefoldError:
    with pytest.raises(FivefoldError) as caught:
        ask()
    return caught.value


def test_how_a_key_may_be_shown(tmp_path: Path) -> None:
    """As a bearer in any case, or in `x-api-key`."""
    place = tmp_path / "keys.json"
    key = made(place)
    guard = Guard(GuardSettings(keys=str(place)))
    whose = guard.identify(b"Bearer " + key, None, "infer")

    assert guard.identify(b"bearer  " + key + b" ", None, "infer") is whose
    assert guard.identify(None, key, "infer") is whose
    for authorization, api_key in (
        (None, None),
        (b"", None),
        (b"Basic " + key, None),
        (key, None),
        (b"Bearer", None),
        (b"Bearer x", None),
        (None, b""),
    ):
        error = refused(lambda given=(authorization, api_key): guard.identify(*given, "infer"))
        assert error.code == "unauthenticated"
        assert "authorization: Bearer KEY" in (error.help or "")


def test_two_credentials_are_refused_and_neither_is_looked_at(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """In two places, or in one as a list; also where both are right, or the same one."""
    place = tmp_path / "keys.json"
    key, other = made(place), made(place)
    guard = Guard(GuardSettings(keys=str(place)))
    assert guard._keyring is not None
    monkeypatch.setattr(guard._keyring, "find", lambda _: pytest.fail("a credential was looked at"))
    for authorization, api_key in (
        (b"Bearer " + key, other),
        (b"Bearer " + key, key),
        (b"Bearer " + key, b""),
        (b"", key),
        (b"Basic eDp5", key),
        (b"Bearer " + key + b", Bearer " + other, None),
        (b"Bearer " + key + b",Bearer " + other, None),
        (b"Bearer " + key + b"," + other, None),
        (b"Bearer " + key + b" " + other, None),
        (b"Bearer " + key + b"\t" + other, None),
        (b"Bearer " + key + b";" + other, None),
        (b"Bearer Bearer " + key, None),
        (b"Basic eDp5, Bearer " + key, None),
        (None, key + b", " + other),
        (None, key + b" " + other),
    ):
        error = refused(lambda given=(authorization, api_key): guard.admit(*given, "infer"))
        assert (error.code, error.message) == ("unauthenticated", "expected one credential, got several")
        assert "either one" in (error.help or "")


def test_failed_attempts_are_slowed_by_address(tmp_path: Path) -> None:
    """Whatever failed is answered alike then; another address, a right key and another error are not slowed."""
    place = tmp_path / "keys.json"
    key = made(place)
    guard = Guard(GuardSettings(keys=str(place)))

    def attempt(shown: bytes, peer: str, forwarded: tuple[bytes, ...] = ()) -> FivefoldError:
        return guard.refused(refused(lambda: guard.admit(shown, None, "infer")), peer, forwarded)

    codes = [attempt(b"Bearer ff_x", "192.0.2.1").code for _ in range(FREE + 2)]
    assert codes == ["unauthenticated"] * FREE + ["rate_limited"] * 2
    for shown in (b"Bearer " + key[:-1], b"Basic eDp5", b"Bearer " + key + b"," + key):
        error = attempt(shown, "192.0.2.1")
        assert (error.code, error.message) == ("rate_limited", "too many attempts from this address have failed")
        assert 0 < (error.retry_after or 0) <= 1
    assert attempt(b"Bearer ff_x", "192.0.2.2").code == "unauthenticated"
    assert attempt(b"Bearer ff_x", "192.0.2.1", (b"192.0.2.2",)).code == "rate_limited"
    assert guard.identify(b"Bearer " + key, None, "infer").name.startswith("key:")
    forbidden = refused(lambda: guard.admit(b"Bearer " + key, None, "admin"))
    assert guard.refused(forbidden, "192.0.2.1") is forbidden


@pytest.mark.parametrize("defect", [RuntimeError("a defect"), SystemExit(1), KeyboardInterrupt(), MemoryError()])
def test_nothing_ends_the_background(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, defect: BaseException) -> None:
    """After whatever a look raises, the next one follows what has changed meanwhile."""
    monkeypatch.setattr("fivefold.guard.callers.LOOK_SECONDS", 0.01)
    place = tmp_path / "keys.json"
    key = made(place)
    guard = Guard(GuardSettings(keys=str(place)))
    look, left = guard._watches[0].look, [defect]

    def once() -> object:
        if left:
            raise left.pop()
        return look()

    guard._watches[0].look = once
    with log_lines() as lines:
        guard.start()
        try:
            keys.remove(place, key[3:11].decode())
            until(lambda: refused_or_none(guard, key) == "unauthenticated")
        finally:
            guard.close()

    assert [line["event"] for line in lines] == ["guard", "keys"]


def test_scopes(tmp_path: Path) -> None:
    """A known caller that may not is told which scope it lacks, and which it has."""
    place = tmp_path / "keys.json"
    key = b"Bearer " + made(place, scopes=["sync", "infer"])
    guard = Guard(GuardSettings(keys=str(place)))
    error = refused(lambda: guard.admit(key, None, "admin"))

    assert (error.code, error.message) == ("forbidden", "expected the scope 'admin', got infer sync")
    assert guard.identify(key, None, "infer").allowance.inflight == 0


def test_a_request_is_counted_until_it_is_released(tmp_path: Path) -> None:
    place = tmp_path / "keys.json"
    key = b"Bearer " + made(place, concurrency=4)
    replicas = 2
    guard = Guard(GuardSettings(keys=str(place)), lambda: replicas)
    first = guard.admit(key, None, "infer")
    guard.admit(key, None, "infer")
    assert isinstance(refused(lambda: guard.admit(key, None, "infer")), Unavailable)

    replicas = 1
    guard.admit(key, None, "infer")
    replicas = 0
    guard.admit(key, None, "infer")
    assert refused(lambda: guard.admit(key, None, "infer")).code == "rate_limited"
    first.release()
    guard.admit(key, None, "infer")


def test_keys_and_tokens_side_by_side(tmp_path: Path) -> None:
    """Both give the same access; what is neither is said to be neither."""
    place = tmp_path / "keys.json"
    key = made(place)
    with issuer() as oidc:
        settings = GuardSettings(keys=str(place), oidc_issuer=oidc.url, oidc_audience=AUDIENCE)
        guard = Guard(settings)
        guard.look()

        assert guard.identify(b"Bearer " + key, None, "infer").name.startswith("key:")
        assert guard.identify(b"Bearer " + oidc.token(), None, "infer").name == "subject:ada"
        assert refused(lambda: guard.identify(b"Bearer " + oidc.token(), None, "admin")).code == "forbidden"
        assert "neither" in refused(lambda: guard.identify(b"Bearer x", None, "infer")).message
        only = Guard(GuardSettings(oidc_issuer=oidc.url, oidc_audience=AUDIENCE))
        assert "a token" in refused(lambda: only.identify(None, None, "infer")).message
        assert refused(lambda: only.identify(b"Bearer " + key, None, "infer")).code == "unauthenticated"


def test_the_background_follows_what_changes(tmp_path: Path) -> None:
    """A revoked key opens nothing soon after, an issuer's keys come by themselves, and the end is prompt."""
    place = tmp_path / "keys.json"
    key = made(place)
    with issuer() as oidc, log_lines() as lines:
        guard = Guard(GuardSettings(keys=str(place), oidc_issuer=oidc.url, oidc_audience=AUDIENCE))
        guard.start()
        try:
            until(lambda: guard.identify(b"Bearer " + oidc.token(), None, "infer").name == "subject:ada")
            begun = time.monotonic()
            keys.remove(place, key[3:11].decode())
            until(lambda: refused_or_none(guard, key) == "unauthenticated")
            assert time.monotonic() - begun < LOOK_SECONDS + 5
        finally:
            guard.close()
    assert [line["event"] for line in lines] == ["keys"]
    assert not [thread for thread in threading.enumerate() if thread.name == "fivefold-guard"]


def test_a_defect_in_the_background_is_logged_and_it_goes_on(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("fivefold.guard.callers.LOOK_SECONDS", 0.01)
    made(tmp_path / "keys.json")
    guard = Guard(GuardSettings(keys=str(tmp_path / "keys.json")))
    calls: list[int] = []

    def broken() -> None:
        calls.append(1)
        raise RuntimeError("a defect")

    guard._watches[0].look = broken
    with log_lines() as lines:
        guard.start()
        until(lambda: len(calls) > 2)
        guard.close()

    assert {(line["event"], line["error"]) for line in lines} == {("guard", "a defect")}


def refused_or_none(guard: Guard, key: bytes) -> str | None:
    try:
        guard.identify(b"Bearer " + key, None, "infer")
    except AccessError as error:
        return error.code
    return None


def until(condition: Callable[[], bool]) -> None:
    end = time.monotonic() + SECONDS
    while True:
        try:
            if condition():
                return
        except Unavailable:
            pass
        assert time.monotonic() < end
        time.sleep(0.01)


def test_a_guard_is_made_where_one_is_asked_for(tmp_path: Path) -> None:
    made(tmp_path / "keys.json")

    assert Guard.of(GuardSettings()) is None
    assert Guard.of(GuardSettings(keys=str(tmp_path / "keys.json"))) is not None
    with pytest.raises(SettingsError, match="cannot read"):
        Guard.of(GuardSettings(keys=str(tmp_path / "nothing.json")))


@pytest.mark.parametrize(
    ("given", "says"),
    [
        ({"oidc_issuer": "https://id.example"}, "oidc_audience"),
        ({"oidc_audience": "fivefold"}, "oidc_issuer"),
        ({"oidc_jwks": "https://id.example/keys"}, "oidc_issuer"),
        ({"oidc_issuer": "http://id.example", "oidc_audience": "a"}, "expected a URL of https"),
        ({"oidc_issuer": "ftp://127.0.0.1", "oidc_audience": "a"}, "expected a URL of https"),
        ({"oidc_issuer": "https://[", "oidc_audience": "a"}, "expected a URL"),
        ({"oidc_issuer": "https://id.example", "oidc_audience": "a", "oidc_jwks": "http://x/"}, "oidc_jwks"),
        ({"oidc_rate": -1.0}, "oidc_rate"),
        ({"oidc_rate": float("nan")}, "oidc_rate"),
        ({"oidc_concurrency": -1}, "oidc_concurrency"),
    ],
)
def test_settings_that_would_guard_nothing_are_refused(given: dict[str, Any], says: str) -> None:
    with pytest.raises(SettingsError, match=says):
        GuardSettings(**given)


def test_settings_come_from_the_environment() -> None:
    environ = {"FIVEFOLD_OIDC_ISSUER": "https://id.example", "FIVEFOLD_OIDC_AUDIENCE": "a", "FIVEFOLD_OIDC_RATE": "5"}

    assert read(GuardSettings, environ=environ).oidc_rate == 5.0


@pytest.fixture(scope="module")
def one_key(tmp_path_factory: pytest.TempPathFactory) -> tuple[Guard, bytes]:
    place = tmp_path_factory.mktemp("one") / "keys.json"
    key = made(place)
    return Guard(GuardSettings(keys=str(place))), key


@given(
    shown=st.one_of(st.none(), st.binary(max_size=80), st.binary(max_size=80).map(lambda text: b"Bearer ff_" + text)),
    beside=st.one_of(st.none(), st.binary(max_size=80)),
    cut=st.integers(0, 53),
)
def test_nothing_but_the_key_opens_and_nothing_is_quoted(
    one_key: tuple[Guard, bytes], shown: bytes | None, beside: bytes | None, cut: int
) -> None:
    """Whatever comes ends as `unauthenticated`, in words that hold nothing of it."""
    guard, key = one_key
    for authorization in (shown, b"Bearer " + key[:cut]):
        error = refused(lambda given=authorization: guard.admit(given, beside, "infer"))
        assert error.code == "unauthenticated"
        said = f"{error} {error!r} {error.help} {error.to_json()}"
        assert key[12:].decode() not in said
        if cut > 20:
            assert key[12:cut].decode() not in said


def test_no_secret_is_shown_by_what_holds_it(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """Neither the guard nor a principal nor the log knows the key's text."""
    caplog.set_level(logging.DEBUG)
    place = tmp_path / "keys.json"
    key = made(place)
    guard = Guard(GuardSettings(keys=str(place)))
    principal = guard.admit(b"Bearer " + key, None, "infer")
    made(place)
    guard.look()
    said = repr((guard, principal, vars(guard), vars(guard._keyring))) + caplog.text

    assert key[12:].decode() not in said
    assert repr(principal) == f"Principal('key:{key[3:11].decode()}', ['infer'])"
