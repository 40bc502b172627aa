"""The breaker: how many rows may be quarantined before a run is not worth publishing.

A share is judged at the end, and before it only where the share of the whole input is exceeded already, whatever is
still to come; a number of rows acts at once. Where the input breaks off is judged apart: rows that are lost there are
nobody's bad rows. Counting is left to `run`.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field

from fivefold.batch.output.ledger import BrokenInput
from fivefold.batch.work.fragment_scorer import too_many
from fivefold.core.errors import RunFailed

SHOWN = 3
"""Places that a message names."""


@dataclass(frozen=True, slots=True)
class Breaker:
    """The limits of one run over `rows` rows, None where that is not known before the end."""

    max_bad_fraction: float
    max_bad_rows: int | None
    rows: int | None
    allow_broken: bool = False
    where: str = field(default="", kw_only=True)
    """Where the quarantine lies."""

    @property
    def most(self) -> int | None:
        """Quarantined rows above which there is no need to wait for the end; None where nothing is known yet."""
        share = None if self.rows is None else self._share(self.rows)
        limits = [limit for limit in (share, self.max_bad_rows) if limit is not None]
        return min(limits, default=None)

    def meanwhile(self, bad: int) -> None:
        """Raise `RunFailed` where the limit is exceeded already."""
        if self.most is not None and bad > self.most:
            raise too_many(bad, self.most, where=self.where)

    def too_many(self, bad: int) -> RunFailed:
        """The error of a run that has stopped before it had seen all: at least `bad` rows are quarantined."""
        return too_many(bad, self.most, at_least=True, where=self.where)

    def at_the_end(self, bad: int, rows: int) -> None:
        """Raise `RunFailed` where more than the share of all rows, or more than the number, is quarantined."""
        if bad > self._share(rows):
            raise _too_large_a_share(bad, rows, self.max_bad_fraction, self.where)
        self.meanwhile(bad)

    def broken(self, breaks: Sequence[BrokenInput]) -> None:
        """Raise `RunFailed` where the input breaks off somewhere, unless that is allowed."""
        if self.allow_broken or not breaks:
            return
        shown = "; ".join(each.message for each in breaks[:SHOWN])
        more = f"; and {len(breaks) - SHOWN} more" if len(breaks) > SHOWN else ""
        raise RunFailed(
            "input_broken",
            f"the input breaks off in {len(breaks):,} {'place' if len(breaks) == 1 else 'places'}: {shown}{more}",
            help="repair it and start a new run; or publish what could be read: the same command with --allow-torn",
        )

    def _share(self, rows: int) -> int:
        """The most rows that are not strictly more than the share."""
        most = math.floor(rows * self.max_bad_fraction)
        # A product of binary fractions may fall just short of the whole number that is meant (0.29 * 100).
        return most + 1 if rows and (most + 1) / rows <= self.max_bad_fraction else most


def _too_large_a_share(bad: int, rows: int, limit: float, where: str) -> RunFailed:
    found = too_many(bad, None)
    message = f"{bad:,} of {rows:,} rows are quarantined ({bad / rows:.2%}), and at most {limit:.2%} may be"
    return RunFailed(found.code, message, path=where, help=found.help)
