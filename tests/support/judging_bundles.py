"""A model that judges by thresholds which a test chooses, so that each answer that differs is known beforehand."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from fivefold.core.bundle.bundle import Bundle
from fivefold.core.contract.contract import Contract

_MODEL = """
import numpy as np


class Judge:
    def predict(self, columns):
        size = columns["size"]
        if (size == 13).any():
            raise ValueError("never thirteen")
        return {{"verdict": np.where(size < {edge}, "small", "large").astype(object), "score": size * {factor}}}
"""


def judge_contract(version: str = "1.0.0", **size: Any) -> Contract:
    """A size of 0 to 100 and a colour in, a verdict and a score out; keyword arguments are the size's."""
    return Contract.from_json(
        {
            "format": 1,
            "name": "judge",
            "version": version,
            "inputs": [
                {"name": "size", "dtype": "float64", "minimum": 0, "maximum": 100} | size,
                {"name": "colour", "dtype": "string", "enum": ["red", "green", "blue"]},
            ],
            "outputs": [
                {"name": "verdict", "dtype": "string", "enum": ["small", "large"]},
                {"name": "score", "dtype": "float64"},
            ],
        }
    )


def judge_bundle(
    directory: Path, edge: float = 50, factor: float = 1, sizes: Sequence[float] = (10, 90), **changes: Any
) -> Bundle:
    """Small below `edge`, large from there on; the score is the size times `factor`. It raises at 13."""
    colours = ("red", "green", "blue")
    given: dict[str, Any] = {
        "contract": judge_contract(),
        "model": {"model/judge.py": _MODEL.format(edge=edge, factor=factor).encode()},
        "runtime": "python",
        "entry": "judge:Judge",
        "golden": (
            [{"size": size, "colour": colours[at % 3]} for at, size in enumerate(sizes)],
            [{"verdict": "small" if size < edge else "large", "score": size * factor} for size in sizes],
        ),
        "tolerance": 0.0,
    }
    return Bundle.write(directory, **given | changes)
