"""The client at a guarded server: how a key travels, where it does not go, and whom TLS trusts."""

from __future__ import annotations

import asyncio
import datetime as dt
import ipaddress
import pickle
import ssl
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import grpc
import pytest
import uvicorn
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID
from tests.support.grpc_calls import gate_bundle

from fivefold.client import AsyncClient, Client
from fivefold.client.calls import VARIABLE, authorization
from fivefold.client.retry import CallOptions, Retries, Send
from fivefold.core.errors import AccessError, FivefoldError, Unavailable
from fivefold.core.runtime.scorer import Scorer
from fivefold.core.telemetry import Telemetry
from fivefold.guard import Guard, keys
from fivefold.serving.dataplane import Dataplane
from fivefold.serving.grpc.servicer import Servicer, register
from fivefold.serving.http import app
from fivefold.serving.limits import ServingLimits
from fivefold.serving.repository import Model, Repository

ONCE = Retries(attempts=1)


@dataclass
class GuardedUrls:
    """A guarded server on both transports, in clear text and over TLS, and who may in."""

    urls: dict[str, str]
    ca: Path
    key: str
    admin: str
    slow: str


@pytest.fixture(autouse=True)
def _no_key_in_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(VARIABLE, raising=False)


@pytest.fixture(scope="module")
def guarded(tmp_path_factory: pytest.TempPathFactory) -> Iterator[GuardedUrls]:
    directory = tmp_path_factory.mktemp("guarded")
    place = directory / "keys.json"
    made = {}
    for name, given in {"key": {}, "admin": {"scopes": ["admin"]}, "slow": {"rate": 0.01, "burst": 1}}.items():
        made[name], entry = keys.make(name, **given)  # type: ignore[arg-type]  # the table's values are the arguments'
        keys.add(place, entry)
    chain = certificate(directory)
    settings = ServingLimits(keys=str(place), log_sample=0.0)
    bundle = gate_bundle(directory / "gate")
    telemetry = Telemetry("online", log_sample=0.0)
    serving = Dataplane(Repository([Model(bundle, Scorer.open(bundle))]), settings, telemetry, Guard.of(settings))
    up, stop = threading.Event(), threading.Event()
    urls: dict[str, str] = {}
    thread = threading.Thread(target=lambda: asyncio.run(serve(serving, chain, urls, up, stop)))
    thread.start()
    assert up.wait(30)
    yield GuardedUrls(urls, directory / "ca.pem", **made)
    stop.set()
    thread.join(30)
    serving.close()


async def serve(
    serving: Dataplane, chain: tuple[Path, Path], urls: dict[str, str], up: threading.Event, stop: threading.Event
) -> None:
    application = app(serving, serving.settings)
    private, public = chain
    webs = {}
    for scheme, options in (("http", {}), ("https", {"ssl_keyfile": str(private), "ssl_certfile": str(public)})):
        webs[scheme] = uvicorn.Server(
            uvicorn.Config(application, port=0, log_level="critical", lifespan="off", **options)  # type: ignore[arg-type]  # one of two shapes
        )
    running = [asyncio.ensure_future(web.serve()) for web in webs.values()]
    while not all(web.started for web in webs.values()):
        await asyncio.sleep(0.01)
    for scheme, web in webs.items():
        urls[scheme] = f"{scheme}://127.0.0.1:{web.servers[0].sockets[0].getsockname()[1]}"
    rpc = grpc.aio.server()
    register(Servicer(serving), rpc)
    credentials = grpc.ssl_server_credentials([(private.read_bytes(), public.read_bytes())])
    urls["grpc"] = f"grpc://127.0.0.1:{rpc.add_insecure_port('127.0.0.1:0')}"
    urls["grpcs"] = f"grpcs://127.0.0.1:{rpc.add_secure_port('127.0.0.1:0', credentials)}"
    await rpc.start()
    up.set()
    await asyncio.to_thread(stop.wait)
    await rpc.stop(0)
    for web in webs.values():
        web.should_exit = True
    await asyncio.gather(*running)


