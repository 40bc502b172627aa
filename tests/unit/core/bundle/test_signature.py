"""With a key configured only what that key signed opens; without one a signature changes nothing."""

import shutil

import pytest
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
)
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.support.bundles import manifest, put_manifest, write_sum

from fivefold.core.bundle.bundle import Bundle, sign
from fivefold.core.bundle.signature import fingerprint
from fivefold.core.errors import BundleInvalid


@pytest.fixture(scope="module")
def signed_once(tmp_path_factory, private_pem):
    """A signed bundle to read or copy."""
    directory = tmp_path_factory.mktemp("signed") / "sum"
    write_sum(directory)
    sign(directory, private_pem)
    return directory


@pytest.fixture
def signed(signed_once, tmp_path):
    """A signed bundle to damage."""
    return shutil.copytree(signed_once, tmp_path / "sum")


def test_a_signed_bundle_opens_under_its_key(signed, key, public_pem, tmp_path):
    """The key may come as PEM, as text, as a path or as an object; the signer is named by its fingerprint."""
    (tmp_path / "public.pem").write_bytes(public_pem)
    for form in (
        public_pem,
        public_pem.decode(),
        tmp_path / "public.pem",
        str(tmp_path / "public.pem"),
        key.public_key(),
    ):
        assert Bundle.open(signed, public_keys=[form]).signer == fingerprint(key.public_key())


def test_one_of_several_keys_is_enough(signed, key):
    """Keys are changed by trusting both for a while."""
    keys = [Ed25519PrivateKey.generate().public_key(), key.public_key()]

    assert Bundle.open(signed, public_keys=keys).signer == fingerprint(key.public_key())


def test_signing_does_not_change_the_identity(tmp_path, private_pem):
    """The digest is that of the manifest, and a second signature is the same bytes."""
    digest = write_sum(tmp_path / "b").digest
    first = sign(tmp_path / "b", private_pem).read("bundle.sig")
    again = sign(tmp_path / "b", private_pem)

    assert (again.digest, again.read("bundle.sig")) == (digest, first)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["b"]


def test_the_signature_is_plain_ed25519_over_the_manifest(signed, key):
    """Any other tool can check it."""
    key.public_key().verify((signed / "bundle.sig").read_bytes(), (signed / "bundle.json").read_bytes())


def test_an_unsigned_bundle_is_refused_where_a_key_is_configured(tmp_path, public_pem):
    """And opens where none is."""
    write_sum(tmp_path / "b")

    with pytest.raises(BundleInvalid, match="not signed") as caught:
        Bundle.open(tmp_path / "b", public_keys=[public_pem])

    assert caught.value.path == "bundle.sig"
    assert Bundle.open(tmp_path / "b").signer is None


def test_a_foreign_signature_is_refused(signed):
    """Also a right signature by a key that nobody configured."""
    with pytest.raises(BundleInvalid, match="no configured key") as caught:
        Bundle.open(signed, public_keys=[Ed25519PrivateKey.generate().public_key()])

    assert caught.value.path == "bundle.sig"


def test_a_signature_does_not_cover_another_bundle(signed, tmp_path, public_pem):
    """Moved beside another manifest, even one with a right seal, it is worth nothing."""
    values = manifest(signed)
    values["created_from"] = {"kind": "another"}
    put_manifest(signed, values)

    with pytest.raises(BundleInvalid, match="no configured key") as caught:
        Bundle.open(signed, public_keys=[public_pem])

    assert caught.value.path == "bundle.sig"
    assert Bundle.open(signed).signed


def test_a_flipped_bit_in_a_required_signature_is_refused(signed_once, public_pem):
    """All 64 bytes count."""
    path = signed_once / "bundle.sig"
    whole = path.read_bytes()

    @settings(max_examples=150)
    @given(st.integers(0, 511))
    def flip(bit):
        damaged = bytearray(whole)
        damaged[bit // 8] ^= 1 << bit % 8
        path.write_bytes(damaged)

        with pytest.raises(BundleInvalid) as caught:
            Bundle.open(signed_once, public_keys=[public_pem])

        assert caught.value.path == "bundle.sig"

    try:
        flip()
    finally:
        path.write_bytes(whole)


def test_a_damaged_bundle_is_not_signed(signed, private_pem):
    """Signing verifies first."""
    (signed / "model.onnx").write_bytes(b"x")

    with pytest.raises(BundleInvalid) as caught:
        sign(signed, private_pem)

    assert caught.value.path == "model.onnx"


def pem(secret, encryption=None):
    return secret.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, encryption or NoEncryption())


RSA = rsa.generate_private_key(65537, 2048)
ED25519 = Ed25519PrivateKey.generate()

BAD_PUBLIC = {
    "nothing": b"",
    "text": b"hello",
    "a private key": pem(ED25519),
    "an RSA key": RSA.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo),
    "a cut key": ED25519.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)[:60],
    "a file that is not there": "/nonexistent/public.pem",
}


@pytest.mark.parametrize("case", BAD_PUBLIC)
def test_a_public_key_is_an_ed25519_key(signed, case):
    """A key that cannot be used refuses the bundle instead of being left out."""
    with pytest.raises(BundleInvalid, match="key"):
        Bundle.open(signed, public_keys=[BAD_PUBLIC[case]])


BAD_PRIVATE = {
    "nothing": (b"", "not a PEM"),
    "text": (b"hello", "not a PEM"),
    "a public key": (ED25519.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo), "not a PEM"),
    "an RSA key": (pem(RSA), "expected an Ed25519"),
    "an encrypted key": (pem(ED25519, BestAvailableEncryption(b"secret")), "encrypted"),
    "a file that is not there": ("/nonexistent/private.pem", "cannot read"),
}


@pytest.mark.parametrize("case", BAD_PRIVATE)
def test_a_private_key_is_an_ed25519_key(signed_once, case):
    """What is wrong with the key is said, its bytes are not."""
    key, message = BAD_PRIVATE[case]

    with pytest.raises(BundleInvalid, match=message):
        sign(signed_once, key)
