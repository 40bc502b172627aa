"""What a Kafka needs that lets nobody in unknown: an authority and its certificates, listeners, users, an issuer."""

from __future__ import annotations

import base64
import contextlib
import json
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler

from confluent_kafka.admin import (
    AdminClient,
    ScramCredentialInfo,
    ScramMechanism,
    UserScramCredentialUpsertion,
)

from tests.support.authority import Authority
from tests.support.listening import listening

USER = "scores"
LISTENERS = {"SASL": "SASL_SSL", "TOKEN": "SASL_SSL", "MUTUAL": "SSL"}
"""The names of listeners: users with passwords, users with tokens, users with certificates."""


def broker_options(authority: Authority, password: str) -> dict[str, str]:
    """Settings of a broker with `LISTENERS`; with PLAIN, `USER` has that password."""
    certificate, key = authority.issue("broker")
    both = certificate.with_name("broker.both")
    both.write_bytes(key.read_bytes() + certificate.read_bytes())
    scram = "org.apache.kafka.common.security.scram.ScramLoginModule required;"
    plain = f'org.apache.kafka.common.security.plain.PlainLoginModule required user_{USER}="{password}";'
    token = "org.apache.kafka.common.security.oauthbearer.OAuthBearerLoginModule required "
    return {
        "ssl.keystore.type": "PEM",
        "ssl.keystore.location": str(both),
        "ssl.truststore.type": "PEM",
        "ssl.truststore.location": str(authority.file),
        "listener.name.mutual.ssl.client.auth": "required",
        "listener.name.sasl.sasl.enabled.mechanisms": "SCRAM-SHA-256,SCRAM-SHA-512,PLAIN",
        "listener.name.sasl.scram-sha-256.sasl.jaas.config": scram,
        "listener.name.sasl.scram-sha-512.sasl.jaas.config": scram,
        "listener.name.sasl.plain.sasl.jaas.config": plain,
        "listener.name.token.sasl.enabled.mechanisms": "OAUTHBEARER",
        "listener.name.token.oauthbearer.sasl.jaas.config": f'{token} unsecuredLoginStringClaim_sub="broker";',
    }


def make_user(server: str, password: str) -> None:
    """`USER` may prove who it is by either of SCRAM."""
    admin = AdminClient({"bootstrap.servers": server})
    wanted = [
        UserScramCredentialUpsertion(USER, ScramCredentialInfo(mechanism, 4096), password.encode())
        for mechanism in (ScramMechanism.SCRAM_SHA_256, ScramMechanism.SCRAM_SHA_512)
    ]
    for one in wanted:
        admin.alter_user_scram_credentials([one])[USER].result(30)


@dataclass
class TokenIssuer:
    """Gives tokens to whoever knows the secret."""

    secret: str
    url: str = ""
    given: list[str] = field(default_factory=list)


@contextlib.contextmanager
def issuing(secret: str) -> Iterator[TokenIssuer]:
    """An issuer of tokens that Kafka's own handler for tests believes: they are not signed."""
    issuer = TokenIssuer(secret)

    class Handler(BaseHTTPRequestHandler):
        def log_message(self, *_: object) -> None:
            pass

        def do_POST(self) -> None:
            self.rfile.read(int(self.headers["content-length"]))
            pair = base64.b64encode(f"{USER}:{secret}".encode()).decode()
            known = self.headers["authorization"] == f"Basic {pair}"
            now = int(time.time())
            if known:
                token = _unsigned({"sub": USER, "iat": now, "exp": now + 3600})
                issuer.given.append(token)
                answer = {"access_token": token, "token_type": "Bearer", "expires_in": 3600}
            else:
                answer = {"error": "invalid_client"}
            body = json.dumps(answer).encode()
            self.send_response(200 if known else 401)
            self.send_header("content-type", "application/json")
            self.send_header("content-length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

    with listening(Handler) as url:
        issuer.url = f"{url}/token"
        yield issuer


def _unsigned(claims: dict[str, object]) -> str:
    parts = ({"alg": "none"}, claims)
    return "".join(base64.urlsafe_b64encode(json.dumps(each).encode()).decode().rstrip("=") + "." for each in parts)
