"""Clusters in ONNX: a row far away from all centres has scikit-learn's label, too."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from sklearn.cluster import KMeans, MiniBatchKMeans
from tests.support.bundles import contract, field

import fivefold
from fivefold.packing import golden

RANDOM = np.random.default_rng(3)
ROWS = np.concatenate([RANDOM.normal(middle, 1, (20, 2)) for middle in ((0, 0), (5, 9), (-4, 3))])


@pytest.mark.parametrize("model", [KMeans(3, n_init=1, random_state=0), MiniBatchKMeans(3, n_init=1, random_state=0)])
def test_a_row_far_from_all_centres_is_in_scikit_learns_cluster(model: Any, tmp_path: Path) -> None:
    """Its own square, 1e40, is left out of the comparison."""
    model.fit(ROWS)
    inputs = [field("a", "float64"), field("b", "float64")]
    outputs = [field("label", "int64", minimum=0, maximum=2), field("distances", shape=[3])]
    fivefold.pack(model, contract(inputs, outputs), output=tmp_path / "bundle")
    far = np.array([[1e20, 3.0], [-1e17, 2e17], [3.0, -1e30], [-3e25, 1e25], *ROWS[:9]])

    with fivefold.open(tmp_path / "bundle") as scorer:
        rows = [{"a": a, "b": b} for a, b in far.tolist()]
        got = scorer.score(golden.from_data(rows, scorer.bundle.contract).columns)

    assert got["label"].tolist() == model.predict(far).tolist()
    assert len(set(got["label"][:4].tolist())) > 1
    assert got["distances"] == pytest.approx(model.transform(far), rel=1e-5)
