"""A run in words: Markdown tables, the section of docs/measurements.md between its markers, and its pictures."""

from __future__ import annotations

from pathlib import Path
from typing import Final

from loadtest.bench import forest
from loadtest.bench.comparison import FIVEFOLD, Contender, Workload
from loadtest.bench.forest import figure
from loadtest.bench.rates import BenchResult
from loadtest.document import put

PLOTS: Final = "plots"


def markdown(result: BenchResult, pictures: bool = False) -> str:
    """Every table, and the pictures where they have been drawn."""
    parts = []
    for workload in result.workloads():
        parts += [f"### {workload.title}", table(result, workload)]
        if pictures and forest.plot(result, workload) is not None:
            parts.append(f"![{workload.title}: Fivefold over the others]({PLOTS}/{_file(workload)})")
    if result.weights:
        parts += ["### Memory of a replica", weights(result)]
    parts.append(conditions(result))
    return "\n\n".join(parts)


def table(result: BenchResult, workload: Workload) -> str:
    """Requests a second and Fivefold over each, for every number of connections."""
    counts = result.connections(workload)
    cpu = result.comparison.cpu
    unit = "in flight" if workload.grpc else "connections"
    head = ["server"]
    for count in counts:
        at = f"{count} {unit if count > 1 else unit.removesuffix('s')}"
        head += [f"{at}: requests/s", "Fivefold ÷ it", *(["CPU a request, ms"] if cpu else [])]
    lines = [_row(head), _row(["--", *["--:"] * (len(head) - 1)])]
    for who in result.measured(workload):
        cells = [_title(who)]
        for count in counts:
            ratio = result.ratio(who, workload, count)
            around = f"({figure(ratio.low)} to {figure(ratio.high)})"
            said = "1" if who.name == FIVEFOLD else f"{figure(ratio.median)} {around}"
            cells += [_rate(result.rate(who, workload, count)), said]
            if cpu:
                cells.append(figure(result.cpu_seconds(who, workload, count) * 1e3))
        lines.append(_row(cells))
    return "\n".join(lines)


def weights(result: BenchResult) -> str:
    """Memory after the load, of the process that holds the model."""
    beside = result.comparison.weighed
    titles = {who.name: _title(who) for who in (*result.who, *([beside] if beside else []))}
    lines = [
        _row(["process that holds the model", "resident, MiB", "proportional share, MiB"]),
        _row(["--", "--:", "--:"]),
    ]
    for name, weight in sorted(result.weights.items(), key=lambda item: item[1].resident):
        lines.append(_row([titles[name], f"{weight.resident / 2**20:,.0f}", f"{weight.proportional / 2**20:,.0f}"]))
    ratio = result.memory()
    if ratio is not None:
        lines += ["", f"Fivefold's replica has {ratio:.2f} times the resident memory of a bare Ray Serve replica."]
    return "\n".join(lines)


def conditions(result: BenchResult) -> str:
    """On what it was measured."""
    profile = result.profile
    cores = len(profile["cores"])
    versions = ", ".join(f"{name} {version}" for name, version in sorted(profile["versions"].items()))
    return (
        f"{result.rounds} interleaved rounds of {result.seconds} s each, medians, in brackets the lowest and the "
        f"highest round; {cores} core{'s' * (cores > 1)} of {profile['cpu']}, Linux {profile['kernel']}, "
        f"Python {profile['python']}, shared with the load tools. {versions}."
    )


def write(result: BenchResult, document: Path) -> list[Path]:
    """Put the section between the document's markers and draw the pictures; raises `ValueError` without markers."""
    put(document, result.comparison.marker, markdown(result, pictures=True))
    folder = document.parent / PLOTS
    folder.mkdir(exist_ok=True)
    written = [document]
    for workload in result.workloads():
        picture = forest.plot(result, workload)
        if picture is not None:
            path = folder / _file(workload)
            path.write_text(picture)
            written.append(path)
    return written


def verdicts(result: BenchResult) -> str:
    """Each goal and whether this run reaches it."""
    lines = [
        f"{'met ' if each.met else 'MISS'}  {each.workload.name:16} {each.connections:3}  {each.who.name:9} "
        f"{figure(each.ratio.median):>6} of {each.goal:g}"
        for each in result.judged()
    ]
    ratio = result.memory()
    if ratio is not None:
        lines.append(f"{'met ' if ratio <= 1.2 else 'MISS'}  memory          ray-bare  {ratio:6.2f} of 1.2 at most")
    return "\n".join(lines)


def _file(workload: Workload) -> str:
    return f"bench-{workload.name}.svg"


def _title(who: Contender) -> str:
    return f"**{who.title}**" if who.name == FIVEFOLD else who.title


def _rate(rate: float) -> str:
    return f"{rate:,.0f}" if rate >= 100 else f"{rate:.1f}"


def _row(cells: list[str]) -> str:
    return f"| {' | '.join(cells)} |"
