"""Bundles to score with, and the program that speaks S3."""

from __future__ import annotations

from pathlib import Path

import pytest
from tests import programs
from tests.unit.batch.world import write_noted

collect_ignore_glob = []
if programs.needed("versitygw", "runs over S3") is None:
    collect_ignore_glob.append("test_s3.py")


@pytest.fixture(scope="session")
def noted(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The bundle's directory."""
    return write_noted(tmp_path_factory.mktemp("noted") / "noted").path
