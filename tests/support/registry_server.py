"""A registry of a test's own: the distribution project's, on a free port, with its files below a directory."""

from __future__ import annotations

import contextlib
import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

from tests.support.programs import needed
from tests.support.s3_server import free, until_open

BUILT = Path(__file__).parents[2] / ".cache" / "bin" / "registry"
"""Where `make .cache/bin/registry` puts it."""

CONFIGURATION = """version: 0.1
log: {{level: error, accesslog: {{disabled: true}}}}
storage: {{filesystem: {{rootdirectory: {root}}}}}
http: {{addr: {address}}}
"""


@contextlib.contextmanager
def registry(home: Path) -> Iterator[str]:
    """HOST:PORT of an empty registry while it runs; `home` is an empty directory for its files."""
    program = needed("registry", "releases into a registry", str(BUILT))
    assert program is not None
    address = free()
    (home / "config.yaml").write_text(CONFIGURATION.format(root=home / "files", address=address))
    # It would look for a collector of spans otherwise.
    environment = os.environ | {"OTEL_TRACES_EXPORTER": "none"}
    with (home / "log").open("wb") as log:
        process = subprocess.Popen(
            [program, "serve", str(home / "config.yaml")], stdout=log, stderr=log, env=environment
        )
    try:
        until_open(address, process)
        yield f"localhost:{address.partition(':')[2]}"
    finally:
        process.terminate()
        process.wait(60)


def blob(home: Path, digest: str) -> Path:
    """Where a registry keeps the bytes of a digest."""
    name = digest.removeprefix("sha256:")
    return home / "files" / "docker" / "registry" / "v2" / "blobs" / "sha256" / name[:2] / name / "data"
