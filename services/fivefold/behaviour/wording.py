"""The difference in words: lines for a terminal, and a file as Markdown, HTML or the picture alone.

What is too much is `thresholds`'; the picture is `picture`'s. A file that others may read has no values of inputs.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from html import escape
from pathlib import Path

from fivefold.behaviour.contrast import BehaviourDifference, DifferingRow, Measure, SlicedMeasure
from fivefold.behaviour.measures import Change
from fivefold.behaviour.picture import draw
from fivefold.behaviour.thresholds import percent
from fivefold.core import atomic
from fivefold.core.errors import ProtocolError
from fivefold.core.outcome import showable

SUFFIXES = (".md", ".html", ".svg")

HEADS = {
    "category": ("slice", "rows", "differ", "rate", "95 % of the rate"),
    "number": ("slice", "rows", "changed", "largest change", "mean change", "95 % of the mean", "null on one side"),
}


def lines(found: BehaviourDifference) -> Iterator[str]:
    """The difference for a terminal."""
    yield f"old       {found.old}"
    yield f"new       {found.new}"
    yield from (f"{name:<9} {text}" for name, text in _facts(found))
    for output in found.outputs:
        yield ""
        table = [HEADS[output.kind], *_rows(output.whole, output.slices)]
        widths = [max(len(row[column]) for row in table) for column in range(len(table[0]))]
        yield output.name
        for row in table:
            first, *numbers = (f"{cell:<{width}}" for cell, width in zip(row, widths, strict=True))
            yield "  " + "  ".join([first, *(each.strip().rjust(len(each)) for each in numbers)]).rstrip()
        for example in output.examples:
            yield f"  {_example(example)}"


def check_report(path: str) -> None:
    """Raise `ProtocolError` for a report of no known kind."""
    if Path(path).suffix not in SUFFIXES:
        raise ProtocolError(
            "not_acceptable", f"--report {path}: its kind is not known", help=f"one of {', '.join(SUFFIXES)}"
        )


def write_report(found: BehaviourDifference, path: str, broken: Sequence[str]) -> list[Path]:
    """Write the report, Markdown with its picture beside it; gives what was written. Raises `OSError`."""
    check_report(path)
    place = Path(path)
    if place.suffix == ".svg":
        contents = {place: draw(found)}
    elif place.suffix == ".html":
        contents = {place: html(found, broken)}
    else:
        picture = place.with_suffix(".svg")
        contents = {place: markdown(found, broken, picture.name), picture: draw(found)}
    for where, text in contents.items():
        atomic.replace_file(where, text.encode())
    return list(contents)


def markdown(found: BehaviourDifference, broken: Sequence[str], picture: str) -> str:
    """The difference as Markdown that shows the picture of that name."""
    out = [f"# {_title(found)}", "", _verdict(broken), "", f"- old: {_cell(found.old)}", f"- new: {_cell(found.new)}"]
    out += [f"- {name}: {_cell(text)}" for name, text in _facts(found)]
    out += ["", f"![Rows that differ, and how far numbers move]({picture})"]
    for output in found.outputs:
        heads = HEADS[output.kind]
        out += ["", f"## {_cell(output.name)}", "", f"| {' | '.join(heads)} |"]
        out.append(f"| -- | {' | '.join('--:' for _ in heads[1:])} |")
        out += [f"| {' | '.join(map(_cell, row))} |" for row in _rows(output.whole, output.slices)]
        out += ["", *(f"- {_cell(_example(example))}" for example in output.examples)] if output.examples else []
    return "\n".join(out) + "\n"


def html(found: BehaviourDifference, broken: Sequence[str]) -> str:
    """The difference as one page without scripts, the picture in it."""
    title = escape(_title(found))
    out = [f'<!doctype html><html lang="en"><meta charset="utf-8"><title>{title}</title><style>{_STYLE}</style>']
    out.append(f"<h1>{title}</h1><p>{escape(_verdict(broken))}</p><ul>")
    facts = [("old", found.old), ("new", found.new), *_facts(found)]
    out += [f"<li>{escape(name)}: {escape(text)}</li>" for name, text in facts]
    out += ["</ul>", draw(found)]
    for output in found.outputs:
        out.append(f"<h2>{escape(output.name)}</h2><table><tr>")
        out += [f"<th>{escape(head)}</th>" for head in HEADS[output.kind]]
        for row in _rows(output.whole, output.slices):
            out.append("</tr><tr>" + "".join(f"<td>{escape(cell)}</td>" for cell in row))
        out.append("</tr></table>")
        if output.examples:
            out.append("<ul>" + "".join(f"<li>{escape(_example(each))}</li>" for each in output.examples) + "</ul>")
    return "\n".join(out) + "\n"


_STYLE = """
:root{color-scheme:light dark}body{font:15px/1.5 system-ui,sans-serif;max-width:60em;margin:2em auto;padding:0 1em}
table{border-collapse:collapse}th,td{padding:.2em .8em;text-align:right;border-bottom:1px solid #8886}
th:first-child,td:first-child{text-align:left}svg{max-width:100%}
"""


def _title(found: BehaviourDifference) -> str:
    return f"What {found.new} answers differently from {found.old}"


def _verdict(broken: Sequence[str]) -> str:
    return f"Too much: {'; '.join(broken)}." if broken else "Nothing that was asked about is too much."


def _facts(found: BehaviourDifference) -> Iterator[tuple[str, str]]:
    yield "contract", found.contract
    for source in found.sources:
        foreign = "".join(f", {count:,} of {name}" for name, count in source.foreign.items())
        yield "rows", f"{source.name}: {source.read:,} read, {source.compared:,} compared{foreign}"
    for refused in found.refused:
        yield "refused", refused.describe()
    if found.lost or found.gained:
        yield "refused", f"{found.lost:,} rows by the new model alone, {found.gained:,} by the old one alone"
    yield from (("left out", text) for text in found.left_out)
    yield from (("note", text) for text in found.notes)


def _rows(whole: Measure, slices: Sequence[SlicedMeasure]) -> Iterator[tuple[str, ...]]:
    yield "all rows", *_cells(whole)
    for each in slices:
        yield f"{each.slicing}: {each.slice}", *_cells(each.measure)


def _cells(measure: Measure) -> tuple[str, ...]:
    if isinstance(measure, Change):
        interval = "" if measure.interval is None else f"{measure.interval[0]:.4g} to {measure.interval[1]:.4g}"
        largest, mean = ("" if value is None else f"{value:.4g}" for value in (measure.largest, measure.mean))
        return f"{measure.rows:,}", f"{measure.changed:,}", largest, mean, interval, f"{measure.unlike:,}"
    interval = "" if measure.interval is None else " to ".join(percent(end) for end in measure.interval)
    rate = "" if measure.rate is None else percent(measure.rate)
    return f"{measure.rows:,}", f"{measure.differ:,}", rate, interval


def _example(example: DifferingRow) -> str:
    old, new = (_value(value) for value in (example.old, example.new))
    return f"{example.source}, {example.number}: {old} before, {new} now"


def _value(value: object) -> str:
    if isinstance(value, list):
        text = f"[{', '.join(map(_value, value))}]"
    elif isinstance(value, float):
        text = f"{value:.6g}"
    elif isinstance(value, str) and value.isprintable():
        text = value
    else:
        text = json.dumps(showable(value))
    return text if len(text) <= 60 else f"{text[:59]}…"


def _cell(text: str) -> str:
    """Text in a table or a list of Markdown's, whatever is in it."""
    for mark in "\\|<>*_`[]":
        text = text.replace(mark, f"\\{mark}")
    return " ".join(text.split())
