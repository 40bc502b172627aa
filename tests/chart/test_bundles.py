"""How bundles come to the replicas, by each form of delivery."""

from __future__ import annotations

from fivefold.cli import _parser
from tests.chart.rendering import Release, typed

DIGEST = "a" * 64


def test_urls_are_arguments_and_change_nothing_of_the_pods() -> None:
    """Another URL is a change in place: two scenarios that differ in their models ask for the same Ray cluster."""
    one, other = Release("default"), Release("gate")
    arguments = Release("two-models").serve()["applications"][0]["args"]

    assert one.cluster() == other.cluster()
    assert arguments["models"][2] == f"gs://models/churn-1.tar#sha256={'c' * 64}"
    assert arguments["defaults"] == {"breast-cancer": "1"}


def test_an_image_is_copied_before_ray_starts() -> None:
    """Its init container writes into a volume that the replica and nobody else mounts; a volume is read as it is."""
    release = Release("image-bundle")
    pod = typed(release.groups()["worker"]["template"]["spec"], "V1PodSpec")
    copy = pod.init_containers[0]
    mounts = {mount.mount_path: mount for mount in pod.containers[0].volume_mounts}

    assert copy.image == f"registry.example/models/breast-cancer@sha256:{DIGEST}"
    assert copy.command == ["cp", "-R", "/bundle/.", "/bundles/images/0"]
    assert copy.volume_mounts[0].name == mounts["/bundles/images/0"].name
    assert mounts["/bundles/claim"].read_only
    assert release.serve()["applications"][0]["args"]["models"][0] == "/bundles/images/0"
    assert not typed(release.groups()["head"]["template"]["spec"], "V1PodSpec").init_containers


def test_bundles_have_to_be_signed_where_keys_are_trusted() -> None:
    """Replicas and the gate are told the public keys."""
    release = Release("image-bundle")
    pods = dict(release.pods())
    for name in ("worker", "fivefold-gate"):
        variables = {item.name: item.value for item in pods[name].containers[0].env}

        assert variables["FIVEFOLD_TRUSTED_KEYS"] == "/etc/fivefold/trusted/release.pem"
        assert "/etc/fivefold/trusted" in {mount.mount_path for mount in pods[name].containers[0].volume_mounts}


def test_the_gate_checks_what_the_replicas_will_open() -> None:
    """The same references, the same image, the same cache; what an upgrade means to change is said to it."""
    release = Release("gate")
    gate = release.one("Job", "fivefold-gate")["spec"]["template"]["spec"]["containers"][0]
    worker = release.groups()["worker"]["template"]["spec"]["containers"][0]

    assert gate["image"] == worker["image"]
    assert gate["args"] == [
        f"--model=https://models.example/breast-cancer-1.tar#sha256={DIGEST}",
        "--against=http://fivefold:8000",
        "--rayservice=fivefold",
        "--accept-contract-change=breast-cancer",
        "--accept-removal=churn",
        "--allow-unreachable",
        f"--old=https://models.example/breast-cancer-0.tar#sha256={'b' * 64}",
        "--old-is-served",
        "--rows=/recorded/rows.jsonl",
        "--max-disagreement=0.01",
        "--max-change=0",
    ]
    assert release.one("Job", "fivefold-gate")["spec"]["activeDeadlineSeconds"] == 1200


def test_the_gate_is_told_what_its_command_takes() -> None:
    """Every argument is one of the command's, a bound of nothing too; without a bundle to compare with none of them."""
    words = [
        Release(scenario).one("Job", "fivefold-gate")["spec"]["template"]["spec"]["containers"][0]["args"]
        for scenario in ("gate", "default")
    ]
    given, usual = (_parser().parse_args(["release", "check", *each]) for each in words)

    assert (given.max_disagreement, given.max_change, given.old_is_served) == (0.01, 0.0, True)
    assert (usual.max_disagreement, usual.max_change, usual.old, usual.old_is_served) == (None, None, [], False)
