"""Tokens of a real issuer on loopback: whose they are, which are refused, and how its keys are followed."""

from __future__ import annotations

import base64
import json
import time
from collections.abc import Iterator
from typing import Any

import jwt
import pytest
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from hypothesis import given
from hypothesis import strategies as st
from tests.support.http_calls import log_lines
from tests.support.oidc_issuer import AUDIENCE, DISCOVERY, Issuer, issuer

from fivefold.core.errors import AccessError, FivefoldError, Unavailable
from fivefold.guard import tokens
from fivefold.guard.settings import GuardSettings
from fivefold.guard.tokens import FRESH_SECONDS, RETRY_SECONDS, STALE_SECONDS, Tokens

DAY = 24 * 3600


class Clock:
    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def oidc() -> Iterator[Issuer]:
    with issuer() as out:
        yield out


def of(oidc: Issuer, **rest: Any) -> Tokens:
    """What recognises the issuer's tokens, before it has asked for a key."""
    clock = rest.pop("clock", Clock())
    now = rest.pop("now", time.time)
    settings = GuardSettings(oidc_issuer=oidc.url, oidc_audience=AUDIENCE, **rest)
    return Tokens(settings, clock=clock, now=now)


def ready(oidc: Issuer, **rest: Any) -> Tokens:
    out = of(oidc, **rest)
    assert out.refresh()
    return out


def refused(found: Tokens, token: bytes) -> FivefoldError:
    with pytest.raises(FivefoldError) as caught:
        found.find(token)
    assert token.decode("latin-1") not in str(caught.value) + repr(caught.value.help) or len(token) < 16
    return caught.value


def test_whose_token_this_is(oidc: Issuer) -> None:
    """The subject, and those of its scopes that mean something here."""
    found = ready(oidc)
    ada = found.find(oidc.token(scope="openid infer"))
    ops = found.find(oidc.token(sub="ops", scope=None, scp=["fivefold:admin", "sync", 7]))
    nothing = found.find(oidc.token(scope=None))
    reader = found.find(oidc.token(sub="device", scope="bundles bundle"))

    assert (ada.name, ada.scopes) == ("subject:ada", {"infer"})
    assert (ops.name, ops.scopes) == ("subject:ops", {"admin", "sync"})
    assert nothing.scopes == set()
    assert reader.scopes == {"bundles"}
    assert oidc.asked == [DISCOVERY, "/keys"]


@pytest.mark.parametrize(
    ("kid", "private", "algorithm"),
    [
        ("pss", rsa.generate_private_key(65537, 2048), "PS256"),
        ("ec", ec.generate_private_key(ec.SECP256R1()), "ES256"),
        ("ed", ed25519.Ed25519PrivateKey.generate(), "EdDSA"),
    ],
)
def test_other_kinds_of_keys(oidc: Issuer, kid: str, private: Any, algorithm: str) -> None:
    oidc.add(kid, private)
    if algorithm == "PS256":
        found = json.loads(oidc.pages["/keys"][1])
        found["keys"][-1]["alg"] = algorithm
        oidc.say("/keys", found)

    assert ready(oidc).find(oidc.token(kid, algorithm=algorithm)).name == "subject:ada"


@pytest.mark.parametrize(
    ("claims", "says"),
    [
        ({"exp": int(time.time()) - 3600}, "expired"),
        ({"aud": "another"}, "audience 'fivefold'"),
        ({"aud": None}, "neither"),
        ({"iss": "http://127.0.0.1:1"}, "expected a token of http"),
        ({"exp": None}, "neither"),
        ({"sub": None}, "neither"),
        ({"sub": 7}, "neither"),
        ({"nbf": int(time.time()) + DAY}, "neither"),
        ({"exp": "soon"}, "neither"),
    ],
)
def test_a_token_that_is_not_for_here_or_now(oidc: Issuer, claims: dict[str, Any], says: str) -> None:
    error = refused(ready(oidc), oidc.token(**claims))

    assert error.code == "unauthenticated"
    assert says in error.message


NOW = int(time.time())
"""When the tests were collected; they may run long after."""


