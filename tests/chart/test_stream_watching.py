"""Stream: who reaches workers and whom they reach, and what is known of them."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from typing import Any

import pytest

from tests.chart.flows import Host, Pod, allowed, pods
from tests.chart.rendering import Release
from tests.chart.test_stream import NAME, worker

BROKER = Pod("events", {"app": "kafka"})
MONITORING = Pod("monitoring")

FLOWS = [
    ("worker", BROKER, 9092, True),
    ("worker", BROKER, 9093, False),
    ("worker", Pod("events", {"app": "shop"}), 9092, False),
    ("worker", Host("203.0.113.7"), 443, False),
    ("worker", Host("10.20.0.2"), 6443, False),
    ("worker", "worker", 8080, False),
    ("worker", "replica", 8000, False),
    ("replica", BROKER, 9092, False),
    ("replica", "worker", 8080, False),
    (MONITORING, "worker", 8080, True),
    (MONITORING, "worker", 9092, False),
    (BROKER, "worker", 8080, False),
]


@pytest.mark.parametrize(("source", "target", "port", "expected"), FLOWS)
def test_workers_reach_brokers_and_are_asked_for_metrics(source: Any, target: Any, port: int, expected: bool) -> None:
    """Nothing else from anywhere to anywhere."""
    release = Release("stream")
    made = pods(release)
    ours: Mapping[str, Pod] = {"worker": made[NAME], "replica": made["worker"]}
    ends = [ours[end] if isinstance(end, str) else end for end in (source, target)]

    assert allowed(release.of("NetworkPolicy"), *ends, port) is expected


@pytest.mark.parametrize(
    ("host", "port", "expected"),
    [
        ("198.51.100.9", 9093, True),
        ("203.0.113.7", 443, True),
        ("192.0.2.7", 443, True),
        ("198.51.100.9", 443, False),
        ("203.0.113.7", 9093, False),
        ("169.254.169.254", 80, False),
    ],
)
def test_workers_reach_their_bundle_and_their_issuer(host: str, port: int, expected: bool) -> None:
    """Where the values have a store and an identity provider."""
    release = Release("stream-scaled")

    assert allowed(release.of("NetworkPolicy"), pods(release)[NAME], Host(host), port) is expected


def test_what_is_watched_is_what_a_worker_tells() -> None:
    """Every figure of the dashboard and of the alerts is one that workers export, on the port that is scraped."""
    from fivefold.stream import metrics

    told = set(re.findall(r"fivefold_\w+", metrics.__doc__ or ""))
    release = Release("stream")
    dashboard = json.loads(release.one("ConfigMap", "fivefold-dashboard")["data"]["fivefold-stream.json"])
    rules = json.dumps(release.one("PrometheusRule", NAME)["spec"])
    asked = set(re.findall(r"fivefold_\w+", json.dumps(dashboard["panels"]) + rules))
    monitor = release.one("PodMonitor", NAME)["spec"]
    (port,) = worker(release).containers[0].ports

    assert asked <= told
    assert {name for name in told if name != "fivefold_bundle_info"} <= set(
        re.findall(r"fivefold_\w+", json.dumps(dashboard["panels"]))
    )
    assert [each["port"] for each in monitor["podMetricsEndpoints"]] == [port.name]
    assert monitor["selector"]["matchLabels"] == release.one("StatefulSet")["spec"]["selector"]["matchLabels"]
    assert len({panel["title"] for panel in dashboard["panels"]}) == len(dashboard["panels"])


@pytest.mark.parametrize(("scenario", "missed"), [("stream", True), ("stream-image", True), ("stream-scaled", False)])
def test_workers_are_missed_where_there_have_to_be_some(scenario: str, missed: bool) -> None:
    """Not where KEDA may take the last one away."""
    groups = Release(scenario).one("PrometheusRule", NAME)["spec"]["groups"]
    alerts = {rule["alert"] for group in groups for rule in group["rules"] if "alert" in rule}

    assert ("FivefoldStreamHasNoWorker" in alerts) == missed
    assert {"FivefoldStreamIsBehind", "FivefoldStreamStandsStill", "FivefoldStreamHasDeadLetters"} <= alerts
