"""OIDC tokens: who signed them, for whom, until when, and with which scopes.

A token is verified once (about a hundred microseconds) and then known by its digest until it ends. The issuer's keys
come over the network, but never while a request waits: a background calls `refresh`, and a token whose key has not come
yet is answered `not_ready`. When `refresh` is called is left to `Guard`; what is asked of the network, to `issuer`.
"""

from __future__ import annotations

import hashlib
import logging
import time
from collections.abc import Callable, Mapping
from typing import Any, Final

import jwt

from fivefold.core import redact, telemetry
from fivefold.core.errors import AccessError, Unavailable
from fivefold.guard.allowance import Allowance, CallerLimits
from fivefold.guard.issuer import Issuer, IssuerFailed
from fivefold.guard.keys import SCOPES
from fivefold.guard.principal import Principal, unauthenticated
from fivefold.guard.settings import GuardSettings

ALGORITHMS: Final = (
    "RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256", "ES384", "ES512", "EdDSA",
)  # fmt: skip
"""Asymmetric ones alone: with a shared secret, whoever can verify could also sign."""

FRESH_SECONDS: Final = 300.0
"""How old the issuer's keys may become before they are asked for again."""

RETRY_SECONDS: Final = 10.0
"""How long the issuer is left alone after it was asked: an unknown key or a failure does not become a flood."""

LEEWAY_SECONDS: Final = 30.0
"""By how much clocks may differ."""

MAX_TOKEN_BYTES: Final = 16 * 1024
"""A longer text is no token of a caller's, and is not worth reading."""

MAX_SUBJECT: Final = 255
"""Characters of a subject (OpenID Connect Core 1.0, section 2)."""

LATEST: Final = 253_402_300_800
"""The year 10000, in seconds since 1970: a time beyond it is in other units."""

STALE_SECONDS: Final = 86_400.0
"""How long the issuer's keys hold while it cannot be asked: one may have been withdrawn meanwhile."""

MAX_KNOWN: Final = 10_000
"""Tokens and subjects that are remembered; the oldest are forgotten, and verified anew."""


NEITHER: Final = "this is neither a known API key nor a valid token"

_SIGNATURE_ALONE: Final[Any] = {
    "verify_signature": True,
    **dict.fromkeys(
        ("verify_exp", "verify_nbf", "verify_iat", "verify_aud", "verify_iss", "verify_sub", "verify_jti"), False
    ),
}


