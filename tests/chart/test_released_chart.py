"""The chart as `make release` packages it: the images of its release by digest, wherever a mirror has them."""

from __future__ import annotations

import os
import re
import subprocess
from pathlib import Path

import pytest
from releasing.building import IN_CHART, chart, chart_content
from releasing.refusal import ReleaseRefused

from tests.chart.rendering import CHART, KUBERNETES, ROOT, SCENARIOS, helm
from tests.chart.test_images import images

DIGESTS = {name: f"sha256:{letter * 64}" for name, letter in zip(IN_CHART, "123", strict=True)}
OURS = {f"registry.example/fivefold/{name}@{digest}" for name, digest in DIGESTS.items()}


@pytest.fixture(scope="module")
def package(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return chart(ROOT, tmp_path_factory.mktemp("package"), "0.1.0", "registry.example/fivefold", DIGESTS)


def rendered(package: Path, scenario: str, *more: str) -> str:
    done = helm(
        "template", "a", str(package), "-f", str(CHART / "ci" / f"{scenario}.yaml"), "--kube-version", KUBERNETES, *more
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def ours(text: str) -> set[str]:
    """Images of the product, not those of bundles and of others' containers."""
    return {image for image in images(text) if re.search(r"/(ray|stream|hub)[:@]", image)}


@pytest.mark.parametrize("scenario", SCENARIOS)
def test_every_pod_has_the_image_of_the_release(package: Path, scenario: str) -> None:
    """But where the values name another one by its digest."""
    given = (CHART / "ci" / f"{scenario}.yaml").read_text()
    found = ours(rendered(package, scenario))

    assert {image for image in found if image.rpartition("@")[2] not in given} <= OURS
    assert found


def test_a_mirror_changes_the_repository_alone(package: Path) -> None:
    mirror = ("--set", "image.repository=mirror.internal/ray")

    assert images(rendered(package, "default", *mirror)) == {f"mirror.internal/ray@{DIGESTS['ray']}"}


def test_what_is_asked_for_wins(package: Path) -> None:
    """A tag and a digest of one's own, of that image alone."""
    tag, digest = ("--set", "image.tag=mine"), ("--set", f"image.digest=sha256:{'d' * 64}")

    assert images(rendered(package, "default", *tag)) == {"registry.example/fivefold/ray:mine"}
    for words in (digest, (*tag, *digest)):
        assert images(rendered(package, "default", *words)) == {f"registry.example/fivefold/ray@sha256:{'d' * 64}"}
    assert f"registry.example/fivefold/hub@{DIGESTS['hub']}" in images(rendered(package, "hub", *tag))


def test_nothing_else_is_changed(package: Path) -> None:
    """Without its images the package renders as the tree does."""
    name = re.compile(r"(registry\.example/)?fivefold/(\w+)(@sha256:[0-9a-f]{64}|:0\.1\.0)")

    for scenario in ("batch", "hub", "stream"):
        assert name.sub(r"\2", rendered(package, scenario)) == name.sub(r"\2", rendered(CHART, scenario))


def test_two_packages_of_the_same_files_are_the_same(package: Path, tmp_path: Path) -> None:
    """Although helm packages them at another time; one more character makes another chart."""
    again = chart(ROOT, tmp_path, "0.1.0", "registry.example/fivefold", DIGESTS)
    other = chart(ROOT, tmp_path / "other", "0.1.0", "registry.example/fivefold", {"ray": DIGESTS["ray"]})

    assert chart_content(again) == chart_content(package)
    assert chart_content(other) != chart_content(package)


def test_a_tree_that_names_its_images_otherwise_is_refused(tmp_path: Path) -> None:
    values = tmp_path / "helm" / "fivefold" / "values.yaml"
    values.parent.mkdir(parents=True)
    values.write_text("image: {repository: mine/ray}\n")

    with pytest.raises(ReleaseRefused, match="names fivefold/ray 0 times"):
        chart(tmp_path, tmp_path / "out", "0.1.0", "registry.example", DIGESTS)


def listed(**variables: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        ["k8s/image-list.sh"], cwd=ROOT, env=os.environ | variables, capture_output=True, text=True, timeout=60
    )


def test_the_list_for_a_mirror_has_every_image(package: Path) -> None:
    """Those of pods, of runs, of bundles and of containers beside ours."""
    values = str(CHART / "ci" / "corporate.yaml")
    done = listed(CHART=str(package), VALUES=values, OPERATORS="")
    assert done.returncode == 0, done.stderr

    assert done.stdout.splitlines() == sorted(images(rendered(package, "corporate")))
    assert {*OURS, "registry.example/tools:1", "registry.example/shipper:1"} <= set(done.stdout.splitlines())


def test_the_documents_command_lists_the_same(package: Path) -> None:
    """For who has no tree."""
    text = (ROOT / "docs" / "release.md").read_text("utf-8")
    (command,) = re.findall(r"^(helm template scores .*\n.*grep .*)$", text, re.MULTILINE)
    values = str(CHART / "ci" / "batch.yaml")
    command = command.replace("oci://registry.example/fivefold/charts/fivefold --version 0.1.0", str(package))
    command = command.replace("scores.yaml", f"{values} --kube-version {KUBERNETES}")
    done = subprocess.run(["bash", "-c", command], capture_output=True, text=True, check=True)

    assert done.stdout.split() == sorted(images(rendered(package, "batch")))
    assert done.stdout.split() == listed(CHART=str(package), VALUES=values, OPERATORS="").stdout.split()


def test_an_operator_that_is_none_is_refused() -> None:
    done = listed(OPERATORS="strimzi", VALUES=str(CHART / "ci" / "default.yaml"))

    assert "OPERATORS: expected kuberay, traefik or both, got strimzi" in done.stderr