@pytest.mark.parametrize(
    ("claims", "says"),
    [
        *(
            ({"sub": sub}, "its sub")
            for sub in ("", " ", "\t\n", "\u00a0", "\u200b", "a\nb", "a" * 256, 7, True, [], {})
        ),
        ({"sub": ["ada"]}, "its sub"),
        ({"aud": ["another", "fivefold "]}, "audience 'fivefold'"),
        ({"aud": []}, "audience 'fivefold'"),
        ({"aud": ""}, "audience 'fivefold'"),
        *(({"aud": aud}, "its aud") for aud in (7, {"fivefold": 1}, [7, "fivefold"], [["fivefold"]])),
        *(({"exp": exp}, "its exp") for exp in ("99999999999", "soon", [], {}, True, -1, 10**400, NOW * 1000)),
        ({"exp": float("nan")}, "its exp"),
        ({"exp": float("inf")}, "its exp"),
        ({"exp": NOW - 31}, "expired"),
        ({"nbf": NOW + DAY}, "not good yet by its nbf"),
        *(({"nbf": nbf}, "its nbf") for nbf in ("0", [0], True)),
        ({"iat": NOW + DAY}, "in the future by its iat"),
        *(({"iat": iat}, "its iat") for iat in ("0", {}, False, 1e300)),
        ({"iss": ["http://127.0.0.1"]}, "expected a token of http"),
    ],
)
def test_claims_that_are_not_what_they_should_be(oidc: Issuer, claims: dict[str, Any], says: str) -> None:
    """Signed by the issuer all the same: each is refused with the claim's name, and none is a defect of ours."""
    error = refused(ready(oidc), signed(oidc, claims))

    assert error.code == "unauthenticated"
    assert says in error.message


def signed(oidc: Issuer, claims: dict[str, Any]) -> bytes:
    """A token of the issuer's with any claims at all; the library's own encoder would refuse some of them."""
    payload = {"iss": oidc.url, "aud": AUDIENCE, "sub": "ada", "exp": NOW + DAY, "scope": "infer"} | claims
    return jwt.api_jws.encode(json.dumps(payload).encode(), oidc.private["first"], "RS256", {"kid": "first"}).encode()


@pytest.mark.parametrize(
    ("claims", "name"),
    [
        ({"aud": ["another", "fivefold"]}, "ada"),
        ({"exp": NOW + DAY + 0.5, "nbf": NOW + 10, "iat": NOW + 10}, "ada"),
        ({"sub": "auth0|ada lovelace"}, "auth0|ada lovelace"),
        ({"sub": "a" * 255}, "a" * 255),
        ({"sub": "Zoë"}, "Zoë"),
        ({"nonce": {"deep": [[[]]]}}, "ada"),
    ],
)
def test_claims_that_are_good(oidc: Issuer, claims: dict[str, Any], name: str) -> None:
    found = ready(oidc).find(signed(oidc, claims))

    assert (found.name, found.scopes) == (f"subject:{name}", {"infer"})


def part(value: bytes) -> bytes:
    return base64.urlsafe_b64encode(value).rstrip(b"=")


@pytest.mark.parametrize(
    "payload",
    [
        b"[" * 5000 + b"]" * 5000,
        b'{"a":' * 1500 + b"1" + b"}" * 1500,
        b"1" * 5000,
        b"[]",
        b"null",
        b"\xff",
        b"",
        b'"a"',
    ],
)
def test_what_is_signed_and_is_no_object(oidc: Issuer, payload: bytes) -> None:
    """Nested deep, a number of thousands of digits, no UTF-8."""
    token = jwt.api_jws.encode(payload, oidc.private["first"], "RS256", {"kid": "first"}).encode()

    assert refused(ready(oidc), token).code == "unauthenticated"


