"""A real Kafka that lets nobody in unknown: each way in, and what is said to whoever has the wrong key."""

from __future__ import annotations

import subprocess
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from confluent_kafka import Producer
from loadtest.stream.kafka_broker import KafkaBroker, free_ports, make_topics
from tests.support.authority import Authority
from tests.support.kafka_security import LISTENERS, USER, TokenIssuer, broker_options, issuing, make_user
from tests.support.score_commands import environment
from tests.support.stream_processes import line

from fivefold.core.bundle.bundle import Bundle

PASSWORD = "Tr0ub4dor-and-3"
WRONG = "Correct-h0rse"
SECONDS = 60.0
"""How long a worker may take to say that it is not let in: its start, and half a minute."""

EVENTS = 3

pytestmark = pytest.mark.full


def _rare(*ways: str) -> list[Any]:
    """Ways that CI leaves out: each starts a worker, and its kin is tried."""
    return [pytest.param(way, marks=pytest.mark.rare) for way in ways]


@dataclass(frozen=True)
class Fortress:
    """A broker, its authority, its issuer, and files with what opens it."""

    broker: KafkaBroker
    authority: Authority
    issuer: TokenIssuer
    home: Path
    model: Path

    def run(self, server: str, **settings: str) -> tuple[int, str, float]:
        """A worker until all is done: its exit status, what it said, how long it took."""
        group = f"g{time.time_ns()}"
        # A topic of its own: another group's results of the same events would be refused.
        target = f"kafka://{server}/out-{group}"
        words = line(self.model, f"kafka://{server}/in", target, "--once", "--group", group)
        given = {f"FIVEFOLD_KAFKA_{name.upper()}": value for name, value in settings.items()}
        begun = time.monotonic()
        done = subprocess.run(words, env=environment() | given, capture_output=True, text=True, timeout=2 * SECONDS)
        said = done.stdout + done.stderr
        for secret in (PASSWORD, WRONG, *self.issuer.given):
            assert secret not in said
        assert "Traceback" not in said
        return done.returncode, said, time.monotonic() - begun

    def secret(self, text: str) -> str:
        """A file with it."""
        file = self.home / f"secret-{len(text)}"
        file.write_text(f"{text}\n")
        return str(file)


@pytest.fixture(scope="module")
def fortress(tmp_path_factory: pytest.TempPathFactory, bundle: Bundle) -> Iterator[Fortress]:
    """With three events."""
    home = tmp_path_factory.mktemp("fortress")
    authority = Authority(home / "ours")
    options = broker_options(authority, PASSWORD)
    broker = KafkaBroker(home / "kafka", options=options, listeners=LISTENERS)
    broker.start()
    try:
        make_user(broker.address, PASSWORD)
        make_topics(broker.address, 1, "in", "in.dead-letter")
        producer = Producer({"bootstrap.servers": broker.address})
        for at in range(EVENTS):
            producer.produce("in", b'{"a": %d, "b": 2}' % at)
        assert producer.flush(30) == 0
        with issuing(PASSWORD) as issuer:
            yield Fortress(broker, authority, issuer, home, bundle.path)
    finally:
        broker.stop()


def ways(fortress: Fortress, secret: str) -> dict[str, tuple[str, dict[str, str]]]:
    """Each way in: the listener, and the settings."""
    known = {"ca_file": str(fortress.authority.file), "username": USER, "password_file": fortress.secret(secret)}
    certificate, key = fortress.authority.issue("worker")
    mutual = {"certificate_file": str(certificate), "key_file": str(key), "ca_file": known["ca_file"]}
    return {
        "by default": ("SASL", known),
        "SCRAM-SHA-256": ("SASL", known | {"mechanism": "SCRAM-SHA-256"}),
        "SCRAM-SHA-512": ("SASL", known | {"mechanism": "SCRAM-SHA-512"}),
        "PLAIN": ("SASL", known | {"mechanism": "PLAIN"}),
        "OAUTHBEARER": ("TOKEN", known | {"mechanism": "OAUTHBEARER", "token_url": fortress.issuer.url}),
        "certificate": ("MUTUAL", mutual),
    }


