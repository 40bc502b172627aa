"""Rows and models of the measurements: generated, the same on every machine, kept below a directory.

A row is a number of its own, `id`, and twenty float32 features. Files and bundles are made once; a directory that is
there is taken as it is, so one that was not finished never appears.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any, Final

import numpy as np

from loadtest.machine.programs import ROOT
from loadtest.peers.batch.tables import ANSWER, FEATURES, KEY

CACHE: Final = ROOT / ".cache" / "batch"
"""The directory of the commands' own."""

LIMIT: Final = 8.0
"""Features are between -LIMIT and LIMIT, in the contract too."""

ROW_GROUP: Final = 128 * 1024
FILE_ROWS: Final = 1_000_000
TREES: Final = 50
DEPTH: Final = 10
TRAINED_ON: Final = 20_000


@dataclass(frozen=True)
class MeasuredModel:
    """One model: `share` is its part of the rows, so that the slower one takes about as long."""

    name: str
    title: str
    share: float
    make: Callable[[Any, Any], Any]


def _linear(rows: Any, truth: Any) -> Any:
    from sklearn.linear_model import LinearRegression

    return LinearRegression().fit(rows, truth)


def _forest(rows: Any, truth: Any) -> Any:
    from sklearn.ensemble import RandomForestRegressor

    return RandomForestRegressor(TREES, max_depth=DEPTH, random_state=0, n_jobs=1).fit(rows, truth)


LINEAR: Final = MeasuredModel(
    "linear", f"A linear model of {len(FEATURES)} features, where reading and writing count", 1.0, _linear
)
FOREST: Final = MeasuredModel("forest", f"A forest of {TREES} trees, where the model counts", 0.25, _forest)
MODELS: Final = (LINEAR, FOREST)


def bundle(model: MeasuredModel, directory: Path) -> Path:
    """The model packed below `directory`."""
    target = directory / model.name
    if target.is_dir():
        return target
    from fivefold.packing import pack

    draw = np.random.default_rng(11)
    rows = _features(draw, TRAINED_ON)
    weights = draw.standard_normal(len(FEATURES)).astype(np.float32)
    truth = rows @ weights + np.sin(rows[:, 0] * 2) * rows[:, 1]
    contract = {
        "format": 1,
        "name": model.name,
        "version": "1.0.0",
        "inputs": [{"name": name, "dtype": "float32", "minimum": -LIMIT, "maximum": LIMIT} for name in FEATURES],
        "outputs": [{"name": ANSWER, "dtype": "float32"}],
    }
    golden = [dict(zip(FEATURES, row)) for row in rows[:64].tolist()]
    pack(model.make(rows, truth), contract, target, golden_from=golden)
    return target


def rows(directory: Path, count: int, files: int = 0, bad_every: int = 0) -> Path:
    """A directory below `directory` with so many rows in Parquet files.

    `files` is how many, 0 for one to a million rows, at least eight. Every `bad_every`-th row has a feature out of its
    range; 0: none.
    """
    import pyarrow as pa
    import pyarrow.parquet as pq

    files = files or max(8, -(-count // FILE_ROWS))
    target = directory / f"{count}-rows-{files}-files-{bad_every}-bad"
    if target.is_dir():
        return target
    unfinished = target.with_name(f"{target.name}.unfinished")
    shutil.rmtree(unfinished, ignore_errors=True)
    unfinished.mkdir(parents=True)
    edges = np.linspace(0, count, files + 1).astype(np.int64).tolist()
    for index, (start, end) in enumerate(pairwise(edges)):
        block = _features(np.random.default_rng([7, index]), end - start)
        keys = np.arange(start, end)
        if bad_every:
            block[keys % bad_every == bad_every - 1, 0] = LIMIT * 100
        columns = {KEY: pa.array(keys)} | {name: pa.array(block[:, at]) for at, name in enumerate(FEATURES)}
        # Random numbers repeat nowhere: a dictionary would only be begun and given up.
        pq.write_table(pa.table(columns), unfinished / f"in-{index:04}.parquet", ROW_GROUP, use_dictionary=False)
    unfinished.rename(target)
    return target


def part(directory: Path, share: float) -> Path:
    """A directory beside `directory` with the first share of its files, at least one: links, no copies."""
    files = sorted(directory.glob("*.parquet"))
    kept = files[: max(1, round(len(files) * share))]
    if len(kept) == len(files):
        return directory
    target = directory.with_name(f"{directory.name}-first-{len(kept)}")
    if not target.is_dir():
        unfinished = target.with_name(f"{target.name}.unfinished")
        shutil.rmtree(unfinished, ignore_errors=True)
        unfinished.mkdir()
        for file in kept:
            os.link(file, unfinished / file.name)
        unfinished.rename(target)
    return target


def count(directory: Path) -> int:
    """The rows of a directory's Parquet files."""
    import pyarrow.parquet as pq

    return sum(pq.read_metadata(file).num_rows for file in directory.rglob("*.parquet"))


def warm(directory: Path) -> None:
    """Read every file once, so that nobody pays for the disk alone."""
    for file in directory.glob("*.parquet"):
        with file.open("rb", buffering=0) as stream:
            while stream.read(1 << 24):
                pass


def _features(draw: np.random.Generator, count: int) -> Any:
    return np.clip(draw.standard_normal((count, len(FEATURES)), np.float32), -LIMIT, LIMIT)
