"""A bundle whose model takes as long as it is told, to have requests in work at a chosen moment."""

from pathlib import Path

from fivefold.core.bundle.bundle import Bundle
from fivefold.core.contract.contract import Contract

NAME = "slow"

_CONTRACT = b"""{"format": 1, "name": "slow", "version": "1.0.0",
 "inputs": [{"name": "seconds", "dtype": "float64", "minimum": 0, "maximum": 60}],
 "outputs": [{"name": "slept", "dtype": "float64", "minimum": 0, "maximum": 60},
             {"name": "process", "dtype": "int64", "minimum": 0}]}"""

_MODEL = b"""
import os
import time
import numpy as np

class Slow:
    def predict(self, columns):
        seconds = columns["seconds"]
        time.sleep(float(seconds.sum()))
        # The golden rows hold the process 0: nobody is slow there.
        process = os.getpid() if seconds.any() else 0
        return {"slept": seconds, "process": np.full(len(seconds), process, np.int64)}
"""


def bundle(directory: Path) -> Path:
    """The bundle's path. Its answers name the process that gave them."""
    written = Bundle.write(
        directory / NAME,
        contract=Contract.from_json(_CONTRACT),
        model={"model/slow.py": _MODEL},
        runtime="python",
        entry="slow:Slow",
        golden=([{"seconds": 0.0}], [{"slept": 0.0, "process": 0}]),
        tolerance=0.0,
    )
    return Path(written.path)
