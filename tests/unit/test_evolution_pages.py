"""docs/evolution: its files, commands and Python are followed as they stand, and its pages are all there."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from tests.support.document_steps import follow

from fivefold.core.contract.contract import Contract
from fivefold.core.evolution.inclusion import misfits
from fivefold.core.fields.field import Field

FOLDER = Path(__file__).parents[2] / "docs" / "evolution"
START = (FOLDER / "README.md").read_text("utf-8")
PAGES = ["README.md", *re.findall(r"^\| .* \| \[([\w-]+\.md)\]", START, re.MULTILINE)]
"""The first one, and the changes that it lists; what else lies there has tests of its own."""


@pytest.mark.parametrize("page", PAGES)
def test_a_page_is_true(page: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A reader who follows it sees what it says."""
    monkeypatch.chdir(tmp_path)
    commands = follow(FOLDER / page)

    assert any(line.startswith("fivefold pack") for line in commands)
    assert any(line.startswith("fivefold serve") for line in commands)


TABLE = re.findall(
    r"^\| (\w+) \| (\w+) \| ([\w ]+) \| ([\w ]+) \|$", (FOLDER / "widening.md").read_text("utf-8"), re.MULTILINE
)


def one(dtype: str, **bounds: int) -> Field:
    """A field of that dtype."""
    field = {"name": "x", "dtype": dtype, **bounds}
    y = {"name": "y", "dtype": "bool"}
    return Contract.from_json({"format": 1, "name": "n", "version": "1", "inputs": [field], "outputs": [y]}).inputs[0]


def verdict(sender: str, receiver: str) -> str:
    """Whether all values of a dtype arrive as what they are: those of the whole dtype, or those from 0 to 100."""
    if not misfits(one(sender), one(receiver)):
        return "answered"
    bounds = {} if sender in ("bool", "string") else {"minimum": 0, "maximum": 100}
    return "refused" if misfits(one(sender, **bounds), one(receiver)) else "where bounds fit"


@pytest.mark.parametrize(("new", "old", "as_input", "as_output"), [row for row in TABLE if row[0] != "new"])
def test_the_table_of_dtypes_is_the_codes(new: str, old: str, as_input: str, as_output: str) -> None:
    """An input goes from old to new, an output from new to old."""
    assert (as_input, as_output) == (verdict(old, new), verdict(new, old))


def test_the_table_is_read() -> None:
    """All of it."""
    assert len(TABLE) == 11


def test_every_page_is_listed() -> None:
    """On the first one."""
    linked = set(re.findall(r"\]\(([\w-]+\.md)\)", START))

    assert linked == {path.name for path in FOLDER.glob("*.md")} - {"README.md"}
    assert len(PAGES) == 6
