"""README.md and docs/ as a site: pages beside docs/ come in, and links lead where the site has a page.

mkdocs calls it (`hooks` in mkdocs.yaml). A link to a file of the repository that is no page becomes its path; one that
leads nowhere stays, for mkdocs to refuse.
"""

from __future__ import annotations

import posixpath
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

from mkdocs.structure.files import File

ROOT = Path(__file__).parents[2]

PAGES = {"README.md": "index.md"} | {name: name for name in ("CHANGELOG.md", "CONTRIBUTING.md", "SECURITY.md")}
"""Files of the repository's root that are pages, by their name on the site."""

_CODE = re.compile(r"(^```.*?^```$)", re.DOTALL | re.MULTILINE)
_LINK = re.compile(r"\[([^\]\[]*)\]\((?![a-z]+:|#)([^)#\s]+)(#[^)]*)?\)")
_SOURCE = re.compile(r"""(src|srcset)="(?![a-z]+:)([^"]+)\"""")


def on_files(files: Any, config: Any) -> Any:
    """Add the pages of the root."""
    for name, page in PAGES.items():
        files.append(File.generated(config, page, content=(ROOT / name).read_text("utf-8")))
    return files


def on_page_markdown(markdown: str, page: Any, **_: Any) -> str:
    """The page's text with its links as the site has them."""
    uri = page.file.src_uri
    at = {site: name for name, site in PAGES.items()}.get(uri, f"docs/{uri}")
    parts = _CODE.split(markdown)
    return "".join(part if part.startswith("```") else _links(part, at, uri) for part in parts)


def _links(text: str, at: str, uri: str) -> str:
    def target(link: str) -> str | None:
        """Where a link leads on the site; None for a file of the repository that is no page."""
        path = posixpath.normpath(posixpath.join(posixpath.dirname(at), link))
        if not (ROOT / path).exists():
            return link
        place = PAGES.get(path) or (path.removeprefix("docs/") if path.startswith("docs/") else None)
        return None if place is None else posixpath.relpath(place, posixpath.dirname(uri) or ".")

    def link(match: re.Match[str]) -> str:
        found = target(match[2])
        if found is not None:
            return f"[{match[1]}]({found}{match[3] or ''})"
        path = posixpath.normpath(posixpath.join(posixpath.dirname(at), match[2]))
        return f"`{path}`" if match[1].strip("`") in (path, posixpath.basename(path)) else f"{match[1]} (`{path}`)"

    def source(match: re.Match[str]) -> str:
        return f'{match[1]}="{target(match[2]) or match[2]}"'

    replaced: Callable[[str], str] = lambda part: _SOURCE.sub(source, _LINK.sub(link, part))  # noqa: E731
    return replaced(text)
