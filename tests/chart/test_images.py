"""Which bytes run: images by digest, the base of our own by digest, and what is said where there is only a tag."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
from pathlib import Path

import pytest
import yaml

from tests.chart.rendering import CHART, ROOT, SCENARIOS, Release, objects, template
from tests.chart.test_pod_security import specs

DIGEST = f"sha256:{'a' * 64}"
DEFAULT = (CHART / "ci" / "default.yaml").read_text()
BATCH = (CHART / "ci" / "batch.yaml").read_text()


def images(text: str) -> set[str]:
    """Every image of a rendering; those of a run's pods stand in a ConfigMap, as JSON."""
    return set(re.findall(r'"?image"?: "?([^",}\s]+)', text))


@pytest.mark.parametrize("values", [DEFAULT, BATCH], ids=["default", "batch"])
@pytest.mark.parametrize("tag", ["", "1.4", "dev"])
def test_a_digest_wins_over_a_tag_everywhere(values: str, tag: str) -> None:
    """In every pod, those of hooks and of runs too; the tag is an annotation of objects and of no pod, so that another
    word for the same bytes replaces nothing."""
    image = f"{{repository: registry.example:5000/fivefold/ray, tag: '{tag}', digest: '{DIGEST}'}}"
    done = template(f"{values}\nimage: {image}\n")
    assert done.returncode == 0, done.stderr

    assert images(done.stdout) == {f"registry.example:5000/fivefold/ray@{DIGEST}"}
    found = objects(done.stdout)
    noted = {item["kind"] for item in found if "fivefold.dev/image-tag" in item["metadata"].get("annotations", {})}
    assert noted == (({"RayService"} | {item["kind"] for item in found} & {"CronJob"}) if tag else set())
    cluster = next(item for item in found if item["kind"] == "RayService")["spec"]["rayClusterConfig"]
    assert "image-tag" not in json.dumps(cluster)


def test_a_tag_alone_is_what_is_pulled() -> None:
    """The chart's own version where none is given."""
    version = yaml.safe_load((CHART / "Chart.yaml").read_text())["appVersion"]

    assert images(template(DEFAULT).stdout) == {f"fivefold/ray:{version}"}
    assert images(template(f"{DEFAULT}image: {{tag: '1.4'}}\n").stdout) == {"fivefold/ray:1.4"}


@pytest.mark.parametrize("scenario", SCENARIOS)
def test_no_image_is_called_latest_or_nothing(scenario: str) -> None:
    """Each has a tag that means something, or a digest."""
    for name, _, held in specs(Release(scenario)):
        for container in held:
            image = container.get("image")
            assert image is None or re.search(r"(@sha256:[0-9a-f]{64}|:[\w][\w.-]*)$", image), (name, image)
            assert not (image or "").endswith(":latest")


@pytest.mark.parametrize(
    "digest",
    [
        "a" * 64,
        *(f"sha256:{'a' * 63}", f"sha256:{'a' * 65}", f"sha256:{'A' * 64}", f"sha512:{'a' * 64}"),
        *(f"@{DIGEST}", f"{DIGEST} "),
    ],
)
def test_a_digest_that_is_none_is_refused(digest: str) -> None:
    """By the schema with the key, and where the schema is not asked, by a sentence that says the way on."""
    values = f"{DEFAULT}image: {{digest: '{digest}'}}\n"
    by_schema, without = template(values), template(values, "--skip-schema-validation")

    assert by_schema.returncode != 0
    assert "digest" in by_schema.stderr
    assert without.returncode != 0
    assert "image.digest: expected sha256: and 64 hexadecimal digits" in without.stderr


@pytest.mark.parametrize(
    ("image", "word"),
    [
        (f"repository: fivefold/ray@{DIGEST}", "repository"),
        ("repository: 'fivefold/ray:1.4'", "repository"),
        ("repository: ''", "repository"),
        ("repository: Fivefold/Ray", "repository"),
        ("tag: 'a b'", "tag"),
        ("tag: '-x'", "tag"),
        (f"tag: '1.4@{DIGEST}'", "tag"),
    ],
)
def test_a_name_holds_neither_tag_nor_digest(image: str, word: str) -> None:
    """They would be there twice."""
    done = template(f"{DEFAULT}image: {{{image}}}\n")

    assert done.returncode != 0
    assert word in done.stderr


