"""The hub: its command, its volume or its database, and who reaches it."""

from __future__ import annotations

import json
import re

import pytest
from kubernetes import client

from fivefold.cli import _parser
from fivefold.core.settings import read
from fivefold.edge.hub import hub_metrics
from fivefold.edge.hub.hub_limits import HubSettings
from tests.chart.flows import Pod, allowed, pods
from tests.chart.rendering import Release, template

NAME = "fivefold-hub"
ENABLED = ("hub", "hub-postgres")
DIGEST = "a" * 64
MODEL = f'online: {{models: [{{image: "models/demo@sha256:{DIGEST}"}}]}}\n'


def pod(release: Release) -> client.V1PodSpec:
    """The hub's pod."""
    return dict(release.pods())[NAME]


def test_nothing_is_made_unless_values_say_so() -> None:
    """No pod, no route, no claim."""
    release = Release("default")

    assert not release.of("StatefulSet")
    assert [item["metadata"]["name"] for item in release.of("HTTPRoute")] == ["fivefold"]


@pytest.mark.parametrize("scenario", ENABLED)
def test_the_command_is_one_that_the_program_takes(scenario: str) -> None:
    """Read by the program itself, and its settings are legal where it listens for the gateway."""
    container = pod(Release(scenario)).containers[0]
    arguments = _parser().parse_args([*container.command[1:], *container.args])

    assert bool(arguments.data) != bool(arguments.database)
    assert arguments.keys == "/etc/fivefold/keys"
    settings = read(HubSettings, http=arguments.http, allow_http=arguments.allow_http, cors_origins=arguments.cors)
    assert settings.http == "0.0.0.0:8700"


def test_events_lie_on_a_volume_that_outlives_the_pod() -> None:
    """And where a Postgres has them there is none."""
    (own,) = Release("hub").of("StatefulSet")
    (elsewhere,) = Release("hub-postgres").of("StatefulSet")
    (claim,) = own["spec"]["volumeClaimTemplates"]
    mounts = {mount.name: mount.mount_path for mount in pod(Release("hub")).containers[0].volume_mounts}

    assert claim["spec"] == {
        "volumeMode": "Filesystem",
        "accessModes": ["ReadWriteOnce"],
        "storageClassName": "fast",
        "resources": {"requests": {"storage": "20Gi"}},
    }
    assert mounts["data"] == "/data"
    assert "volumeClaimTemplates" not in elsewhere["spec"]
    assert own["spec"]["replicas"] == 1


def test_a_password_is_a_secret() -> None:
    """It stands in no argument, and a URL that has one is refused."""
    container = pod(Release("hub-postgres")).containers[0]
    (password,) = [item for item in container.env if item.name == "PGPASSWORD"]
    refused = template(MODEL + "hub: {enabled: true, database: {url: 'postgres://hub:word@db/hub'}}\n")

    assert (password.value_from.secret_key_ref.name, password.value_from.secret_key_ref.key) == (
        "hub-database",
        "pgpassword",
    )
    assert refused.returncode != 0
    assert "hub.database.url" in refused.stderr or "/hub/database/url" in refused.stderr
    alone = template(MODEL + "hub: {enabled: true, database: {password: {secret: one}}}\n")
    assert "hub.database.url: expected the Postgres" in alone.stderr


def test_what_is_watched_is_what_a_hub_tells() -> None:
    """Every figure of the dashboard and of the alerts is one that a hub exports, on the port that is scraped."""
    told = set(re.findall(r"fivefold_hub_\w+", hub_metrics.__doc__ or ""))
    release = Release("hub")
    dashboard = json.loads(release.one("ConfigMap", "fivefold-dashboard")["data"]["fivefold-hub.json"])
    shown = set(re.findall(r"fivefold_hub_\w+", json.dumps(dashboard["panels"])))
    asked = set(re.findall(r"fivefold_hub_\w+", json.dumps(release.one("PrometheusRule", NAME)["spec"])))
    monitor = release.one("PodMonitor", NAME)["spec"]
    ports = {port.name: port.container_port for port in pod(release).containers[0].ports}

    assert asked <= told
    assert shown == told
    assert [each["port"] for each in monitor["podMetricsEndpoints"]] == ["metrics"]
    assert f"--metrics=0.0.0.0:{ports['metrics']}" in pod(release).containers[0].args
    assert monitor["selector"]["matchLabels"] == release.one("StatefulSet")["spec"]["selector"]["matchLabels"]
    assert len({panel["title"] for panel in dashboard["panels"]}) == len(dashboard["panels"])


@pytest.mark.parametrize(
    ("source", "port", "expected"),
    [
        (Pod("monitoring"), 8701, True),
        (Pod("monitoring"), 8700, False),
        (Pod("traefik", {"app.kubernetes.io/name": "traefik"}), 8700, True),
        (Pod("traefik", {"app.kubernetes.io/name": "traefik"}), 8701, False),
        (Pod("events", {"app": "shop"}), 8701, False),
    ],
)
def test_devices_reach_the_hub_and_monitoring_its_metrics(source: Pod, port: int, expected: bool) -> None:
    """Each its own port: metrics are answered without a key."""
    release = Release("hub")

    assert allowed(release.of("NetworkPolicy"), source, pods(release)[NAME], port) is expected


def test_devices_come_through_the_gateway_and_operators_do_not() -> None:
    """The longer prefix wins over the service's own /v1."""
    (route,) = [item for item in Release("hub").of("HTTPRoute") if item["metadata"]["name"] == NAME]
    (rule,) = route["spec"]["rules"]

    assert [match["path"] for match in rule["matches"]] == [{"type": "PathPrefix", "value": "/v1/edge"}]
    assert rule["backendRefs"] == [{"group": "", "kind": "Service", "name": NAME, "port": 8700, "weight": 1}]
