"""The result as lines for a terminal: one table, what differs, what is missing, and one line that says it all."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from fivefold.parity.parity_run import ParityResult
from fivefold.parity.row_agreement import RuntimeAgreement

HEADS = ("runtime", "rows", "largest difference", "same class", "same refusals", "")


def number(value: float) -> str:
    """A difference, short: 0 is exact."""
    return "0" if value == 0 else f"{value:.3g}"


def cells(each: RuntimeAgreement) -> tuple[str, ...]:
    """One runtime's line of the table."""
    if each.status == "absent":
        return (each.name, "-", "-", "-", "-", f"not here: {each.reason}")
    if each.status == "failed":
        return (each.name, f"{each.asked:,}", "-", "-", "-", f"FAILED: {each.reason}")
    return (
        each.name,
        f"{each.asked:,}",
        number(each.largest),
        f"{each.same_class:,} of {each.classed:,}" if each.classed else "-",
        f"{each.same_refusal:,} of {each.refused:,}" if each.refused else "-",
        "agrees" if each.status == "agrees" else f"DIFFERS in {each.differing:,} rows",
    )


def lines(result: ParityResult) -> Iterator[str]:
    """The whole report."""
    yield f"{result.bundle}, contract {result.contract}"
    origins = ", ".join(f"{count:,} {origin}" for origin, count in result.rows.items())
    limit = f"within {result.limit:g}" if result.limit else "bit for bit"
    yield f"{sum(result.rows.values()):,} rows: {origins}; {result.refused:,} are refused; floats agree {limit}"
    yield ""
    yield from _aligned([HEADS, *(cells(each) for each in result.runtimes)])
    for each in result.runtimes:
        for example in each.examples:
            yield f"{each.name}, {example}"
        hidden = each.differing - len(each.examples)
        if hidden > 0:
            yield f"{each.name}: and {hidden:,} more"
    for each in result.runtimes:
        if each.status == "absent" and each.help:
            yield f"{each.name}: {each.help}"
    yield ""
    yield summary(result)


def summary(result: ParityResult) -> str:
    """How many runtimes, how many rows, the largest difference."""
    asked = result.asked
    agree = sum(each.status == "agrees" for each in asked)
    rows = sum(each.asked for each in asked)
    where = next((each.name for each in asked if each.largest == result.largest and each.largest), "")
    return (
        f"{agree} of {len(asked)} runtimes agree, {rows:,} rows asked, largest difference {number(result.largest)}"
        f"{f' ({where})' if where else ''}"
    )


def _aligned(table: Sequence[tuple[str, ...]]) -> Iterator[str]:
    widths = [max(len(row[at]) for row in table) for at in range(len(HEADS))]
    for row in table:
        numbers = [cell.rjust(width) for cell, width in zip(row[1:-1], widths[1:-1], strict=True)]
        yield "  ".join([row[0].ljust(widths[0]), *numbers, row[-1]]).rstrip()
