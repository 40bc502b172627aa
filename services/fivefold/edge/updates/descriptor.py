"""release.json and release.sig: which bundle a device is to serve, under which number, signed by who publishes models.

    release.json   model, release number, version, the bundle's digest, its archive and the hashes of its chunks
    release.sig    the 64 bytes of an Ed25519 signature (RFC 8032) over release.json's bytes
    bundle.tar     the archive

The signature is the publisher's, not the hub's: whoever stores and serves releases is not trusted with models. The
bytes of release.json are those that `to_bytes` writes, or the file is refused, so that one release has one form. Which
release a device takes is left to `fivefold.edge.updates.activation`, whom it is offered to `channels`.
"""

from __future__ import annotations

import datetime as dt
import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import msgspec
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from fivefold.core import atomic
from fivefold.core.bundle.archive import capacity, tar_bytes
from fivefold.core.bundle.bundle import Bundle
from fivefold.core.bundle.manifest import MAX_BYTES, Digest, ModelName, ModelVersion
from fivefold.core.bundle.signature import SIGNATURE_BYTES, PublicKey, fingerprint, private_key, public_key
from fivefold.core.errors import BundleInvalid

RELEASE = "release.json"
RELEASE_SIGNATURE = "release.sig"
ARCHIVE = "bundle.tar"

CHUNK_BYTES = 1 << 20
MAX_DESCRIPTOR = 1 << 20
"""Bytes of a release.json: that of the largest bundle in chunks of 1 MiB has a seventh of it."""

_SHA256 = r"^sha256:[0-9a-f]{64}\Z"
_TIME = r"^[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}Z\Z"


class ArchiveChunks(msgspec.Struct, frozen=True, forbid_unknown_fields=True, rename={"size": "bytes"}):
    """The bundle's `.tar`: its sha256 and size, and the sha256 of each `chunk_bytes` of it; the last may be shorter."""

    sha256: Digest
    size: Annotated[int, msgspec.Meta(ge=1, le=capacity(MAX_BYTES))]
    chunk_bytes: Annotated[int, msgspec.Meta(ge=1024, le=16 << 20)]
    chunks: tuple[Digest, ...]

    @classmethod
    def of(cls, archive: bytes, chunk_bytes: int = CHUNK_BYTES) -> ArchiveChunks:
        """Those of an archive's bytes."""
        parts = (archive[at : at + chunk_bytes] for at in range(0, len(archive), chunk_bytes))
        hashes = tuple(hashlib.sha256(part).hexdigest() for part in parts)
        return cls(hashlib.sha256(archive).hexdigest(), len(archive), chunk_bytes, hashes)

    def chunk_size(self, index: int) -> int:
        """Bytes of a chunk."""
        return min(self.chunk_bytes, self.size - index * self.chunk_bytes)


