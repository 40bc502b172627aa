"""Links of the pages lead somewhere: to a file that there is, and to a heading that it has."""

from __future__ import annotations

import posixpath
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PAGES = sorted(
    str(path.relative_to(ROOT))
    for pattern in ("*.md", "docs/**/*.md", "helm/*/*.md")
    for path in ROOT.glob(pattern)
    if path.is_file()
)
CODE = re.compile(r"^```.*?^```$", re.DOTALL | re.MULTILINE)
LINK = re.compile(r"\]\((?![a-z]+:)([^)#\s]*)(?:#([^)]*))?\)")


def headings(page: str) -> set[str]:
    """The anchors of a page: its headings in small letters, without punctuation, with hyphens for spaces."""
    found = re.findall(r"^#+ (.*)$", CODE.sub("", (ROOT / page).read_text("utf-8")), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).strip().replace(" ", "-") for heading in found}


@pytest.mark.parametrize("page", PAGES)
def test_a_page_has_no_dead_link(page: str) -> None:
    """Neither to another file, nor to a place in one."""
    dead = []
    for target, anchor in LINK.findall(CODE.sub("", (ROOT / page).read_text("utf-8"))):
        path = posixpath.normpath(posixpath.join(posixpath.dirname(page), target)) if target else page
        if not (ROOT / path).exists() or (anchor and anchor not in headings(path)):
            dead.append(f"{target}#{anchor}")

    assert dead == []


def test_every_page_is_on_the_site() -> None:
    """The site's navigation has each page of docs/ once."""
    text = (ROOT / "docs/site/mkdocs.yaml").read_text("utf-8")
    listed = re.findall(r": ([\w/-]+\.md)$", text, re.MULTILINE)
    there = {page.removeprefix("docs/") for page in PAGES if page.startswith("docs/")}

    assert sorted(listed) == sorted(there | {"index.md", "SECURITY.md", "CONTRIBUTING.md", "CHANGELOG.md"})
