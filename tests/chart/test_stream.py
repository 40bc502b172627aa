"""Stream: the workers, what they are told, and what values are refused."""

from __future__ import annotations

import dataclasses
import json
import re
from typing import Any

import pytest
import yaml
from kubernetes import client

from fivefold.cli import _parser
from fivefold.core.settings import read
from fivefold.stream.addresses import TopicAddress
from fivefold.stream.kafka_settings import REFUSED, KafkaSettings
from fivefold.stream.registry_settings import RegistrySettings
from fivefold.stream.settings import StreamSettings
from tests.chart.rendering import CHART, KUBERNETES, ROOT, Release, helm, objects, template, typed

DIGEST = "a" * 64
NAME = "fivefold-stream"
ENABLED = ("stream", "stream-scaled", "stream-image", "stream-registry")
CHARTS_OWN = {"group", "slot", "health"}
"""Settings of a worker that the chart has values of its own for, or decides."""

STREAM = (CHART / "ci" / "stream.yaml").read_text()


def worker(release: Release) -> client.V1PodSpec:
    """A worker's pod."""
    return dict(release.pods())[NAME]


def variables(release: Release) -> dict[str, str]:
    """A worker's variables, its slot as the first pod has it."""
    found = {item.name: item for item in worker(release).containers[0].env}
    assert found["FIVEFOLD_SLOT"].value_from.field_ref.field_path == "metadata.name"
    return {name: f"{NAME}-0" if item.value_from else item.value for name, item in found.items()}


def schema() -> Any:
    """The schema of the values of the stream."""
    return json.loads((CHART / "values.schema.json").read_text())["properties"]["stream"]


def test_nothing_is_made_unless_values_say_so() -> None:
    """No workers, no account, nothing that watches them."""
    release = Release("default")

    assert not release.of("StatefulSet")
    assert not [item for item in release.objects if "stream" in item["metadata"]["name"]]
    assert list(release.one("ConfigMap", "fivefold-dashboard")["data"]) == ["fivefold-online.json"]


@pytest.mark.parametrize("scenario", ENABLED)
def test_the_command_is_one_that_the_worker_takes(scenario: str) -> None:
    """Its arguments and its variables, read by the program itself."""
    release = Release(scenario)
    container = worker(release).containers[0]
    arguments = _parser().parse_args([*container.command[1:], *container.args])
    found = variables(release)
    settings = read(StreamSettings, environ=found, health=arguments.health)

    assert container.command[0] == "fivefold"
    addresses = [TopicAddress.parse(text, "x") for text in (arguments.source, arguments.to, arguments.dead_letter)]
    assert len({address.servers for address in addresses}) == 1
    assert len({address.topic for address in addresses}) == 3
    assert settings.slot == f"{NAME}-0"
    assert read(KafkaSettings, environ=found)


def test_every_setting_reaches_a_worker() -> None:
    """As the values have it: those of the stream and those of Kafka."""
    release = Release("stream-scaled")
    found = variables(release)

    assert read(StreamSettings, environ=found) == StreamSettings(
        group="diagnoses",
        slot=f"{NAME}-0",
        start="latest",
        max_batch=20000,
        linger=0.05,
        max_bad_fraction=0.2,
        bad_window=10000,
        same_partition=False,
        stall_seconds=120,
    )
    assert read(KafkaSettings, environ=found) == KafkaSettings(
        kafka_protocol="sasl_ssl",
        kafka_ca_file="/etc/fivefold/kafka-ca/ca.crt",
        kafka_certificate_file="/etc/fivefold/kafka-certificate/tls.crt",
        kafka_key_file="/etc/fivefold/kafka-certificate/tls.key",
        kafka_mechanism="OAUTHBEARER",
        kafka_username="scores",
        kafka_password_file="/etc/fivefold/kafka-password/password",
        kafka_token_url="https://login.example/token",
        kafka_token_scope="kafka",
        kafka_group_protocol="consumer",
        kafka_transaction_seconds=30,
        kafka_poll_seconds=90,
        kafka_options_file="/etc/fivefold/kafka-options/kafka.properties",
    )
    assert found["AWS_REGION"] == "eu-central-1"


