"""When the cluster is watched, by whom, and that alerts divide by what the product counts."""

from __future__ import annotations

import re
from typing import Any

import pytest

from fivefold.core.telemetry import OWED
from fivefold.guard.settings import GuardSettings
from tests.chart.flows import Pod, allowed, pods
from tests.chart.rendering import APIS, CHART, SCENARIOS, Release, objects, template

KINDS = {"PodMonitor", "PrometheusRule"}
KNOWN = [f"--api-versions={api}" for api in APIS]
PROMETHEUS = Pod("monitoring", {"app.kubernetes.io/name": "prometheus"})
GUARDED = [name for name in SCENARIOS if name not in {"open", "stream-image"}]
"""Scenarios with policies."""


def made(*arguments: str) -> list[dict[str, Any]]:
    """The objects of the smallest release."""
    done = template((CHART / "ci" / "default.yaml").read_text(), *arguments)
    assert done.returncode == 0, done.stderr
    return objects(done.stdout)


@pytest.mark.parametrize("known", [True, False])
@pytest.mark.parametrize("enabled", ["true", "auto", "false"])
def test_a_cluster_is_watched_as_the_values_say(enabled: str, known: bool) -> None:
    """Always, where helm is told of the operator's kinds, or never; what runs is the same."""
    found = made("--set", f"monitoring.enabled={enabled}", *(KNOWN if known else []))
    watched = enabled == "true" or (enabled == "auto" and known)
    dashboards = [item for item in found if item["metadata"]["name"] == "fivefold-dashboard"]
    plain = made("--set", "monitoring.enabled=false")

    assert {item["kind"] for item in found if item["kind"] in KINDS} == (KINDS if watched else set())
    assert len(dashboards) == watched
    assert [item for item in found if item["kind"] not in KINDS and item not in dashboards] == plain


def test_a_cluster_that_nobody_may_read_is_not_watched() -> None:
    """Its alerts would say that nothing runs; who wants that turns them off."""
    nobody = ("--set-json", "networkPolicy.metrics=[]")
    refused = template((CHART / "ci" / "default.yaml").read_text(), *nobody, *KNOWN)

    assert refused.returncode != 0
    assert "networkPolicy.metrics: expected who reads metrics" in refused.stderr
    assert made(*nobody, "--set", "monitoring.enabled=false", *KNOWN)
    assert made(*nobody, "--set", "networkPolicy.enabled=false", *KNOWN)


@pytest.mark.parametrize("scenario", GUARDED)
def test_who_reads_metrics_is_let_in_wherever_a_monitor_leads(scenario: str) -> None:
    """Every pod that it selects, on the port that it asks."""
    release = Release(scenario)
    reached = 0
    ports = {
        (name, port.name): port.container_port
        for name, pod in release.pods()
        for container in pod.containers
        for port in container.ports or []
    }
    for monitor in release.of("PodMonitor"):
        wanted = monitor["spec"]["selector"]["matchLabels"].items()
        for name, pod in pods(release).items():
            if wanted <= pod.labels.items():
                for endpoint in monitor["spec"]["podMetricsEndpoints"]:
                    port = ports[name, endpoint["port"]]
                    assert allowed(release.of("NetworkPolicy"), PROMETHEUS, pod, port), (name, port)
                    reached += 1

    alone = {"batch-alone": 0, "batch-jobs": 0, "site-alone": 0, "stream-alone": 1}
    assert reached >= alone.get(scenario, 2)


def expressions(scenario: str) -> list[tuple[str, str]]:
    """Rules by name, other than those on Kubernetes' own series."""
    return [
        (rule.get("alert") or rule["record"], rule["expr"])
        for item in Release(scenario).of("PrometheusRule")
        if not item["metadata"]["name"].endswith("-cluster")
        for group in item["spec"]["groups"]
        for rule in group["rules"]
    ]


@pytest.mark.parametrize("scenario", SCENARIOS)
def test_no_rule_mixes_two_releases(scenario: str) -> None:
    """Each series is asked for by the release's job, and each sum keeps it."""
    for name, text in expressions(scenario):
        series = re.findall(r"(?:ray_fivefold|fivefold)[\w:]+(\{)?", text)
        sums = re.findall(r"\b(?:by|on) \(([^)]*)\)", text)

        assert series, name
        assert all(series), name
        assert len(re.findall(r'\{namespace="scores",job="scores/fivefold(?:-stream|-hub)?"', text)) == len(series), (
            name
        )
        assert all("job" in each for each in sums), name


def test_alerts_divide_by_what_is_counted_from_zero() -> None:
    """Codes of answers that were owed, and no deadline of a caller's."""
    text = dict(expressions("default"))["fivefold:failed:rate5m"]
    (codes,) = re.findall(r'code=~"([^"]*)"', text)

    assert set(codes.split("|")) == set(OWED)


def test_keys_are_missed_before_they_open_nothing() -> None:
    """At half of the time that the server gives them."""
    text = dict(expressions("default"))["FivefoldCannotReadKeys"]

    assert text.endswith(f"> {GuardSettings().keys_max_age:.0f} / 2")


def test_no_alert_reads_days_of_raw_counters() -> None:
    """Beyond half an hour it is what has been recorded."""
    for scenario in ("default", "stream"):
        for name, text in expressions(scenario):
            assert not re.findall(r"(?:rate|increase)\(\w+_total\{[^}]*\}\[\d+[hd]\]", text), name
