"""Every object that the chart renders, and every object beside it, is what Kubernetes and the operators accept."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml

from tests.chart import schemas, sequences
from tests.chart.rendering import ROOT, SCENARIOS, Release

pytestmark = pytest.mark.full
KIND = ("bundles", "data")
"""What `k8s/kind` has for Kubernetes itself."""


@pytest.mark.parametrize("scenario", SCENARIOS)
def test_rendered_objects_fit_their_schemas(scenario: str) -> None:
    """No field is unknown, none has another type, in no scenario, nor in the RayJob that a Job makes."""
    release = Release(scenario)
    found = {
        f"{item['kind']} {item['metadata']['name']}": said
        for item in [*release.objects, *release.runs()]
        if (said := schemas.errors(item))
    }

    assert found == {}


@pytest.mark.parametrize(
    "path",
    sorted([*(ROOT / "k8s" / "examples").glob("*.yaml"), *(ROOT / "k8s" / "kind" / f"{name}.yaml" for name in KIND)]),
    ids=lambda path: path.name,
)
def test_objects_beside_the_chart_fit_their_schemas(path: Path) -> None:
    """What a user applies by hand is accepted as well."""
    assert [said for item in yaml.safe_load_all(path.read_text()) for said in schemas.errors(item)] == []


def test_a_wrong_object_is_found() -> None:
    """An unknown field deep inside of a pod of the Ray cluster, and a wrong type, are errors."""
    item = yaml.safe_load(yaml.safe_dump(Release("default").one("RayService")))
    pod = item["spec"]["rayClusterConfig"]["headGroupSpec"]["template"]["spec"]
    pod["containers"][0]["comand"] = []
    pod["terminationGracePeriodSeconds"] = "long"

    said = schemas.errors(item)

    assert len(said) == 2
    assert any("comand" in sentence for sentence in said)


@pytest.mark.parametrize("scenario", SCENARIOS)
def test_the_api_adds_nothing(scenario: str) -> None:
    """Controllers compare lists in such kinds as they stand: what the API adds would differ from Git for ever."""
    found = {sequences.name_of(item): schemas.defaults(dict(item)) for item in sequences.plain(Release(scenario))}

    assert {name: paths for name, paths in found.items() if paths} == {}


def test_a_default_that_is_left_out_is_found() -> None:
    """Deep inside of a list."""
    route = Release("default").one("HTTPRoute")
    short = {**route, "spec": {**route["spec"], "rules": [{"backendRefs": [{"name": "fivefold", "port": 8000}]}]}}

    assert {"$.spec.rules[0].backendRefs[0].kind", "$.spec.rules[0].matches"} <= set(schemas.defaults(short))
