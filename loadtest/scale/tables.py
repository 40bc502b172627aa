"""What was measured in words: a table for each kind, the slopes named, and its picture."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from loadtest.scale import growth, picture

MIB = 2**20


@dataclass(frozen=True)
class Section:
    """A table with its slopes, and pictures by the names of their files."""

    title: str
    text: str
    pictures: Mapping[str, str] = field(default_factory=dict)


def models(found: Sequence[Any]) -> Section:
    """Of `models.ModelsCost`."""
    head = ["models", "CPU to start, s", "resident, MiB", "a request, µs of CPU", "slowest model ÷ median"]
    rows = [
        [
            _n(each.models),
            f"{each.start_cpu:.1f}",
            f"{each.resident / MIB:,.0f}",
            f"{each.request_cpu * 1e6:,.0f}",
            f"{each.slowest:.1f}",
            _n(each.series),
            f"{each.scrape_bytes / 1e6:.2f}",
            f"{each.openapi_bytes / 1e6:.2f}",
        ]
        for each in found
    ]
    lines = {
        "start": [(each.models, each.start_cpu) for each in found],
        "memory": [(each.models, each.resident / MIB) for each in found],
        "a request": [(each.models, each.request_cpu) for each in found],
        "series": [(each.models, each.series) for each in found],
        "OpenAPI document": [(each.models, each.openapi_bytes) for each in found],
    }
    first = {name: points[0][1] for name, points in lines.items()}
    drawn = {name: [(x, y / first[name]) for x, y in points] for name, points in lines.items()}
    title = "Models in one process: times what one model takes"
    return Section(
        title,
        _text([*head, "series", "a scrape, MB", "OpenAPI, MB"], rows, lines),
        {"scale-models.svg": picture.draw(title, "models", "times one model", drawn)},
    )


def rows(found: Sequence[Any]) -> Section:
    """Of `requests.RequestCost`, by rows."""
    return _requests(found, "rows", "Rows in a request", "scale-rows.svg")


def fields(found: Sequence[Any]) -> Section:
    """Of `requests.RequestCost`, by fields."""
    return _requests(found, "fields", "Fields of a row", "scale-fields.svg")


def _requests(found: Sequence[Any], size: str, title: str, file: str) -> Section:
    forms = list(dict.fromkeys(each.form for each in found))
    counts = list(dict.fromkeys(getattr(each, size) for each in found))
    by = {(each.form, getattr(each, size)): each for each in found}
    head = [size, *(f"{form}: {what}" for form in forms for what in ("µs of CPU", f"µs for each of the {size}"))]
    table = [
        [_n(count)]
        + [
            cell
            for form in forms
            for cell in (f"{by[form, count].cpu * 1e6:,.0f}", f"{by[form, count].cpu * 1e6 / count:,.1f}")
        ]
        for count in counts
    ]
    lines = {form: [(count, by[form, count].cpu * 1e6) for count in counts] for form in forms}
    return Section(title, _text(head, table, lines), {file: picture.draw(title, size, "µs of CPU a request", lines)})


def connections(found: Sequence[Any]) -> Section:
    """Of `requests.ConnectionsCost`."""
    head = ["connections", "requests a second", "µs of CPU a request", "resident, MiB"]
    table = [
        [_n(each.connections), f"{each.rate:,.0f}", f"{each.cpu * 1e6:,.0f}", f"{each.resident / MIB:,.0f}"]
        for each in found
    ]
    lines = {"a request": [(each.connections, each.cpu * 1e6) for each in found]}
    title = "Connections that ask at once"
    drawn = picture.draw(title, "connections", "µs of CPU a request", lines)
    memory = {"memory": [(each.connections, each.resident / MIB) for each in found]}
    return Section(title, _text(head, table, lines | memory), {"scale-connections.svg": drawn})


def controller(found: Sequence[Any]) -> Section:
    """Of `controller.ControllerCost`."""
    head = ["replicas", "asked every 5 s, cores", "waiting, cores", "one change told to all, ms of CPU"]
    table = [
        [_n(each.replicas), f"{each.polled:.3f}", f"{each.parked:.3f}", f"{each.told * 1e3:,.0f}"] for each in found
    ]
    lines = {
        "asked": [(each.replicas, each.polled) for each in found],
        "a change": [(each.replicas, each.told) for each in found],
    }
    return Section("Replicas that count themselves", _text(head, table, lines))


def told(found: Sequence[Any]) -> Section:
    """Of `told.ToldCost`."""
    head = ["replicas", "an answer, µs of CPU", "KB", "all replicas told once, s of CPU"]
    table = [
        [
            _n(each.replicas),
            f"{each.answer * 1e6:,.0f}",
            f"{each.size / 1e3:,.0f}",
            f"{each.replicas * each.answer:,.2f}",
        ]
        for each in found
    ]
    lines = {
        "an answer": [(each.replicas, each.answer) for each in found],
        "all told": [(each.replicas, each.replicas * each.answer) for each in found],
    }
    return Section("One change told to all", _text(head, table, lines))


def checks(found: Sequence[Any]) -> Section:
    """Of `health_checks.ChecksCost`."""
    head = ["replicas", "checks a second", "cores", "resident, MiB", "configuration, KB", "to read it, ms of CPU"]
    table = [
        [
            _n(each.replicas),
            f"{each.checks:,.0f}",
            f"{each.share:.3f}",
            f"{each.resident / MIB:,.0f}",
            f"{each.configuration / 1e3:,.0f}",
            f"{each.reading * 1e3:,.0f}",
        ]
        for each in found
    ]
    lines = {
        "checks": [(each.replicas, each.share) for each in found],
        "reading": [(each.replicas, each.reading) for each in found],
    }
    return Section("Health checks of one proxy", _text(head, table, lines))


def manifest(found: Sequence[Any]) -> Section:
    """Of `manifest.RenderedSize`."""
    head = ["models", "rendered, KB", "largest object", "KB", "Helm's Secret, KB"]
    table = [
        [
            _n(each.models),
            f"{each.rendered / 1e3:,.0f}",
            each.kind,
            f"{each.largest / 1e3:,.0f}",
            f"{each.release / 1e3:,.0f}",
        ]
        for each in found
    ]
    lines = {"largest object": [(each.models, each.largest) for each in found]}
    return Section("What the chart renders", _text(head, table, lines))


def _text(head: Sequence[str], table: Sequence[Sequence[str]], lines: Mapping[str, growth.Points]) -> str:
    out = [head, ["--:"] * len(head), *table]
    known = {
        name: points for name, points in lines.items() if len(points) > 1 and all(value > 0 for _, value in points)
    }
    slopes = "; ".join(f"{name}: {growth.word(points)}" for name, points in known.items())
    said = f"\n\nSlopes. {slopes}." if slopes else ""
    return "\n".join(f"| {' | '.join(cells)} |" for cells in out) + said


def _n(value: float) -> str:
    return f"{value:,.0f}"
