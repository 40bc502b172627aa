"""What programs answer, told apart by the rows' own numbers, whatever files and order they come in."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Final

import numpy as np

from loadtest.machine.measurement import Differs
from loadtest.peers.batch.tables import ANSWER, KEY

TOLERANCE: Final = 1e-5


def read(directory: Path, rows: int) -> Any:
    """The answers of a directory's Parquet files by row number, float32 of shape [rows].

    Raises `Differs` where a row has no answer, or two.
    """
    import pyarrow.parquet as pq

    out = np.full(rows, np.nan, np.float32)
    seen = np.zeros(rows, np.uint8)
    for path in sorted(directory.rglob("*.parquet")):
        for batch in pq.ParquetFile(path).iter_batches(1 << 20, columns=[KEY, ANSWER]):
            keys = batch.column(KEY).to_numpy()
            if len(keys) and not 0 <= keys.min() <= keys.max() < rows:
                raise Differs(f"{path.name} has a row {keys.max()}, of {rows}")
            out[keys] = batch.column(ANSWER)
            np.add.at(seen, keys, 1)
    wrong = int(np.count_nonzero(seen != 1))
    if wrong:
        raise Differs(f"{wrong:,} of {rows:,} rows have no answer, or several")
    return out


def compare(name: str, found: Any, truth: Any) -> None:
    """Raises `Differs` where an answer is another one than the reference's."""
    off = ~np.isclose(found, truth, rtol=TOLERANCE, atol=TOLERANCE)
    if off.any():
        at = int(np.flatnonzero(off)[0])
        raise Differs(f"{name} answers {found[at]} to row {at}, and {int(off.sum()):,} rows otherwise than {truth[at]}")
