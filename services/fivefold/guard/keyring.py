"""The API keys that a server knows, kept in step with their files.

A key is checked anew for every request, which takes a microsecond: so nothing that was accepted once outlives its
revocation, and no secret stays in memory. A look at the files that fails is made again at the next turn, and where none
has succeeded for `max_age`, no key is taken any more: who cannot learn of a revocation must not go on as if there
was none. When to look at the files is left to `Guard`, their form to `keys`.
"""

from __future__ import annotations

import hmac
import logging
import math
import os
import secrets
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Final, NamedTuple

from fivefold.core import telemetry
from fivefold.core.errors import AccessError, Unavailable
from fivefold.core.settings import SettingsError
from fivefold.guard import keys
from fivefold.guard.allowance import Allowance, CallerLimits
from fivefold.guard.principal import Principal, unauthenticated

MAX_KEY_BYTES: Final = 256
"""Longer texts are no keys, and are not worth hashing."""

MAX_FILE_BYTES: Final = 16 * 1024 * 1024

CLOSED_SECONDS: Final = 10.0
"""What a caller is asked to wait while the files cannot be read: a person has to mend that."""

Mark = tuple[object, ...]
"""What tells one state of the files from another without reading them."""


class _Key(NamedTuple):
    salt: bytes
    digest: bytes
    expires: float
    principal: Principal


class Keyring:
    """The keys of one file, or of all `*.json` of a directory."""

    def __init__(
        self,
        path: str | os.PathLike[str],
        now: Callable[[], float] = time.time,
        *,
        max_age: float = math.inf,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """Read the files; raises `SettingsError` where there are none or one of them cannot be used.

        `now` gives seconds since 1970, `clock` those of a clock that only goes on. `max_age` is in seconds.
        """
        self._path = Path(path)
        self._now, self._clock = now, clock
        self.max_age = max_age
        """For how long the keys hold without a look at the files that succeeds."""

        # What a key that is not known is compared with, so that it takes as long as one that is.
        self._nobody = _Key(
            secrets.token_bytes(16), secrets.token_bytes(32), 0.0, Principal("", (), Allowance(CallerLimits()))
        )
        self._keys: dict[bytes, _Key] = {}
        self.trouble = ""
        """What is wrong with the files as they are now, where the keys are older ones."""

        self._closed = False
        self._looked = clock()
        try:
            self._seen = self._mark()
            self._keys = self._read()
        except OSError as error:
            raise SettingsError(f"keys: cannot read {error.filename or path}: {error.strerror}") from None

    def find(self, key: bytes) -> Principal:
        """Whose key this is.

        Raises `AccessError` `unauthenticated` for one that is not known, or not any more, and `Unavailable` `not_ready`
        where the keys are older than `max_age`.
        """
        if len(key) > MAX_KEY_BYTES:
            raise unauthenticated("this API key is not known")
        id, _, secret = key[len(keys.PREFIX) :].partition(b"_")
        known = self._keys.get(id, self._nobody)
        if not hmac.compare_digest(keys.digest(known.salt, secret), known.digest):
            raise unauthenticated("this API key is not known")
        if self._now() >= known.expires:
            raise AccessError("unauthenticated", "this API key has expired", help="ask for a new one")
        if self.age() > self.max_age:
            raise Unavailable(
                "not_ready",
                f"the server could not read its API keys for more than {self.max_age:g} seconds",
                help="its log says why; a key may have been revoked meanwhile",
                retry_after=CLOSED_SECONDS,
            )
        return known.principal

    def age(self) -> float:
        """Seconds since the files were last read, or seen to be as they were read."""
        return self._clock() - self._looked

    def refresh(self) -> bool:
        """Read the files where they have changed; whether they had. What cannot be used is logged, and changes nothing
        but `age`; the next call tries again.

        A rename, a symlink that points elsewhere (as the kubelet updates a Secret) and a write in place are seen alike.
        """
        begun = self._clock()
        try:
            mark = self._mark()
            changed = mark != self._seen
            # After trouble the files are read even where they are again what they were: they are known to be readable.
            if changed or self.trouble:
                found = self._read()
                # The mark of before the reading: what changed meanwhile is then seen next time.
                self._keys, self._seen = found, mark
        except (OSError, SettingsError) as error:
            self._tell(
                f"{error.filename or self._path}: {error.strerror}" if isinstance(error, OSError) else str(error)
            )
            return False
        self._looked = begun
        if changed or self.trouble:
            telemetry.log(logging.INFO, {"event": "keys", "keys": len(self._keys)})
        self.trouble, self._closed = "", False
        return changed

    def _tell(self, trouble: str) -> None:
        """Log trouble when it begins, when it becomes another one, and when no key is taken any more."""
        if trouble != self.trouble:
            telemetry.log(logging.ERROR, {"event": "keys", "error": f"the API keys stay as they were: {trouble}"})
        self.trouble = trouble
        if not self._closed and self.age() > self.max_age:
            self._closed = True
            message = f"the API keys are {self.age():.0f} s old and are taken no more: {trouble}"
            telemetry.log(logging.ERROR, {"event": "keys", "error": message})

    def __len__(self) -> int:
        return len(self._keys)

    def _files(self) -> Iterator[Path]:
        if not self._path.is_dir():
            yield self._path
            return
        found = sorted(item for item in self._path.iterdir() if item.suffix == ".json" and item.name[0] != ".")
        if not found:
            raise SettingsError(f"keys: expected files *.json in {self._path}, got none")
        yield from found

    def _mark(self) -> Mark:
        def state(path: Path) -> tuple[object, ...]:
            found = path.stat()
            return path.name, found.st_dev, found.st_ino, found.st_size, found.st_mtime_ns, found.st_ctime_ns

        return tuple(state(path) for path in self._files())

    def _read(self) -> dict[bytes, _Key]:
        entries: dict[str, keys.Entry] = {}
        for path in self._files():
            with path.open("rb") as file:
                data = file.read(MAX_FILE_BYTES + 1)
            if len(data) > MAX_FILE_BYTES:
                raise SettingsError(f"{path}: expected at most {MAX_FILE_BYTES} bytes")
            for entry in keys.parse(data, str(path)).keys:
                if entry.id in entries:
                    raise SettingsError(f"{path}: the key {entry.id} is in another file too")
                entries[entry.id] = entry
        # From here on nothing fails: what was known changes as a whole, or not at all.
        return {entry.id.encode(): self._key(entry) for entry in entries.values()}

    def _key(self, entry: keys.Entry) -> _Key:
        """The key of an entry. One that was known goes on with what it has in work and has used up."""
        limits = CallerLimits(entry.rate, entry.burst, entry.concurrency)
        before = self._keys.get(entry.id.encode())
        allowance = before.principal.allowance if before else Allowance(limits)
        allowance.limits = limits
        expires = keys.timestamp(entry.expires) if entry.expires else float("inf")
        principal = Principal(f"key:{entry.id}", entry.scopes, allowance)
        return _Key(bytes.fromhex(entry.salt), bytes.fromhex(entry.sha256), expires, principal)
