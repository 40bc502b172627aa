"""Line charts as inline SVG: no library, no script; colours are the page's CSS variables, so dark mode is the page's.

A chart has one x scale (linear, or nines: 90, 99, 99.9 … evenly spaced) and one logarithmic or linear y scale. What is
drawn and said is left to `report`.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from html import escape
from typing import Literal

WIDTH, HEIGHT = 760, 330
LEFT, RIGHT, TOP, BOTTOM = 58, 16, 14, 44

Scale = Callable[[float], float]
Range = tuple[float, float]


@dataclass(frozen=True)
class Line:
    """A series: its points in order; `colour` is an index into the page's palette; hollow points are void."""

    name: str
    points: Sequence[tuple[float, float]]
    colour: int
    dots: bool = False
    dashed: bool = False
    hollow: frozenset[float] = frozenset()


@dataclass(frozen=True)
class Mark:
    """A straight line across the chart with a word on it."""

    at: float
    word: str
    axis: Literal["x", "y"]
    colour: str = "bad"
    row: int = 0


@dataclass(frozen=True)
class Band:
    """A shaded stretch of the x axis."""

    begin: float
    end: float
    word: str


@dataclass(frozen=True)
class Chart:
    """Everything of one chart."""

    title: str
    x: str
    y: str
    lines: Sequence[Line]
    marks: Sequence[Mark] = ()
    bands: Sequence[Band] = ()
    nines: bool = False
    log: bool = True
    ticks: Sequence[float] = field(default_factory=tuple)


def nines(percent: float) -> float:
    """Where a percentile stands: 0 at 0, 1 at 90, 2 at 99, 3 at 99.9."""
    return -math.log10(max(1 - percent / 100, 1e-9))


def steps(low: float, high: float, most: int = 7) -> list[float]:
    """Round numbers from `low` to `high`, at most about `most`."""
    if high <= low:
        return [low]
    rough = (high - low) / most
    unit = 10 ** math.floor(math.log10(rough))
    size = next(unit * m for m in (1, 2, 2.5, 5, 10) if unit * m >= rough)
    first = math.ceil(low / size - 1e-9)
    return [round(i * size, 9) for i in range(first, math.floor(high / size + 1e-9) + 1)]


def decades(low: float, high: float) -> list[float]:
    """1, 2 and 5 of each decade inside the range, only the tens where that is many."""
    span = math.log10(high / low)
    digits = (1, 2, 5) if span <= 3 else (1,)
    found = [d * 10.0**e for e in range(math.floor(math.log10(low)), math.ceil(math.log10(high)) + 1) for d in digits]
    return [value for value in found if low * 0.999 <= value <= high * 1.001]


def text(value: float) -> str:
    """A number on an axis."""
    return f"{value:,.0f}" if abs(value) >= 1000 else f"{value:g}"


def draw(chart: Chart) -> str:
    """The chart as an `<svg>` element, named for those who cannot see it, in a box that scrolls on a narrow screen."""
    points = [point for line in chart.lines for point in line.points]
    if not points:
        return "<p>Nothing to draw.</p>"
    px, py, (x0, x1), (y0, y1) = _scales(chart, points)
    bottom, right = HEIGHT - BOTTOM, WIDTH - RIGHT
    out = [f'<div class="scroll"><svg viewBox="0 0 {WIDTH} {HEIGHT}" role="img" aria-label="{escape(chart.title)}">']
    for band in chart.bands:
        left, width = px(band.begin), px(band.end) - px(band.begin)
        out.append(f'<rect class="band" x="{left:.1f}" y="{TOP}" width="{width:.1f}" height="{bottom - TOP}"/>')
        out.append(_word("note", left + width / 2, TOP + 14, band.word))
    for y in decades(y0, y1) if chart.log else steps(y0, y1, 5):
        out.append(_rule("grid", LEFT, right, py(y), py(y)))
        out.append(_word("tick", LEFT - 8, py(y) + 4, text(y), "end"))
    for x in chart.ticks or steps(x0, x1):
        if x0 - 1e-9 <= (nines(x) if chart.nines else x) <= x1 + 1e-9:
            out.append(_rule("grid", px(x), px(x), TOP, bottom))
            out.append(_word("tick", px(x), bottom + 17, text(x)))
    out.append(_word("axis", (LEFT + right) / 2, HEIGHT - 6, chart.x))
    turned = f'transform="translate(13 {(TOP + bottom) / 2}) rotate(-90)"'
    out.append(f'<text class="axis" {turned} text-anchor="middle">{escape(chart.y)}</text>')
    out += [_mark(mark, px, py) for mark in chart.marks]
    for line in chart.lines:
        out += _line(line, px, py)
    return "".join([*out, "</svg></div>"])


