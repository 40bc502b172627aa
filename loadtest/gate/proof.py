"""The gate's proof of itself as a table, and its place in a document. Running it is left to `loadtest.gate`."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path

from loadtest.gate.pairing import Pairs

BEGIN, END = "<!-- gate:begin -->", "<!-- gate:end -->"


def line(slowdown: float, counts: Mapping[str, float], pairs: Pairs, caught: Iterable[str], seconds: float) -> str:
    """One injected slowdown as a row: what the instructions, p50, p99 and CPU said, who caught it, how long it took."""
    spread = f"{min(counts.values()):.4f} to {max(counts.values()):.4f}" if counts else "not counted"
    found = pairs.findings() if len(pairs) else {}
    timed = [str(found[name][0]) if name in found else "not timed" for name in ("p50", "p99", "cpu")]
    names = ", ".join(sorted(caught)) or "nothing"
    return f"| {slowdown:.0%} | {spread} | {' | '.join(timed)} | {len(pairs)} | {names} | {seconds:.0f} s |"


def table(lines: Iterable[str]) -> str:
    """The rows below their heading, as Markdown."""
    names = ("injected", "instructions, by path", "p50", "p99", "CPU a request", "pairs", "caught by", "took")
    return "\n".join((f"| {' | '.join(names)} |", "|--" * len(names) + "|", *lines))


def write(document: Path, text: str) -> None:
    """Put the text between the document's markers; raises `ValueError` where they are not there."""
    old = document.read_text(encoding="utf-8")
    before, begin, rest = old.partition(BEGIN)
    _, end, after = rest.partition(END)
    if not begin or not end:
        raise ValueError(f"{document} has no {BEGIN} … {END}")
    document.write_text(f"{before}{BEGIN}\n{text}\n{END}{after}", encoding="utf-8")
