"""Stream: how many workers there are, by KEDA."""

from __future__ import annotations

from fivefold.core.settings import read
from fivefold.stream.kafka_settings import KafkaSettings
from tests.chart.rendering import Release
from tests.chart.test_stream import NAME, variables, worker


def test_keda_scales_by_the_lag() -> None:
    """Of the group that the workers are, on the topic that they read; nobody else says how many there are."""
    release = Release("stream-scaled")
    scaled = release.one("ScaledObject")["spec"]
    workers = release.one("StatefulSet")
    (trigger,) = scaled["triggers"]

    assert "replicas" not in workers["spec"]
    assert scaled["scaleTargetRef"] == {"apiVersion": "apps/v1", "kind": "StatefulSet", "name": NAME}
    assert (scaled["minReplicaCount"], scaled["maxReplicaCount"], scaled["cooldownPeriod"]) == (0, 12, 600)
    assert trigger["type"] == "kafka"
    assert trigger["metadata"] == {
        "bootstrapServers": "one.kafka.example:9093,two.kafka.example:9093",
        "consumerGroup": variables(release)["FIVEFOLD_GROUP"],
        "topic": "patients",
        "lagThreshold": "20000",
        "activationLagThreshold": "5",
        "offsetResetPolicy": "latest",
        "limitToPartitionsWithLag": "true",
        "tls": "enable",
        "sasl": "oauthbearer",
    }
    assert trigger["authenticationRef"] == {"name": release.one("TriggerAuthentication")["metadata"]["name"]}


def test_keda_asks_with_what_the_workers_have() -> None:
    """The same keys of the same Secrets, and variables that a worker really has."""
    release = Release("stream-scaled")
    spec = release.one("TriggerAuthentication")["spec"]

    assert {each["parameter"]: (each["name"], each["key"]) for each in spec["secretTargetRef"]} == {
        "ca": ("kafka-authority", "authority.pem"),
        "cert": ("kafka-user", "user.crt"),
        "key": ("kafka-user", "user.key"),
        "password": ("kafka-user", "secret"),
    }
    assert {each["parameter"]: variables(release)[each["name"]] for each in spec["env"]} == {
        "username": "scores",
        "oauthTokenEndpointUri": "https://login.example/token",
        "scopes": "kafka",
    }
    assert {each["containerName"] for each in spec["env"]} == {worker(release).containers[0].name}


def test_a_user_alone_is_scram_over_tls_to_both() -> None:
    """What a worker concludes from its settings, KEDA is told."""
    release = Release("stream-image")
    told = release.one("ScaledObject")["spec"]["triggers"][0]["metadata"]
    found = read(KafkaSettings, environ=variables(release) | {"FIVEFOLD_KAFKA_PASSWORD_FILE": __file__}).connection()

    assert (told["sasl"], told["tls"]) == ("scram_sha512", "enable")
    assert (found["sasl.mechanisms"], found["security.protocol"]) == ("SCRAM-SHA-512", "sasl_ssl")
    assert told["activationLagThreshold"] == "0"