def certificate(directory: Path) -> tuple[Path, Path]:
    """The files of a server's key and certificate, for 127.0.0.1; `ca.pem` has the authority that signed it."""
    now = dt.datetime.now(dt.UTC)
    made = {}
    for name in ("ca", "server"):
        private = ec.generate_private_key(ec.SECP256R1())
        subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
        issuer, signer = (subject, private) if name == "ca" else made["ca"]
        build = (
            x509.CertificateBuilder()
            .subject_name(subject)
            .issuer_name(issuer)
            .public_key(private.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(now - dt.timedelta(days=1))
            .not_valid_after(now + dt.timedelta(days=1))
            .add_extension(x509.BasicConstraints(ca=name == "ca", path_length=None), critical=True)
        )
        if name == "server":
            address = x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address("127.0.0.1"))])
            build = build.add_extension(address, critical=False)
        made[name] = subject, private
        public = build.sign(signer, hashes.SHA256())
        (directory / f"{name}.pem").write_bytes(public.public_bytes(serialization.Encoding.PEM))
    plain = serialization.NoEncryption()
    (directory / "server.key").write_bytes(
        made["server"][1].private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, plain)
    )
    return directory / "server.key", directory / "server.pem"


@pytest.fixture(params=["http", "https", "grpc", "grpcs"])
def url(request: pytest.FixtureRequest, guarded: GuardedUrls) -> str:
    return guarded.urls[request.param]


def trusted(url: str, guarded: GuardedUrls) -> Path | None:
    return guarded.ca if url.split(":")[0] in ("https", "grpcs") else None


def test_a_key_is_enough_on_every_transport(url: str, guarded: GuardedUrls) -> None:
    """Blocking and awaited; the contract and the list of models ask for it as well."""
    with Client(url, key=guarded.key, ca=trusted(url, guarded)) as client:
        answer = client.predict([{"x": 2.0}], model="gate")
        contract, models = client.contract("gate"), client.models()

    async def awaited() -> float:
        async with AsyncClient(url, key=guarded.key, ca=trusted(url, guarded)) as client:
            return float((await client.infer({"x": [3.0]}, model="gate")).outputs["y"][0])

    assert answer.predictions == [{"y": 4.0}]
    assert (contract.name, len(models)) == ("gate", 1)
    assert asyncio.run(awaited()) == 6.0


def test_what_happens_without_the_right_key(url: str, guarded: GuardedUrls) -> None:
    """The same errors from every transport; whether the server is ready, anybody may ask."""
    for key, code in (
        (None, "unauthenticated"),
        (guarded.key[:-1] + "?", "unauthenticated"),
        (guarded.admin, "forbidden"),
    ):
        with Client(url, key=key, ca=trusted(url, guarded), retries=ONCE) as client:
            assert client.ready()
            with pytest.raises(AccessError) as caught:
                client.predict([{"x": 2.0}], model="gate")
            assert caught.value.code == code


def test_a_limit_is_an_error_that_says_when(guarded: GuardedUrls) -> None:
    """It is among those that are tried again, so who does not wait says so."""
    with Client(guarded.urls["http"], key=guarded.slow, retries=ONCE) as client:
        client.infer({"x": [1.0]}, model="gate")
        for url in (guarded.urls["http"], guarded.urls["grpc"]):
            with Client(url, key=guarded.slow, retries=ONCE) as other, pytest.raises(Unavailable) as caught:
                other.infer({"x": [1.0]}, model="gate")
            assert caught.value.code == "rate_limited"
            assert 90 < (caught.value.retry_after or 0) <= 100