@pytest.mark.parametrize(
    "way", ["by default", "OAUTHBEARER", *_rare("SCRAM-SHA-256", "SCRAM-SHA-512", "PLAIN", "certificate")]
)
def test_each_way_in(fortress: Fortress, way: str) -> None:
    """Events are scored."""
    listener, settings = ways(fortress, PASSWORD)[way]

    status, said, _ = fortress.run(fortress.broker.addresses[listener], **settings)

    assert status == 0, said
    assert f"{EVENTS} results, 0 dead letters" in said


@pytest.mark.parametrize("way", ["SCRAM-SHA-512", *_rare("SCRAM-SHA-256", "PLAIN", "OAUTHBEARER")])
def test_a_wrong_password(fortress: Fortress, way: str) -> None:
    """Is that, and not a broker that does not answer."""
    listener, settings = ways(fortress, WRONG)[way]

    status, said, took = fortress.run(fortress.broker.addresses[listener], **settings)

    assert (status, took < SECONDS) == (4, True), said
    assert said.startswith("error: ")
    assert "uthentication" in said or "invalid_client" in said


@pytest.mark.rare
def test_an_issuer_that_is_away(fortress: Fortress) -> None:
    """Is none of the user's fault: it may be there later."""
    listener, settings = ways(fortress, PASSWORD)["OAUTHBEARER"]
    settings["token_url"] = f"http://127.0.0.1:{free_ports(1)[0]}/token"

    status, said, took = fortress.run(fortress.broker.addresses[listener], **settings)

    assert (status, took < SECONDS) == (5, True), said
    assert "token" in said


@pytest.mark.parametrize("listener", ["SASL", *_rare("TOKEN", "MUTUAL")])
def test_a_certificate_of_nobody_we_know(fortress: Fortress, tmp_path: Path, listener: str) -> None:
    """Nothing is sent to whoever has it."""
    _, settings = ways(fortress, PASSWORD)["OAUTHBEARER" if listener == "TOKEN" else "by default"]
    settings["ca_file"] = str(Authority(tmp_path / "other").file)

    status, said, took = fortress.run(fortress.broker.addresses[listener], **settings)

    assert (status, took < SECONDS) == (5, True), said
    assert "certificate verify failed" in said
    assert "FIVEFOLD_KAFKA_CA_FILE" in said


@pytest.mark.rare
def test_a_certificate_of_another_name(fortress: Fortress) -> None:
    """The broker's is for its address."""
    listener, settings = ways(fortress, PASSWORD)["by default"]

    status, said, _ = fortress.run(fortress.broker.addresses[listener].replace("127.0.0.1", "localhost"), **settings)

    assert status == 5, said
    assert "certificate verify failed" in said


@pytest.mark.rare
@pytest.mark.parametrize("own", ["none", "unknown"])
def test_a_certificate_that_the_broker_does_not_believe(fortress: Fortress, tmp_path: Path, own: str) -> None:
    """It says so in an alert, if in nothing more."""
    settings = {"ca_file": str(fortress.authority.file)}
    if own == "unknown":
        certificate, key = Authority(tmp_path / "other").issue("worker")
        settings |= {"certificate_file": str(certificate), "key_file": str(key)}

    status, said, took = fortress.run(fortress.broker.addresses["MUTUAL"], **settings)

    assert (status, took < SECONDS) == (5, True), said
    assert "certificate" in said


@pytest.mark.rare
@pytest.mark.parametrize("protocol", ["plaintext", "ssl"])
def test_another_protocol_than_the_broker_has(fortress: Fortress, protocol: str) -> None:
    """Is no silence."""
    server = fortress.broker.addresses["SASL"] if protocol == "plaintext" else fortress.broker.address

    status, said, took = fortress.run(server, protocol=protocol)

    assert (status, took < SECONDS) == (5, True), said
    assert "FIVEFOLD_KAFKA_PROTOCOL" in said or "connecting to a PLAINTEXT broker listener?" in said
