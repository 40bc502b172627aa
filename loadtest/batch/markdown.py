"""A comparison in words: Markdown tables and the verdicts."""

from __future__ import annotations

from collections.abc import Sequence

from loadtest.batch.durations import BatchResult
from loadtest.batch.programs import FIVEFOLD, BatchProgram
from loadtest.bench.forest import figure
from loadtest.machine.generated import MeasuredModel


def markdown(result: BatchResult) -> str:
    """Every table."""
    parts = []
    for model in result.models:
        parts += [f"### {model.title}", rates(result, model)]
    parts += ["### Memory of a worker", memory(result), conditions(result)]
    return "\n\n".join(parts)


def rates(result: BatchResult, model: MeasuredModel) -> str:
    """Rows a second with and without start-up, and Fivefold over each."""
    head = ["program", "rows/s", "Fivefold ÷ it", "start-up", "rows/s, start-up included", "Fivefold ÷ it"]
    rows = []
    for who in result.who:
        cells = [_cells(result, who, model, started=started) for started in (True, False)]
        if not result.tells(who, model):
            cells[0] = ["–", "–"]
        elif not result.tells(FIVEFOLD, model):
            cells[0][1] = "–"
        rows.append([_title(who), *cells[0], f"{result.start(who, model):.1f} s", *cells[1]])
    return f"{table(head, rows)}\n\n{result.rows[model.name]:,} rows."


def memory(result: BatchResult) -> str:
    """Peak resident memory of the largest process that holds the model."""
    head = ["program", *(f"{model.name}, MB" for model in result.models)]
    rows = [
        [_title(who), *(f"{result.peaks[who.name, model.name] / 1e6:,.0f}" for model in result.models)]
        for who in result.who
    ]
    said = [
        f"With {small:,} rows instead of {result.rows[model.name]:,} a worker of ours has {peak / 1e6:,.0f} MB "
        f"({model.name})."
        for model in result.models
        if model.name in result.small
        for small, peak in [result.small[model.name]]
    ]
    return "\n\n".join([table(head, rows), *said])


def conditions(result: BatchResult) -> str:
    """On what it was measured."""
    profile = result.profile
    cores = len(profile["cores"])
    versions = ", ".join(f"{name} {version}" for name, version in sorted(profile["versions"].items()))
    rounds = f"{result.rounds} interleaved round{'s' * (result.rounds > 1)}"
    return (
        f"{rounds}, medians, in brackets the lowest and the highest; {result.workers} workers each; "
        f"{cores} core{'s' * (cores > 1)} of {profile['cpu']}, Linux {profile['kernel']}, Python {profile['python']}. "
        f"{versions}."
    )


def verdicts(result: BatchResult) -> str:
    """Each goal and whether this run reaches it, and what makes it doubtful."""
    lines = [
        f"{'met ' if each.met else 'MISS'}  {each.what:48} {each.found:>8}, {each.wanted}" for each in result.judged()
    ]
    short = result.too_short()
    if short:
        lines.append(f"too few rows to tell the rate from the start-up: {'; '.join(short)}")
    return "\n".join(lines)


def table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """A table of Markdown whose first column is text."""
    lines = [head, ["--", *["--:"] * (len(head) - 1)], *rows]
    return "\n".join(f"| {' | '.join(cells)} |" for cells in lines)


def _title(who: BatchProgram) -> str:
    return f"**{who.title}**" if who is FIVEFOLD else who.title


def _cells(result: BatchResult, who: BatchProgram, model: MeasuredModel, *, started: bool) -> list[str]:
    """A program's rate, and Fivefold's over it."""
    rate = f"{result.rate(who, model, started=started):,.0f}"
    if who is FIVEFOLD:
        return [rate, "1"]
    ratio = result.ratio(who, model, started=started)
    return [rate, f"{figure(ratio.median)} ({figure(ratio.low)} to {figure(ratio.high)})"]
