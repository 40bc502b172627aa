"""What pods are told of authorities and proxies is what the code that reaches outside reads."""

from __future__ import annotations

import json
import os
import ssl
import subprocess
import sys
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric import ec
from jwt.algorithms import ECAlgorithm

from fivefold.cluster import certificate
from tests.chart.rendering import Release
from tests.support.listening import listening

pytestmark = pytest.mark.full
MOUNTED = "/etc/fivefold/ca-bundle/ca.crt"
ASKING = """
import json, sys
from fivefold.delivery.web import Object
from fivefold.guard.issuer import Issuer
from fivefold.stores.object_store import Patience, store
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter

url = sys.argv[1]

def bundle():
    with Object(f"{url}/a.tar", seconds=5, allow_http=False) as found:
        b"".join(found.chunks(1000))

def files():
    store("s3://models/a.tar", False, Patience(retries=0)).get("a.tar").bytes()

def issuer():
    Issuer(url, f"{url}/keys").keys()

def spans():
    assert OTLPSpanExporter(endpoint=f"{url}/v1/traces", timeout=1).export([]).name == "SUCCESS"

answered = []
for ask in (bundle, files, issuer, spans):
    try:
        ask()
        answered.append(ask.__name__)
    except Exception:
        pass
print(json.dumps(answered))
"""
ALL = ["bundle", "files", "issuer", "spans"]


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[str, Path, list[str]]]:
    """An https server that answers everything with a set of keys, the file of its authority, and what it is asked."""
    folder = tmp_path_factory.mktemp("trust")
    made = certificate.make(["localhost", "127.0.0.1"])
    for name, text in zip(("ca.crt", "tls.crt", "tls.key"), made, strict=True):
        (folder / name).write_bytes(text)
    key = ECAlgorithm.to_jwk(ec.generate_private_key(ec.SECP256R1()).public_key(), as_dict=True)
    body = json.dumps({"keys": [key | {"kid": "1", "use": "sig"}]}).encode()
    asked: list[str] = []

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def log_message(self, *_: object) -> None:
            pass

        def do_GET(self) -> None:
            asked.append(self.path)
            self.rfile.read(int(self.headers.get("content-length", 0)))
            self.send_response(200)
            self.send_header("content-length", str(len(body)))
            self.send_header("last-modified", "Thu, 01 Jan 2026 00:00:00 GMT")
            self.send_header("etag", '"1"')
            self.end_headers()
            self.wfile.write(body)

        do_POST = do_GET

    tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    tls.load_cert_chain(folder / "tls.crt", folder / "tls.key")
    with listening(Handler, tls) as url:
        yield url, folder / "ca.crt", asked


def asking(url: str, given: dict[str, str]) -> list[str]:
    """Who gets an answer in a process with these variables."""
    kept = {name: value for name, value in os.environ.items() if "proxy" not in name.lower() and "CERT" not in name}
    store = {"AWS_ENDPOINT": url, "AWS_REGION": "x", "AWS_ACCESS_KEY_ID": "a", "AWS_SECRET_ACCESS_KEY": "b"}
    done = subprocess.run(
        [sys.executable, "-c", ASKING, url], capture_output=True, text=True, timeout=60, env={**kept, **store, **given}
    )
    assert done.returncode == 0, done.stderr
    found: list[str] = json.loads(done.stdout)
    return found


def rendered(authority: Path) -> dict[str, str]:
    """A pod's variables for authorities and proxies, with the file where it is here."""
    pod = dict(Release("corporate").templates())["run-worker"]
    said = {each["name"]: each.get("value", "") for each in pod["spec"]["containers"][0]["env"]}
    about = ("SSL_CERT_FILE", "REQUESTS_CA_BUNDLE", "HTTP_PROXY", "HTTPS_PROXY", "NO_PROXY")
    return {name: said[name].replace(MOUNTED, str(authority)) for name in about}


def test_authorities_of_ones_own_are_trusted_by_all_and_by_nobody_without_them(
    authority: tuple[str, Path, list[str]],
) -> None:
    """Bundles, object stores, the identity provider and the collector; hosts of NO_PROXY are asked directly."""
    url, file, _ = authority

    assert asking(url, rendered(file)) == ALL
    assert asking(url, {}) == []


def test_everything_goes_through_the_proxy(authority: tuple[str, Path, list[str]]) -> None:
    """Each asks the proxy for the host, which refuses here."""
    url, file, _ = authority
    wanted: list[str] = []

    class Proxy(BaseHTTPRequestHandler):
        def log_message(self, *_: object) -> None:
            pass

        def do_CONNECT(self) -> None:
            wanted.append(self.path)
            self.send_error(502)

    with listening(Proxy) as proxy:
        variables = rendered(file) | {"HTTPS_PROXY": proxy, "NO_PROXY": ".svc,.cluster.local"}

        assert asking(url, variables) == []
        assert len(wanted) >= len(ALL)
        assert set(wanted) == {url.removeprefix("https://")}
