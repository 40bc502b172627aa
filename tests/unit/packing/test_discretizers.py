"""Bins in ONNX: a number beside an edge is in scikit-learn's bin."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from sklearn.linear_model import LinearRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import KBinsDiscretizer
from tests.support.bundles import contract, field

import fivefold
from fivefold.packing import golden

RANDOM = np.random.default_rng(3)
ROWS = np.stack([RANDOM.normal(30_000, 9_000, 60), RANDOM.uniform(0, 1, 60)], axis=1)


@pytest.mark.parametrize("encode", ["ordinal", "onehot", "onehot-dense"])
def test_a_number_beside_an_edge_is_in_scikit_learns_bin(encode: str, tmp_path: Path) -> None:
    """On it, and one step of float64 below and above, of every column."""
    bins = KBinsDiscretizer([4, 2], encode=encode, quantile_method="averaged_inverted_cdf")
    model = make_pipeline(bins, LinearRegression()).fit(ROWS, ROWS[:, 0] + 9_000 * ROWS[:, 1])
    inputs = [field("a", "float64"), field("b", "float64")]
    fivefold.pack(model, contract(inputs, [field("y", "float64")]), output=tmp_path / "bundle")
    steps = [np.nextafter(edge, edge + to) for edge in bins.bin_edges_[0] for to in (-1, 0, 1)]
    other = [np.nextafter(edge, edge + to) for edge in bins.bin_edges_[1] for to in (-1, 0, 1)]
    beside = np.array([[a, 0.3] for a in steps] + [[30_000.0, b] for b in other])

    with fivefold.open(tmp_path / "bundle") as scorer:
        rows = [{"a": a, "b": b} for a, b in beside.tolist()]
        got = scorer.score(golden.from_data(rows, scorer.bundle.contract).columns)

    assert got["y"] == pytest.approx(model.predict(beside), rel=1e-9)
