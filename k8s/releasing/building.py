"""The parts of a release, made in a directory of this machine: images, wheel, lists, chart."""

from __future__ import annotations

import hashlib
import re
import shutil
import subprocess
import sys
import tarfile
import tomllib
from collections.abc import Mapping
from pathlib import Path

import yaml

from releasing.refusal import ReleaseRefused, run
from releasing.release_record import Artefact, file_artefact

IMAGES = ("ray", "stream", "hub", "gateway")
"""Targets of services/Dockerfile; `make images` builds them."""

IN_CHART = ("ray", "stream", "hub")
"""Those that the chart runs."""


def version_of(root: Path, wanted: str) -> str:
    """The version that package and chart agree on; `ReleaseRefused` where they do not, or another one is wanted."""
    package = tomllib.loads((root / "pyproject.toml").read_text(encoding="utf-8"))["project"]["version"]
    chart = (root / "helm" / "fivefold" / "Chart.yaml").read_text(encoding="utf-8")
    said = {
        "version in pyproject.toml": package,
        "version in helm/fivefold/Chart.yaml": _line(chart, "version"),
        "appVersion in helm/fivefold/Chart.yaml": _line(chart, "appVersion"),
    }
    if wanted:
        said = {"VERSION": wanted.removeprefix("v"), **said}
    if len(set(said.values())) > 1:
        listed = ", ".join(f"{where} is {what}" for where, what in said.items())
        raise ReleaseRefused(f"expected one version, but {listed}", "write the same one into both files")
    return str(package)


def _line(text: str, key: str) -> str:
    found = re.search(rf'^{key}: "?([^"\n]+)"?$', text, re.MULTILINE)
    return found[1] if found else ""


def wheel(root: Path, output: Path, version: str) -> Artefact:
    """Build the wheel; the same bytes of the same files."""
    run([sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", output.resolve()], cwd=root)
    return file_artefact("wheel", output / f"fivefold-{version}-py3-none-any.whl")


def wheel_list(root: Path, output: Path, version: str) -> Artefact:
    """What the wheel stands on where it is installed from the lock, as CycloneDX; with the hash of each package."""
    path = output / f"fivefold-{version}.cdx.json"
    program = root / ".cache" / "envs" / "sbom" / "bin" / "cyclonedx-py"
    if not program.exists():
        raise ReleaseRefused("there is no cyclonedx-py", "make .cache/envs/sbom/.done")
    words: list[str | Path] = ["requirements", root / "requirements" / "run.txt"]
    words += ["--pyproject", root / "pyproject.toml"]
    words += ["--output-reproducible", "--no-validate", "--output-format", "JSON", "--output-file", path]
    run([program, *words])
    return file_artefact("sbom", path)


def images(root: Path) -> None:
    """Build every image, and show how it goes."""
    if subprocess.run([root / "k8s" / "images.sh"], cwd=root, check=False).returncode != 0:  # noqa: S603  # ours
        raise ReleaseRefused("the images could not be built", "what make images says above")


def image_content(name: str) -> str:
    """The id of the image that was built last; `ReleaseRefused` where there is none."""
    try:
        return run(["docker", "image", "inspect", "--format", "{{.Id}}", f"fivefold/{name}:build"]).strip()
    except ReleaseRefused as refusal:
        raise ReleaseRefused(f"there is no image of {name}: {refusal}", "make images") from refusal


def chart(root: Path, output: Path, version: str, prefix: str, digests: Mapping[str, str]) -> Path:
    """Package the chart so that it takes the images of this release.

    `digests` are those of the images, by name; none leaves the chart as it is. The repositories stand in values.yaml,
    where a mirror changes them; the digests in Chart.yaml, where a mirror does not.
    """
    copy = output / "chart" / "fivefold"
    shutil.rmtree(copy.parent, ignore_errors=True)
    shutil.copytree(root / "helm" / "fivefold", copy)
    values, about = copy / "values.yaml", copy / "Chart.yaml"
    text = values.read_text(encoding="utf-8")
    for name in (each for each in IN_CHART if each in digests):
        text, count = re.subn(
            rf"repository: fivefold/{name}$", f"repository: {prefix}/{name}", text, flags=re.MULTILINE
        )
        if count != 1:
            raise ReleaseRefused(
                f"values.yaml names fivefold/{name} {count} times, not once", "helm/fivefold/values.yaml"
            )
    values.write_text(text, encoding="utf-8")
    described = yaml.safe_load(about.read_text(encoding="utf-8"))
    notes = {f"fivefold.dev/image-{name}": digests[name] for name in IN_CHART if name in digests}
    described["annotations"] = {**described.get("annotations", {}), **notes}
    about.write_text(yaml.safe_dump(described, sort_keys=False), encoding="utf-8")
    run(["helm", "package", copy, "--destination", output])
    shutil.rmtree(copy.parent)
    return output / f"fivefold-{version}.tgz"


def chart_content(package: Path) -> str:
    """The digest of a packaged chart's files: helm writes the time of packaging beside each."""
    total = hashlib.sha256()
    with tarfile.open(package) as archive:
        for member in sorted(archive.getmembers(), key=lambda each: each.name):
            file = archive.extractfile(member)
            data = file.read() if file else b""
            total.update(f"{member.name}\0{hashlib.sha256(data).hexdigest()}\n".encode())
    return f"sha256:{total.hexdigest()}"