class Tokens:
    """Recognises an issuer's tokens."""

    def __init__(
        self,
        settings: GuardSettings,
        *,
        now: Callable[[], float] = time.time,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """`now` gives seconds since 1970, `clock` those of a clock that only goes on."""
        self._issuer = Issuer(settings.oidc_issuer, settings.oidc_jwks)
        self._audience, self._now, self._clock = settings.oidc_audience, now, clock
        self.wake: Callable[[], object] = lambda: None
        """Asks whoever calls `refresh` to do it soon."""

        self._limits = CallerLimits(settings.oidc_rate or None, None, settings.oidc_concurrency or None)
        self._keys: Mapping[str | None, jwt.PyJWK] = {}
        self._asked = self._fetched = float("-inf")
        self._missed, self._failed = False, True
        self._known: dict[bytes, tuple[Principal, float]] = {}
        self._subjects: dict[str, Allowance] = {}

    def find(self, token: bytes) -> Principal:
        """Whose token this is. Raises `AccessError` `unauthenticated`, and `Unavailable` `not_ready`: see `refresh`."""
        if len(token) > MAX_TOKEN_BYTES:
            raise unauthenticated(f"expected a token of at most {MAX_TOKEN_BYTES} bytes")
        mark = hashlib.sha256(token).digest()
        known = self._known.get(mark)
        if known is not None:
            if self._now() < known[1]:
                return known[0]
            self._known.pop(mark, None)
        claims = self._verify(token)
        subject = claims["sub"]
        principal = Principal(f"subject:{subject}", _scopes(claims), self._allowance(subject))
        _remember(self._known, mark, (principal, float(claims["exp"])))
        return principal

    def refresh(self) -> bool:
        """Ask the issuer for its keys where that is due; whether they came. Waits for the network.

        A failure is logged; the keys that are known stay.
        """
        now = self._clock()
        due = self._missed or self._failed or now - self._fetched >= FRESH_SECONDS
        if not due or now - self._asked < RETRY_SECONDS:
            return False
        self._missed, self._asked = False, now
        try:
            self._keys = self._issuer.keys()
        except IssuerFailed as error:
            telemetry.log(logging.ERROR, {"event": "issuer", "error": str(error)})
            self._failed = True
            return False
        # What was signed by a key that has been withdrawn is verified anew, and refused.
        self._known = {}
        self._failed, self._fetched = False, self._clock()
        return True

    def _verify(self, token: bytes) -> dict[str, Any]:
        """The claims of a token that is good; each is checked here, the signature by the library."""
        try:
            key = self._key(jwt.get_unverified_header(token))
            claims: dict[str, Any] = jwt.decode(token, key, algorithms=ALGORITHMS, options=_SIGNATURE_ALONE)
        except jwt.InvalidAlgorithmError:
            raise _bad("it is not signed as its issuer's key says, by one of " + ", ".join(ALGORITHMS)) from None
        except jwt.InvalidSignatureError:
            raise _bad("its signature is not its issuer's") from None
        except (jwt.PyJWTError, ValueError, TypeError, AttributeError, KeyError, ArithmeticError, RecursionError):
            # The library's sentence may quote the token; and what a stranger nests deep enough is a RecursionError.
            raise unauthenticated(NEITHER) from None
        self._check_issuer(claims)
        self._check_times(claims)
        _check_subject(claims.get("sub"))
        return claims

    def _check_issuer(self, claims: Mapping[str, Any]) -> None:
        if claims.get("iss") != self._issuer.name:
            raise unauthenticated(f"expected a token of {redact.address(self._issuer.name)}")
        given = claims.get("aud")
        audiences = [given] if isinstance(given, str) else given
        if not isinstance(audiences, list) or not all(isinstance(item, str) for item in audiences):
            raise _bad("expected its aud to be a text or a list of texts")
        if self._audience not in audiences:
            raise unauthenticated(f"expected a token for the audience {self._audience!r}")

    def _check_times(self, claims: Mapping[str, Any]) -> None:
        now = self._now()
        if _seconds(claims, "exp") <= now - LEEWAY_SECONDS:
            raise AccessError("unauthenticated", "this token has expired", help="ask the issuer for a new one")
        for name, says in (("nbf", "it is not good yet"), ("iat", "it was issued in the future")):
            if name in claims and _seconds(claims, name) > now + LEEWAY_SECONDS:
                raise _bad(f"{says} by its {name}; clocks may differ by {LEEWAY_SECONDS:g} seconds")

    def _key(self, header: Mapping[str, Any]) -> jwt.PyJWK:
        keys, kid = self._keys, header.get("kid")
        if keys and self._clock() - self._fetched > STALE_SECONDS:
            raise Unavailable(
                "not_ready",
                "the issuer could not be asked for its keys for more than a day",
                help="the server's log says why; a key may have been withdrawn meanwhile",
                retry_after=RETRY_SECONDS,
            )
        found = keys.get(kid) if kid is not None else next(iter(keys.values())) if len(keys) == 1 else None
        if found is not None:
            return found
        if self._clock() - self._fetched < RETRY_SECONDS:
            raise unauthenticated("this token is signed by a key that its issuer does not publish")
        self._missed = True
        self.wake()
        raise Unavailable("not_ready", "the issuer's keys are on their way", retry_after=1.0)

    def _allowance(self, subject: str) -> Allowance:
        known = self._subjects.get(subject)
        if known is None:
            known = Allowance(self._limits)
            _remember(self._subjects, subject, known)
        return known


def _bad(why: str) -> AccessError:
    """The error of a token that its issuer has signed, or seems to have, and that is not good."""
    return unauthenticated(f"{NEITHER}: {why}")


def _seconds(claims: Mapping[str, Any], name: str) -> float:
    """A claim that is a time (RFC 7519: a JSON number, no text), in seconds since 1970."""
    found = claims.get(name)
    # Compared before it is converted: JSON has integers that no float holds, and Python's reader has NaN.
    if isinstance(found, bool) or not isinstance(found, int | float) or not 0 <= found <= LATEST:
        raise _bad(f"expected its {name} to be a number of seconds since 1970")
    return float(found)


def _check_subject(subject: Any) -> None:
    """One that names nobody would be everybody's: their limits would be one, and the log could not tell them apart."""
    if not isinstance(subject, str) or not subject.strip() or not subject.isprintable() or len(subject) > MAX_SUBJECT:
        raise _bad(f"expected its sub to be a printable text of 1 to {MAX_SUBJECT} characters")


def _scopes(claims: Mapping[str, Any]) -> list[str]:
    """Our scopes among the token's: `scope` (RFC 8693, words) or `scp` (words or a list), bare or after `fivefold:`."""
    given = claims.get("scope", claims.get("scp", ()))
    words = given.split() if isinstance(given, str) else given if isinstance(given, list) else ()
    named = {word.removeprefix("fivefold:") for word in words if isinstance(word, str)}
    return [scope for scope in SCOPES if scope in named]


def _remember(memory: dict[Any, Any], key: Any, value: Any) -> None:
    memory[key] = value
    if len(memory) > MAX_KNOWN:
        del memory[next(iter(memory))]
