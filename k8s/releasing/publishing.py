"""A release goes out, once: what has been published under a version stays what it was.

Images come first, then the chart that names their digests, then the release itself: the record, its signature and the
files. So a version whose release is there is whole, and one that was interrupted goes on where it stopped.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from releasing import building
from releasing.refusal import ReleaseRefused, run
from releasing.registry import Registry, RemoteManifest
from releasing.release_record import (
    RECORD,
    SIGNATURE,
    Artefact,
    ReleaseRecord,
    altered,
    file_artefact,
    signed,
    verified,
)

RELEASE = "release"
"""The name under which a registry has the record and the files."""


@dataclass(frozen=True)
class ReleasePlan:
    """What is released of which tree, and where it goes."""

    root: Path
    output: Path
    registry: Registry
    version: str
    images: Sequence[str]
    key: Path | None
    build: bool = True
    """Whether images are built; otherwise those of the last `make images` are taken."""


def publish(plan: ReleasePlan, say: Callable[[str], None]) -> ReleaseRecord:
    """Release a version, or find that it is released; `ReleaseRefused` where it is, with other content."""
    if plan.key is not None:
        signed(b"", plan.key)
    plan.output.mkdir(parents=True, exist_ok=True)
    reference = plan.registry.reference(f"{RELEASE}:{plan.version}")
    there = plan.registry.manifest(reference)
    if plan.images and plan.build:
        building.images(plan.root)
    contents = {name: building.image_content(name) for name in plan.images}
    say("building the wheel, and listing what it stands on")
    files = [
        building.wheel(plan.root, plan.output, plan.version),
        building.wheel_list(plan.root, plan.output, plan.version),
        *(file_artefact("sbom", plan.output / f"{name}.cdx.json") for name in plan.images),
        *([file_artefact("base", plan.output / "base.json")] if plan.images else []),
    ]
    if there is not None:
        record = _same(plan, there, files, contents)
        say(f"{plan.version} is released already, with the same content: nothing has been changed")
        return record
    images = [_image(plan, name, contents[name], say) for name in plan.images]
    chart = _chart(plan, {each.name: each.digest for each in images}, say)
    record = ReleaseRecord(plan.version, _commit(plan.root), (*files, *images, chart))
    _write(plan, record, say)
    names = [RECORD, *([SIGNATURE] if plan.key else []), *(each.name for each in files)]
    plan.registry.push_files(reference, plan.output, names)
    say(f"pushed {reference}")
    return record


def check(registry: Registry, version: str, output: Path, key: Path | None) -> tuple[ReleaseRecord, str]:
    """Take a release in and hold everything against its digest; the record, and who signed it ("" without a key)."""
    output.mkdir(parents=True, exist_ok=True)
    reference = registry.reference(f"{RELEASE}:{version}")
    released = registry.required(reference)
    # What an earlier look has left would be taken for what is there now.
    for name in (RECORD, SIGNATURE):
        (output / name).unlink(missing_ok=True)
    registry.pull_files(released, output)
    data = _read(output, reference)
    signer = verified(data, _signature(output), key) if key is not None else ""
    record = ReleaseRecord.from_bytes(data)
    wrong = altered(output, record)
    if record.version != version:
        wrong.append(f"{RECORD}: expected version {version}, got {record.version}")
    for each in record.artefacts:
        if each.reference:
            found = registry.manifest(registry.reference(each.reference))
            if found is None:
                wrong.append(f"{each.reference}: is not there")
            elif found.digest != each.digest:
                wrong.append(f"{each.reference}: expected {each.digest}, got {found.digest}")
    if wrong:
        raise ReleaseRefused(
            "\n".join([f"{reference} is not what was released", *wrong]),
            "trust nothing of this release until its maker has told you why",
        )
    return record, signer


def _same(
    plan: ReleasePlan, released: RemoteManifest, files: list[Artefact], contents: dict[str, str]
) -> ReleaseRecord:
    """The record of a version that is released, after what is built now has proven to be the same."""
    with tempfile.TemporaryDirectory() as scratch:
        there = Path(scratch) / "there"
        plan.registry.pull_files(released, there)
        data, signature = _read(there, released.by_digest), _signature(there)
        record = ReleaseRecord.from_bytes(data)
        digests = {each.name: each.digest for each in record.artefacts if each.kind == "image"}
        package = building.chart(plan.root, Path(scratch), plan.version, plan.registry.prefix, digests)
        chart = Artefact("chart", "fivefold", "", 0, building.chart_content(package))
        images = [Artefact("image", name, "", 0, content) for name, content in contents.items()]
        different = record.differences([*files, *images, chart])
        if different:
            raise ReleaseRefused(
                "\n".join([f"{plan.version} is released already, with other content", *different]),
                "raise the version in pyproject.toml and helm/fivefold/Chart.yaml",
            )
        if plan.key is not None:
            _signed_by(plan, data, signature)
        (plan.output / RECORD).write_bytes(data)
        (plan.output / SIGNATURE).unlink(missing_ok=True)
        if signature is not None:
            (plan.output / SIGNATURE).write_bytes(signature)
    return record


def _signed_by(plan: ReleasePlan, data: bytes, signature: bytes | None) -> None:
    assert plan.key is not None
    if signature is None or signature != signed(data, plan.key)[0]:
        by = "another key" if signature is not None else "nobody"
        raise ReleaseRefused(
            f"{plan.version} is released already, signed by {by}",
            "raise the version; a signature cannot be added, since whoever has pulled this one would not see it",
        )


def _image(plan: ReleasePlan, name: str, content: str, say: Callable[[str], None]) -> Artefact:
    tagged = f"{name}:{plan.version}"
    reference = plan.registry.reference(tagged)
    found = plan.registry.manifest(reference)
    if found is None:
        say(f"pushing {reference}")
        plan.registry.push_image(f"fivefold/{name}:build", reference)
        found = plan.registry.required(reference)
    # Docker names an image by its configuration; with containerd's store, by its manifest.
    if content not in (found.config, found.digest):
        raise ReleaseRefused(
            f"{reference} is there already, and is not the image that was built: {content}",
            "raise the version in pyproject.toml and helm/fivefold/Chart.yaml",
        )
    return Artefact("image", name, found.digest, found.size, content, tagged)


def _chart(plan: ReleasePlan, digests: dict[str, str], say: Callable[[str], None]) -> Artefact:
    package = building.chart(plan.root, plan.output, plan.version, plan.registry.prefix, digests)
    content = building.chart_content(package)
    name = f"charts/fivefold:{plan.version}"
    reference = plan.registry.reference(name)
    found = plan.registry.manifest(reference)
    if found is None:
        say(f"pushing oci://{reference}")
        plan.registry.push_chart(package)
        found = plan.registry.required(reference)
    with tempfile.TemporaryDirectory() as scratch:
        pulled = Path(scratch) / "there.tgz"
        plan.registry.pull_chart(found, pulled)
        if building.chart_content(pulled) != content:
            raise ReleaseRefused(
                f"oci://{reference} is there already, and is another chart",
                "raise the version in pyproject.toml and helm/fivefold/Chart.yaml",
            )
    return Artefact("chart", "fivefold", found.digest, found.size, content, name)


def _write(plan: ReleasePlan, record: ReleaseRecord, say: Callable[[str], None]) -> None:
    data = record.to_bytes()
    (plan.output / RECORD).write_bytes(data)
    (plan.output / SIGNATURE).unlink(missing_ok=True)
    if plan.key is None:
        say("not signed: SIGNING_KEY names the private key that would")
        return
    signature, signer = signed(data, plan.key)
    (plan.output / SIGNATURE).write_bytes(signature)
    say(f"signed by {signer}")


def _read(directory: Path, reference: str) -> bytes:
    path = directory / RECORD
    if not path.is_file():
        raise ReleaseRefused(f"{reference} has no {RECORD}", "it is no release; take another version")
    return path.read_bytes()


def _signature(directory: Path) -> bytes | None:
    path = directory / SIGNATURE
    return path.read_bytes() if path.is_file() else None


def _commit(root: Path) -> str:
    """The commit that was released, with a word where the tree held more; empty outside of a repository."""
    try:
        commit = run(["git", "rev-parse", "HEAD"], cwd=root).strip()
        return f"{commit}-dirty" if run(["git", "status", "--porcelain"], cwd=root).strip() else commit
    except ReleaseRefused:
        return ""
