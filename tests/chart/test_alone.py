"""Releases in which nothing is served: runs, a stream or a hub by itself."""

from __future__ import annotations

from typing import Any

import pytest
import yaml

from tests.chart.rendering import ALONE, APIS, CHART, Release, objects, template

SERVES = {"RayService", "Gateway", "HTTPRoute", "GRPCRoute", "BackendTLSPolicy", "Certificate", "Pod"}
"""Kinds that are there for callers alone; the only Pod is the test that calls."""


def rendered(values: dict[str, Any]) -> list[dict[str, Any]]:
    """What these values render to, on a cluster with Prometheus' operator."""
    done = template(yaml.safe_dump(values), *(word for api in APIS for word in ("--api-versions", api)))
    assert done.returncode == 0, done.stderr
    return objects(done.stdout)


@pytest.mark.parametrize("scenario", ALONE)
def test_nothing_is_there_for_callers(scenario: str) -> None:
    """Neither what serves, nor its accounts, budget, gate, test and policies; no selector is about such pods."""
    release = Release(scenario)
    names = {item["metadata"]["name"] for item in release.objects}
    selected = [
        value
        for policy in release.of("NetworkPolicy")
        for value in [(policy["spec"]["podSelector"].get("matchLabels") or {}).get("app.kubernetes.io/component")]
    ]

    assert not SERVES & {item["kind"] for item in release.objects}
    assert not {"fivefold-head", "fivefold-worker", "fivefold-workers", "fivefold-gate", "fivefold-serve"} & names
    assert "online" not in selected
    assert not any("8000" in str(item) for item in release.of("Service"))
    assert "fivefold-deny" in names


def test_runs_alone_have_the_token_that_ray_asks_for_and_no_key() -> None:
    """Nobody calls, so there is neither a key nor a certificate to make."""
    release = Release("batch-alone")
    (job,) = [item for item in release.of("Job") if item["metadata"]["name"] == "fivefold-secrets"]
    (run,) = release.runs()

    assert job["spec"]["template"]["spec"]["containers"][0]["args"] == ["--name=fivefold", "--no-keys"]
    assert run["spec"]["rayClusterSpec"]["authOptions"]["secretName"] == "fivefold-ray-token"
    assert not release.of("PodMonitor")
    (rules,) = release.of("PrometheusRule")
    assert [rule["alert"] for group in rules["spec"]["groups"] for rule in group["rules"] if "alert" in rule] == [
        "FivefoldClusterIsNotWatched",
        "FivefoldBatchRunFailed",
        "FivefoldBatchRunIsMissed",
    ]
    assert not [item for item in release.of("ConfigMap") if item["metadata"]["name"].endswith("dashboard")]


def test_a_stream_alone_is_watched_and_needs_no_secret_of_ours() -> None:
    """No job runs at install time; metrics, alerts and the dashboard are the stream's."""
    release = Release("stream-alone")
    (board,) = [item for item in release.of("ConfigMap") if item["metadata"]["name"].endswith("dashboard")]

    assert not release.of("Job")
    assert [item["metadata"]["name"] for item in release.of("PodMonitor")] == ["fivefold-stream"]
    assert [item["metadata"]["name"] for item in release.of("PrometheusRule")] == [
        "fivefold-cluster",
        "fivefold-stream",
    ]
    assert set(board["data"]) == {"fivefold-stream.json"}


def test_a_hub_alone_is_called_through_the_gateway_with_a_key() -> None:
    """Its route, the gateway and the Secrets behind them; no route of the service, and no token of Ray."""
    items = rendered({"online": {"enabled": False}, "hub": {"enabled": True}})
    kinds = [(item["kind"], item["metadata"]["name"]) for item in items]
    (job,) = [item for item in items if item["kind"] == "Job"]

    (board,) = [item for item in items if item["metadata"]["name"] == "fivefold-dashboard"]

    assert ("Gateway", "fivefold") in kinds
    assert [name for kind, name in kinds if kind == "HTTPRoute"] == ["fivefold-hub"]
    assert not {"GRPCRoute", "RayService"} & {kind for kind, _ in kinds}
    assert set(board["data"]) == {"fivefold-hub.json"}
    assert job["spec"]["template"]["spec"]["containers"][0]["args"] == [
        "--name=fivefold",
        "--no-token",
        "--host=localhost",
        "--host=127.0.0.1",
    ]


def test_models_may_still_be_said_once() -> None:
    """The first of online.models is what runs and the stream take where they name none."""
    values = yaml.safe_load((CHART / "ci" / "stream.yaml").read_text())
    values["online"]["enabled"] = False
    (workers,) = [item for item in rendered(values) if item["kind"] == "StatefulSet"]

    assert workers["spec"]["template"]["spec"]["initContainers"][0]["image"] == values["online"]["models"][0]["image"]
