"""A release with its images goes into a registry, comes out by digest, and is what the cluster runs then."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from fivefold.cli import main as fivefold
from tests.e2e import bundles, cluster
from tests.support.registry_server import registry

pytestmark = [pytest.mark.e2e, pytest.mark.rare]


@pytest.fixture(scope="module")
def keys(tmp_path_factory: pytest.TempPathFactory) -> Path:
    directory = tmp_path_factory.mktemp("keys")
    assert fivefold(["bundle", "keygen", str(directory / "release.pem")]) == 0
    return directory


@pytest.fixture(scope="module")
def prefix(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with registry(tmp_path_factory.mktemp("registry")) as address:
        yield f"{address}/fivefold"


def artefacts() -> dict[str, dict[str, Any]]:
    """Those of dist/release.json by kind and name."""
    record = json.loads((cluster.ROOT / "dist" / "release.json").read_bytes())
    return {f"{each['kind']} {each['name']}": each for each in record["artefacts"]}


def identity(image: str) -> str:
    """What Docker knows an image by."""
    return cluster.command("docker", "image", "inspect", "--format", "{{.Id}}", image).strip()


def test_images_come_out_by_the_digests_that_went_in(prefix: str, keys: Path) -> None:
    """Pushed, signed, checked, pulled by Docker; the second time nothing is pushed."""
    said = cluster.make("release", REGISTRY=prefix, SIGNING_KEY=str(keys / "release.pem"))
    made = artefacts()
    again = cluster.make("release", REGISTRY=prefix, SIGNING_KEY=str(keys / "release.pem"))
    checked = cluster.make("release-check", REGISTRY=prefix, PUBLIC_KEY=str(keys / "release.pub.pem"))

    assert "signed by" in said
    assert "nothing has been changed" in again
    assert artefacts() == made
    assert "as it was released" in checked
    for name in ("ray", "stream", "hub", "gateway"):
        image = made[f"image {name}"]
        by_digest = f"{prefix}/{name}@{image['digest']}"
        cluster.command("docker", "pull", "--quiet", by_digest)
        assert identity(by_digest) == identity(f"fivefold/{name}:build")
        assert image["size"] > 10_000_000


def test_another_image_under_the_same_version_is_refused(prefix: str, keys: Path, tmp_path: Path) -> None:
    """The registry keeps what it has."""
    (tmp_path / "Dockerfile").write_text("FROM fivefold/hub:build\nLABEL changed=yes\n")
    kept = identity("fivefold/hub:build")
    cluster.command("docker", "build", "--quiet", "-t", "fivefold/hub:build", str(tmp_path))
    try:
        said = cluster.make("release", check=False, REGISTRY=prefix, IMAGES="hub", ARGS="--skip-build")
    finally:
        cluster.command("docker", "tag", kept, "fivefold/hub:build")

    assert "is released already, with other content" in said
    assert "image hub: the release has" in said
    cluster.make("release-check", REGISTRY=prefix, PUBLIC_KEY=str(keys / "release.pub.pem"))


def test_deploy_installs_from_the_registry(prefix: str) -> None:
    """The released chart, and the image of the digest that it names, in every pod of the service."""
    first = bundles.build(1)

    said = cluster.make("deploy", CHART=f"oci://{prefix}/charts/fivefold", BUNDLE=str(first.path), ARGS=bundles.ALONE)

    digest = artefacts()["image ray"]["digest"].removeprefix("sha256:")
    image = f"{prefix}/ray:{digest[:12]}"
    assert f"loading {image}" in said
    assert cluster.served() == {first.name: first.digest}
    cluster.until(
        "the first cluster to be gone",
        lambda: (
            {
                container["image"]
                for item in json.loads(cluster.kubectl("get", "pods", "-l", "ray.io/node-type", "-o", "json"))["items"]
                for container in item["spec"]["containers"]
            }
            == {image}
        ),
    )