def test_a_registry_is_told_to_a_worker() -> None:
    """Where it is, who asks, and whom to believe; each Secret under the name that a worker looks for."""
    release = Release("stream-registry")
    volumes = {volume.name: volume.secret for volume in worker(release).volumes if volume.secret}

    assert read(RegistrySettings, environ=variables(release)) == RegistrySettings(
        registry_url="https://registry.example:8081/apis/ccompat/v7",
        registry_ca_file="/etc/fivefold/registry-ca/ca.crt",
        registry_certificate_file="/etc/fivefold/registry-certificate/tls.crt",
        registry_key_file="/etc/fivefold/registry-certificate/tls.key",
        registry_username="scores",
        registry_password_file="/etc/fivefold/registry-password/password",
        registry_timeout=2.5,
    )
    assert {name: {item.key: item.path for item in secret.items} for name, secret in volumes.items()} == {
        "registry-ca": {"authority.pem": "ca.crt"},
        "registry-certificate": {"user.crt": "tls.crt", "user.key": "tls.key"},
        "registry-password": {"secret": "password"},
    }
    mounts = {mount.name: mount.mount_path for mount in worker(release).containers[0].volume_mounts}
    assert all(mounts[name] == f"/etc/fivefold/{name}" for name in volumes)
    assert "FIVEFOLD_REGISTRY_URL" not in variables(Release("stream"))


def test_a_registry_that_asks_for_a_token() -> None:
    """Over plain http, where values say so."""
    release = Release("stream-image")
    (token,) = [volume for volume in worker(release).volumes if volume.name == "registry-token"]

    assert read(RegistrySettings, environ=variables(release)) == RegistrySettings(
        registry_url="http://registry:8081",
        registry_token_file="/etc/fivefold/registry-token/token",
        registry_http=True,
    )
    assert token.secret.secret_name == "registry-user"
    assert [(item.key, item.path) for item in token.secret.items] == [("bearer", "token")]


def test_every_setting_of_a_registry_is_a_value() -> None:
    """None is left to variables."""
    text = (CHART / "templates" / "_stream.tpl").read_text()

    assert all(f"FIVEFOLD_{field.name.upper()}" in text for field in dataclasses.fields(RegistrySettings))


def test_the_schema_knows_the_settings_of_a_worker() -> None:
    """Each is a value, or is decided by the chart; and the other way round. All of Kafka's are told to a worker."""
    known = set(schema()["properties"]["settings"]["properties"])
    kafka = {f"FIVEFOLD_{field.name.upper()}" for field in dataclasses.fields(KafkaSettings)}

    assert known | CHARTS_OWN == {field.name for field in dataclasses.fields(StreamSettings)}
    assert not known & CHARTS_OWN
    assert kafka <= set(variables(Release("stream-scaled")))


def test_the_schema_refuses_what_the_worker_refuses() -> None:
    """Settings of librdkafka that exactly-once stands on, before anything is installed."""
    refused = schema()["properties"]["kafka"]["properties"]["options"]["propertyNames"]["not"]["anyOf"]

    assert set(refused[1]["enum"]) == set(REFUSED)


def test_further_settings_of_kafka_are_a_file() -> None:
    """One a line; another one replaces the pods."""
    release = Release("stream-scaled")
    text = release.one("ConfigMap", NAME)["data"]["kafka.properties"]
    (mount,) = [each for each in worker(release).containers[0].volume_mounts if each.name == "kafka-options"]
    notes = release.one("StatefulSet")["spec"]["template"]["metadata"]["annotations"]

    assert text == "fetch.max.bytes=50000000\nmessage.max.bytes=4000000\n"
    assert f"{mount.mount_path}/kafka.properties" == variables(release)["FIVEFOLD_KAFKA_OPTIONS_FILE"]
    assert list(notes) == ["fivefold.dev/kafka-options"]


