"""Whether anything was ever served, as KubeRay's status has it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from tests.support.kubernetes_api import running

from fivefold.cluster.kubernetes_api import ApiError
from fivefold.cluster.rayservice import has_served


def ready(reason: str, status: str = "False") -> dict[str, Any]:
    return {"conditions": [{"type": "UpgradeInProgress"}, {"type": "Ready", "status": status, "reason": reason}]}


@pytest.mark.parametrize(
    ("status", "served"),
    [
        (None, False),
        ({}, False),
        (ready("Initializing"), False),
        (ready("InitializingTimeout"), False),
        (ready("ValidationFailed") | {"activeServiceStatus": {}}, False),
        ({"pendingServiceStatus": {"rayClusterName": "scores-1"}}, False),
        ({"activeServiceStatus": {"rayClusterName": "scores-1"}} | ready("ValidationFailed"), True),
        (ready("ZeroServeEndpoints"), True),
        (ready("NonZeroServeEndpoints", "True"), True),
    ],
)
def test_the_status_says_whether_it_has_served(tmp_path: Path, status: dict[str, Any] | None, served: bool) -> None:
    """A first try that failed has no active cluster and never had an endpoint."""
    with running(tmp_path) as (cluster, api):
        if status is not None:
            cluster.rayservices["scores"] = {"metadata": {"name": "scores"}, "status": status}

        assert has_served(api, "scores") is served


def test_an_api_that_refuses_is_no_answer(tmp_path: Path) -> None:
    """Not to be let in is not the same as that there is nothing."""
    with running(tmp_path) as (cluster, api):
        cluster.forbidden.add("scores")

        with pytest.raises(ApiError, match="403"):
            has_served(api, "scores")