def test_the_environment_has_a_key(url: str, guarded: GuardedUrls, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where none is given; an empty one says that none is to be sent."""
    monkeypatch.setenv(VARIABLE, guarded.key)
    with Client(url, ca=trusted(url, guarded)) as client:
        assert client.predict([{"x": 2.0}], model="gate").predictions == [{"y": 4.0}]
    with Client(url, key="", ca=trusted(url, guarded)) as client, pytest.raises(AccessError):
        client.predict([{"x": 2.0}], model="gate")


def test_a_header_of_ones_own_stays(guarded: GuardedUrls, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(VARIABLE, "ff_another")
    headers = {"Authorization": f"Bearer {guarded.key}"}
    with Client(guarded.urls["http"], headers=headers) as client:
        assert client.predict([{"x": 2.0}], model="gate").predictions == [{"y": 4.0}]


@pytest.mark.parametrize("scheme", ["https", "grpcs"])
def test_a_certificate_of_an_unknown_authority_is_not_trusted(scheme: str, guarded: GuardedUrls) -> None:
    """Without `ca` the usual authorities count, and they have not signed this one; nothing is sent."""
    with Client(guarded.urls[scheme], key=guarded.key, retries=ONCE, timeout=5) as client:
        assert not client.ready()
        with pytest.raises(Unavailable, match="cannot reach"):
            client.predict([{"x": 2.0}], model="gate")


@pytest.mark.parametrize("url", ["https://127.0.0.1", "grpcs://127.0.0.1:1"])
def test_a_ca_that_is_none(url: str, tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        Client(url, ca=tmp_path / "nothing.pem")
    if url.startswith("https"):
        (tmp_path / "broken.pem").write_text("-----BEGIN")
        with pytest.raises(ssl.SSLError):
            Client(url, ca=tmp_path / "broken.pem")


@pytest.mark.parametrize(
    ("url", "sent"),
    [
        ("https://models.example", True),
        ("grpcs://models.example:443", True),
        ("http://127.0.0.1:8000", True),
        ("http://localhost:8000/below", True),
        ("grpc://[::1]:9000", True),
        ("http://models.example", False),
        ("grpc://10.0.0.1:9000", False),
        ("http://localhost.example", False),
        ("http://127.0.0.1@models.example", False),
    ],
)
def test_no_key_goes_where_others_can_read_it(url: str, sent: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    """Neither a given one nor the environment's, unless the caller says that the network is trusted."""
    if sent:
        assert authorization(url, "k", False) == {"authorization": "Bearer k"}
        return
    monkeypatch.setenv(VARIABLE, "ff_secret")
    for key in ("ff_secret", None):
        with pytest.raises(ValueError, match="not encrypted") as caught:
            Client(url, key=key)
        assert "ff_secret" not in str(caught.value)
    assert authorization(url, None, True) == {"authorization": "Bearer ff_secret"}
    Client(url, key="").close()


@pytest.mark.parametrize("key", ["a b", "a\r\nx-evil: 1", "schlüssel"])
def test_a_key_that_no_header_can_hold(key: str) -> None:
    with pytest.raises(ValueError, match="printable ASCII") as caught:
        Client("http://127.0.0.1", key=key)

    assert key not in str(caught.value)


def test_what_carries_a_key_does_not_show_it(guarded: GuardedUrls) -> None:
    """A message, the options of a call, the client and an error that it raised."""
    headers = authorization("https://models.example", guarded.key, False)
    with Client(guarded.urls["http"], key=guarded.key[:-1] + "?", retries=ONCE) as client:
        with pytest.raises(AccessError) as caught:
            client.models()
        shown = repr(client) + repr(caught.value) + str(pickle.dumps(caught.value))
    shown += repr(Send("/", b"", headers, 1.0)) + repr(CallOptions(1.0, ONCE, headers))

    assert guarded.key[12:-1] not in shown


def test_the_wrong_scheme_is_unavailable_and_says_so(guarded: GuardedUrls) -> None:
    """Each scheme at the port of each other: an error that names the address; TLS at a port without it says that."""
    for scheme in guarded.urls:
        for other, url in guarded.urls.items():
            if scheme == other:
                continue
            wrong = f"{scheme}://{url.partition('://')[2]}"
            patience = Retries(attempts=2, first=0.001)
            with Client(wrong, key=guarded.key, ca=guarded.ca, retries=patience, timeout=15) as client:
                with pytest.raises(FivefoldError) as caught:
                    client.infer({"x": [1.0]}, model="gate")
                assert not client.ready()

            assert caught.value.code == "not_ready"
            assert wrong in str(caught.value)
            assert caught.value.help
