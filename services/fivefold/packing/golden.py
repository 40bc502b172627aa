"""Rows to prove a model with: out of somebody's data, or made from the contract.

Rows that break the contract are left out and counted. Reading is core's readers' work: the rows are held to the same
rules as any request. Which rows packing measures with is left to `fivefold.packing.probe`, which of them travel in the
bundle to `fivefold.packing.kept`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from fivefold.core.columns import Columns
from fivefold.core.contract.contract import Contract
from fivefold.core.errors import ContractInvalid, Violation
from fivefold.core.fields.field import Field
from fivefold.packing.generated import generate
from fivefold.packing.reading import reading_of

GOLDEN_LEAST = 32
GOLDEN_MOST = 256
GOLDEN_MADE = 64
PROBE_MOST = 2048
PROBE_MADE = 512
"""Rows measured with while packing: enough to meet the rare row on which two number formats take different branches."""


@dataclass(frozen=True)
class LegalRows:
    """Legal rows of a contract's inputs, and where they come from."""

    columns: Columns
    source: str
    refused: int = 0
    first: Violation | None = None

    def index(self, most: int) -> npt.NDArray[np.int64]:
        """The positions of at most `most` rows, evenly spaced, the first and the last among them."""
        rows = self.columns.rows
        return np.linspace(0, rows - 1, min(most, rows)).round().astype(np.int64)

    def pick(self, most: int) -> Columns:
        """At most `most` rows, evenly spaced, the first and the last among them."""
        return self.columns if self.columns.rows <= most else self.columns.take(self.index(most))


def from_data(data: Any, contract: Contract) -> LegalRows:
    """The legal rows of a file (.parquet .csv .json .jsonl), a data frame, a mapping of columns or a list of records.

    Columns outside the contract are ignored; a column may also be spelled as people spell it (`mean radius` for
    `mean_radius`). Raises `ContractInvalid` where no row is legal.
    """
    source = str(Path(data).name) if isinstance(data, str | Path) else "the given data"
    reading = reading_of(data, contract.inputs)
    first = reading.violations[0] if reading.violations else None
    if not reading.columns.rows:
        why = first.message if first else "there are no rows"
        raise ContractInvalid(
            f"no row of {source} is legal under the contract: {first.path + ': ' if first else ''}{why}",
            help="correct the contract, or give data of the model's inputs",
        )
    return LegalRows(reading.columns, source, reading.rows - reading.columns.rows, first)


def made(fields: Sequence[Field], rows: int, seed: str = "") -> LegalRows:
    """`rows` legal rows made from the fields: inside ranges, enums, lengths and patterns, a null in eight where
    nullable. The same fields, count and seed give the same rows on every machine."""
    return LegalRows(generate(fields, rows, seed), "made from the contract")
