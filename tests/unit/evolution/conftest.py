"""The programs of others that are asked what breaks: building them takes minutes, so that their tests are `rare`."""

from __future__ import annotations

from pathlib import Path

import pytest
from tests.support import programs

NEEDS = {"test_oasdiff.py": "oasdiff", "test_buf.py": "buf"}


def pytest_ignore_collect(collection_path: Path, config: pytest.Config) -> bool | None:
    """Leave out what cannot run here; say so only where it was asked for."""
    program = NEEDS.get(collection_path.name)
    asked = config.getoption("markexpr")
    if program is None or "not full" in asked or "not rare" in asked:
        return None
    return (
        True
        if programs.needed(program, f"what {program} says of two contracts (make .cache/bin/{program})") is None
        else None
    )
