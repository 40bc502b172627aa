"""Where a device finds releases: its hub, over HTTP, or a directory, such as a stick's.

Both give signed descriptors and an archive's bytes from an offset on, and are trusted with neither: what comes is held
against signature and hashes by whoever asks (`updater`, `archive_download`). A hub's redirects are not followed, and
its key goes to no other address.
"""

from __future__ import annotations

import base64
import binascii
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, Protocol
from urllib.parse import urlsplit

import httpx
import msgspec

from fivefold.core import redact
from fivefold.core.bundle.signature import SIGNATURE_BYTES
from fivefold.core.errors import AccessError, BundleInvalid, FivefoldError, NotFound, Unavailable
from fivefold.core.settings import SettingsError, is_loopback
from fivefold.edge.updates.descriptor import ARCHIVE, MAX_DESCRIPTOR, RELEASE, RELEASE_SIGNATURE, ReleaseDescriptor

MAX_ANSWER: Final = 16 << 20
"""Bytes of the list of releases."""
MAX_MODELS: Final = 256
READ: Final = 64 << 10
SECONDS: Final = 30.0

_RANGE = re.compile(r"bytes (\d{1,15})-(\d{1,15})/(\d{1,15}|\*)\Z")


@dataclass(frozen=True, slots=True)
class OfferedRelease:
    """A release as it came, not yet verified: the bytes of release.json and of release.sig."""

    raw: bytes
    signature: bytes
    place: Path | None = None
    """The directory that it stands in, where it is one."""


class ReleaseSource(Protocol):
    """Releases, and the archives of those that were verified."""

    def offers(self) -> list[OfferedRelease] | None:
        """What is offered now; None where that is what it was. Raises `FivefoldError`."""

    def archive(self, offer: OfferedRelease, descriptor: ReleaseDescriptor, start: int) -> Iterator[bytes]:
        """The archive's bytes from `start` on, in pieces as they come; raises `Unavailable` where they break off."""


class DirectorySource:
    """A directory with the three files of a release, or with directories that each hold them."""

    def __init__(self, directory: str | Path) -> None:
        self._directory = Path(directory)

    def offers(self) -> list[OfferedRelease]:
        try:
            places = [self._directory, *sorted(self._directory.iterdir())]
            found = [place for place in places if place.is_dir() and (place / RELEASE).is_file()][:MAX_MODELS]
        except OSError as err:
            raise NotFound("not_found", f"cannot read {self._directory}: {err.strerror}") from err
        if not found:
            raise NotFound(
                "not_found",
                f"there is no release in {self._directory}",
                help=f"a release is {RELEASE}, {RELEASE_SIGNATURE} and {ARCHIVE}, here or in a directory below",
            )
        return [
            OfferedRelease(
                _read(place / RELEASE, MAX_DESCRIPTOR), _read(place / RELEASE_SIGNATURE, SIGNATURE_BYTES), place
            )
            for place in found
        ]

    def archive(self, offer: OfferedRelease, descriptor: ReleaseDescriptor, start: int) -> Iterator[bytes]:  # noqa: ARG002  # one archive a directory
        path = (offer.place or self._directory) / ARCHIVE
        try:
            with path.open("rb") as file:
                file.seek(start)
                while piece := file.read(READ):
                    yield piece
        except OSError as err:
            raise Unavailable("not_ready", f"cannot read {path}: {err.strerror}") from err


class _Model(msgspec.Struct, frozen=True):
    model: str
    release: int
    descriptor: str
    signature: str


class _Models(msgspec.Struct, frozen=True):
    models: list[_Model]


