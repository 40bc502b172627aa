"""The values: what is refused, and that the schema and the server agree about settings."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from fivefold.core.telemetry import SECONDS
from fivefold.online.settings import OnlineSettings
from tests.chart.rendering import CHART, ROOT, SCENARIOS, helm, template

DIGEST = "a" * 64
MODEL = f"online: {{models: [{{image: 'models/a@sha256:{DIGEST}'}}]}}"

CHARTS_OWN = {
    "http", "grpc", "allow_public", "keys", "oidc_issuer", "oidc_audience", "oidc_jwks",
    "min_replicas", "max_replicas", "drain_seconds",
}  # fmt: skip
"""Settings that the chart itself decides from other values."""


def schema() -> Any:
    """The schema of the values."""
    return json.loads((CHART / "values.schema.json").read_text())


@pytest.mark.parametrize("scenario", SCENARIOS)
def test_helm_finds_nothing_to_say(scenario: str) -> None:
    """`helm lint` in its strict form passes for every scenario."""
    path = str(CHART / "ci" / f"{scenario}.yaml")
    done = helm("lint", "--strict", "--quiet", str(CHART), "-f", path, "--kube-version", "1.34.0")

    assert done.returncode == 0, done.stdout


@pytest.mark.parametrize(
    ("values", "word"),
    [
        ("", "online"),
        (f"{MODEL}\nmodel: x", "model"),
        (f"{MODEL}\ngateway: {{host: x}}", "host"),
        (f"{MODEL}\nimage: {{tag: latest}}", "tag"),
        ("online: {models: []}", "models"),
        ("online: {models: [{url: 's3://models/a.tar'}]}", "url"),
        (f"online: {{models: [{{url: 'http://models/a.tar#sha256={DIGEST}'}}]}}", "url"),
        ("online: {models: [{image: 'models/a'}]}", "image"),
        ("online: {models: [{image: 'models/a:latest'}]}", "image"),
        ("online: {models: [{image: 'models/a@sha256:12'}]}", "image"),
        (MODEL.replace("}]}", "}], settings: {keys: /tmp}}"), "keys"),
        (MODEL.replace("}]}", "}], drainSeconds: 30}"), "drainSeconds"),
        (f"{MODEL}\noidc: {{issuer: 'https://login.example'}}", "audience"),
        (f"{MODEL}\noidc: {{issuer: 'http://login.example', audience: a}}", "issuer"),
        (f"{MODEL}\ntls: {{source: secret}}", "secret"),
        (f"{MODEL}\ntls: {{source: certManager}}", "issuer"),
        (f"{MODEL}\nnetworkPolicy: {{callers: []}}", "callers"),
        (f"{MODEL}\nmonitoring: {{objective: {{seconds: 0.3}}}}", "seconds"),
        (f"{MODEL}\nbatch: {{enabled: true, output: '/out/{{date}}'}}", "input"),
        (f"{MODEL}\nbatch: {{enabled: true, input: [/in]}}", "output"),
        (f"{MODEL}\nbatch: {{enabled: true, input: [/in], output: /out}}", "output"),
        (f"{MODEL}\nbatch: {{input: ['/in/{{dat}}']}}", "input"),
        (f"{MODEL}\nbatch: {{input: ['--output']}}", "input"),
        (f"{MODEL}\nbatch: {{model: 's3://models/a.tar'}}", "model"),
        (f"{MODEL}\nbatch: {{schedule: 'CRON_TZ=UTC 0 2 * * *'}}", "schedule"),
        (f"{MODEL}\nbatch: {{timeZone: Local}}", "timeZone"),
        (f"{MODEL}\nbatch: {{format: xlsx}}", "format"),
        (f"{MODEL}\nbatch: {{columns: ['a,b']}}", "columns"),
    ],
)
def test_values_that_cannot_be_meant_are_refused(values: str, word: str) -> None:
    """The message names the key."""
    done = template(values)

    assert done.returncode != 0
    assert word in done.stderr


def test_a_key_that_is_unknown_is_answered_with_those_that_are_known() -> None:
    """Every closed object of the schema lists the names of its properties, which Helm then prints."""

    def closed(item: Any) -> Iterator[Any]:
        if isinstance(item, dict):
            if item.get("additionalProperties") is False:
                yield item
            for value in item.values():
                yield from closed(value)
        elif isinstance(item, list):
            for value in item:
                yield from closed(value)

    found = list(closed(schema()))
    done = template(f"{MODEL}\ngateway: {{classname: x}}")

    assert len(found) > 50
    for each in found:
        assert each["propertyNames"] == {"enum": list(each["properties"])}
    assert "value must be one of 'enabled', 'className', 'port'" in done.stderr


def test_the_schema_knows_the_settings_of_the_server() -> None:
    """Each setting of the server is a value, or is decided by the chart; and the other way round."""
    known = set(schema()["properties"]["online"]["properties"]["settings"]["properties"])
    fields = {field.name for field in dataclasses.fields(OnlineSettings)}

    assert known | CHARTS_OWN == fields
    assert not known & CHARTS_OWN


def test_the_objective_is_a_bound_of_the_histogram() -> None:
    """What is not counted cannot be promised."""
    objective = schema()["properties"]["monitoring"]["properties"]["objective"]["properties"]

    assert tuple(objective["seconds"]["enum"]) == SECONDS


def test_ray_is_the_one_that_is_locked() -> None:
    """KubeRay goes by the version that the values name; the image holds the one of the lock."""
    values = yaml.safe_load((CHART / "values.yaml").read_text())

    assert f"\nray=={values['online']['rayVersion']} " in (ROOT / "requirements" / "ray.txt").read_text()


def keys(item: Any, path: str = "") -> set[str]:
    """The paths of a mapping's leaves; a list and a free-form mapping count as leaves."""
    if not isinstance(item, dict) or not item:
        return {path}
    return {found for key, value in item.items() for found in keys(value, f"{path}.{key}" if path else key)}


