"""Bundles to score with, and the object stores that this machine has."""

from __future__ import annotations

from pathlib import Path

import pytest
from tests.support import programs, s3_server
from tests.support.batch_runs import write_noted

STORES = [scheme for scheme, name in s3_server.PROGRAMS.items() if programs.needed(name, f"runs over {scheme}://")]
collect_ignore_glob = [] if STORES else ["storage/test_object_stores.py"]


@pytest.fixture(scope="session")
def noted(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The bundle's directory."""
    return write_noted(tmp_path_factory.mktemp("noted") / "noted").path
