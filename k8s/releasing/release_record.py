"""release.json: what belongs to a release, by digest, and the signature over its bytes.

The signature is Ed25519 over the file as it is (RFC 8032), 64 bytes in release.json.sig, as bundles have it: so
`openssl pkeyutl -verify -rawin` checks it too. What the digests are of stands with `Artefact`.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path

from cryptography.exceptions import InvalidSignature

from fivefold.core.bundle.signature import fingerprint, private_key, public_key
from fivefold.core.errors import BundleInvalid
from releasing.refusal import ReleaseRefused

RECORD = "release.json"
SIGNATURE = "release.json.sig"
FORMAT = 1


@dataclass(frozen=True)
class Artefact:
    """One thing of a release.

    `digest` is sha256 of a file's bytes, or of the manifest by which a registry knows an image or a chart; `size` the
    bytes of the file, or of everything that a client pulls. `content` tells whether a second build is the same:
    an image's configuration, a chart's files without their times, and otherwise the digest. `reference` is where a
    registry has it, NAME:TAG below REGISTRY, and so in a mirror too; files lie beside the record, in the release's own
    artefact.
    """

    kind: str
    name: str
    digest: str
    size: int
    content: str
    reference: str = ""


@dataclass(frozen=True)
class ReleaseRecord:
    """A version, the commit it was built of, and its artefacts by kind and name."""

    version: str
    commit: str
    artefacts: tuple[Artefact, ...]

    def __post_init__(self) -> None:
        ordered = tuple(sorted(self.artefacts, key=lambda each: (each.kind, each.name)))
        object.__setattr__(self, "artefacts", ordered)

    def to_bytes(self) -> bytes:
        """The file, the same bytes for the same release."""
        document = {"format": FORMAT, "name": "fivefold", "version": self.version, "commit": self.commit}
        listed = [asdict(each) for each in self.artefacts]
        return (json.dumps({**document, "artefacts": listed}, indent=1) + "\n").encode()

    @classmethod
    def from_bytes(cls, data: bytes) -> ReleaseRecord:
        """The record of a file; raises `ReleaseRefused` for anything else."""
        try:
            document = json.loads(data)
            if document["format"] != FORMAT:
                raise ReleaseRefused(
                    f"{RECORD}: expected format {FORMAT}, got {document['format']}", "take a newer tree"
                )
            artefacts = tuple(Artefact(**each) for each in document["artefacts"])
            texts = [text for each in artefacts for name, text in vars(each).items() if name != "size"]
            if not all(isinstance(text, str) for text in [document["version"], document["commit"], *texts]):
                raise TypeError("expected text")
            if any(Path(each.name).name != each.name for each in artefacts):
                raise ValueError("expected names without a folder")
            return cls(document["version"], document["commit"], artefacts)
        except (ValueError, KeyError, TypeError) as err:
            raise ReleaseRefused(f"{RECORD} is no record of a release", "pull it anew") from err

    def files(self) -> Iterator[Artefact]:
        """Those that lie beside the record."""
        return (each for each in self.artefacts if not each.reference)

    def differences(self, other: Iterable[Artefact]) -> list[str]:
        """A sentence for each thing that a build has made otherwise, or that one of the two lacks."""
        there = {(each.kind, each.name): each.content for each in self.artefacts}
        here = {(each.kind, each.name): each.content for each in other}
        return [
            f"{kind} {name}: "
            + (
                "is not in the release"
                if (kind, name) not in there
                else "was not built"
                if (kind, name) not in here
                else f"the release has {there[kind, name]}, built is {here[kind, name]}"
            )
            for kind, name in sorted(there.keys() | here.keys())
            if there.get((kind, name)) != here.get((kind, name))
        ]


def digest_of(path: Path) -> str:
    """A file's sha256, as registries write it."""
    with path.open("rb") as file:
        return f"sha256:{hashlib.file_digest(file, 'sha256').hexdigest()}"


def file_artefact(kind: str, path: Path) -> Artefact:
    """A file of the release."""
    digest = digest_of(path)
    return Artefact(kind, path.name, digest, path.stat().st_size, digest)


def signed(data: bytes, key: Path) -> tuple[bytes, str]:
    """The signature of a record by a private key in a PEM file, and the key's fingerprint."""
    try:
        private = private_key(key)
    except BundleInvalid as err:
        raise ReleaseRefused(str(err), err.help or "fivefold bundle keygen release.pem") from err
    return private.sign(data), fingerprint(private.public_key())


def verified(data: bytes, signature: bytes | None, key: Path) -> str:
    """The fingerprint of the key that signed; `ReleaseRefused` where it was not this one, or nobody."""
    if signature is None:
        raise ReleaseRefused("the release is not signed", "ask whoever released it, or check without a key")
    try:
        trusted = public_key(key)
    except BundleInvalid as err:
        raise ReleaseRefused(str(err), err.help or "the public half of the key that signs") from err
    try:
        trusted.verify(signature, data)
    except InvalidSignature:
        raise ReleaseRefused(
            f"{SIGNATURE} is not by this key ({fingerprint(trusted)}), or {RECORD} has been changed",
            "trust nothing of this release until its maker has told you why",
        ) from None
    return fingerprint(trusted)


def altered(directory: Path, record: ReleaseRecord) -> list[str]:
    """A sentence for each file beside a record that is not there, or is another."""
    found = []
    for each in record.files():
        path = directory / each.name
        if not path.is_file():
            found.append(f"{each.name}: is not there")
        elif (digest := digest_of(path)) != each.digest:
            found.append(f"{each.name}: expected {each.digest}, got {digest}")
    return found
