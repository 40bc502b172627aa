"""Ratios as a picture: a point for the median and a line from the lowest to the highest, one row each, as an SVG file.

The file stands alone and follows the reader's light or dark setting. No library, no script.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from html import escape

from loadtest.bench.comparison import FIVEFOLD, Workload
from loadtest.bench.rates import BenchResult, Ratio

WIDTH, LEFT, RIGHT, TOP, BOTTOM, ROW, GAP = 760, 262, 74, 62, 48, 17, 13

_STYLE = """
text{font:12.5px system-ui,-apple-system,"Segoe UI",Roboto,sans-serif;fill:#57606a}
.title{font-size:15px;font-weight:600;fill:#1f2328}.name,.value{fill:#1f2328}.value{font-variant-numeric:tabular-nums}
.grid{stroke:#d0d7de;stroke-width:1}.even{stroke:#57606a;stroke-width:1.5;stroke-dasharray:4 3}
.range{stroke-width:3;stroke-linecap:round;opacity:.45}
.c0{stroke:#9a6700;fill:#9a6700}.c1{stroke:#0969da;fill:#0969da}.c2{stroke:#1a7f37;fill:#1a7f37}
@media(prefers-color-scheme:dark){text{fill:#9198a1}.title,.name,.value{fill:#f0f6fc}.grid{stroke:#3d444d}
.even{stroke:#9198a1}.c0{stroke:#d29922;fill:#d29922}.c1{stroke:#4493f8;fill:#4493f8}.c2{stroke:#3fb950;fill:#3fb950}}
"""


@dataclass(frozen=True)
class _Line:
    connections: int
    ratio: Ratio
    colour: int


def plot(result: BenchResult, workload: Workload) -> str | None:
    """The picture of one workload's ratios; None where nobody was measured beside Fivefold."""
    counts = result.connections(workload)
    groups = [
        (who.title, [_Line(n, result.ratio(who, workload, n), i % 3) for i, n in enumerate(counts)])
        for who in result.measured(workload)
        if who.name != FIVEFOLD
    ]
    return _draw(workload, counts, groups) if groups else None


def _draw(workload: Workload, counts: Sequence[int], groups: Sequence[tuple[str, list[_Line]]]) -> str:
    lines = [line for _, each in groups for line in each]
    low = min(0.8, *(line.ratio.low for line in lines)) / 1.12
    high = max(1.25, *(line.ratio.high for line in lines)) * 1.12
    bottom = TOP + sum(len(each) * ROW + GAP for _, each in groups)
    height, right = bottom + BOTTOM, WIDTH - RIGHT

    def x(value: float) -> float:
        return LEFT + (right - LEFT) * math.log(value / low) / math.log(high / low)

    said = f"{workload.title}: requests a second, Fivefold over the others"
    box = f'viewBox="0 0 {WIDTH} {height}"'
    out = [
        f'<svg xmlns="http://www.w3.org/2000/svg" {box} role="img" aria-label="{escape(said)}">',
        f"<title>{escape(said)}</title><style>{_STYLE}</style>",
        f'<text class="title" x="12" y="24">{escape(workload.title)}</text>',
    ]
    at = 12
    for i, count in enumerate(counts):
        word = f"{count} in flight" if workload.grpc else f"{count} connection{'s' * (count > 1)}"
        out.append(f'<circle class="c{i % 3}" cx="{at + 5}" cy="42" r="4.5"/><text x="{at + 16}" y="46">{word}</text>')
        at += 30 + 7 * len(word)
    for tick in _ticks(low, high):
        kind = "even" if tick == 1 else "grid"
        out.append(f'<line class="{kind}" x1="{x(tick):.1f}" x2="{x(tick):.1f}" y1="{TOP - 4}" y2="{bottom}"/>')
        out.append(f'<text x="{x(tick):.1f}" y="{bottom + 17}" text-anchor="middle">{tick:g}×</text>')
    y = float(TOP)
    for name, each in groups:
        middle = y + len(each) * ROW / 2 + 4
        out.append(f'<text class="name" x="{LEFT - 14}" y="{middle:.1f}" text-anchor="end">{escape(name)}</text>')
        for line in each:
            centre, ratio = y + ROW / 2, line.ratio
            span = f'x1="{x(ratio.low):.1f}" x2="{x(ratio.high):.1f}" y1="{centre}" y2="{centre}"'
            out.append(f'<line class="range c{line.colour}" {span}/>')
            out.append(f'<circle class="c{line.colour}" cx="{x(ratio.median):.1f}" cy="{centre}" r="4"/>')
            out.append(f'<text class="value" x="{right + 10}" y="{centre + 4}">{figure(ratio.median)}×</text>')
            y += ROW
        y += GAP
    foot = "Fivefold's requests a second over theirs; the lines span the lowest to the highest round"
    out.append(f'<text x="{WIDTH / 2:.0f}" y="{height - 10}" text-anchor="middle">{foot}</text></svg>\n')
    return "\n".join(out)


def _ticks(low: float, high: float) -> list[float]:
    digits = (1, 2, 5) if high / low < 300 else (1,)
    exponents = range(math.floor(math.log10(low)), math.ceil(math.log10(high)) + 1)
    return [d * 10.0**e for e in exponents for d in digits if low <= d * 10.0**e <= high]


def figure(ratio: float) -> str:
    """A ratio with about three digits."""
    return f"{ratio:.0f}" if ratio >= 99.5 else f"{ratio:.1f}" if ratio >= 9.95 else f"{ratio:.2f}"