def test_credentials_are_secrets_that_are_named() -> None:
    """Each key under the name that a worker looks for, for its group alone; the brokers' user is no secret."""
    volumes = {volume.name: volume.secret for volume in worker(Release("stream-scaled")).volumes if volume.secret}
    found = {
        name: (secret.secret_name, {item.key: item.path for item in secret.items or []})
        for name, secret in volumes.items()
    }

    assert found == {
        "kafka-ca": ("kafka-authority", {"authority.pem": "ca.crt"}),
        "kafka-certificate": ("kafka-user", {"user.crt": "tls.crt", "user.key": "tls.key"}),
        "kafka-password": ("kafka-user", {"secret": "password"}),
        "trusted-keys": ("publishers", {}),
    }
    assert not [volume.name for volume in worker(Release("stream")).volumes if volume.secret]


def test_workers_have_a_place_and_keep_it() -> None:
    """A StatefulSet's pods have names that stay, and none waits for another."""
    workers = Release("stream").one("StatefulSet")["spec"]
    service = Release("stream").one("Service", NAME)["spec"]

    assert workers["replicas"] == 3
    assert workers["podManagementPolicy"] == "Parallel"
    assert workers["serviceName"] == NAME
    assert workers["selector"]["matchLabels"] == service["selector"] == workers["template"]["metadata"]["labels"]
    assert service["clusterIP"] == "None"


@pytest.mark.parametrize(
    ("scenario", "model", "images"),
    [
        ("stream", "/bundles/images/0", [f"registry.example/models/breast-cancer@sha256:{DIGEST}"]),
        ("stream-image", "/bundles/images/0", ["registry.example/models/churn:7"]),
        ("stream-scaled", f"s3://models/breast-cancer-2.tar#sha256={'b' * 64}", []),
    ],
)
def test_the_bundle_comes_as_it_does_everywhere(scenario: str, model: str, images: list[str]) -> None:
    """Out of an image, its own or that of what is served, or by a URL with a digest; signed where keys are trusted."""
    release = Release(scenario)
    pod = worker(release)
    mounts = {mount.mount_path: mount.name for mount in pod.containers[0].volume_mounts}
    copies = pod.init_containers or []

    assert f"--model={model}" in pod.containers[0].args
    assert [copy.image for copy in copies] == images
    assert [copy.volume_mounts[0].name for copy in copies] == [mounts[model] for _ in images]
    assert variables(release)["FIVEFOLD_BUNDLE_CACHE"] in mounts
    signed = scenario == "stream-scaled"
    assert ("/etc/fivefold/trusted" in mounts) == ("FIVEFOLD_TRUSTED_KEYS" in variables(release)) == signed
    assert [each.secret_ref.name for each in pod.containers[0].env_from or []] == ["object-store"] * signed


def test_a_url_that_is_served_is_scored_with() -> None:
    """Where the stream has no bundle of its own."""
    values, stream = yaml.safe_load((CHART / "ci" / "default.yaml").read_text()), yaml.safe_load(STREAM)
    values |= {"stream": stream["stream"], "networkPolicy": values["networkPolicy"] | stream["networkPolicy"]}
    (workers,) = Release.of_values(values).of("StatefulSet")
    pod = workers["spec"]["template"]["spec"]

    assert f"--model=https://models.example/breast-cancer-1.tar#sha256={DIGEST}" in pod["containers"][0]["args"]
    assert "initContainers" not in pod


def test_the_image_is_the_streams_own() -> None:
    """By its digest where it has one, whatever Ray's is."""
    done = template(f"{STREAM}image: {{repository: registry.example/ray, digest: 'sha256:{DIGEST}'}}\n")
    release = Release("stream-scaled")
    (workers,) = [item for item in objects(done.stdout) if item["kind"] == "StatefulSet"]

    assert workers["spec"]["template"]["spec"]["containers"][0]["image"].startswith("fivefold/stream:")
    assert worker(release).containers[0].image == f"registry.example/fivefold/stream@sha256:{DIGEST}"
    assert release.one("StatefulSet")["metadata"]["annotations"] == {"fivefold.dev/image-tag": "1.4"}


