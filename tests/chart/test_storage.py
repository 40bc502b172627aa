"""How much of a node's disk and memory a pod may fill: full directories are met before the kubelet evicts."""

from __future__ import annotations

from typing import Any

import pytest
import yaml
from kubernetes import client
from kubernetes.utils.quantity import parse_quantity

from tests.chart.rendering import CHART, ROOT, SCENARIOS, Release, containers, objects, template, typed

OWN_LIMIT = {("batch", "run-worker")}
"""Where the values set a limit of their own, below what the directories may hold."""

LOGS = 50 * 2**20
"""What the kubelet keeps of a container's log: five files of 10 MiB."""


def disk(pod: client.V1PodSpec) -> tuple[float, float, float]:
    """Bytes of a pod's directories on disk, and its containers' requests and limits together."""
    directories = [volume.empty_dir for volume in pod.volumes or [] if volume.empty_dir]
    sizes = sum(parse_quantity(each.size_limit) for each in directories if each.medium != "Memory")
    asked = sum(parse_quantity(each.resources.requests["ephemeral-storage"]) for each in pod.containers)
    limit = sum(parse_quantity(each.resources.limits["ephemeral-storage"]) for each in pod.containers)
    return float(sizes), float(asked), float(limit)


@pytest.mark.parametrize("scenario", SCENARIOS)
def test_a_pod_may_fill_its_directories_and_write_its_logs(scenario: str) -> None:
    """The kubelet counts directories, logs and all else together, against the containers' limits together."""
    for name, pod in Release(scenario).pods():
        sizes, asked, limit = disk(pod)

        assert 0 < asked <= limit, name
        assert (scenario, name) in OWN_LIMIT or sizes + LOGS * len(containers(pod)) <= limit, name
        for container in containers(pod):
            found = container.resources
            assert parse_quantity(found.requests["ephemeral-storage"]) <= parse_quantity(
                found.limits["ephemeral-storage"]
            ), (name, container.name)


@pytest.mark.parametrize("scenario", SCENARIOS)
def test_rays_object_store_is_memory_that_the_container_has(scenario: str) -> None:
    """Every pod of Ray mounts /dev/shm: room for the object store, and most of the memory left to models."""
    release = Release(scenario)
    for group in [*release.groups().values(), *release.run_groups().values()]:
        pod = typed(group["template"]["spec"], "V1PodSpec")
        ray = pod.containers[0]
        (mount,) = [each for each in ray.volume_mounts if each.mount_path == "/dev/shm"]
        (volume,) = [each for each in pod.volumes if each.name == mount.name]
        size = parse_quantity(volume.empty_dir.size_limit)

        assert volume.empty_dir.medium == "Memory"
        assert int(group["rayStartParams"]["object-store-memory"]) < size
        assert size * 4 <= parse_quantity(ray.resources.limits["memory"])


def test_the_logs_that_head_and_autoscaler_share_have_an_end() -> None:
    """KubeRay adds a directory at /tmp/ray where none is mounted; ours has the name that it goes by."""
    cluster = Release("autoscale").cluster()
    pod = typed(cluster["headGroupSpec"]["template"]["spec"], "V1PodSpec")
    mounts = {each.mount_path: each.name for each in pod.containers[0].volume_mounts}
    autoscaler = {each["mountPath"]: each["name"] for each in cluster["autoscalerOptions"]["volumeMounts"]}

    assert mounts["/tmp/ray"] == autoscaler["/tmp/ray"] == "ray-logs"
    assert set(cluster["autoscalerOptions"]["resources"]["limits"]) == {"cpu", "memory", "ephemeral-storage"}
    assert "/tmp/ray" not in {
        mount.mount_path
        for mount in typed(Release("default").groups()["head"]["template"]["spec"], "V1PodSpec")
        .containers[0]
        .volume_mounts
    }


