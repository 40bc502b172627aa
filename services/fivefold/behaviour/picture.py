"""The difference as one SVG file: a panel for each output, a line for all rows and for each slice.

A point is a rate, or a mean change, with the line of its 95 % interval; a hollow point is the largest change. The file
stands alone and follows the reader's light or dark setting. No library, no script.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from html import escape

from fivefold.behaviour.contrast import BehaviourDifference, Measure, OutputDifference
from fivefold.behaviour.measures import Change
from fivefold.behaviour.thresholds import percent

WIDTH, LEFT, RIGHT, ROW, HEAD, FOOT = 760, 300, 150, 20, 34, 34

_STYLE = """
text{font:12.5px system-ui,-apple-system,"Segoe UI",Roboto,sans-serif;fill:#57606a}
.title{font-size:15px;font-weight:600}.title,.name,.value{fill:#1f2328}.value{font-variant-numeric:tabular-nums}
.grid{stroke:#d0d7de;stroke-width:1}.range{stroke:#0969da;stroke-width:3;stroke-linecap:round;opacity:.45}
.point{fill:#0969da}.most{fill:none;stroke:#9a6700;stroke-width:2}
@media(prefers-color-scheme:dark){text{fill:#9198a1}.title,.name,.value{fill:#f0f6fc}.grid{stroke:#3d444d}
.range{stroke:#4493f8}.point{fill:#4493f8}.most{stroke:#d29922}}
"""


def draw(found: BehaviourDifference) -> str:
    """The picture of all outputs; text, points and lines alone."""
    title = f"{found.old} and {found.new}: {found.rows:,} rows"
    body: list[str] = []
    y = 40.0
    for output in found.outputs:
        panel = list(_panel(output, y))
        body += panel
        y += HEAD + ROW * (1 + len(output.slices)) + FOOT
    return "\n".join(
        [
            f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {y:.0f}" role="img" '
            f'aria-label="{escape(title)}">',
            f"<title>{escape(title)}</title><style>{_STYLE}</style>",
            f'<text class="title" x="12" y="24">{escape(title)}</text>',
            *body,
            "</svg>",
            "",
        ]
    )


def _panel(output: OutputDifference, top: float) -> Iterator[str]:
    lines = [("all rows", output.whole)]
    lines += [(f"{each.slicing}: {each.slice}", each.measure) for each in output.slices]
    end = max((_end(measure) for _, measure in lines), default=0.0) or 1.0
    right, bottom = WIDTH - RIGHT, top + HEAD + ROW * len(lines)
    changes = isinstance(output.whole, Change)

    def x(value: float) -> float:
        return LEFT + (right - LEFT) * min(value / end, 1.0)

    about = "mean change, and the largest" if changes else "rows that differ"
    yield f'<text class="name" x="12" y="{top + 18:.1f}">{escape(f"{output.name}: {about}")}</text>'
    for part in (0.0, 0.5, 1.0):
        shown = f"{end * part:.3g}" if changes else percent(end * part)
        at = x(end * part)
        yield f'<line class="grid" x1="{at:.1f}" x2="{at:.1f}" y1="{top + HEAD - 6:.1f}" y2="{bottom:.1f}"/>'
        yield f'<text x="{at:.1f}" y="{bottom + 16:.1f}" text-anchor="middle">{shown}</text>'
    y = top + HEAD + ROW / 2
    for name, measure in lines:
        yield f'<text x="{LEFT - 12}" y="{y + 4:.1f}" text-anchor="end">{escape(_short(name))}</text>'
        centre = measure.mean if isinstance(measure, Change) else measure.rate
        if measure.interval is not None and centre is not None and math.isfinite(centre):
            low, high = measure.interval
            yield f'<line class="range" x1="{x(low):.1f}" x2="{x(high):.1f}" y1="{y:.1f}" y2="{y:.1f}"/>'
            yield f'<circle class="point" cx="{x(centre):.1f}" cy="{y:.1f}" r="4"/>'
        if isinstance(measure, Change) and measure.largest is not None and math.isfinite(measure.largest):
            yield f'<circle class="most" cx="{x(measure.largest):.1f}" cy="{y:.1f}" r="4"/>'
        yield f'<text class="value" x="{right + 14}" y="{y + 4:.1f}">{escape(_said(measure))}</text>'
        y += ROW


def _end(measure: Measure) -> float:
    ends = [measure.interval[1] if measure.interval else 0.0]
    if isinstance(measure, Change):
        ends.append(measure.largest or 0.0)
    return max((end for end in ends if math.isfinite(end)), default=0.0)


def _said(measure: Measure) -> str:
    if not isinstance(measure, Change):
        return f"{percent(measure.rate or 0.0)} of {measure.rows:,}"
    alone = f", {measure.unlike:,} null" if measure.unlike else ""
    return f"{measure.mean or 0.0:.3g}, {measure.largest or 0.0:.3g}{alone}"


def _short(name: str) -> str:
    return name if len(name) <= 44 else f"{name[:43]}…"
