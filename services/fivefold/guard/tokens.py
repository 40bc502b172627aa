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

from fivefold.core import telemetry
from fivefold.core.errors import AccessError, Unavailable
from fivefold.guard.allowance import Allowance, Limits
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

MAX_KNOWN: Final = 10_000
"""Tokens and subjects that are remembered; the oldest are forgotten, and verified anew."""


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

        self._limits = Limits(settings.oidc_rate or None, None, settings.oidc_concurrency or None)
        self._keys: Mapping[str | None, jwt.PyJWK] = {}
        self._asked = self._fetched = float("-inf")
        self._missed, self._failed = False, True
        self._known: dict[bytes, tuple[Principal, float]] = {}
        self._subjects: dict[str, Allowance] = {}

    def find(self, token: bytes) -> Principal:
        """Whose token this is. Raises `AccessError` `unauthenticated`, and `Unavailable` `not_ready`: see `refresh`."""
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
        try:
            key = self._key(jwt.get_unverified_header(token))
            claims: dict[str, Any] = jwt.decode(
                token,
                key,
                algorithms=ALGORITHMS,
                audience=self._audience,
                issuer=self._issuer.name,
                leeway=LEEWAY_SECONDS,
                options={"require": ["exp", "iss", "aud", "sub"]},
            )
        except jwt.ExpiredSignatureError:
            raise AccessError(
                "unauthenticated", "this token has expired", help="ask the issuer for a new one"
            ) from None
        except jwt.InvalidAudienceError:
            raise unauthenticated(f"expected a token for the audience {self._audience!r}") from None
        except jwt.InvalidIssuerError:
            raise unauthenticated(f"expected a token of {self._issuer.name}") from None
        except (jwt.PyJWTError, ValueError):
            # The library's sentence may quote the token.
            raise unauthenticated("this is neither a known API key nor a valid token") from None
        return claims

    def _key(self, header: Mapping[str, Any]) -> jwt.PyJWK:
        keys, kid = self._keys, header.get("kid")
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
