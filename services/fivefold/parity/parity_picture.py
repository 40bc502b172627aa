"""The result as one SVG file: a line a runtime, how far its farthest float is, and how many rows agree.

The scale is logarithmic, with a place of its own for no difference at all. The file stands alone and follows the
reader's light or dark setting. No library, no script.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from html import escape

from fivefold.parity.parity_run import ParityResult
from fivefold.parity.parity_table import number, summary
from fivefold.parity.row_agreement import RuntimeAgreement

WIDTH, LEFT, RIGHT, ROW, TOP = 760, 130, 250, 26, 74
LEAST, MOST = -17, 0
"""The ends of the scale, as powers of ten; what is beyond is drawn at its end."""

_STYLE = """
text{font:12.5px system-ui,-apple-system,"Segoe UI",Roboto,sans-serif;fill:#57606a}
.title{font-size:15px;font-weight:600}.title,.name,.value{fill:#1f2328}.value{font-variant-numeric:tabular-nums}
.grid{stroke:#d0d7de;stroke-width:1}.limit{stroke:#9a6700;stroke-width:1.5;stroke-dasharray:4 3}
.stem{stroke:#0969da;stroke-width:3;stroke-linecap:round;opacity:.45}.point{fill:#0969da}.bad{fill:#cf222e}
.none{fill:none;stroke:#818b98;stroke-width:1.5}
@media(prefers-color-scheme:dark){text{fill:#9198a1}.title,.name,.value{fill:#f0f6fc}.grid{stroke:#3d444d}
.stem{stroke:#4493f8}.point{fill:#4493f8}.limit{stroke:#d29922}.bad{fill:#f85149}}
"""


def draw(result: ParityResult) -> str:
    """The picture; text, points and lines alone."""
    agree, _, counts = summary(result).partition(", ")
    title = f"{result.bundle}: {agree}"
    bottom = TOP + ROW * len(result.runtimes)
    body = [*_scale(result.limit, bottom)]
    for at, each in enumerate(result.runtimes):
        body += _line(each, TOP + ROW * at + ROW / 2)
    return "\n".join(
        [
            f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {bottom + 40}" role="img" '
            f'aria-label="{escape(title)}">',
            f"<title>{escape(title)}</title><style>{_STYLE}</style>",
            f'<text class="title" x="12" y="24">{escape(title)}</text>',
            f'<text x="12" y="46">{escape(counts)}; a point is the farthest of any float from the core</text>',
            *body,
            "</svg>",
            "",
        ]
    )


def _x(value: float) -> float:
    """The place of a difference: none at the left, then powers of ten."""
    power = LEAST if value <= 0 else min(max(math.log10(value), LEAST + 1), MOST) if math.isfinite(value) else MOST
    return LEFT + (WIDTH - RIGHT - LEFT) * (power - LEAST) / (MOST - LEAST)


def _scale(limit: float, bottom: int) -> Iterator[str]:
    for power in (LEAST, -12, -8, -4, MOST):
        at = _x(0.0 if power == LEAST else 10.0**power)
        word = "none" if power == LEAST else f"1e{power}" if power else "1"
        yield f'<line class="grid" x1="{at:.1f}" x2="{at:.1f}" y1="{TOP - 6}" y2="{bottom}"/>'
        yield f'<text x="{at:.1f}" y="{bottom + 18}" text-anchor="middle">{word}</text>'
    if limit:
        at = _x(limit)
        yield f'<line class="limit" x1="{at:.1f}" x2="{at:.1f}" y1="{TOP - 6}" y2="{bottom}"/>'
        yield f'<text x="{at:.1f}" y="{TOP - 10}" text-anchor="middle">limit {limit:g}</text>'


def _line(each: RuntimeAgreement, y: float) -> Iterator[str]:
    yield f'<text class="name" x="{LEFT - 14}" y="{y + 4:.1f}" text-anchor="end">{escape(each.name)}</text>'
    if each.status in ("absent", "failed"):
        kind = "none" if each.status == "absent" else "bad"
        yield f'<circle class="{kind}" cx="{LEFT}" cy="{y:.1f}" r="4"/>'
        said = "not here" if each.status == "absent" else "failed"
        yield f'<text x="{WIDTH - RIGHT + 16}" y="{y + 4:.1f}">{said}: {escape(_short(each.reason))}</text>'
        return
    at = _x(each.largest)
    kind = "point" if each.status == "agrees" else "bad"
    yield f'<line class="stem" x1="{LEFT}" x2="{at:.1f}" y1="{y:.1f}" y2="{y:.1f}"/>'
    yield f'<circle class="{kind}" cx="{at:.1f}" cy="{y:.1f}" r="5"/>'
    same = each.asked - each.differing
    words = f"{number(each.largest)}, {same:,} of {each.asked:,} rows agree"
    yield f'<text class="value" x="{WIDTH - RIGHT + 16}" y="{y + 4:.1f}">{escape(words)}</text>'


def _short(text: str) -> str:
    return text if len(text) <= 28 else f"{text[:27]}…"
