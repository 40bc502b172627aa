"""`Guard`: one question for every transport, whose answer is a principal or an error.

    principal = guard.admit(headers.get(b"authorization"), headers.get(b"x-api-key"), "infer")
    try: …
    finally: principal.release()

A request costs a digest and two dictionary look-ups; a server without a guard does not come here at all. What changes
behind it (key files, an issuer's keys) is looked at by threads. Recognising callers is left to `keyring` and
`tokens`, their limits to `allowance`, the slowing of failed attempts to `attempts`, which scope a route needs to the
adapters; so is saying whether a request shows more than one credential, for only they see all of it.
"""

from __future__ import annotations

import logging
import threading
import traceback
from collections.abc import Callable, Iterable
from typing import Final

from fivefold.core import redact, telemetry
from fivefold.core.errors import AccessError, FivefoldError
from fivefold.guard.attempts import Attempts
from fivefold.guard.keyring import Keyring
from fivefold.guard.keys import PREFIX, Scope
from fivefold.guard.peers import Peers
from fivefold.guard.principal import Principal, unauthenticated
from fivefold.guard.settings import GuardSettings

__all__ = ["Guard", "Principal"]

LOOK_SECONDS: Final = 1.0
"""How often the files are looked at, and so how long a revoked key may still be taken."""

_PREFIX: Final = PREFIX.encode()


class Guard:
    """Recognises callers and holds them to their scopes and limits. One thread, an event loop's, asks it."""

    def __init__(self, settings: GuardSettings, replicas: Callable[[], int] = lambda: 1) -> None:
        """Open the key files; raises `SettingsError`. `replicas` says how many processes share every limit just now.

        Nothing is looked at again until `start`, and no token is taken before the issuer's keys have come.
        """
        self._replicas = replicas
        self.peers = Peers(settings.trusted_proxies)
        self._attempts = Attempts()
        self._keyring = Keyring(settings.keys, max_age=settings.keys_max_age) if settings.keys else None
        self._watches: list[_Watch] = []
        if self._keyring is not None:
            self._watches.append(_Watch(self._keyring.refresh))
        self._tokens = None
        if settings.oidc_issuer:
            from fivefold.guard.tokens import Tokens

            self._tokens = Tokens(settings)
            # One thread each: an issuer that does not answer must not keep a revoked key alive.
            watch = _Watch(self._tokens.refresh)
            self._tokens.wake = watch.wake.set
            self._watches.append(watch)

    @classmethod
    def of(cls, settings: GuardSettings, replicas: Callable[[], int] = lambda: 1) -> Guard | None:
        """The guard that the settings ask for; None where they name neither keys nor an issuer."""
        return cls(settings, replicas) if settings.guarded else None

    def admit(self, authorization: bytes | None, api_key: bytes | None, scope: Scope) -> Principal:
        """Let one request in: `release` what this gives when it has ended.

        `authorization` is that header's value (a key or a token behind `Bearer`), `api_key` that of `x-api-key`; only
        one of them may be there. Raises `AccessError` `unauthenticated` or `forbidden`, and `Unavailable`
        `rate_limited`, or `not_ready` while an issuer's keys are on their way.
        """
        principal = self.identify(authorization, api_key, scope)
        principal.allowance.enter(max(1, self._replicas()))
        return principal

    def identify(self, authorization: bytes | None, api_key: bytes | None, scope: Scope) -> Principal:
        """`admit` without counting: nothing to release. For what is open longer than it works, such as a stream."""
        principal = self._recognise(authorization, api_key)
        if scope not in principal.scopes:
            raise AccessError(
                "forbidden",
                f"expected the scope {scope!r}, got {' '.join(sorted(principal.scopes)) or 'none'}",
                help=f"ask for a key or a token with the scope {scope}",
            )
        return principal

    def _recognise(self, authorization: bytes | None, api_key: bytes | None) -> Principal:
        if authorization is not None:
            if api_key is not None:
                raise several()
            scheme, _, credential = authorization.partition(b" ")
            if scheme != b"Bearer" and scheme.lower() != b"bearer":
                if b",bearer " in authorization.lower().replace(b", ", b","):
                    raise several()
                raise unauthenticated("expected an authorization of the scheme Bearer, got another one")
            credential = credential.strip()
        elif api_key is not None:
            credential = api_key.strip()
        else:
            raise unauthenticated("expected an API key, got none" if self._keyring else "expected a token, got none")
        # No credential holds any of these; lists of them do, as some proxies and clients join headers.
        if b"," in credential or b" " in credential or b";" in credential or b"\t" in credential:
            raise several()
        if credential.startswith(_PREFIX) and self._keyring is not None:
            return self._keyring.find(credential)
        if self._tokens is not None:
            return self._tokens.find(credential)
        raise unauthenticated("this API key is not known")

    def refused(self, error: FivefoldError, peer: str, forwarded: Iterable[bytes | str] = ()) -> FivefoldError:
        """The error to answer in place of one that `admit` or `identify` raised for a request with a credential.

        `peer` is the other end of its connection, `forwarded` the values of its `x-forwarded-for`. A failed attempt
        counts against that address; after some of them it is `Unavailable` `rate_limited`, whatever was shown. Requests
        without any credential are no attempts, and other errors stay as they are.
        """
        return self._attempts.refused(error, lambda: self.peers.client(peer, forwarded))

    @property
    def has_keys(self) -> bool:
        """Whether API keys are taken."""
        return self._keyring is not None

    def keys_age(self) -> float:
        """Seconds since the key files were last known to be as they are served; 0 where there are none."""
        return self._keyring.age() if self._keyring is not None else 0.0

    def look(self) -> None:
        """Read key files that have changed and the issuer's keys where they are due; waits for disk and network.

        `start` does it again and again; who does not start a thread calls it.
        """
        for watch in self._watches:
            watch.look()

    def start(self) -> None:
        """Begin to look at what changes, in threads that do not hold up the end of the process."""
        for watch in self._watches:
            watch.start()

    def close(self) -> None:
        """End the threads, at the latest when a question to the issuer has been answered or has timed out."""
        for watch in self._watches:
            watch.stop()
        for watch in self._watches:
            if watch.is_alive():
                watch.join()


def several() -> AccessError:
    """The error of a request with more than one credential: which of them counts would be anybody's guess."""
    return AccessError(
        "unauthenticated",
        "expected one credential, got several",
        help="send either one authorization: Bearer KEY or one x-api-key: KEY",
    )


class _Watch(threading.Thread):
    """Calls `look` every `LOOK_SECONDS`, and at once when `wake` is set."""

    def __init__(self, look: Callable[[], object]) -> None:
        super().__init__(name="fivefold-guard", daemon=True)
        self.look = look
        self.wake = threading.Event()
        self._stopping = False

    def stop(self) -> None:
        """End after the look that has begun."""
        self._stopping = True
        self.wake.set()

    def run(self) -> None:
        while not self._stopping:
            self.wake.clear()
            try:
                self.look()
            except BaseException as error:
                # A guard whose keys never change again would be worse than one line too many; nothing that a look
                # raises, SystemExit included, means this thread.
                trace = redact.text("".join(traceback.format_exception(error)))
                telemetry.log(logging.ERROR, {"event": "guard", "error": str(error), "exception": trace})
            if not self._stopping:
                self.wake.wait(LOOK_SECONDS)
