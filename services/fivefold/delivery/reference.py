"""A model reference: where a bundle is kept, and which bundle it has to be.

    bundles/demo                                    a directory or a .tar on this machine
    file:///srv/demo.tar#sha256=DIGEST              the same; the digest is optional
    https://host/path/demo.tar#sha256=DIGEST        a .tar elsewhere: the digest is required
    s3://bucket/path/demo.tar#sha256=DIGEST
    gs://bucket/path/demo.tar#sha256=DIGEST

DIGEST is the bundle's identity, the sha256 of its bundle.json, as `fivefold bundle show` prints it; it is not that of
the `.tar`. Nothing is read here: that is left to `fivefold.delivery.fetch`.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import SplitResult, unquote, urlsplit

from fivefold.core import redact
from fivefold.core.errors import BundleInvalid
from fivefold.core.settings import is_loopback

REMOTE = ("https", "http", "s3", "gs")

HELP_DIGEST = "append #sha256=DIGEST; DIGEST is what `fivefold bundle show` prints for the bundle"

_MARK = "#sha256="
_DIGEST = re.compile(r"[0-9a-f]{64}\Z")
_SCHEME = re.compile(r"([A-Za-z][A-Za-z0-9+.\-]*)://")


@dataclass(frozen=True, slots=True)
class Reference:
    """A parsed reference. `scheme` is `file` or one of `REMOTE`, `place` a path or the URL without the digest."""

    scheme: str
    place: str = field(repr=False)
    digest: str | None = None

    @classmethod
    def parse(cls, text: str) -> Reference:
        """Read a reference; raises `BundleInvalid` where it is none, or names no digest although it is remote."""
        place, digest = _cut(text)
        match = _SCHEME.match(place)
        if match is None:
            if not place:
                raise BundleInvalid("expected a path or a URL of a bundle, got nothing")
            return cls("file", place, digest)
        scheme = match[1].lower()
        if scheme == "file":
            return cls("file", _local(place), digest)
        if scheme not in REMOTE:
            known = "a path, file, https, s3 or gs"
            raise BundleInvalid(f"expected {known}, got a URL of {scheme!r}", help=f"example: {_EXAMPLE}")
        found = cls(scheme, place, digest)
        found._check()
        if digest is None:
            raise BundleInvalid(f"{found.shown}: a bundle from elsewhere is asked for by its digest", help=HELP_DIGEST)
        return found

    @property
    def local(self) -> bool:
        """Whether the bundle is on this machine's file system."""
        return self.scheme == "file"

    @property
    def shown(self) -> str:
        """The place as a message may show it: without a URL's query, which may be a signature that grants access."""
        return redact.address(self.place)

    @property
    def name(self) -> str:
        """The last part of the place, for a line that a person reads."""
        return self.shown.rstrip("/").rpartition("/")[2]

    @property
    def bucket(self) -> tuple[str, str]:
        """Bucket and key of an `s3` or `gs` reference; the key is taken as it stands, without decoding."""
        bucket, _, key = self.place.partition("://")[2].partition("/")
        return bucket, key

    @property
    def plain_http(self) -> bool:
        """Whether the bytes would cross a network unencrypted."""
        return self.scheme == "http" and not is_loopback(urlsplit(self.place).hostname or "")

    def absolute(self) -> Reference:
        """The same reference for a process with another working directory."""
        return Reference("file", str(Path(self.place).resolve()), self.digest) if self.local else self

    def __str__(self) -> str:
        return f"{self.place}{_MARK}{self.digest}" if self.digest else self.place

    def _check(self) -> None:
        parts = _split(self.place, self.shown)
        if self.scheme in ("s3", "gs"):
            if not all(self.bucket) or "?" in self.place:
                raise BundleInvalid(f"{self.shown}: expected {self.scheme}://BUCKET/KEY")
            return
        if "@" in parts.netloc:
            # The text would stand in logs and in the cluster's objects.
            raise BundleInvalid(
                f"{self.shown}: a reference holds no user and password",
                help="use a presigned URL, or s3:// or gs:// with credentials from the environment",
            )
        if not parts.hostname or parts.path in ("", "/"):
            raise BundleInvalid(f"{self.shown}: expected {self.scheme}://HOST/PATH of a .tar")


_EXAMPLE = "https://host/path/demo.tar#sha256=DIGEST"


def _cut(text: str) -> tuple[str, str | None]:
    place, mark, digest = text.rpartition(_MARK)
    if not mark:
        if "#" in text and _SCHEME.match(text):
            mark = redact.address(text.partition("#")[2][:80])
            raise BundleInvalid(f"{redact.address(text)}: expected {_MARK}DIGEST, got #{mark}", help=HELP_DIGEST)
        return text, None
    digest = digest.lower()
    if not _DIGEST.match(digest):
        got = redact.address(digest[:80])
        raise BundleInvalid(f"expected 64 hexadecimal digits behind {_MARK}, got {got!r}", help=HELP_DIGEST)
    return place, digest


def _local(url: str) -> str:
    shown = redact.address(url)
    parts = _split(url, shown)
    if parts.netloc not in ("", "localhost") or not parts.path.startswith("/") or parts.query:
        raise BundleInvalid(f"{shown}: expected file:///ABSOLUTE/PATH")
    return unquote(parts.path)


def _split(url: str, shown: str) -> SplitResult:
    try:
        parts = urlsplit(url)
        _ = parts.port
        return parts
    except ValueError:
        # Its words may quote a part of what it could not read, such as half of a password.
        raise BundleInvalid(f"{shown}: not a URL") from None