@pytest.mark.parametrize(
    "header",
    [
        b"[" * 5000 + b"]" * 5000,
        b'{"kid":' * 1500 + b"1" + b"}" * 1500,
        b"[]",
        b"null",
        b'{"alg": ["RS256"], "kid": "first"}',
        b'{"alg": {"RS256": 1}, "kid": "first"}',
        b'{"alg": 5, "kid": "first"}',
        b'{"alg": "RS256", "kid": 5}',
        b'{"alg": "RS256", "kid": ["first"]}',
        b'{"alg": "RS256", "kid": {}}',
        b'{"alg": "none", "kid": "first"}',
        b'{"alg": "NONE", "kid": "first"}',
        b'{"alg": "HS256", "kid": "first"}',
        b'{"kid": "first"}',
        b'{"alg": "RS256", "kid": "first", "crit": ["exp"]}',
        b'{"alg": "RS256", "kid": "first", "b64": false}',
        b'{"alg": "RS256", "kid": "first", "crit": 7}',
    ],
)
def test_headers_that_are_not_what_they_should_be(oidc: Issuer, header: bytes) -> None:
    """Read before any signature, so these are anybody's."""
    body = json.dumps({"iss": oidc.url, "aud": AUDIENCE, "sub": "ada", "exp": NOW + DAY}).encode()

    assert refused(ready(oidc), b".".join((part(header), part(body), part(b"s" * 256)))).code == "unauthenticated"


def test_a_token_that_is_too_long_is_not_read(oidc: Issuer) -> None:
    found = ready(oidc)

    assert "at most 16384 bytes" in refused(found, b"e30." + b"A" * 20_000 + b".AA").message
    assert found.find(signed(oidc, {"groups": "g" * 8000})).name == "subject:ada"


def test_an_issuer_that_is_away_for_a_day_opens_nothing(oidc: Issuer) -> None:
    """What it has withdrawn meanwhile, nobody here can know."""
    clock = Clock()
    found = ready(oidc, clock=clock)
    good = oidc.pages["/keys"]
    oidc.say("/keys", b"oops", 500)
    clock.now += STALE_SECONDS
    with log_lines():
        assert not found.refresh()
    found.find(oidc.token())
    clock.now += 1

    assert refused(found, oidc.token(jti="another")).code == "not_ready"
    oidc.pages["/keys"] = good
    clock.now += RETRY_SECONDS
    assert found.refresh()
    assert found.find(oidc.token(jti="another")).name == "subject:ada"


@pytest.mark.parametrize(
    "item",
    [
        {"kty": "RSA", "n": 5, "e": [], "kid": "odd"},
        {"kty": "RSA", "n": "AQAB", "e": "AA", "kid": "odd"},
        {"kty": "EC", "crv": {}, "x": "AA", "y": "AA", "kid": "odd"},
        {"kty": "OKP", "crv": "Ed25519", "x": None, "kid": "odd"},
        {"kty": ["RSA"], "kid": "odd"},
        {"kid": {"a": 1}},
    ],
)
def test_a_key_of_odd_types_is_passed_over(oidc: Issuer, item: dict[str, Any]) -> None:
    """Also one that is good but for its name; those beside it stay keys."""
    found = json.loads(oidc.pages["/keys"][1])
    good = found["keys"][0]
    oidc.say("/keys", {"keys": [{**good, **item} if "kty" not in item else item, good, {**good, "kid": ["first"]}]})

    assert ready(oidc).find(oidc.token()).name == "subject:ada"


def test_a_set_that_drips_is_given_up(oidc: Issuer, monkeypatch: pytest.MonkeyPatch) -> None:
    """However small its steps are, the whole has an end."""
    monkeypatch.setattr("fivefold.guard.issuer.WHOLE_SECONDS", -1.0)
    with log_lines() as lines:
        assert not of(oidc).refresh()

    assert "expected the whole answer within" in lines[0]["error"]


def test_a_deeply_nested_set_is_no_set(oidc: Issuer) -> None:
    oidc.say("/keys", b'{"keys":' + b"[" * 100_000)
    with log_lines() as lines:
        assert not of(oidc).refresh()

    assert "expected JSON" in lines[0]["error"]


def test_the_query_of_a_key_sets_url_is_not_shown(oidc: Issuer) -> None:
    """It may be what lets one read it."""
    with log_lines() as lines:
        assert not of(oidc, oidc_jwks=f"{oidc.url}/none?token=hunter2").refresh()

    assert oidc.asked == ["/none?token=hunter2"]
    assert f"{oidc.url}/none" in lines[0]["error"]
    assert "hunter2" not in json.dumps(lines)


