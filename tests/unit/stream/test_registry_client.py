"""Who is asked for schemas, how, and by whom; every test without a registry of others."""

from __future__ import annotations

import base64
import datetime as dt
import ssl
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID
from tests.support.schema_registry import Registry, serving

from fivefold.cluster import certificate
from fivefold.core.errors import AccessError, Unavailable
from fivefold.core.settings import SettingsError, read
from fivefold.stream.registry_client import SchemaRegistry
from fivefold.stream.registry_settings import RegistrySettings


@pytest.fixture
def registry() -> Iterator[Registry]:
    """One at a plain address."""
    with serving() as found:
        yield found


def client(registry: Registry, **more: Any) -> SchemaRegistry:
    """That asks it."""
    return SchemaRegistry(RegistrySettings(registry_url=f"{registry.url}/", **more))


def test_who_asks_is_said_from_files(registry: Registry, tmp_path: Path) -> None:
    """A user and a password, or a token; what the file says now counts."""
    number = registry.add('"long"')
    secret = tmp_path / "secret"
    secret.write_text("s3cret\n")
    registry.authorization = "Basic " + base64.b64encode(b"me:s3cret").decode()
    assert client(registry, registry_username="me", registry_password_file=str(secret)).schema(number) is not None
    with pytest.raises(AccessError) as caught:
        client(registry).schema(number)
    assert "s3cret" not in str(caught.value)

    registry.authorization = "Bearer new"
    secret.write_text("old")
    bearing = client(registry, registry_token_file=str(secret))
    with pytest.raises(AccessError):
        bearing.schema(number)
    secret.write_text("new\n")
    assert bearing.schema(number) is not None


def test_an_answer_that_does_not_come_is_waited_for_so_long(registry: Registry) -> None:
    """And no longer."""
    registry.troubles[:] = ["stall"]
    begun = time.monotonic()

    with pytest.raises(Unavailable, match="no answer in time"):
        client(registry, registry_timeout=0.2).schema(1)

    registry.go_on.set()
    assert time.monotonic() - begun < 10


def test_nobody_there() -> None:
    """As away as any."""
    with pytest.raises(Unavailable, match="Connection refused"):
        SchemaRegistry(RegistrySettings(registry_url="http://127.0.0.1:1")).schema(1)


@pytest.fixture
def tls(tmp_path: Path) -> tuple[ssl.SSLContext, str]:
    """What a registry at 127.0.0.1 shows, and the file of the authority behind it."""
    made = certificate.make(["127.0.0.1"])
    files = {name: tmp_path / f"{name}.pem" for name in ("authority", "chain", "key")}
    for name, file in files.items():
        file.write_bytes(getattr(made, name))
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(files["chain"], files["key"])
    return context, str(files["authority"])


def test_a_certificate_must_be_trusted(tls: tuple[ssl.SSLContext, str]) -> None:
    """By the system's authorities, or by those of the file."""
    context, authority = tls
    with serving(context) as registry:
        number = registry.add('"long"')

        assert client(registry, registry_ca_file=authority).schema(number) is not None
        with pytest.raises(Unavailable, match="certificate is not trusted"):
            client(registry).schema(number)


def test_ours_is_shown(tls: tuple[ssl.SSLContext, str], tmp_path: Path) -> None:
    """Where the registry asks for one."""
    context, authority = tls
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "worker")])
    now = dt.datetime.now(dt.UTC)
    own = (
        x509.CertificateBuilder(name, name, key.public_key(), x509.random_serial_number())
        .not_valid_before(now - dt.timedelta(days=1))
        .not_valid_after(now + dt.timedelta(days=1))
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    cert_file, key_file = tmp_path / "own.pem", tmp_path / "own.key"
    cert_file.write_bytes(own.public_bytes(serialization.Encoding.PEM))
    for kept, encryption in (
        (key_file, serialization.NoEncryption()),
        (tmp_path / "locked.key", serialization.BestAvailableEncryption(b"x")),
    ):
        pem = key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, encryption)
        kept.write_bytes(pem)
    context.load_verify_locations(cert_file)
    context.verify_mode = ssl.CERT_REQUIRED
    with serving(context) as registry:
        number = registry.add('"long"')
        given = {"registry_ca_file": authority, "registry_certificate_file": str(cert_file)}

        assert client(registry, registry_key_file=str(key_file), **given).schema(number) is not None
        with pytest.raises(Unavailable):
            client(registry, registry_ca_file=authority).schema(number)
        with pytest.raises(SettingsError, match="registry_key_file"):
            client(registry, registry_key_file=str(tmp_path / "locked.key"), **given)


URL = "https://registry.example:8081"


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"registry_url": "registry:8081"}, "registry_url"),
        ({"registry_url": "file:///etc/passwd"}, "registry_url"),
        ({"registry_url": "https://"}, "registry_url"),
        ({"registry_url": "https://host:x"}, "registry_url"),
        ({"registry_url": "https://host/?a=b"}, "registry_url"),
        ({"registry_url": "https://me:s3cret@host"}, "no credentials"),
        ({"registry_url": "http://registry.example:8081"}, "plain http"),
        ({"registry_url": "http://10.0.0.1:8081"}, "plain http"),
        ({"registry_certificate_file": "x"}, "both or none"),
        ({"registry_username": "me"}, "both or none"),
        ({"registry_username": "me", "registry_password_file": "x", "registry_token_file": "y"}, "one of them"),
        ({"registry_timeout": 0}, "registry_timeout"),
        ({"registry_timeout": float("nan")}, "registry_timeout"),
        ({"registry_timeout": 61}, "registry_timeout"),
    ],
    ids=range(14),
)
def test_settings_that_cannot_be_used(given: dict[str, Any], said: str) -> None:
    """Are refused by name, before anybody is asked, and no secret is in the sentence."""
    with pytest.raises(SettingsError, match=said) as caught:
        RegistrySettings(**{"registry_url": URL, **given})

    assert "s3cret" not in str(caught.value)


def test_plain_http_where_it_is_allowed() -> None:
    """On this machine always."""
    read(RegistrySettings, environ={"FIVEFOLD_REGISTRY_URL": "http://localhost:8081"})
    found = read(
        RegistrySettings,
        environ={"FIVEFOLD_REGISTRY_URL": "http://registry:8081", "FIVEFOLD_REGISTRY_HTTP": "true"},
    )

    assert found.registry_http


@pytest.mark.parametrize("content", [None, b"", b"a\nb", b"\xff"])
@pytest.mark.parametrize("kind", ["password", "token"])
def test_secrets_that_cannot_be_read(tmp_path: Path, content: bytes | None, kind: str) -> None:
    """Are no secrets."""
    file = tmp_path / "secret"
    if content is not None:
        file.write_bytes(content)
    more = {"registry_username": "me"} if kind == "password" else {}

    with pytest.raises(SettingsError, match=f"registry_{kind}_file"):
        SchemaRegistry(RegistrySettings(registry_url=URL, **{f"registry_{kind}_file": str(file)}, **more))


@pytest.mark.parametrize("name", ["registry_ca_file", "registry_certificate_file"])
def test_files_that_are_no_certificates(tmp_path: Path, name: str) -> None:
    """Named too."""
    file = tmp_path / "x.pem"
    file.write_text("no certificate")
    more = {"registry_key_file": str(file)} if name == "registry_certificate_file" else {}

    with pytest.raises(SettingsError, match=name):
        SchemaRegistry(RegistrySettings(registry_url=URL, **{name: str(file)}, **more))
