from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import msgspec
import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.support.bundles import write_sum

from fivefold.core.bundle.bundle import Bundle
from fivefold.core.errors import BundleInvalid
from fivefold.edge.updates.descriptor import (
    ARCHIVE,
    RELEASE,
    RELEASE_SIGNATURE,
    ArchiveChunks,
    ReleaseDescriptor,
    SignedRelease,
    make_release,
    read_release,
    sign_release,
    verify_release,
    write_release,
)

KEY = Ed25519PrivateKey.from_private_bytes(bytes(32))
OTHER = Ed25519PrivateKey.from_private_bytes(bytes(31) + b"1")
PUBLIC = KEY.public_key()


def signed(path: Path, release: int = 1, **given: Any) -> tuple[SignedRelease, bytes]:
    write_sum(path)
    descriptor, archive = make_release(path, release=release, chunk_bytes=1024, **given)
    return sign_release(descriptor, KEY), archive


def edited(signed_release: SignedRelease, /, **members: Any) -> bytes:
    """The release with other members, in the form in which releases are written."""
    values = json.loads(signed_release.raw)
    archive = members.pop("archive", {})
    return json.dumps({**values, **members, "archive": {**values["archive"], **archive}}, indent=2).encode() + b"\n"


def test_what_was_signed_is_what_is_read(tmp_path: Path) -> None:
    release, archive = signed(tmp_path / "bundle", 5, rollback=True)

    write_release(tmp_path / "stick", release, archive)

    assert read_release(tmp_path / "stick", [OTHER.public_key(), PUBLIC]) == release
    assert {path.name for path in (tmp_path / "stick").iterdir()} == {ARCHIVE, RELEASE, RELEASE_SIGNATURE}
    assert Bundle.open(tmp_path / "stick" / ARCHIVE).digest == release.descriptor.bundle_digest
    assert release.descriptor.release == 5
    assert release.descriptor.rollback


def test_a_directory_and_its_tar_are_the_same_release(tmp_path: Path) -> None:
    bundle = write_sum(tmp_path / "bundle")
    tar = bundle.archive(tmp_path / "bundle.tar")

    one, archive = make_release(tmp_path / "bundle", release=1)
    two, _ = make_release(tar, release=1)

    assert msgspec.structs.replace(one, created=two.created) == two
    assert archive == tar.read_bytes()


def test_chunks_cover_the_archive() -> None:
    chunks = ArchiveChunks.of(bytes(2500), 1024)

    assert [chunks.chunk_size(index) for index in range(3)] == [1024, 1024, 452]
    assert chunks.chunks[0] == chunks.chunks[1] != chunks.chunks[2]


def test_a_forged_signature_is_refused(tmp_path: Path) -> None:
    release, _ = signed(tmp_path / "bundle")

    for forged in (bytes(64), OTHER.sign(release.raw), release.signature[::-1]):
        with pytest.raises(BundleInvalid, match="no trusted key") as caught:
            verify_release(release.raw, forged, [PUBLIC])
        assert caught.value.path == RELEASE_SIGNATURE
    with pytest.raises(BundleInvalid, match="64 bytes"):
        verify_release(release.raw, release.signature + b"\n", [PUBLIC])
    with pytest.raises(BundleInvalid, match="no public key"):
        verify_release(release.raw, release.signature, [])


@pytest.mark.parametrize(
    ("members", "says"),
    [
        ({"archive": {"chunks": []}}, "are "),
        ({"archive": {"bytes": 1}}, "are 1"),
        ({"archive": {"bytes": 1 << 50}}, "`int`"),
        ({"archive": {"chunk_bytes": 1}}, "chunk_bytes"),
        ({"archive": {"sha256": "../../etc/passwd"}}, "sha256"),
        ({"model": "../m"}, "model"),
        ({"model": "m/../../x"}, "model"),
        ({"version": "../1"}, "version"),
        ({"digest": "0" * 64}, "digest"),
        ({"release": 0}, "release"),
        ({"release": True}, "release"),
        ({"release": 1.5}, "release"),
        ({"created": "yesterday"}, "created"),
        ({"other": 1}, "other"),
    ],
)
def test_a_release_that_is_signed_and_makes_no_sense_is_refused(
    tmp_path: Path, members: dict[str, Any], says: str
) -> None:
    release, _ = signed(tmp_path / "bundle")
    raw = edited(release, **members)

    with pytest.raises(BundleInvalid, match=says) as caught:
        verify_release(raw, KEY.sign(raw), [PUBLIC])
    assert caught.value.path == RELEASE


def test_one_release_has_one_form(tmp_path: Path) -> None:
    release, _ = signed(tmp_path / "bundle")
    twice = release.raw.replace(b'"release": 1', b'"release": 7,\n  "release": 1')

    for raw in (twice, release.raw + b" ", json.dumps(json.loads(release.raw)).encode(), b"", b"[]", b"\xff", b"{}"):
        with pytest.raises(BundleInvalid) as caught:
            verify_release(raw, KEY.sign(raw), [PUBLIC])
        assert caught.value.path == RELEASE


def test_a_broken_bundle_is_never_released(tmp_path: Path) -> None:
    write_sum(tmp_path / "bundle")
    (tmp_path / "bundle" / "model.onnx").write_bytes(b"other")

    with pytest.raises(BundleInvalid, match="expected 246 bytes"):
        make_release(tmp_path / "bundle", release=1)
    write_sum(tmp_path / "good")
    with pytest.raises(BundleInvalid, match="release"):
        make_release(tmp_path / "good", release=0)
    with pytest.raises(BundleInvalid, match="not signed"):
        make_release(tmp_path / "good", release=1, public_keys=[PUBLIC])


@pytest.fixture(scope="module")
def one(tmp_path_factory: pytest.TempPathFactory) -> SignedRelease:
    return signed(tmp_path_factory.mktemp("release") / "bundle")[0]


@settings(max_examples=200, deadline=None)
@given(data=st.data())
def test_no_byte_may_change(data: st.DataObject, one: SignedRelease) -> None:
    raw = bytearray(one.raw)
    at = data.draw(st.integers(0, len(raw) - 1))
    raw[at] ^= data.draw(st.integers(1, 255))

    with pytest.raises(BundleInvalid):
        verify_release(bytes(raw), one.signature, [PUBLIC])
    with pytest.raises(BundleInvalid):
        # Nor does the reader fail in another way where such bytes are signed.
        ReleaseDescriptor.from_json(bytes(raw[:at]))
