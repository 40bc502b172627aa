"""Requests by MQTT, on a real broker: none is lost, whatever ends in between, and each is answered."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.support.authority import Authority
from tests.support.gateways import Running, events, eventually, process, running
from tests.support.mosquitto import Broker, Device, broker

ONE = json.dumps({"instances": [{"a": 1, "b": 2}]})
BAD = json.dumps({"instances": [{"a": 1000, "b": 2}]})


@pytest.fixture
def mosquitto(tmp_path: Path) -> Iterator[Broker]:
    with broker(tmp_path / "broker") as started:
        yield started


def connected(gateway: Running) -> None:
    eventually(lambda: gateway.client.get("/v1/gateway").json()["mqtt"]["connected"])


def test_a_message_is_answered_and_kept(tmp_path: Path, bundle: Path, mosquitto: Broker) -> None:
    """The answer is V1's, with the number of its event and the caller's own correlation beside it."""
    with running(tmp_path, [bundle], mqtt=mosquitto.url) as gateway:
        connected(gateway)
        device = Device(mosquitto)
        device.publish("fivefold/demo", ONE, correlation=b"7", user=[("x-fivefold-lane", "alerts")])
        result = device.result()
        device.close()
        kept = events(tmp_path, "alerts")

    answer = json.loads(result.payload)
    said = dict(result.properties.UserProperty)
    assert result.topic == "fivefold/demo/result"
    assert answer["predictions"] == [{"total": 3.0, "label": 1}]
    assert answer["metadata"]["transport"] == "mqtt"
    assert result.properties.CorrelationData == b"7"
    assert (said["x-fivefold-lane"], said["x-fivefold-sequence"]) == ("alerts", "1")
    assert said["x-request-id"] == answer["metadata"]["request_id"]
    assert [each["output"] for each in kept] == answer["predictions"]


def test_what_is_refused_is_answered_and_kept(tmp_path: Path, bundle: Path, mosquitto: Broker) -> None:
    """By the contract, as no JSON, or for a model that is not there: each is one event."""
    with running(tmp_path, [bundle], mqtt=mosquitto.url) as gateway:
        connected(gateway)
        device = Device(mosquitto)
        found = []
        for topic, payload in (("demo", BAD), ("demo", b"\xff{"), ("other", ONE), ("demo", b"")):
            device.publish(f"fivefold/{topic}", payload)
            found.append(json.loads(device.result().payload)["code"])
        device.close()
        kept = events(tmp_path)
        status = gateway.client.get("/v1/gateway").json()["mqtt"]

    assert found == ["out_of_range", "malformed", "model_not_found", "malformed"]
    assert [each["refusal"]["code"] for each in kept] == found
    assert {each["refusal"]["transport"] for each in kept} == {"mqtt"}
    assert status["messages"] == {"answered": 0, "refused": 4, "again": 0}


def test_what_comes_while_the_gateway_is_away_waits(tmp_path: Path, bundle: Path, mosquitto: Broker) -> None:
    """The broker keeps it, because the gateway has been there once."""
    with running(tmp_path, [bundle], mqtt=mosquitto.url) as gateway:
        connected(gateway)
    device = Device(mosquitto)
    for at in range(20):
        device.publish("fivefold/demo", json.dumps({"instances": [{"a": at, "b": 0}]}))
    with running(tmp_path, [bundle], mqtt=mosquitto.url):
        totals = [json.loads(device.result().payload)["predictions"][0]["total"] for _ in range(20)]
        device.close()
        kept = events(tmp_path)

    assert sorted(totals) == list(range(20))
    assert sorted(each["output"]["total"] for each in kept) == list(range(20))


def test_a_broker_that_goes_comes_back(tmp_path: Path, bundle: Path, mosquitto: Broker) -> None:
    """Meanwhile the gateway answers by HTTP."""
    with running(tmp_path, [bundle], mqtt=mosquitto.url) as gateway:
        connected(gateway)
        mosquitto.stop()
        eventually(lambda: not gateway.client.get("/v1/gateway").json()["mqtt"]["connected"])
        alone = gateway.ask({"a": 1, "b": 1})
        mosquitto.start()
        connected(gateway)
        device = Device(mosquitto)
        device.publish("fivefold/demo", ONE)
        answer = json.loads(device.result().payload)
        device.close()

    assert alone.status_code == 200
    assert answer["predictions"][0]["total"] == 3


@pytest.mark.full
def test_what_has_no_room_waits_at_the_broker(tmp_path: Path, bundle: Path, mosquitto: Broker) -> None:
    """A full outbox acknowledges nothing; what is there is kept, and nothing is answered that is not."""
    with running(tmp_path, [bundle], mqtt=mosquitto.url, quota_bytes=1024 * 1024) as gateway:
        connected(gateway)
        while gateway.ask(*[{"a": 1, "b": 2}] * 200).status_code == 200:
            pass
        while gateway.ask({"a": 1, "b": 2}).status_code == 200:
            pass
        before = len(events(tmp_path))
        device = Device(mosquitto)
        device.publish("fivefold/demo", ONE)
        eventually(lambda: gateway.client.get("/v1/gateway").json()["mqtt"]["messages"]["again"] > 0)
        assert len(events(tmp_path)) == before
        assert device.results.empty()
    with running(tmp_path, [bundle], mqtt=mosquitto.url):
        answer = json.loads(device.result().payload)
        device.close()
        kept = events(tmp_path)

    assert answer["predictions"][0]["total"] == 3
    assert len(kept) == before + 1


def test_what_a_topic_remembers_is_no_request(tmp_path: Path, bundle: Path, mosquitto: Broker) -> None:
    """A retained message was for those who were there."""
    device = Device(mosquitto)
    device.publish("fivefold/demo", ONE, retain=True)
    with running(tmp_path, [bundle], mqtt=mosquitto.url) as gateway:
        connected(gateway)
        device.publish("fivefold/demo", BAD)
        answer = json.loads(device.result().payload)
        device.close()
        kept = events(tmp_path)

    assert answer["code"] == "out_of_range"
    assert len(kept) == 1


def test_a_password_comes_from_a_file(tmp_path: Path, bundle: Path) -> None:
    """Without the right one the broker refuses, and the status says so."""
    passwords = tmp_path / "passwords"
    subprocess.run(["mosquitto_passwd", "-b", "-c", str(passwords), "pump", "right"], check=True, capture_output=True)
    secret = tmp_path / "password"
    secret.write_text("wrong\n")
    secret.chmod(0o600)
    given = {"mqtt_user": "pump", "mqtt_password_file": str(secret)}
    with broker(tmp_path / "broker", "allow_anonymous false", f"password_file {passwords}") as mosquitto:
        with running(tmp_path, [bundle], mqtt=mosquitto.url, **given) as gateway:
            eventually(lambda: bool(gateway.client.get("/v1/gateway").json()["mqtt"]["error"]))
            refused = gateway.client.get("/v1/gateway").json()["mqtt"]
        secret.write_text("right\n")
        with running(tmp_path, [bundle], mqtt=mosquitto.url, **given) as gateway:
            connected(gateway)

    assert not refused["connected"]
    assert "refuses the connection" in refused["error"]


def test_a_message_that_its_publisher_names_is_one_event(tmp_path: Path, bundle: Path, mosquitto: Broker) -> None:
    """However often it comes, also after a restart: it is answered again, with its number. Other content is another."""
    named = [("x-fivefold-key", "reading-7")]

    def asked(payload: str, *user: tuple[str, str]) -> str:
        device.publish("fivefold/demo", payload, user=list(user))
        return str(dict(device.result().properties.UserProperty)["x-fivefold-sequence"])

    device = Device(mosquitto)
    with running(tmp_path, [bundle], mqtt=mosquitto.url) as gateway:
        connected(gateway)
        first = [asked(ONE, *named), asked(ONE, *named), asked(BAD, *named), asked(BAD, *named)]
        lanes = [asked(ONE, *named, ("x-fivefold-lane", "alerts")), asked(ONE), asked(ONE)]
    with running(tmp_path, [bundle], mqtt=mosquitto.url) as gateway:
        connected(gateway)
        again = asked(ONE, *named)
        other = asked(ONE, ("x-fivefold-key", "reading-8"))
    device.close()

    assert first == ["1", "1", "2", "2"]
    assert lanes == ["1", "3", "4"]
    assert (again, other) == ("1", "5")
    assert len(events(tmp_path)) == 5


# paho leaves the socket of a handshake that failed to the collector.
@pytest.mark.filterwarnings("ignore:unclosed <ssl.SSLSocket:ResourceWarning")
def test_a_broker_with_tls_and_certificates(tmp_path: Path, bundle: Path) -> None:
    """By an authority that only this gateway was told of; the broker asks the gateway for its certificate, too."""
    ours, theirs = Authority(tmp_path / "ours"), Authority(tmp_path / "theirs")
    certificate, key = ours.issue("broker")
    mine, private = ours.issue("pump")
    lines = (
        f"cafile {ours.file}",
        f"certfile {certificate}",
        f"keyfile {key}",
        "require_certificate true",
        "allow_anonymous true",
    )
    proofs = {"mqtt_certificate": str(mine), "mqtt_private_key": str(private)}
    with broker(tmp_path / "broker", *lines) as mosquitto:
        assert mosquitto.url.startswith("mqtts://")
        with running(tmp_path, [bundle], mqtt=mosquitto.url, mqtt_ca=str(ours.file), **proofs) as gateway:
            connected(gateway)
            device = Device(mosquitto, tls={"ca_certs": str(ours.file), "certfile": str(mine), "keyfile": str(private)})
            device.publish("fivefold/demo", ONE)
            answer = json.loads(device.result().payload)
            device.close()
        refused = []
        for given in ({"mqtt_ca": str(theirs.file), **proofs}, {"mqtt_ca": str(ours.file)}):
            with running(tmp_path, [bundle], mqtt=mosquitto.url, **given) as gateway:
                eventually(lambda: bool(gateway.client.get("/v1/gateway").json()["mqtt"]["error"]))
                refused.append(gateway.client.get("/v1/gateway").json()["mqtt"])

    assert answer["predictions"][0]["total"] == 3
    assert [each["connected"] for each in refused] == [False, False]


@pytest.mark.full
@pytest.mark.timeout(600)
def test_a_kill_loses_no_message(tmp_path: Path, bundle: Path, mosquitto: Broker) -> None:
    """kill -9 while messages come: each that the broker has taken is an event in the end, once, and is answered.

    Once because its publisher has named it: the broker sends again what was not acknowledged.
    """
    device = Device(mosquitto)
    sent = 0
    for last in (False, False, False, True):
        with process(tmp_path, bundle, "--mqtt", mosquitto.url):
            if not sent:
                # From its first subscription on the broker keeps what comes.
                while device.results.empty():
                    device.publish("fivefold/demo", ONE)
            for _ in range(60):
                sent += 1
                payload = json.dumps({"instances": [{"a": sent / 4, "b": 50}]})
                device.publish("fivefold/demo", payload, user=[("x-fivefold-key", f"reading-{sent}")])
            if last:
                answered: set[float] = set()
                while len(answered) < sent:
                    total = json.loads(device.result().payload)["predictions"][0]["total"]
                    answered |= {total} - {3.0}
    device.close()
    kept = sorted(each["output"]["total"] for each in events(tmp_path) if each["output"]["total"] != 3.0)

    assert sorted(answered) == kept == [number / 4 + 50 for number in range(1, sent + 1)]
