"""A run's outcome as a table."""

from __future__ import annotations

from typing import Final

from loadtest.stream import chaos
from loadtest.stream.chaos import ChaosResult
from loadtest.stream.checker import DOUBLE, FOREIGN, LOST, ORDER, VALUE

CHAOS: Final = chaos.__doc__

_WRONG: Final = {
    LOST: "events without a result or a dead letter",
    DOUBLE: "results or dead letters beyond the one",
    ORDER: "out of their key's order",
    VALUE: "with another value or key",
    FOREIGN: "results of bad events, dead letters of good ones",
}


def markdown(log: str, result: ChaosResult) -> str:
    """The table."""
    settings, verdict = result.settings, result.verdict
    faults = ", ".join(f"{count} {kind}" for kind, count in sorted(result.faults.items()))
    rows = [
        ("events", f"{settings.events:,}"),
        ("results, dead letters", f"{verdict.records['result']:,}, {verdict.records['dead letter']:,}"),
        *((words, f"{verdict.counts[what]:,}") for what, words in _WRONG.items()),
        ("faults", faults),
        ("starts of workers", f"{result.starts:,}"),
        ("rebalances", "not told" if result.rebalances is None else f"{result.rebalances:,}"),
        ("batches read again", f"{result.rewinds:,}"),
        *(
            [("orderly restarts of the broker, since nothing was finished any more", f"{result.helped:,}")]
            * (result.helped > 0)
        ),
        ("workers that ended of their own accord", f"{result.endings.total():,}"),
        *((f"… {said}", f"{count:,}") for said, count in result.endings.most_common()),
    ]
    lines = [f"| {log} | |", "|--|--:|", *(f"| {what} | {found} |" for what, found in rows)]
    return "\n".join(lines) + (
        f"\n\n{settings.workers} workers, a fault every {settings.between[0]:g} to {settings.between[1]:g} s over "
        f"{settings.seconds:.0f} s, batches of {settings.max_batch} at most, seed {settings.seed}; "
        f"{result.seconds:.0f} s until all was done."
    )