def test_a_token_that_others_have_signed(oidc: Issuer) -> None:
    """With another key under a published name, with no key, or with the public key as if it were a shared secret."""
    oidc.private["thief"] = rsa.generate_private_key(65537, 2048)
    found = ready(oidc)
    claims = jwt.decode(oidc.token(), options={"verify_signature": False})
    head, body, _ = oidc.token().split(b".")
    shared = json.loads(oidc.pages["/keys"][1])["keys"][0]["n"]
    bare = base64.urlsafe_b64encode(json.dumps({"alg": "none", "kid": "first"}).encode()).rstrip(b"=")
    for token in (
        oidc.token("first", signer="thief"),
        jwt.encode(claims, shared, "HS256", {"kid": "first"}).encode(),
        bare + b"." + body + b".",
        head + b"." + body + b".",
        head + b"." + body + b".AAAA",
    ):
        assert refused(found, token).code == "unauthenticated"


def test_a_shared_secret_is_never_a_key(oidc: Issuer) -> None:
    """Neither is a key for encryption; a set of nothing else is as good as no answer."""
    secret = base64.urlsafe_b64encode(b"s" * 32).rstrip(b"=").decode()
    sealing = json.loads(oidc.pages["/keys"][1])["keys"][0] | {"kid": "sealing", "use": "enc"}
    shared = {"kty": "oct", "kid": "shared", "k": secret, "alg": "HS256"}
    oidc.say("/keys", {"keys": [shared, sealing, {"kty": "RSA", "kid": "half"}, 7]})
    found = of(oidc)
    with log_lines() as lines:
        assert not found.refresh()

    assert "expected a public key" in lines[0]["error"]
    assert refused(found, oidc.token()).code == "not_ready"


@given(
    st.one_of(st.binary(max_size=200), st.from_regex(rb"[A-Za-z0-9_-]{0,40}(\.[A-Za-z0-9_-]{0,40}){2}", fullmatch=True))
)
def test_no_bytes_break_the_guard(token: bytes) -> None:
    found = Tokens(GuardSettings(oidc_issuer="https://nowhere.invalid", oidc_audience=AUDIENCE))

    assert refused(found, token).code in ("unauthenticated", "not_ready")


def test_a_token_is_verified_once_and_ends_in_time(oidc: Issuer) -> None:
    now = time.time()
    found = ready(oidc, now=lambda: now)
    token = oidc.token(exp=int(now) + 60)
    first = found.find(token)

    assert found.find(token) is first
    now += 61
    # Within the leeway for clocks it is still good, but it is looked at again.
    assert found.find(token) is not first


def test_before_the_keys_have_come_the_caller_is_asked_to_wait(oidc: Issuer) -> None:
    """A request never waits for the network; it wakes who does."""
    woken: list[bool] = []
    found = of(oidc)
    found.wake = lambda: woken.append(True)
    error = refused(found, oidc.token())

    assert isinstance(error, Unavailable)
    assert (error.code, error.retry_after, woken, oidc.asked) == ("not_ready", 1.0, [True], [])
    assert found.refresh()
    assert found.find(oidc.token()).name == "subject:ada"


def test_a_new_key_is_fetched_when_it_is_met(oidc: Issuer) -> None:
    """Rotation: a moment of `not_ready`, not five minutes of refusals; and a flood of unknown ids is no flood there."""
    clock = Clock()
    found = ready(oidc, clock=clock)
    oidc.add("second", rsa.generate_private_key(65537, 2048))
    assert refused(found, oidc.token("second")).code == "unauthenticated"

    clock.now += RETRY_SECONDS
    assert refused(found, oidc.token("second")).code == "not_ready"
    assert found.refresh()
    assert found.find(oidc.token("second")).name == "subject:ada"
    for _ in range(5):
        assert refused(found, oidc.token("third", signer="first")).code == "unauthenticated"
        assert not found.refresh()
    assert oidc.asked.count("/keys") == 2


def test_a_withdrawn_key_opens_nothing(oidc: Issuer) -> None:
    """Not even for a token that was let in before."""
    clock = Clock()
    oidc.add("second", rsa.generate_private_key(65537, 2048))
    found = ready(oidc, clock=clock)
    token = oidc.token("first")
    found.find(token)
    oidc.publish("second")
    clock.now += FRESH_SECONDS
    assert found.refresh()

    assert refused(found, token).code == "unauthenticated"


