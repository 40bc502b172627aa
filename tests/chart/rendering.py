"""The chart as objects: helm renders, and what it writes becomes mappings that are asked by path."""

from __future__ import annotations

import datetime as dt
import json
import subprocess
from collections.abc import Iterator, Sequence
from functools import cache
from pathlib import Path
from typing import Any

import yaml
from kubernetes import client

from fivefold.cluster import rayjob
from tests.support import programs

ROOT = Path(__file__).resolve().parents[2]
CHART = ROOT / "helm" / "fivefold"
SCENARIOS = sorted(path.stem for path in (CHART / "ci").glob("*.yaml"))
ALONE = ["batch-alone", "batch-jobs", "stream-alone"]
"""Scenarios in which nobody is answered."""

SERVING = [name for name in SCENARIOS if name not in [*ALONE, "site-alone"]]
"""Scenarios with a service of models."""

KUBERNETES = "1.34.0"
JOB = {"metadata": {"name": "fivefold-batch-1", "uid": "1", "creationTimestamp": "2026-03-01T02:00:00Z"}}
"""A Job that a CronJob would make, for the last day of February."""

APIS = ("monitoring.coreos.com/v1/PodMonitor", "monitoring.coreos.com/v1/PrometheusRule")

_PARSE = client.ApiClient()


def helm(*arguments: str, values: str = "") -> subprocess.CompletedProcess[str]:
    """Run helm, which conftest has found; `values` come in as a file on standard input."""
    program = programs.needed("helm", "the chart's tests")
    assert program is not None
    return subprocess.run([program, *arguments], input=values, capture_output=True, text=True, timeout=60)


def template(values: str = "", *more: str) -> subprocess.CompletedProcess[str]:
    """`helm template` for values in YAML."""
    given = ("-f", "-") if values else ()
    fixed = ("--namespace", "scores", "--kube-version", KUBERNETES)
    return helm("template", "fivefold", str(CHART), *fixed, *given, *more, values=values)


def notes(chart: Path, values: dict[str, Any]) -> str:
    """What an installation with these values says; `chart` is the fixture `noted`."""
    given = ("--kube-version", KUBERNETES, "-f", "-")
    done = helm("template", "scores", str(chart), *given, values=yaml.safe_dump(values))
    assert done.returncode == 0, done.stderr
    (found,) = [item for item in objects(done.stdout) if item["kind"] == "Notes"]
    return str(found["text"])


def objects(text: str) -> list[dict[str, Any]]:
    """The objects of a rendering."""
    return [item for item in yaml.safe_load_all(text) if item]


@cache
def _rendered(scenario: str) -> tuple[dict[str, Any], ...]:
    apis = [argument for api in APIS for argument in ("--api-versions", api)]
    done = template((CHART / "ci" / f"{scenario}.yaml").read_text(), *apis)
    assert done.returncode == 0, done.stderr
    return tuple(objects(done.stdout))


class Release:
    """What one scenario renders to, on a cluster with Prometheus' operator."""

    def __init__(self, scenario: str) -> None:
        self.objects = list(_rendered(scenario))

    @classmethod
    def of_values(cls, values: dict[str, Any]) -> Release:
        """What these values render to, on a cluster without Prometheus' operator."""
        done = template(yaml.safe_dump(values))
        assert done.returncode == 0, done.stderr
        made = cls.__new__(cls)
        made.objects = objects(done.stdout)
        return made

    def of(self, kind: str) -> list[dict[str, Any]]:
        """Every object of a kind."""
        return [item for item in self.objects if item["kind"] == kind]

    def one(self, kind: str, name: str | None = None) -> dict[str, Any]:
        """The only object of a kind, or the one with that name."""
        found = [item for item in self.of(kind) if name in (None, item["metadata"]["name"])]
        assert len(found) == 1, [item["metadata"]["name"] for item in found]
        return found[0]

    def policies(self) -> dict[str, client.V1NetworkPolicy]:
        """The network policies by what follows the release's name in theirs."""
        found = [typed(item, "V1NetworkPolicy") for item in self.of("NetworkPolicy")]
        return {policy.metadata.name.removeprefix("fivefold-"): policy for policy in found}

    def cluster(self) -> dict[str, Any]:
        """The Ray cluster that the RayService asks for; empty where nothing is served."""
        if not self.of("RayService"):
            return {}
        found: dict[str, Any] = self.one("RayService")["spec"]["rayClusterConfig"]
        return found

    def groups(self) -> dict[str, dict[str, Any]]:
        """Head and workers: `rayStartParams`, `template` and the rest."""
        cluster = self.cluster()
        return {"head": cluster["headGroupSpec"], "worker": cluster["workerGroupSpecs"][0]} if cluster else {}

    def runs(self) -> list[dict[str, Any]]:
        """The RayJob that `JOB` makes of the chart's manifest, where there is one."""
        manifests = [
            json.loads(item["data"]["rayjob.json"]) for item in self.of("ConfigMap") if "rayjob.json" in item["data"]
        ]
        return [rayjob.rayjob(manifest, JOB, dt.UTC) for manifest in manifests]

    def run_groups(self) -> dict[str, dict[str, Any]]:
        """Head and workers of a run's cluster, where there is one; of several jobs, with the job's name before it."""
        found = {}
        for run in self.runs():
            job = run["metadata"]["labels"].get("fivefold.dev/job")
            cluster = run["spec"]["rayClusterSpec"]
            for name, group in (("head", cluster["headGroupSpec"]), ("worker", cluster["workerGroupSpecs"][0])):
                found[f"{job}-{name}" if job else name] = group
        return found

    def templates(self) -> Iterator[tuple[str, dict[str, Any]]]:
        """What every pod is made of that the release makes, by name; not those of its own Pods."""
        for name, group in self.groups().items():
            yield name, group["template"]
        for name, group in self.run_groups().items():
            yield f"run-{name}", group["template"]
        for job in self.of("Job"):
            yield job["metadata"]["name"], job["spec"]["template"]
        for workers in [*self.of("StatefulSet"), *self.of("Deployment")]:
            yield workers["metadata"]["name"], workers["spec"]["template"]
        for job in self.of("CronJob"):
            yield job["metadata"]["name"], job["spec"]["jobTemplate"]["spec"]["template"]

    def serve(self) -> dict[str, Any]:
        """Ray Serve's configuration."""
        found: dict[str, Any] = yaml.safe_load(self.one("RayService")["spec"]["serveConfigV2"])
        return found

    def pods(self) -> Iterator[tuple[str, client.V1PodSpec]]:
        """Every pod that the release makes, by name."""
        for name, template in self.templates():
            yield name, typed(template["spec"], "V1PodSpec")
        for pod in self.of("Pod"):
            yield pod["metadata"]["name"], typed(pod["spec"], "V1PodSpec")


def typed(item: dict[str, Any], model: str) -> Any:
    """An object as the Kubernetes client's model of that name."""
    return _PARSE._ApiClient__deserialize(item, model)


def containers(pod: client.V1PodSpec) -> Sequence[client.V1Container]:
    """Init containers and the others."""
    return [*(pod.init_containers or []), *pod.containers]