@pytest.mark.parametrize("scenario", SCENARIOS)
def test_rays_logs_are_turned_over_long_before_tmp_is_full(scenario: str) -> None:
    """Ray keeps of each log so much and a number of files of before; a hundred logs fit."""
    release = Release(scenario)
    for group in [*release.groups().values(), *release.run_groups().values()]:
        pod = typed(group["template"]["spec"], "V1PodSpec")
        variables = {item.name: item.value for item in pod.containers[0].env}
        kept = int(variables["RAY_ROTATION_MAX_BYTES"]) * (1 + int(variables["RAY_ROTATION_BACKUP_COUNT"]))
        (tmp,) = [volume for volume in pod.volumes if volume.name == "tmp"]
        claim = tmp.ephemeral and tmp.ephemeral.volume_claim_template.spec.resources.requests["storage"]

        assert kept * 60 <= parse_quantity(claim or tmp.empty_dir.size_limit)


def worker(values: str) -> Any:
    """The worker pod of what these values render to."""
    done = template((CHART / "ci" / "default.yaml").read_text() + values)
    assert done.returncode == 0, done.stderr
    (service,) = [item for item in objects(done.stdout) if item["kind"] == "RayService"]
    return typed(service["spec"]["rayClusterConfig"]["workerGroupSpecs"][0]["template"]["spec"], "V1PodSpec")


@pytest.mark.parametrize(
    ("values", "asked", "limit"),
    [
        ("", "1024Mi", "8448Mi"),
        ("bundles: {cacheSize: 1536Ki}\n", "1024Mi", "4354Mi"),
        ("bundles: {cacheSize: 1Ti}\n", "1024Mi", "1052928Mi"),
        ("  tmpSize: 128Mi\nbundles: {cacheSize: 64Mi}\n", "448Mi", "448Mi"),
        ("  workers: {resources: {requests: {ephemeral-storage: 2Gi}}}\n", "2Gi", "8448Mi"),
        ("  workers: {resources: {requests: {ephemeral-storage: 20Gi}}}\n", "20Gi", "20480Mi"),
        ("  workers: {resources: {limits: {ephemeral-storage: 6Gi}}}\n", "1024Mi", "6Gi"),
    ],
)
def test_a_limit_follows_from_the_directories_unless_it_is_given(values: str, asked: str, limit: str) -> None:
    """Sizes are added up in any unit; what is given stands."""
    resources = worker(values).containers[0].resources

    assert resources.requests["ephemeral-storage"] == asked
    assert resources.limits["ephemeral-storage"] == limit
    assert (resources.requests["cpu"], resources.requests["memory"]) == ("2", "2Gi")


@pytest.mark.parametrize(
    ("values", "word"),
    [
        ("  workers: {resources: {requests: {ephemeral-storage: 2G}}}\n", "ephemeral-storage"),
        ("  workers: {resources: {limits: {ephemeral-storage: 1.5Gi}}}\n", "ephemeral-storage"),
        ("  workers: {resources: {limits: {ephemeral-storage: 512Mi}}}\n", "at least the request, 1024Mi, got 512Mi"),
        ("  tmpSize: 0Gi\n", "tmpSize"),
        ("  tmpSize: 4\n", "tmpSize"),
        ("  sharedMemory: 80MB\n", "sharedMemory"),
    ],
)
def test_sizes_that_cannot_be_meant_are_refused(values: str, word: str) -> None:
    """By the key, or by a sentence that says what was expected."""
    done = template((CHART / "ci" / "default.yaml").read_text() + values)

    assert done.returncode != 0
    assert word in done.stderr


@pytest.mark.parametrize("path", sorted((ROOT / "k8s" / "examples").glob("*.yaml")), ids=lambda path: path.name)
def test_pods_beside_the_chart_are_bounded_as_well(path: Any) -> None:
    """What a user applies by hand has limits on disk, and every directory an end."""
    for spec in pod_specs(yaml.safe_load(yaml.safe_dump(list(yaml.safe_load_all(path.read_text()))))):
        pod = typed(spec, "V1PodSpec")
        sizes, asked, limit = disk(pod)

        assert 0 < asked <= limit
        assert sizes + LOGS <= limit
        assert all(volume.empty_dir.size_limit for volume in pod.volumes or [] if volume.empty_dir)


def pod_specs(item: Any) -> list[dict[str, Any]]:
    """Every pod's specification within an object."""
    if isinstance(item, dict):
        own = [item] if "containers" in item else []
        return own + [found for value in item.values() for found in pod_specs(value)]
    if isinstance(item, list):
        return [found for value in item for found in pod_specs(value)]
    return []