@pytest.mark.parametrize("scenario", ENABLED)
def test_probes_ask_the_worker_and_it_has_time_to_end(scenario: str) -> None:
    """On the port that it listens on: alive, ready, and long enough to fetch a bundle."""
    pod = worker(Release(scenario))
    container = pod.containers[0]
    (port,) = container.ports
    stalls = float(variables(Release(scenario)).get("FIVEFOLD_STALL_SECONDS", StreamSettings().stall_seconds))

    assert f"--health=0.0.0.0:{port.container_port}" in container.args
    for probe, path in (
        (container.startup_probe, "/livez"),
        (container.liveness_probe, "/livez"),
        (container.readiness_probe, "/readyz"),
    ):
        assert (probe.http_get.path, probe.http_get.port) == (path, port.name)
    assert container.startup_probe.failure_threshold * container.startup_probe.period_seconds >= 300
    assert container.liveness_probe.failure_threshold * container.liveness_probe.period_seconds < stalls
    assert pod.termination_grace_period_seconds == (120 if scenario == "stream-scaled" else 60)
    # The shell of no other program stands in the signal's way.
    assert container.command[0] == "fivefold"


def test_a_drain_takes_one_worker_at_a_time() -> None:
    """And workers are spread, so that a node takes no more than its share."""
    release = Release("stream")
    budget = release.one("PodDisruptionBudget", NAME)["spec"]
    labels = release.one("StatefulSet")["spec"]["template"]["metadata"]["labels"]
    (spread,) = worker(release).topology_spread_constraints

    assert budget["maxUnavailable"] == 1
    assert budget["selector"]["matchLabels"] == spread.label_selector.match_labels == labels
    assert spread.topology_key == "kubernetes.io/hostname"


def test_workers_are_put_where_values_say() -> None:
    """Machines, resources and an account of their own."""
    release = Release("stream-scaled")
    pod = worker(release)
    account = release.one("ServiceAccount", NAME)

    assert pod.service_account_name == NAME
    assert account["metadata"]["annotations"] == {"eks.amazonaws.com/role-arn": "arn:aws:iam::000000000000:role/models"}
    assert pod.node_selector == {"pool": "scores"}
    assert [each.value for each in pod.tolerations] == ["scores"]
    assert pod.containers[0].resources.limits["memory"] == "2Gi"


@pytest.mark.parametrize("name", ["fivefold", "a" * 53, "a" * 26 + "-" + "b" * 26])
def test_names_are_short_enough_whatever_the_release_is_called(name: str) -> None:
    """A pod's name, and the label with its revision, are what Kubernetes adds to."""
    done = helm("template", name, str(CHART), "-f", "-", "--kube-version", KUBERNETES, values=STREAM)
    assert done.returncode == 0, done.stderr
    (workers,) = [item for item in objects(done.stdout) if item["kind"] == "StatefulSet"]

    assert len(workers["metadata"]["name"]) <= 52
    assert re.fullmatch(r"[a-z]([a-z0-9-]*[a-z0-9])?", workers["metadata"]["name"])
    assert typed(workers["spec"]["template"]["spec"], "V1PodSpec").service_account_name == workers["metadata"]["name"]


def test_the_documents_values_are_taken() -> None:
    """As they stand in docs/stream.md, beside what has to be given; what scales, on top of the others."""
    text = (ROOT / "docs" / "stream.md").read_text()
    first, scaled = re.findall(r"^```yaml\n(.*?)^```$", text, re.MULTILINE | re.DOTALL)
    given = (CHART / "ci" / "default.yaml").read_text() + first
    done = template(given)
    scaling = template(given.replace("stream:\n", scaled, 1))
    assert done.returncode == 0, done.stderr
    assert scaling.returncode == 0, scaling.stderr

    kinds = {item["kind"] for item in objects(done.stdout)}
    assert "StatefulSet" in kinds
    assert "ScaledObject" not in kinds
    (scaled_object,) = [item for item in objects(scaling.stdout) if item["kind"] == "ScaledObject"]
    assert scaled_object["spec"]["maxReplicaCount"] == 12


