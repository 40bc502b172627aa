"""What `make kind-up`, `deploy`, `status` and `logs` do on a cluster that is there already."""

from __future__ import annotations

import json
from typing import Any

import pytest

from tests.e2e import bundles, cluster

pytestmark = pytest.mark.e2e


def _standing() -> dict[str, Any]:
    """What may not change: pods by uid, what the operator was told, and the Secrets that clients rely on."""
    said = json.loads(cluster.kubectl("get", "rayservice,gateway,secrets,pods", "-o", "json"))
    kept = {}
    for item in said["items"]:
        name, about = f"{item['kind']}/{item['metadata']['name']}", item["metadata"]
        if item["kind"] == "Secret" and not item["type"].startswith("helm.sh/"):
            kept[name] = about["resourceVersion"]
        elif item["kind"] in ("RayService", "Gateway"):
            kept[name] = about["generation"]
        elif item["kind"] == "Pod" and "ray.io/node-type" in about["labels"] and "deletionTimestamp" not in about:
            kept[name] = about["uid"]
    return kept


def test_a_second_time_changes_nothing() -> None:
    """Targets are safe to run again: no pod is replaced, no Secret written, no key or certificate made anew."""
    before = _standing()

    assert "is there already" in cluster.make("kind-up")
    assert "changed in place" in cluster.make("deploy", BUNDLE=str(bundles.build(1).path), ARGS=bundles.ALONE)

    assert len(before) >= 10
    assert _standing() == before


def test_status_and_logs_show_the_service() -> None:
    """`make status` names what runs and that it is ready, `make logs` what its pods have said."""
    status = cluster.make("status")

    for word in ("rayservice.ray.io/fivefold", "gateway.gateway.networking.k8s.io/fivefold", cluster.head().name):
        assert word in status
    assert "application\tRUNNING" in status
    assert cluster.head().name in cluster.make("logs", TAIL="5")
