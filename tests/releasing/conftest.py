"""Releases need helm, oras, a registry and cyclonedx-py; Docker's part is tested with the cluster."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.support import programs

WHAT = "releases into a registry"
BUILT = Path(__file__).parents[2] / ".cache" / "bin"


def pytest_ignore_collect(collection_path: Path, config: pytest.Config) -> bool | None:
    """Leave out what cannot run here, and name it; what only long tests need is nobody's loss in a short run."""
    if collection_path.name != "test_release.py" or programs.QUICK:
        return None
    found = [programs.needed(name, WHAT, str(BUILT / name)) for name in ("helm", "oras", "registry")]
    return True if None in [*found, programs.environment("sbom", WHAT)] else None
