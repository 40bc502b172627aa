"""Measured text in a document, between markers: what was there before gives way, all else stays."""

from __future__ import annotations

from pathlib import Path


def markers(name: str) -> tuple[str, str]:
    """The comments between which the text of this name stands."""
    return f"<!-- {name}:begin -->", f"<!-- {name}:end -->"


def put(document: Path, name: str, text: str) -> None:
    """Put the text between the document's markers; raises `ValueError` where they are not there."""
    begin, end = markers(name)
    before, found, rest = document.read_text(encoding="utf-8").partition(begin)
    _, closed, after = rest.partition(end)
    if not found or not closed:
        raise ValueError(f"{document} has no {begin} … {end}")
    document.write_text(f"{before}{begin}\n\n{text}\n\n{end}{after}", encoding="utf-8")
