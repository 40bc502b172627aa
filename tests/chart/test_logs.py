"""`logs.format: json`: what prints through whom, and that nothing else changes."""

from __future__ import annotations

import functools
from typing import Any

import pytest
import yaml

from tests.chart.rendering import CHART, Release

SCENARIOS = ("default", "stream", "hub", "own-keys", "gate", "batch-volume")
RAYS = {"RAY_LOG_TO_STDERR": "1", "RAY_BACKEND_LOG_JSON": "1"}
OURS = {"FIVEFOLD_LOG_FORMAT": "json"}


@functools.cache
def containers(scenario: str, log_format: str) -> dict[str, Any]:
    """Every container of ours that runs for more than a copy, by its pod's name and its own."""
    values = yaml.safe_load((CHART / "ci" / f"{scenario}.yaml").read_text()) | {"logs": {"format": log_format}}
    found = dict(Release.of_values(values).pods())
    return {f"{name}/{each.name}": each for name, pod in found.items() for each in pod.containers}


def variables(container: Any) -> dict[str, str]:
    return {each.name: each.value for each in container.env or []}


@pytest.mark.parametrize("scenario", SCENARIOS)
def test_json_is_a_variable_or_a_process_around_ray(scenario: str) -> None:
    """Ray's pods run below the process that makes records; ours are told by a variable. All else is as with text."""
    text, records = containers(scenario, "text"), containers(scenario, "json")

    assert text.keys() == records.keys()
    for name, container in records.items():
        added = {key: value for key, value in variables(container).items() if key not in variables(text[name])}
        if container.name.startswith("ray-"):
            assert added == RAYS, name
            assert "exec python -m fivefold.commands.json_logs $KUBERAY_GEN_RAY_START_CMD" in container.args[0]
            assert "exec $KUBERAY_GEN_RAY_START_CMD" in text[name].args[0]
        else:
            assert added == OURS, name
            assert container.args == text[name].args
        assert container.command == text[name].command


def test_text_is_the_default() -> None:
    """A release that says nothing has neither."""
    release = Release("default")

    assert not [
        name for _, pod in release.pods() for each in pod.containers for name in variables(each) if name in RAYS | OURS
    ]
