"""API keys at rest: the text of a key, the file that knows it only by its digest, and how both are made.

    ff_<id>_<secret>     the key, as its owner has it: 8 hexadecimal digits, then 256 random bits as URL-safe base64
    keys.json            {"format": 1, "keys": [{"id", "name", "salt", "sha256", "scopes", …}]}

The digest is SHA-256 over salt and secret. Slow password hashes exist because people choose guessable passwords; 256
random bits cannot be guessed at any speed, and a slow hash would be paid by every request. The salt keeps digests of
different files from being compared. Holding a server's keys while it runs is left to `keyring`.
"""

from __future__ import annotations

import datetime as dt
import fcntl
import hashlib
import math
import os
import re
import secrets
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Final, Literal

import msgspec

from fivefold.core.atomic import replace_file
from fivefold.core.settings import SettingsError

PREFIX: Final = "ff_"
"""What every key begins with, so that secret scanners and people recognise one."""

SCOPES: Final = ("infer", "bundles", "admin", "sync")
"""Ask models and read contracts; read the bundles' files, the model and its golden rows among them; load and unload
models; bring in what devices have collected. A key has what it was given and no more: `bundles` alone asks nothing."""

Scope = Literal["infer", "bundles", "admin", "sync"]

SECRET_BYTES: Final = 32

_ID = re.compile(r"[0-9a-f]{8}", re.ASCII)
_HEX = re.compile(r"([0-9a-f]{2})+", re.ASCII)
_SPAN = re.compile(r"([1-9][0-9]{0,5})([smhd])", re.ASCII)
_SECONDS: Final = {"s": 1, "m": 60, "h": 3600, "d": 86400}


class Entry(msgspec.Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True, kw_only=True):
    """What a file knows of one key; checked when it is decoded or built by `make`."""

    id: str
    name: str
    salt: str
    """Hexadecimal, as is the digest."""

    sha256: str
    scopes: tuple[Scope, ...]
    rate: float | None = None
    """Requests a second, all replicas together."""

    burst: float | None = None
    """How many may come at once after a pause; one second's worth where it is not given."""

    concurrency: int | None = None
    """Requests in work at once, all replicas together."""

    expires: str | None = None
    """RFC 3339, with an offset."""

    def __post_init__(self) -> None:
        # msgspec turns a ValueError from here into its own error, with the path of the entry. Nothing quotes a value.
        if not _ID.fullmatch(self.id):
            raise ValueError("expected an id of 8 hexadecimal digits")
        if not self.name or len(self.name) > 128 or not self.name.isprintable():
            raise ValueError("expected a printable name of 1 to 128 characters")
        if not _HEX.fullmatch(self.salt) or len(self.salt) < 32:
            raise ValueError("expected a salt of at least 16 bytes, hexadecimal")
        if not _HEX.fullmatch(self.sha256) or len(self.sha256) != 64:
            raise ValueError("expected a sha256 of 32 bytes, hexadecimal")
        if not self.scopes:
            raise ValueError("expected at least one scope")
        if self.rate is not None and not (math.isfinite(self.rate) and self.rate > 0):
            raise ValueError("expected a rate above 0")
        if self.burst is not None and (self.rate is None or not (math.isfinite(self.burst) and self.burst >= 1)):
            raise ValueError("expected a burst of at least 1, beside a rate")
        if self.concurrency is not None and self.concurrency < 1:
            raise ValueError("expected a concurrency of at least 1")
        if self.expires is not None:
            timestamp(self.expires)


class File(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The whole content of a keys file."""

    format: Literal[1]
    keys: tuple[Entry, ...]

    def __post_init__(self) -> None:
        ids = [entry.id for entry in self.keys]
        if len(set(ids)) < len(ids):
            raise ValueError("expected every id once")

    def to_bytes(self) -> bytes:
        """The file as text for people."""
        return msgspec.json.format(msgspec.json.encode(self), indent=2) + b"\n"


def make(
    name: str,
    scopes: Sequence[str] = ("infer",),
    *,
    rate: float | None = None,
    burst: float | None = None,
    concurrency: int | None = None,
    expires: str | None = None,
) -> tuple[str, Entry]:
    """A new key and its entry; the key's text is nowhere else. Raises `SettingsError` for values no entry may have."""
    id, secret, salt = secrets.token_hex(4), secrets.token_urlsafe(SECRET_BYTES), secrets.token_bytes(16)
    given = {
        "id": id,
        "name": name,
        "salt": salt.hex(),
        "sha256": digest(salt, secret.encode()).hex(),
        "scopes": tuple(dict.fromkeys(scopes)),
        "rate": rate,
        "burst": burst,
        "concurrency": concurrency,
        "expires": expires,
    }
    try:
        entry = msgspec.convert(given, Entry)
    except msgspec.ValidationError as error:
        raise SettingsError(str(error)) from None
    return f"{PREFIX}{id}_{secret}", entry


def digest(salt: bytes, secret: bytes) -> bytes:
    """What a file holds in a secret's place."""
    return hashlib.sha256(salt + secret).digest()


def timestamp(text: str) -> float:
    """The seconds since 1970 of an RFC 3339 time; raises `ValueError`."""
    try:
        moment = dt.datetime.fromisoformat(text)
    except ValueError:
        moment = None
    if moment is None or moment.tzinfo is None or len(text) < len("2030-01-01T00:00Z"):
        raise ValueError("expected a time such as 2030-01-31T12:00:00Z")
    return moment.timestamp()


def expiry(text: str, now: dt.datetime | None = None) -> str:
    """`90d`, `12h`, `30m` or `45s` from now, or an RFC 3339 time, as the latter; raises `SettingsError`."""
    span = _SPAN.fullmatch(text)
    if span is None:
        try:
            timestamp(text)
        except ValueError as error:
            raise SettingsError(f"{error}, or a span such as 90d, got {text!r}") from None
        return text
    seconds = int(span[1]) * _SECONDS[span[2]]
    moment = (now or dt.datetime.now(dt.UTC)) + dt.timedelta(seconds=seconds)
    return moment.isoformat(timespec="seconds").replace("+00:00", "Z")


def parse(data: bytes, where: str) -> File:
    """The content of a keys file; raises `SettingsError`, which names the file and the place in it, never a value."""
    try:
        return msgspec.json.decode(data, type=File)
    except msgspec.MsgspecError as error:
        raise SettingsError(f"{where}: not a file of API keys: {error}") from None


def load(path: Path) -> File:
    """A keys file, or an empty one where there is none. Raises `SettingsError` and `OSError`."""
    try:
        return parse(path.read_bytes(), str(path))
    except FileNotFoundError:
        return File(1, ())


def add(path: Path, entry: Entry) -> None:
    """Write an entry into a file, which is made where there is none. Raises `SettingsError` and `OSError`."""
    with _alone(path):
        _write(path, (*load(path).keys, entry))


def remove(path: Path, id: str) -> Entry | None:
    """Take the entry with that id out of a file and give it; None where there is none."""
    with _alone(path):
        entries = load(path).keys
        found = next((entry for entry in entries if entry.id == id), None)
        if found is not None:
            _write(path, tuple(entry for entry in entries if entry is not found))
    return found


def _write(path: Path, entries: tuple[Entry, ...]) -> None:
    replace_file(path, File(1, entries).to_bytes(), mode=0o600)


@contextmanager
def _alone(path: Path) -> Iterator[None]:
    """Two commands that change a file at once would lose one's change: the second one waits."""
    directory = os.open(path.parent, os.O_RDONLY)
    try:
        fcntl.flock(directory, fcntl.LOCK_EX)
        yield
    finally:
        os.close(directory)