def _scales(chart: Chart, points: Sequence[tuple[float, float]]) -> tuple[Scale, Scale, Range, Range]:
    place = nines if chart.nines else float
    xs = [place(x) for x, _ in points] + [b for band in chart.bands for b in (band.begin, band.end)]
    ys = [y for _, y in points] + [mark.at for mark in chart.marks if mark.axis == "y"]
    x0, x1 = min(xs), max(xs)
    if not chart.nines and 0 < x0 < x1 / 4:
        x0 = 0.0
    x1 = x1 if x1 > x0 else x0 + 1
    if chart.log:
        least = min((y for y in ys if y > 0), default=0.1)
        y0, y1 = 10 ** (math.floor(math.log10(least) * 4) / 4), max(*ys, least * 2) * 1.3
    else:
        y0, y1 = 0.0, max(ys) * 1.1 or 1.0

    def px(x: float) -> float:
        return LEFT + (place(x) - x0) / (x1 - x0) * (WIDTH - LEFT - RIGHT)

    def py(y: float) -> float:
        share = math.log(max(y, y0) / y0) / math.log(y1 / y0) if chart.log else (y - y0) / (y1 - y0)
        return HEIGHT - BOTTOM - share * (HEIGHT - TOP - BOTTOM)

    return px, py, (x0, x1), (y0, y1)


def _rule(kind: str, x1: float, x2: float, y1: float, y2: float) -> str:
    return f'<line class="{kind}" x1="{x1:.1f}" x2="{x2:.1f}" y1="{y1:.1f}" y2="{y2:.1f}"/>'


def _word(kind: str, x: float, y: float, word: str, anchor: str = "middle") -> str:
    return f'<text class="{kind}" x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}">{escape(word)}</text>'


def _line(line: Line, px: Scale, py: Scale) -> list[str]:
    path = " ".join(f"{px(x):.1f},{py(y):.1f}" for x, y in line.points)
    dash = ' stroke-dasharray="5 4"' if line.dashed else ""
    out = [f'<polyline class="line c{line.colour}" points="{path}"{dash}/>']
    if line.dots or len(line.points) == 1:
        for x, y in line.points:
            kind = "hollow" if x in line.hollow else "dot"
            tip = escape(f"{line.name}: {text(round(x, 3))} → {y:.2f}")
            circle = f'<circle class="{kind} c{line.colour}" cx="{px(x):.1f}" cy="{py(y):.1f}" r="4">'
            out.append(f"{circle}<title>{tip}</title></circle>")
    return out


def _mark(mark: Mark, px: Scale, py: Scale) -> str:
    if mark.axis == "y":
        at = py(mark.at)
        rule = _rule(f"mark {mark.colour}", LEFT, WIDTH - RIGHT, at, at)
        return rule + _word(f"word {mark.colour}", LEFT + 6, at - 5, mark.word, "start")
    at = px(mark.at)
    shift, anchor = (-6, "end") if at > WIDTH * 0.7 else (6, "start")
    rule = _rule(f"mark {mark.colour}", at, at, TOP, HEIGHT - BOTTOM)
    return rule + _word(f"word {mark.colour}", at + shift, TOP + 14 + 16 * mark.row, mark.word, anchor)


def legend(lines: Sequence[Line]) -> str:
    """The names of the series with their colours."""
    keys = "".join(
        f'<li><span class="key c{line.colour}{" dashed" if line.dashed else ""}"></span>{escape(line.name)}</li>'
        for line in lines
    )
    return f'<ul class="legend">{keys}</ul>'
