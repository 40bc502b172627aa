"""Where a measurement's figures go: standard output, a document between markers, and a file that keeps them all.

What stood between the markers before gives way, all else stays.
"""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import Any, Final

from loadtest.machine.measurement import say
from loadtest.machine.programs import ROOT

KEPT: Final = ROOT / ".cache" / "bench"


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


def publish(text: str, document: Path | None, name: str) -> None:
    """Print a table, and put it into the document where there is one; raises `ValueError` as `put` does."""
    print(text, flush=True)
    if document:
        put(document, name, text)


def keep(figures: Any, prefix: str = "") -> None:
    """Write every figure, as JSON, into a file of its own, and say which."""
    KEPT.mkdir(parents=True, exist_ok=True)
    kept = KEPT / f"{prefix}{time.strftime('%Y%m%dT%H%M%SZ', time.gmtime())}.json"
    kept.write_text(json.dumps(figures, indent=2) + "\n")
    say(f"every figure: {kept.relative_to(ROOT)}")