class ReleaseDescriptor(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """release.json as a value.

    `release` rises with each release of a model, one that goes back to an older bundle (`rollback`) included. `digest`
    is `sha256:` and the bundle's. `created` is the publisher's clock, UTC, and decides nothing.
    """

    model: ModelName
    release: Annotated[int, msgspec.Meta(ge=1, le=2**53 - 1)]
    version: ModelVersion
    digest: Annotated[str, msgspec.Meta(pattern=_SHA256)]
    archive: ArchiveChunks
    created: Annotated[str, msgspec.Meta(pattern=_TIME)]
    rollback: bool = False

    @classmethod
    def from_json(cls, raw: bytes) -> ReleaseDescriptor:
        """Parse and check release.json; raises `BundleInvalid` at release.json."""
        if len(raw) > MAX_DESCRIPTOR:
            raise BundleInvalid(f"expected at most {MAX_DESCRIPTOR:,} bytes, got {len(raw):,}", path=RELEASE)
        try:
            found = msgspec.json.decode(raw, type=cls)
        except (msgspec.MsgspecError, UnicodeError, RecursionError) as err:
            raise BundleInvalid(f"not a release: {err}", path=RELEASE) from err
        archive = found.archive
        count = -(-archive.size // archive.chunk_bytes)
        if len(archive.chunks) != count:
            raise BundleInvalid(
                f"archive.chunks: {archive.size:,} bytes in chunks of {archive.chunk_bytes:,} are {count}, "
                f"got {len(archive.chunks)}",
                path=RELEASE,
            )
        if found.to_bytes() != raw:
            raise BundleInvalid(
                "not in the form in which releases are written", path=RELEASE, help="do not edit release.json"
            )
        return found

    def to_bytes(self) -> bytes:
        """release.json as written and as signed: UTF-8, two spaces, an end of line. The same values, the same bytes."""
        return json.dumps(msgspec.to_builtins(self), indent=2, ensure_ascii=False).encode() + b"\n"

    @property
    def bundle_digest(self) -> str:
        """The digest as `Bundle.digest` has it."""
        return self.digest.removeprefix("sha256:")

    def __str__(self) -> str:
        return f"{self.model} release {self.release}"


@dataclass(frozen=True, slots=True)
class SignedRelease:
    """A release with the bytes that were signed; `signer` is the fingerprint of the trusted key that did, None where
    nobody has looked."""

    descriptor: ReleaseDescriptor
    raw: bytes
    signature: bytes
    signer: str | None = None


def make_release(
    place: str | Path,
    *,
    release: int,
    public_keys: Sequence[PublicKey] = (),
    created: dt.datetime | None = None,
    rollback: bool = False,
    chunk_bytes: int = CHUNK_BYTES,
) -> tuple[ReleaseDescriptor, bytes]:
    """The descriptor of a bundle (directory or `.tar`) under a release number, and the archive's bytes.

    The bundle is verified first, with `public_keys` its signature too. `created` is now where it is not given. Raises
    `BundleInvalid`.
    """
    bundle = Bundle.open(place, public_keys=public_keys)
    archive = tar_bytes({path: bundle.read(path) for path in bundle.names()})
    moment = (created or dt.datetime.now(dt.UTC)).astimezone(dt.UTC)
    made = ReleaseDescriptor(
        model=bundle.name,
        release=release,
        version=bundle.version,
        digest=f"sha256:{bundle.digest}",
        archive=ArchiveChunks.of(archive, chunk_bytes),
        created=moment.strftime("%Y-%m-%dT%H:%M:%SZ"),
        rollback=rollback,
    )
    # The one way in: what a device would refuse is never signed.
    return ReleaseDescriptor.from_json(made.to_bytes()), archive


def sign_release(descriptor: ReleaseDescriptor, key: Ed25519PrivateKey | bytes | str | Path) -> SignedRelease:
    """Sign with an Ed25519 private key or its PEM; the same release and key give the same bytes."""
    secret = private_key(key)
    raw = descriptor.to_bytes()
    return SignedRelease(descriptor, raw, secret.sign(raw), fingerprint(secret.public_key()))


def verify_release(raw: bytes, signature: bytes, public_keys: Sequence[PublicKey]) -> SignedRelease:
    """The release whose bytes one of the keys signed; nothing of them is read before that is proven.

    Raises `BundleInvalid` at release.sig or release.json, where no key is given too.
    """
    if len(signature) != SIGNATURE_BYTES:
        raise BundleInvalid(f"expected {SIGNATURE_BYTES} bytes, got {len(signature)}", path=RELEASE_SIGNATURE)
    if not public_keys:
        raise BundleInvalid("no public key is trusted with releases", path=RELEASE_SIGNATURE)
    for key in map(public_key, public_keys):
        try:
            key.verify(signature, raw)
        except InvalidSignature:
            continue
        return SignedRelease(ReleaseDescriptor.from_json(raw), raw, signature, fingerprint(key))
    raise BundleInvalid(f"no trusted key made this signature of {RELEASE}", path=RELEASE_SIGNATURE)


def write_release(directory: str | Path, signed: SignedRelease, archive: bytes) -> Path:
    """Write the three files to a directory, the archive first and the signature last; raises `BundleInvalid`."""
    place = Path(directory)
    try:
        place.mkdir(parents=True, exist_ok=True)
        # Without its signature a directory that is half written is refused rather than believed.
        (place / RELEASE_SIGNATURE).unlink(missing_ok=True)
        for name, data in ((ARCHIVE, archive), (RELEASE, signed.raw), (RELEASE_SIGNATURE, signed.signature)):
            atomic.replace_file(place / name, data)
    except OSError as err:
        raise BundleInvalid(f"cannot write {place}: {err.strerror}") from err
    return place


def read_release(directory: str | Path, public_keys: Sequence[PublicKey]) -> SignedRelease:
    """The release of a directory, its signature verified; its archive is not read. Raises `BundleInvalid`."""
    place = Path(directory)
    return verify_release(
        _read(place / RELEASE, MAX_DESCRIPTOR), _read(place / RELEASE_SIGNATURE, SIGNATURE_BYTES), public_keys
    )


def _read(path: Path, limit: int) -> bytes:
    try:
        with path.open("rb") as file:
            return file.read(limit + 1)
    except OSError as err:
        raise BundleInvalid(f"cannot read {path}: {err.strerror}", path=path.name) from err
