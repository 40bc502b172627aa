"""A registry as a release sees it: oras for what is in it, helm for charts, docker for images.

Who may push is the business of those programs: `oras login`, `helm registry login` and `docker login` come before. On
this machine (localhost, 127.0.0.0/8, ::1) a registry is spoken to without TLS, elsewhere never.
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from releasing.refusal import ProgramMissing, ReleaseRefused, run

ARTIFACT_TYPE = "application/vnd.fivefold.release.v1+json"
CHART_TYPE = "application/vnd.cncf.helm.chart.content.v1.tar+gzip"
ACCEPTED = re.compile(
    r"(?P<host>\[[0-9a-f:]+\]|[a-z0-9]([a-z0-9.-]*[a-z0-9])?)(?P<port>:[0-9]{1,5})?(/[a-z0-9]+([._-]+[a-z0-9]+)*)*"
)


@dataclass(frozen=True)
class RemoteManifest:
    """A manifest in a registry: by what it is pulled, the digest it is known by, and what it says."""

    by_digest: str
    digest: str
    own_size: int
    document: dict[str, Any]

    @property
    def size(self) -> int:
        """Bytes that a client pulls: the manifest, its configuration and its layers."""
        parts = [self.document.get("config", {}), *self.document.get("layers", [])]
        return self.own_size + sum(int(part.get("size", 0)) for part in parts)

    @property
    def config(self) -> str:
        """The digest of the configuration, which names an image's content."""
        return str(self.document.get("config", {}).get("digest", ""))


class Registry:
    """Where a release goes: HOST[:PORT][/PATH], below which images, charts and releases have their names."""

    def __init__(self, prefix: str) -> None:
        found = ACCEPTED.fullmatch(prefix)
        if found is None:
            raise ReleaseRefused(
                f"REGISTRY: expected HOST[:PORT][/PATH] in lower case, got {prefix!r}",
                "make release REGISTRY=registry.example/fivefold",
            )
        self.prefix = prefix
        host = found["host"]
        here = host in ("localhost", "[::1]") or re.fullmatch(r"127(\.\d+){3}", host) is not None
        self._plain = ["--plain-http"] if here else []

    def reference(self, tagged: str) -> str:
        """Where something is that has a name and a tag below the registry's own."""
        return f"{self.prefix}/{tagged}"

    def manifest(self, reference: str) -> RemoteManifest | None:
        """What a tag or a digest stands for; None where the registry has none of it."""
        try:
            described = json.loads(run(["oras", "manifest", "fetch", "--descriptor", *self._plain, reference]))
        except ProgramMissing:
            raise
        except ReleaseRefused as refusal:
            if str(refusal).endswith(": not found"):
                return None
            raise ReleaseRefused(
                f"{self.prefix} does not say whether it has {reference}: {refusal}",
                f"oras login {self.prefix.partition('/')[0]}; curl says whether anybody listens",
            ) from refusal
        by_digest = f"{_untagged(reference)}@{described['digest']}"
        document = json.loads(run(["oras", "manifest", "fetch", *self._plain, by_digest]))
        return RemoteManifest(by_digest, described["digest"], int(described["size"]), document)

    def push_files(self, reference: str, directory: Path, names: list[str]) -> None:
        """Put files of a directory under one tag."""
        run(["oras", "push", *self._plain, "--artifact-type", ARTIFACT_TYPE, reference, *names], cwd=directory)

    def required(self, reference: str) -> RemoteManifest:
        """The same; `ReleaseRefused` where there is none."""
        found = self.manifest(reference)
        if found is None:
            raise ReleaseRefused(f"there is no {reference}", "make release puts it there")
        return found

    def pull_files(self, manifest: RemoteManifest, directory: Path) -> None:
        """Take in the files of a manifest; oras holds it and each of them against its digest."""
        directory.mkdir(parents=True, exist_ok=True)
        run(["oras", "pull", *self._plain, "--output", directory, manifest.by_digest])

    def pull_chart(self, manifest: RemoteManifest, path: Path) -> None:
        """Take in a chart's package, which has no name in its manifest, and hold it against its digest."""
        layers = [each for each in manifest.document.get("layers", []) if each.get("mediaType") == CHART_TYPE]
        if len(layers) != 1:
            raise ReleaseRefused(
                f"{manifest.by_digest} is no chart of Helm's", "make release puts one there, under a new version"
            )
        blob = f"{manifest.by_digest.partition('@')[0]}@{layers[0]['digest']}"
        run(["oras", "blob", "fetch", *self._plain, "--output", path, blob])

    def push_chart(self, package: Path) -> None:
        """Put a packaged chart below `charts`, under its own name and version."""
        run(["helm", "push", package, f"oci://{self.prefix}/charts", *self._plain])

    def push_image(self, local: str, reference: str) -> None:
        """Put an image of this machine's Docker under another name."""
        run(["docker", "tag", local, reference])
        run(["docker", "push", "--quiet", reference])


def _untagged(reference: str) -> str:
    name = reference.partition("@")[0]
    head, _, last = name.rpartition("/")
    return f"{head}/{last.partition(':')[0]}"
