"""Replicas on GPUs: what Ray and Kubernetes are asked for, and that the two belong together."""

from __future__ import annotations

import yaml

from tests.chart.rendering import CHART, objects, template

DEFAULT = (CHART / "ci" / "default.yaml").read_text()
GPU = (
    *("--set", "online.replicas.gpus=1", "--set-string", "online.workers.resources.limits.nvidia\\.com/gpu=1"),
    *("--set", "online.workers.pod.runtimeClassName=nvidia"),
    *("--set-json", 'online.workers.tolerations=[{"key": "nvidia.com/gpu", "operator": "Exists"}]'),
    *("--set-json", 'online.workers.pod.env=[{"name": "FIVEFOLD_PROVIDERS", "value": "cuda"}]'),
)


def test_a_replica_asks_for_its_gpu() -> None:
    """Of Ray, and its worker of Kubernetes; the runtime class, the toleration and the providers are the worker's."""
    done = template(DEFAULT, *GPU)
    assert done.returncode == 0, done.stderr
    (service,) = [item for item in objects(done.stdout) if item["kind"] == "RayService"]
    pod = service["spec"]["rayClusterConfig"]["workerGroupSpecs"][0]["template"]["spec"]
    (worker,) = [each for each in pod["containers"] if each["name"] == "ray-worker"]

    (application,) = yaml.safe_load(service["spec"]["serveConfigV2"])["applications"]
    assert application["args"]["num_gpus"] == 1
    assert worker["resources"]["limits"]["nvidia.com/gpu"] == "1"
    assert {"name": "FIVEFOLD_PROVIDERS", "value": "cuda"} in worker["env"]
    assert pod["runtimeClassName"] == "nvidia"
    assert pod["tolerations"] == [{"key": "nvidia.com/gpu", "operator": "Exists"}]


def test_a_gpu_that_no_worker_has_is_refused() -> None:
    """A replica would wait for ever; and without one nothing is asked for."""
    done = template(DEFAULT, "--set", "online.replicas.gpus=1")

    assert done.returncode != 0
    assert "online.workers.resources.limits: expected a GPU" in done.stderr
    assert "num_gpus" not in template(DEFAULT).stdout