@pytest.mark.parametrize("name", ["Dockerfile", "bundle.Dockerfile"])
def test_every_base_can_be_named_by_digest(name: str) -> None:
    """No stage begins with an image that a build argument does not name, or with another stage."""
    text = (ROOT / "services" / name).read_text()
    stages = set(re.findall(r"^FROM \S+ AS (\S+)$", text, re.MULTILINE))
    begun = set(re.findall(r"^FROM (\S+)", text, re.MULTILINE)) - stages

    assert begun == {"${BASE_IMAGE}"}
    assert re.search(r"^ARG BASE_IMAGE=\S+:\S+$", text, re.MULTILINE)
    # What comes out of another image by name would be a second base.
    assert set(re.findall(r"--from=(\S+)", text)) <= stages


DOCKER = """#!/usr/bin/env bash
echo "$*" >>"$SAID"
case "$1 $2 $*" in
"image inspect "*.Id*) echo sha256:0123456789abcdef0123456789abcdef ;;
"image inspect "*RepoDigests*) [ -z "$DIGESTS" ] || echo "$DIGESTS" ;;
"image inspect "*.Size*) echo 2000000 ;;
"run "*) echo '{"purl": "x"}' ;;
esac
"""


def make_images(directory: Path, **environment: str) -> tuple[subprocess.CompletedProcess[str], str]:
    """Run `k8s/images.sh` beside a docker that builds nothing; what it was asked comes back too."""
    (directory / "services").mkdir()
    shutil.copytree(ROOT / "k8s", directory / "k8s")
    shutil.copy(ROOT / "services" / "Dockerfile", directory / "services")
    program = directory / "bin" / "docker"
    program.parent.mkdir()
    program.write_text(DOCKER)
    program.chmod(0o755)
    said = directory / "said"
    said.touch()
    given = {"PATH": f"{program.parent}:{os.environ['PATH']}", "SAID": str(said), "DIGESTS": "", **environment}
    done = subprocess.run(
        ["bash", "k8s/images.sh"], cwd=directory, env=given, capture_output=True, text=True, timeout=60
    )
    return done, said.read_text()


@pytest.mark.parametrize("known", ["", f"python@sha256:{'c' * 64}"])
def test_a_base_by_tag_is_said_and_written_down(tmp_path: Path, known: str) -> None:
    """The build goes on, says that a tag moves, and keeps the digest where this machine knows one."""
    done, asked = make_images(tmp_path, DIGESTS=known)
    assert done.returncode == 0, done.stderr

    assert "--build-arg BASE_IMAGE=python:3.11-slim " in asked
    assert re.findall(r"--target (\S+)", asked) == ["stream", "hub", "gateway", "ray"]
    assert "their base is a tag, which moves" in done.stdout
    assert (known or "not known here") in done.stdout
    assert json.loads((tmp_path / "dist" / "base.json").read_text()) == {
        "image": "fivefold/ray:0123456789ab",
        "base": "python:3.11-slim",
        "pinned": False,
        "digests": [known] if known else [],
    }


def test_a_base_by_digest_is_built_on(tmp_path: Path) -> None:
    """It reaches the build as it is, and is what is written down."""
    base = f"registry.example:5000/python:3.11-slim@sha256:{'b' * 64}"
    done, asked = make_images(tmp_path, BASE_IMAGE=base)
    assert done.returncode == 0, done.stderr

    assert f"--build-arg BASE_IMAGE={base} " in asked
    assert "their base is pinned" in done.stdout
    written = json.loads((tmp_path / "dist" / "base.json").read_text())
    assert (written["base"], written["pinned"], written["digests"]) == (base, True, [base])


@pytest.mark.parametrize("base", ["python@sha256:12", f"python@{'b' * 64}", f"@sha256:{'b' * 64}", "python@"])
def test_a_base_whose_digest_is_none_is_refused(tmp_path: Path, base: str) -> None:
    """Before anything is built."""
    done, asked = make_images(tmp_path, BASE_IMAGE=base)

    assert done.returncode != 0
    assert "BASE_IMAGE: expected NAME@sha256:" in done.stderr
    assert asked == ""