def test_every_value_is_used_by_a_scenario() -> None:
    """A key that no scenario sets is a key that nobody has tried."""
    defaults = keys(yaml.safe_load((CHART / "values.yaml").read_text()))
    files = [*(CHART / "ci").glob("*.yaml"), *(ROOT / "k8s" / "kind").glob("values.yaml")]
    given = {found for path in files for found in keys(yaml.safe_load(path.read_text()))}
    left = {path for path in defaults if not any(_covers(path, other) for other in given)}

    assert left <= DEFAULT_ALONE


def _covers(path: str, other: str) -> bool:
    return path == other or other.startswith(f"{path}.") or path.startswith(f"{other}.")


DEFAULT_ALONE = {
    # What a cluster of another make would change; the defaults are what every rendering here has.
    "networkPolicy.operator", "networkPolicy.dns", "gateway.enabled", "gateway.className",
    "tls.selfSignedFor", "monitoring.podMonitor", "monitoring.rules", "monitoring.dashboard", "image.tag",
    "monitoring.dashboardLabels.grafana_dashboard", "online.rayVersion",
    # By which every pod is admitted as restricted; test_roles tries them as null.
    "podSecurityContext.runAsNonRoot", "podSecurityContext.seccompProfile.type",
    "containerSecurityContext.capabilities.drop", "containerSecurityContext.allowPrivilegeEscalation",
    "containerSecurityContext.readOnlyRootFilesystem",
}  # fmt: skip


def test_the_chart_is_of_one_version_with_the_package() -> None:
    """The chart's appVersion names the image of the package's version."""
    import tomllib

    version = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["version"]

    assert yaml.safe_load((CHART / "Chart.yaml").read_text())["appVersion"] == version


@pytest.mark.parametrize("path", sorted((ROOT / "k8s").rglob("*.yaml")), ids=lambda path: path.name)
def test_manifests_beside_the_chart_parse(path: Path) -> None:
    """Each document of each file is a mapping."""
    documents = list(yaml.safe_load_all(path.read_text()))

    assert documents
    assert all(isinstance(document, dict) for document in documents)