@pytest.mark.parametrize(
    ("values", "word"),
    [
        ("from: ''", "from"),
        ("to: local://scores", "to"),
        ("to: 'kafka://user:secret@kafka.events:9092/scores'", "to"),
        ("to: kafka://other:9092/scores", "stream.to: expected the brokers of stream.from, kafka.events:9092"),
        ("to: kafka://kafka.events:9092/patients", "stream.to: expected another topic"),
        ("deadLetter: kafka://kafka.events:9092/patients", "stream.deadLetter: expected another topic"),
        ("model: {url: 's3://models/a.tar'}", "url"),
        ("model: {image: 'models/a:latest'}", "image"),
        (f"model: {{url: 's3://models/a.tar#sha256={DIGEST}', image: 'models/a:1'}}", "model"),
        ("settings: {slot: a}", "slot"),
        ("settings: {max_batch: 0}", "max_batch"),
        ("kafka: {username: a}", "stream.kafka.password.secret: expected the Secret"),
        ("kafka: {mechanism: PLAIN}", "username"),
        ("kafka: {mechanism: OAUTHBEARER, username: a, password: {secret: a}}", "tokenUrl"),
        ("kafka: {password: {secret: a, value: b}}", "value"),
        ("kafka: {options: {acks: '1'}}", "acks"),
        ("kafka: {options: {sasl.password: a}}", "sasl.password"),
        ("kafka: {options: {ssl.key.pem: a}}", "ssl.key.pem"),
        ("kafka: {options: {client.rack: \"a\\nsasl.password=b\"}}", "client.rack"),
        ("registry: {url: 'https://me:secret@registry'}", "url"),
        ("registry: {url: 'http://registry:8081'}", "stream.registry.url: expected https://"),
        ("registry: {url: 'https://registry', username: a}", "expected both or none"),
        ("registry: {url: 'https://registry', password: {secret: a}}", "expected both or none"),
        ("registry: {url: 'https://registry', username: a, password: {secret: a}, token: {secret: a}}", "got both"),
        ("registry: {token: {secret: a}}", "stream.registry.url"),
        ("registry: {url: 'https://registry', token: {secret: a, value: b}}", "value"),
        ("registry: {url: 'https://registry', timeoutSeconds: 61}", "timeoutSeconds"),
        ("autoscaling: {enabled: true, max: 9}", "at most the 8 partitions of the topic, got 9"),
        ("autoscaling: {enabled: true, min: 9, partitions: 9, max: 8}", "stream.autoscaling.min"),
        ("drainSeconds: 5", "drainSeconds"),
        ("image: {digest: sha256:12}", "digest"),
        ("replica: 2", "replica"),
    ],
)  # fmt: skip
def test_values_that_cannot_be_meant_are_refused(values: str, word: str) -> None:
    """The message names the key, and where two values meet, what was expected."""
    name = values.partition(":")[0]
    kept = "".join(line for line in STREAM.splitlines(True) if not line.startswith(f"  {name}:"))
    done = template(kept.replace("stream:\n", f"stream:\n  {values}\n"))

    assert done.returncode != 0
    assert word in done.stderr


def test_brokers_have_to_be_let_through() -> None:
    """Or no worker would ever read an event; without policies nobody has to."""
    blocked = template(STREAM[: STREAM.index("networkPolicy:")])
    opened = template(STREAM[: STREAM.index("networkPolicy:")] + "networkPolicy: {enabled: false}\n")

    assert blocked.returncode != 0
    assert "brokers" in blocked.stderr
    assert opened.returncode == 0, opened.stderr
