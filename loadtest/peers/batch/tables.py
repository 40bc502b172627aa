"""What the programs share: the columns, and batches to a block of features and to answers.

It stands in each program's own environment, so it knows numpy and Arrow alone; `loadtest.batch` reads the names.
"""

from __future__ import annotations

import functools
import os
from pathlib import Path
from typing import Any

import numpy as np

DATA, ANSWERS, WORKERS = "PEER_DATA", "PEER_ANSWERS", "PEER_WORKERS"
"""Environment variables: the folder to read, the folder to write, and how many processes may score."""

KEY, ANSWER = "id", "score"
FEATURES = tuple(f"f{index:02}" for index in range(20))
COLUMNS = [KEY, *FEATURES]

CHUNK = 8192
"""Rows of one call of the model: a block of so many stays in a core's cache."""


def given() -> tuple[Path, Path, int]:
    """The folder to read, the folder to write, the number of workers."""
    return Path(os.environ[DATA]), Path(os.environ[ANSWERS]), int(os.environ[WORKERS])


@functools.cache
def scorer() -> Any:
    """This process's model, opened once."""
    from scoring import Scorer

    return Scorer()


def block(batch: Any) -> Any:
    """A record batch's features as float32 of shape [rows, 20]."""
    out = np.empty((batch.num_rows, len(FEATURES)), np.float32)
    for at, name in enumerate(FEATURES):
        out[:, at] = batch.column(name)
    return out


def answer(score: Any, batch: Any) -> Any:
    """A record batch's numbers and answers, as a record batch."""
    import pyarrow as pa

    size = batch.num_rows
    parts = [score(block(batch.slice(at, CHUNK))).reshape(-1) for at in range(0, size, CHUNK)]
    values = np.concatenate(parts) if parts else np.empty(0, np.float32)
    return pa.record_batch([batch.column(KEY), pa.array(values)], [KEY, ANSWER])
