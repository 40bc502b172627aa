"""Tests of the chart need helm; those of schemas need Go, whose module proxy has them, and those of rules promtool."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from functools import partial
from pathlib import Path

import pytest

from tests.chart.rendering import CHART
from tests.support import programs

NEEDS: dict[str, Callable[[], object]] = {
    "test_schemas.py": partial(programs.needed, "go", "rendered objects against the schemas of Kubernetes"),
    "test_rules.py": partial(programs.needed, "promtool", "the alerts' unit tests"),
    "test_rules_nights.py": partial(programs.needed, "promtool", "the alerts' nights"),
}


def pytest_ignore_collect(collection_path: Path, config: pytest.Config) -> bool | None:
    """Leave out what cannot run here, and name it."""
    if not (collection_path.name.startswith("test_") and collection_path.suffix == ".py"):
        return None
    if programs.needed("helm", "the chart's tests") is None:
        return True
    need = NEEDS.get(collection_path.name)
    return True if need is not None and need() is None else None


@pytest.fixture(scope="module")
def noted(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The chart with its notes as an object: helm shows them to nobody who only renders."""
    copy = tmp_path_factory.mktemp("noted") / "fivefold"
    shutil.copytree(CHART, copy)
    (copy / "templates" / "noted.yaml").write_text(
        "kind: Notes\napiVersion: v1\nmetadata: {name: notes}\n"
        'text: {{ include (print .Template.BasePath "/NOTES.txt") . | toJson }}\n'
    )
    return copy
