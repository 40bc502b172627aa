"""A bundle as a `.tar`, a server that has it, and the programs that speak S3 and GCS."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from tests.support import programs, s3_server
from tests.support.bundle_server import Shelf, shelf
from tests.support.bundles import write_sum

from fivefold.core.bundle.bundle import sign
from fivefold.delivery.settings import DeliverySettings

collect_ignore_glob = []
for scheme, program in s3_server.PROGRAMS.items():
    if programs.needed(program, f"bundles from {scheme}://") is None:
        collect_ignore_glob.append(f"test_{scheme}.py")


@dataclass(frozen=True)
class Packed:
    """A bundle as it is kept elsewhere: its digest, its `.tar`, the same with a signature, and the key's file."""

    directory: Path
    digest: str
    tar: bytes
    signed: bytes
    key: Path


@pytest.fixture(scope="session")
def packed(tmp_path_factory: pytest.TempPathFactory) -> Packed:
    """To read only."""
    from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

    home = tmp_path_factory.mktemp("packed")
    bundle = write_sum(home / "sum")
    plain = bundle.archive(home / "sum.tar").read_bytes()
    secret = Ed25519PrivateKey.generate()
    sign(home / "sum.tar", secret)
    key = home / "key.pub.pem"
    key.write_bytes(secret.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo))
    return Packed(home / "sum", bundle.digest, plain, (home / "sum.tar").read_bytes(), key)


@pytest.fixture
def server() -> Iterator[Shelf]:
    """A server without files."""
    with shelf() as state:
        yield state


@pytest.fixture
def reference(server: Shelf, packed: Packed) -> str:
    """Of the bundle on the server."""
    return server.put("/sum.tar", packed.tar, packed.digest)


@pytest.fixture
def cache(tmp_path: Path) -> Path:
    """Where the cache is going to be."""
    return tmp_path / "cache"


@pytest.fixture
def settings(cache: Path) -> DeliverySettings:
    """Into that cache."""
    return DeliverySettings(bundle_cache=str(cache), bundle_timeout=60)