def test_an_issuer_that_is_away_takes_nobody_with_it(oidc: Issuer) -> None:
    """The keys that are known stay, and it is asked again."""
    clock = Clock()
    found = ready(oidc, clock=clock)
    good = oidc.pages["/keys"]
    oidc.say("/keys", b"oops", 500)
    clock.now += FRESH_SECONDS
    with log_lines() as lines:
        assert not found.refresh()
        assert not found.refresh()
    assert [line["error"].rpartition(" ")[2] for line in lines] == ["500"]
    assert found.find(oidc.token()).name == "subject:ada"

    oidc.pages["/keys"] = good
    clock.now += RETRY_SECONDS
    assert found.refresh()


@pytest.mark.parametrize(
    ("path", "status", "body", "says"),
    [
        (DISCOVERY, 200, {"issuer": "https://another", "jwks_uri": "https://another/keys"}, "expected the issuer"),
        (DISCOVERY, 200, {"jwks_uri": "https://another/keys"}, "expected the issuer"),
        (DISCOVERY, 404, {}, "404"),
        (DISCOVERY, 307, {}, "307"),
        ("/keys", 200, b"<html>", "JSON"),
        ("/keys", 200, b"[]", "object"),
        ("/keys", 200, {}, "with keys"),
        ("/keys", 200, b" " * (1024 * 1024 + 1), "at most"),
    ],
)
def test_an_answer_that_cannot_be_used(oidc: Issuer, path: str, status: int, body: Any, says: str) -> None:
    """It is logged with the URL, and nobody is let in by it."""
    oidc.location = f"{oidc.url}/elsewhere"
    oidc.say("/elsewhere", {"issuer": oidc.url, "jwks_uri": f"{oidc.url}/keys"})
    oidc.say(path, body, status)
    found = of(oidc)
    with log_lines() as lines:
        assert not found.refresh()

    assert says in lines[0]["error"]
    assert oidc.url + path in lines[0]["error"]
    assert "/elsewhere" not in oidc.asked
    assert refused(found, oidc.token()).code == "not_ready"


def test_keys_over_plain_http_are_not_fetched_from_elsewhere(oidc: Issuer) -> None:
    """Who can change them on the way could sign anything."""
    oidc.say(DISCOVERY, {"issuer": oidc.url, "jwks_uri": "http://keys.example/keys"})
    with log_lines() as lines:
        assert not of(oidc).refresh()

    assert "expected a URL of https" in lines[0]["error"]


def test_keys_at_an_address_of_their_own(oidc: Issuer) -> None:
    """Where an issuer publishes no discovery document."""
    oidc.pages["/certs"] = oidc.pages.pop("/keys")
    found = ready(oidc, oidc_jwks=f"{oidc.url}/certs")

    assert found.find(oidc.token(None)).name == "subject:ada"
    assert oidc.asked == ["/certs"]


def test_a_token_without_a_key_id_among_many_keys(oidc: Issuer) -> None:
    oidc.add("second", rsa.generate_private_key(65537, 2048))

    assert refused(ready(oidc), oidc.token(None)).code == "unauthenticated"


def test_a_subject_has_one_allowance_whatever_its_tokens(oidc: Issuer) -> None:
    found = ready(oidc, oidc_concurrency=1)
    one, other, bob = (
        found.find(oidc.token(jti=name, sub=sub)) for name, sub in (("a", "ada"), ("b", "ada"), ("c", "bob"))
    )
    one.allowance.enter(1)

    with pytest.raises(Unavailable):
        other.allowance.enter(1)
    bob.allowance.enter(1)


def test_what_is_remembered_is_bounded(oidc: Issuer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tokens, "MAX_KNOWN", 2)
    found = ready(oidc)
    for sub in ("a", "b", "c"):
        found.find(oidc.token(sub=sub))

    assert (len(found._known), len(found._subjects)) == (2, 2)


def test_expired_is_said_with_help(oidc: Issuer) -> None:
    error = refused(ready(oidc), oidc.token(exp=int(time.time()) - 3600))

    assert isinstance(error, AccessError)
    assert error.help == "ask the issuer for a new one"
