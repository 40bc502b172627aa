"""An OIDC issuer on loopback: a real HTTP server with a key set and a discovery document, and a pen for tokens."""

from __future__ import annotations

import http.server
import json
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import jwt
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa

from tests.support.listening import listening

AUDIENCE = "fivefold"

DISCOVERY = "/.well-known/openid-configuration"


class Issuer:
    """What it answers is in `pages` (path -> status, body); `asked` are the paths that were asked for, in order."""

    def __init__(self, url: str) -> None:
        self.url = url
        self.asked: list[str] = []
        self.pages: dict[str, tuple[int, bytes]] = {}
        self.private: dict[str, Any] = {}
        self.location = ""
        self.add("first", rsa.generate_private_key(65537, 2048))
        self.say(DISCOVERY, {"issuer": url, "jwks_uri": f"{url}/keys"})

    def say(self, path: str, value: Any, status: int = 200) -> None:
        body = value if isinstance(value, bytes) else json.dumps(value).encode()
        self.pages[path] = status, body

    def add(self, kid: str, private: Any) -> None:
        """Publish one more key."""
        self.private[kid] = private
        self.publish(*self.private)

    def publish(self, *kids: str) -> None:
        """Publish these keys and no others."""
        self.say("/keys", {"keys": [public(kid, self.private[kid]) for kid in kids]})

    def token(self, kid: str | None = "first", *, signer: str = "", algorithm: str = "RS256", **claims: Any) -> bytes:
        """A token for `ada` with the scope `infer` that ends in a minute; a claim that is None is left out."""
        given = {
            "iss": self.url,
            "aud": AUDIENCE,
            "sub": "ada",
            "exp": int(time.time()) + 60,
            "scope": "openid infer",
        } | claims
        headers = {"kid": kid} if kid is not None else None
        said = {name: value for name, value in given.items() if value is not None}
        return jwt.encode(said, self.private[signer or kid or "first"], algorithm, headers).encode()


def public(kid: str, private: Any) -> dict[str, Any]:
    kinds = (
        (rsa.RSAPrivateKey, jwt.algorithms.RSAAlgorithm),
        (ec.EllipticCurvePrivateKey, jwt.algorithms.ECAlgorithm),
        (ed25519.Ed25519PrivateKey, jwt.algorithms.OKPAlgorithm),
    )
    (algorithm,) = (algorithm for kind, algorithm in kinds if isinstance(private, kind))
    return json.loads(algorithm.to_jwk(private.public_key())) | {"kid": kid, "use": "sig"}


class _Handler(http.server.BaseHTTPRequestHandler):
    issuer: Issuer

    def do_GET(self) -> None:
        self.issuer.asked.append(self.path)
        status, body = self.issuer.pages.get(self.path, (404, b"{}"))
        self.send_response(status)
        if status in (301, 302, 307):
            self.send_header("location", self.issuer.location)
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: Any) -> None:
        """Nothing is printed."""


@contextmanager
def issuer() -> Iterator[Issuer]:
    kind = type("Handler", (_Handler,), {})
    with listening(kind) as url:
        kind.issuer = out = Issuer(url)  # type: ignore[attr-defined]
        yield out
