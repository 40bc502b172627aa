"""The two bundles that base and head answer with, packed by head. Asking for them is left to `loadtest.hotpath`."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from sklearn.datasets import load_breast_cancer
from sklearn.ensemble import GradientBoostingClassifier

from fivefold.packing import demo, pack
from loadtest.hotpath import ONE_FIELD, ROWS, THIRTY_FIELDS


def make(directory: Path) -> None:
    """Train the demo's model once and pack it under both contracts."""
    demo.demo(directory / THIRTY_FIELDS)
    data = load_breast_cancer()
    block = data.data.astype(np.float32)
    model = GradientBoostingClassifier(n_estimators=demo.TREES, random_state=0).fit(block, data.target)
    contract = {
        "format": 1,
        "name": ONE_FIELD,
        "version": "1.0.0",
        "inputs": [{"name": "X", "dtype": "float32", "shape": [30], "minimum": 0, "maximum": 10_000}],
        "outputs": [{"name": "probability", "dtype": "float32", "shape": [2], "minimum": 0, "maximum": 1}],
    }
    pack(model, contract, directory / ONE_FIELD, golden_from=[{"X": row} for row in block[:ROWS].tolist()])