class HubSource:
    """The releases that a hub offers to a device. Not for several threads at a time."""

    def __init__(
        self, url: str, device: str, key: str, *, allow_http: bool = False, seconds: float = SECONDS, verify: Any = True
    ) -> None:
        """`seconds` bounds each step of a request; `verify` is httpx's. Raises `SettingsError` for a URL that would
        show the key to everybody on the way."""
        try:
            parts = urlsplit(url)
            _ = parts.port
        except ValueError:
            raise SettingsError(f"hub: expected an http or https URL, got {redact.address(url)}") from None
        if parts.scheme not in ("https", "http") or not parts.hostname or parts.query or parts.fragment:
            raise SettingsError(f"hub: expected an http or https URL, got {redact.address(url)}")
        if parts.scheme == "http" and not allow_http and not is_loopback(parts.hostname):
            raise SettingsError(f"hub: {redact.address(url)} is not https: everybody on the way would see the key")
        self._shown = redact.address(url)
        self._client = httpx.Client(
            base_url=f"{url.rstrip('/')}/v1/edge/{device}/",
            headers={"authorization": f"Bearer {key}", "user-agent": "fivefold"},
            timeout=seconds,
            follow_redirects=False,
            verify=verify,
        )
        self._etag: str | None = None

    def offers(self) -> list[OfferedRelease] | None:
        """Asks with the tag of the last answer that could be read."""
        headers = {"if-none-match": self._etag} if self._etag else {}
        try:
            with self._client.stream("GET", "models", headers=headers) as answer:
                if answer.status_code == httpx.codes.NOT_MODIFIED and self._etag:
                    return None
                self._check(answer, httpx.codes.OK)
                raw = bytearray()
                for piece in answer.iter_bytes(READ):
                    raw += piece
                    if len(raw) > MAX_ANSWER:
                        raise self._lies(f"a list of more than {MAX_ANSWER:,} bytes")
        except httpx.HTTPError as err:
            raise self._away(err) from err
        try:
            found = msgspec.json.decode(raw, type=_Models).models[:MAX_MODELS]
            offers = [
                OfferedRelease(base64.b64decode(one.descriptor, validate=True), base64.b64decode(one.signature))
                for one in found
            ]
        except (msgspec.MsgspecError, binascii.Error, UnicodeError, ValueError, RecursionError) as err:
            raise self._lies(f"a list of releases that is none: {err}") from err
        self._etag = answer.headers.get("etag")
        return offers

    def archive(self, offer: OfferedRelease, descriptor: ReleaseDescriptor, start: int) -> Iterator[bytes]:  # noqa: ARG002  # a hub knows archives by their hash
        size = descriptor.archive.size
        # Compressed in transit, the offsets would be those of other bytes.
        headers = {"accept-encoding": "identity", "range": f"bytes={start}-{size - 1}"}
        try:
            with self._client.stream("GET", f"archives/{descriptor.archive.sha256}", headers=headers) as answer:
                skip = 0
                if answer.status_code == httpx.codes.OK:
                    skip = start
                else:
                    self._check(answer, httpx.codes.PARTIAL_CONTENT)
                    part = _RANGE.match(answer.headers.get("content-range", ""))
                    if part is None or int(part[1]) != start or part[3] not in ("*", str(size)):
                        raise self._lies(f"another range than bytes {start}-{size - 1}/{size}")
                for piece in answer.iter_raw():
                    rest = piece[skip:]
                    skip = max(0, skip - len(piece))
                    if rest:
                        yield rest
        except httpx.HTTPError as err:
            raise self._away(err) from err

    def close(self) -> None:
        self._client.close()

    def _check(self, answer: httpx.Response, wanted: int) -> None:
        status = answer.status_code
        if status == wanted:
            return
        said = f"the hub {self._shown} answers {status}"
        help = "see which key this device has: fivefold hub device list"
        raise {
            401: AccessError("unauthenticated", said, help=help),
            403: AccessError("forbidden", said, help=help),
            404: NotFound("not_found", said),
        }.get(status) or Unavailable("not_ready", said, retry_after=_seconds(answer.headers.get("retry-after")))

    def _lies(self, what: str) -> FivefoldError:
        return BundleInvalid(f"the hub {self._shown} answers with {what}")

    def _away(self, err: httpx.HTTPError) -> Unavailable:
        # The text of httpx's errors may hold the address.
        return Unavailable("not_ready", f"the hub {self._shown} cannot be reached: {type(err).__name__}")


def _seconds(text: str | None) -> float | None:
    """A Retry-After in seconds, at most an hour; None for a date or nonsense."""
    return min(float(text), 3600.0) if text and text.isascii() and text.isdigit() else None


def _read(path: Path, limit: int) -> bytes:
    try:
        with path.open("rb") as file:
            return file.read(limit + 1)
    except OSError as err:
        raise BundleInvalid(f"cannot read {path}: {err.strerror}", path=path.name) from err
