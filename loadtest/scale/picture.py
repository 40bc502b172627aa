"""Lines on two logarithmic axes as an SVG file that stands alone and follows the reader's light or dark setting."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from html import escape
from typing import Final

from loadtest.load.drawing import text
from loadtest.scale.growth import Points

WIDTH, HEIGHT, LEFT, RIGHT, TOP, BOTTOM = 760, 340, 74, 22, 66, 50

_STYLE: Final = """
text{font:12.5px system-ui,-apple-system,"Segoe UI",Roboto,sans-serif;fill:#57606a}
.title{font-size:15px;font-weight:600;fill:#1f2328}.grid{stroke:#d0d7de;stroke-width:1}
.even{stroke:#57606a;stroke-width:1.5;stroke-dasharray:4 3}
polyline{fill:none;stroke-width:2;stroke-linejoin:round}
.c0{stroke:#9a6700}.c1{stroke:#0969da}.c2{stroke:#1a7f37}.c3{stroke:#8250df}
circle.c0{fill:#9a6700}circle.c1{fill:#0969da}circle.c2{fill:#1a7f37}circle.c3{fill:#8250df}
@media(prefers-color-scheme:dark){text{fill:#9198a1}.title{fill:#f0f6fc}.grid{stroke:#3d444d}.even{stroke:#9198a1}
.c0{stroke:#d29922}.c1{stroke:#4493f8}.c2{stroke:#3fb950}.c3{stroke:#ab7df8}
circle.c0{fill:#d29922}circle.c1{fill:#4493f8}circle.c2{fill:#3fb950}circle.c3{fill:#ab7df8}}
"""


def draw(title: str, x: str, y: str, lines: Mapping[str, Points]) -> str:
    """The picture of lines by their names; every number above 0. A dashed line of slope 1 shows what linear is."""
    xs = [point[0] for points in lines.values() for point in points]
    ys = [point[1] for points in lines.values() for point in points]
    x0, x1, y0, y1 = min(xs), max(xs), min(ys) / 1.5, max(ys) * 1.5
    x1 = x1 if x1 > x0 else x0 * 10
    bottom, right = HEIGHT - BOTTOM, WIDTH - RIGHT

    def px(value: float) -> float:
        return LEFT + math.log(value / x0) / math.log(x1 / x0) * (right - LEFT)

    def py(value: float) -> float:
        return bottom - math.log(value / y0) / math.log(y1 / y0) * (bottom - TOP)

    out = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT}" role="img" '
        f'aria-label="{escape(title)}">',
        f"<title>{escape(title)}</title><style>{_STYLE}</style>",
        f'<text class="title" x="12" y="24">{escape(title)}</text>',
    ]
    for value in _ticks(y0, y1):
        out.append(f'<line class="grid" x1="{LEFT}" x2="{right}" y1="{py(value):.1f}" y2="{py(value):.1f}"/>')
        out.append(f'<text x="{LEFT - 8}" y="{py(value) + 4:.1f}" text-anchor="end">{text(value)}</text>')
    for value in sorted(set(xs)):
        out.append(f'<line class="grid" x1="{px(value):.1f}" x2="{px(value):.1f}" y1="{TOP}" y2="{bottom}"/>')
        out.append(f'<text x="{px(value):.1f}" y="{bottom + 17}" text-anchor="middle">{text(value)}</text>')
    out += _linear(lines, (x0, x1), y1, px, py)
    at = 12.0
    for index, (name, points) in enumerate(lines.items()):
        path = " ".join(f"{px(a):.1f},{py(b):.1f}" for a, b in points)
        out.append(f'<polyline class="c{index % 4}" points="{path}"/>')
        for a, b in points:
            tip = f"<title>{escape(name)}: {text(a)}, {b:,.3g}</title>"
            out.append(f'<circle class="c{index % 4}" cx="{px(a):.1f}" cy="{py(b):.1f}" r="3.5">{tip}</circle>')
        out.append(f'<circle class="c{index % 4}" cx="{at + 5:.0f}" cy="45" r="4.5"/>')
        out.append(f'<text x="{at + 16:.0f}" y="49">{escape(name)}</text>')
        at += 32 + 7 * len(name)
    out.append(f'<text x="{(LEFT + right) / 2:.0f}" y="{HEIGHT - 10}" text-anchor="middle">{escape(x)}</text>')
    turned = f'transform="translate(15 {(TOP + bottom) / 2:.0f}) rotate(-90)"'
    out.append(f'<text {turned} text-anchor="middle">{escape(y)}</text></svg>\n')
    return "\n".join(out)


def _linear(
    lines: Mapping[str, Points],
    across: tuple[float, float],
    top: float,
    px: Callable[[float], float],
    py: Callable[[float], float],
) -> list[str]:
    """From the end of the last line backwards, or to the top: what it would be if it were linear all the way."""
    last = list(lines.values())[-1]
    x1, y1 = last[-1]
    x0 = max(across[0], x1 / (y1 / min(y for _, y in last)))
    x0, y0 = (x0, y1 * x0 / x1)
    if y0 <= 0 or y1 > top or x0 >= x1:
        return []
    return [f'<line class="even" x1="{px(x0):.1f}" y1="{py(y0):.1f}" x2="{px(x1):.1f}" y2="{py(y1):.1f}"/>']


def _ticks(low: float, high: float) -> list[float]:
    digits = (1, 2, 5) if high / low < 60 else (1,)
    exponents = range(math.floor(math.log10(low)), math.ceil(math.log10(high)) + 1)
    return [d * 10.0**e for e in exponents for d in digits if low <= d * 10.0**e <= high]
