"""docs/evolution: its files, commands and Python are followed as they stand, and its pages are all there."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from tests.support.document_steps import follow

FOLDER = Path(__file__).parents[2] / "docs" / "evolution"
PAGES = sorted(path.name for path in FOLDER.glob("*.md"))


@pytest.mark.parametrize("page", PAGES)
def test_a_page_is_true(page: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A reader who follows it sees what it says."""
    monkeypatch.chdir(tmp_path)
    commands = follow(FOLDER / page)

    assert any(line.startswith("fivefold pack") for line in commands)
    assert any(line.startswith("fivefold serve") for line in commands)


def test_every_page_is_listed() -> None:
    """On the first one."""
    linked = set(re.findall(r"\]\(([\w-]+\.md)\)", (FOLDER / "README.md").read_text("utf-8")))

    assert linked == {*PAGES} - {"README.md"}
