"""A release as Argo CD brings it: rendered without a cluster, hooks first, then the rest, and nothing left over."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import Any

import pytest
import yaml

from tests.chart import sequences
from tests.chart.rendering import CHART, KUBERNETES, Release, helm, objects
from tests.e2e import bundles, cluster

pytestmark = [pytest.mark.e2e, pytest.mark.rare]

NAME = "second"
"""A release beside the other one, in its namespace: the volume with bundles is there."""

FULL = f"{NAME}-fivefold"
PRESYNC = ("pre-install", "pre-upgrade")


def rendered(digest: str) -> Release:
    """What a controller makes of the chart: of values, and the version of the cluster."""
    values = yaml.safe_load((CHART.parents[1] / "k8s" / "kind" / "values.yaml").read_text())
    tag = (CHART.parents[1] / ".cache" / "kind" / "tag").read_text().strip()
    values["image"] = {"tag": tag}
    values["online"]["models"] = [{"url": f"file:///bundles/claim/{digest}.tar#sha256={digest}"}]
    values["online"]["replicas"] |= {"min": 1, "max": 1}
    values["online"]["workers"] |= {"count": 2}
    values |= {"batch": {"enabled": False}, "gateway": {"enabled": False}}
    words = ("template", NAME, str(CHART), "--namespace", cluster.NAME, "--kube-version", KUBERNETES, "-f", "-")
    done = helm(*words, values=yaml.safe_dump(values))
    assert done.returncode == 0, done.stderr
    release = Release.__new__(Release)
    release.objects = objects(done.stdout)
    return release


def apply(item: Mapping[str, Any]) -> None:
    """As a controller applies one object."""
    cluster.kubectl("apply", "--server-side", "--force-conflicts", "-f", "-", given=json.dumps(item))


def presync(release: Release) -> str:
    """Run the hooks, each deleted before it is made and all after they have succeeded; what the gate said."""
    hooks = sequences.hooks(release, *PRESYNC)
    said = ""
    for item in hooks:
        kind, name = sequences.name_of(item)
        cluster.kubectl("delete", kind, name, "--ignore-not-found")
        apply(item)
        if kind == "Job":
            cluster.until(f"the hook {name}", lambda name=name: ended(name))
            if name.endswith("-gate"):
                said = cluster.kubectl("logs", f"job/{name}")
    for item in hooks:
        cluster.kubectl("delete", *sequences.name_of(item))
    return said


def ended(job: str) -> bool:
    """Whether a Job has done its work; one that failed fails the test with its log."""
    status = json.loads(cluster.kubectl("get", "job", job, "-o", "json")).get("status", {})
    if status.get("failed"):
        pytest.fail(f"{job}: {cluster.kubectl('logs', f'job/{job}', check=False)}")
    return bool(status.get("succeeded"))


def sync(release: Release) -> None:
    """What comes after the hooks."""
    for item in sequences.plain(release):
        apply(item)


def serves() -> bool:
    """Whether the RayService says that it answers."""
    path = '{.status.conditions[?(@.type=="Ready")].status}'
    return cluster.kubectl("get", "rayservice", FULL, "-o", f"jsonpath={path}") == "True"


def drift(release: Release) -> str:
    """What the API would change, were all of it applied once more."""
    text = yaml.safe_dump_all(sequences.plain(release))
    return cluster.kubectl("diff", "--server-side", "--force-conflicts", "-f", "-", given=text, check=False)


@pytest.fixture(scope="module")
def cleared() -> Iterator[None]:
    """Nothing of the second release before and after."""
    _clear()
    yield
    _clear()


def _clear() -> None:
    kinds = "rayservice,service,networkpolicy,serviceaccount,role,rolebinding,poddisruptionbudget,job,secret"
    cluster.kubectl("delete", kinds, "-l", f"app.kubernetes.io/instance={NAME}", "--ignore-not-found")
    made = (f"{FULL}-{name}" for name in ("api-keys", "api-key", "ray-token"))
    cluster.kubectl("delete", "secret", *made, "--ignore-not-found")


def test_a_sync_after_one_that_failed_is_a_first_release(cleared: None) -> None:
    """A RayService whose bundle nobody could open has never served: the gate opens the new one, and lets it in."""
    sync(rendered("0" * 64))
    good = rendered(bundles.build(1).digest)

    said = presync(good)
    sync(good)

    assert "has never served anything: a first release" in said
    cluster.until("the second release", serves)


def test_a_second_sync_has_nothing_to_do() -> None:
    """The gate asks what is served now, with the key that was made, and nothing differs from what was rendered."""
    good = rendered(bundles.build(1).digest)

    said = presync(good)

    assert "answers under the contract that is served" in said
    assert drift(good) == ""


def test_what_helm_installed_does_not_differ_either() -> None:
    """The demo's own release, object by object."""
    manifest = cluster.helm("get", "manifest", cluster.NAME)

    assert cluster.kubectl("diff", "-f", "-", given=manifest, check=False) == ""
