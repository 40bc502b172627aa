"""Ed25519 signatures of a bundle, over the bytes of bundle.json, which name the digest of every other file.

bundle.sig holds the 64 bytes of the signature (RFC 8032) and nothing else, so `openssl pkeyutl -verify -rawin` checks
it too. Which keys are trusted, and that a signature is required at all, is left to whoever opens the bundle.

What knows of curves is loaded where there is a key: it is 6 MB of a small device's memory, and most bundles need none.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, TypeAlias

from fivefold.core.bundle.binding import MANIFEST
from fivefold.core.bundle.manifest import SIGNATURE
from fivefold.core.errors import BundleInvalid

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

SIGNATURE_BYTES = 64

PublicKey: TypeAlias = "Ed25519PublicKey | bytes | str | Path"
"""A key, its PEM text, or the path of a PEM file."""


def public_key(key: PublicKey) -> Ed25519PublicKey:
    """An Ed25519 public key from PEM; raises `BundleInvalid` for anything else (a private key included)."""
    from cryptography.exceptions import UnsupportedAlgorithm
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
    from cryptography.hazmat.primitives.serialization import load_pem_public_key

    if isinstance(key, Ed25519PublicKey):
        return key
    try:
        found = load_pem_public_key(_pem(key))
    except (ValueError, TypeError, UnsupportedAlgorithm) as err:
        raise BundleInvalid("the public key is not a PEM public key", help=_HELP_PUBLIC) from err
    if not isinstance(found, Ed25519PublicKey):
        raise BundleInvalid(f"expected an Ed25519 public key, got {type(found).__name__}", help=_HELP_PUBLIC)
    return found


def private_key(key: Ed25519PrivateKey | bytes | str | Path) -> Ed25519PrivateKey:
    """An Ed25519 private key from unencrypted PEM; raises `BundleInvalid` for anything else."""
    from cryptography.exceptions import UnsupportedAlgorithm
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
    from cryptography.hazmat.primitives.serialization import load_pem_private_key

    if isinstance(key, Ed25519PrivateKey):
        return key
    try:
        found = load_pem_private_key(_pem(key), password=None)
    except TypeError as err:
        raise BundleInvalid(
            "the private key is encrypted", help="decrypt it first: openssl pkey -in KEY -out PLAIN"
        ) from err
    except (ValueError, UnsupportedAlgorithm) as err:
        raise BundleInvalid("the private key is not a PEM private key", help=_HELP_PRIVATE) from err
    if not isinstance(found, Ed25519PrivateKey):
        raise BundleInvalid(f"expected an Ed25519 private key, got {type(found).__name__}", help=_HELP_PRIVATE)
    return found


def fingerprint(key: Ed25519PublicKey) -> str:
    """sha256 of the key's SubjectPublicKeyInfo, as hexadecimal: how logs and people name a signer."""
    from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

    return hashlib.sha256(key.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)).hexdigest()


def signer(manifest: bytes, signature: bytes | None, keys: Sequence[PublicKey]) -> str | None:
    """The fingerprint of the key that signed, None where no keys are given; else `BundleInvalid` at bundle.sig."""
    if signature is not None and len(signature) != SIGNATURE_BYTES:
        raise BundleInvalid(f"expected {SIGNATURE_BYTES} bytes, got {len(signature)}", path=SIGNATURE)
    if not keys:
        return None
    from cryptography.exceptions import InvalidSignature

    trusted = [public_key(key) for key in keys]
    if signature is None:
        raise BundleInvalid("the bundle is not signed, and a public key is configured", path=SIGNATURE, help=_HELP_SIGN)
    for key in trusted:
        try:
            key.verify(signature, manifest)
        except InvalidSignature:
            continue
        return fingerprint(key)
    raise BundleInvalid(f"no configured key made this signature of {MANIFEST}", path=SIGNATURE)


def _pem(key: bytes | str | Path) -> bytes:
    if isinstance(key, bytes):
        return key
    if isinstance(key, str) and "-----BEGIN" in key:
        return key.encode()
    try:
        return Path(key).read_bytes()
    except OSError as err:
        raise BundleInvalid(f"cannot read the key {key}: {err.strerror}") from err


_HELP_SIGN = "sign it: fivefold bundle sign"
_HELP_PRIVATE = "make one: openssl genpkey -algorithm ed25519 -out private.pem"
_HELP_PUBLIC = "make one: openssl pkey -in private.pem -pubout -out public.pem"
