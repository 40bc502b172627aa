"""`Guard`: one question for every transport, whose answer is a principal or an error.

    principal = guard.admit(headers.get(b"authorization"), headers.get(b"x-api-key"), "infer")
    try: …
    finally: principal.release()

A request costs a digest and two dictionary look-ups; a server without a guard does not come here at all. What changes
behind it (key files, an issuer's keys) is looked at by threads. Recognising callers is left to `keyring` and
`tokens`, their limits to `allowance`, which scope a route needs to the adapters.
"""

from __future__ import annotations

import logging
import threading
import traceback
from collections.abc import Callable
from typing import Final

from fivefold.core import telemetry
from fivefold.core.errors import AccessError
from fivefold.guard.keyring import Keyring
from fivefold.guard.keys import PREFIX, Scope
from fivefold.guard.principal import Principal, unauthenticated
from fivefold.guard.settings import GuardSettings

__all__ = ["Guard", "Principal"]

LOOK_SECONDS: Final = 1.0
"""How often the files are looked at, and so how long a revoked key may still open the door."""

_PREFIX: Final = PREFIX.encode()


class Guard:
    """Recognises callers and holds them to their scopes and limits. One thread, an event loop's, asks it."""

    def __init__(self, settings: GuardSettings, replicas: Callable[[], int] = lambda: 1) -> None:
        """Open the key files; raises `SettingsError`. `replicas` says how many processes share every limit just now.

        Nothing is looked at again until `start`, and no token is taken before the issuer's keys have come.
        """
        self._replicas = replicas
        self._keyring = Keyring(settings.keys) if settings.keys else None
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

        `authorization` is that header's value (a key or a token behind `Bearer`), `api_key` that of `x-api-key`, which
        counts where there is no other. Raises `AccessError` `unauthenticated` or `forbidden`, and `Unavailable`
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
            scheme, _, credential = authorization.partition(b" ")
            if scheme != b"Bearer" and scheme.lower() != b"bearer":
                raise unauthenticated("expected an authorization of the scheme Bearer, got another one")
            credential = credential.strip()
        elif api_key is not None:
            credential = api_key
        else:
            raise unauthenticated("expected an API key, got none" if self._keyring else "expected a token, got none")
        if credential.startswith(_PREFIX) and self._keyring is not None:
            return self._keyring.find(credential)
        if self._tokens is not None:
            return self._tokens.find(credential)
        raise unauthenticated("this API key is not known")

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
            except Exception as error:
                # A guard whose keys never change again would be worse than one line too many.
                said = "".join(traceback.format_exception(error))
                telemetry.log(logging.ERROR, {"event": "guard", "error": str(error), "exception": said})
            if not self._stopping:
                self.wake.wait(LOOK_SECONDS)
