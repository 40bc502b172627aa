"""A model that answers three versions of its contract, and takes its classes and numbers by arithmetic alone."""

from __future__ import annotations

import datetime as dt
from pathlib import Path
from typing import Any

from fivefold.core.bundle.bundle import Bundle
from fivefold.core.bundle.carried import CarriedVersion
from fivefold.core.contract.contract import Contract

_MODEL = b'''
import numpy as np


class Triage:
    """low below 1, high below 10, extreme from there on; dose is added twice."""

    def predict(self, columns):
        value = columns["weight"] + 2 * columns["dose"]
        level = np.where(value < 1, "low", np.where(value < 10, "high", "extreme")).astype(object)
        return {"level": level, "value": value}
'''


def triage_contract(version: str) -> Contract:
    """1.0.0: mass; 2.0.0: weight, formerly mass, and dose; 3.0.0: a note that nobody else takes."""
    inputs: dict[str, list[dict[str, Any]]] = {
        "1.0.0": [{"name": "mass", "dtype": "float32", "minimum": 0}],
        "2.0.0": [
            {"name": "weight", "dtype": "float64", "minimum": -1, "aliases": ["mass"]},
            {"name": "dose", "dtype": "float64", "default": 0.5},
        ],
    }
    inputs["3.0.0"] = [*inputs["2.0.0"], {"name": "note", "dtype": "string", "default": ""}]
    old = {"name": "level", "dtype": "string", "enum": ["low", "high"], "unknown": "high"}
    new = {"name": "level", "dtype": "string", "enum": ["low", "high", "extreme"]}
    outputs = {
        "1.0.0": [old],
        "2.0.0": [new, {"name": "value", "dtype": "float64"}],
        "3.0.0": [new, {"name": "value", "dtype": "float64"}],
    }
    return Contract.from_json(
        {
            "format": 1,
            "name": "triage",
            "version": version,
            "inputs": inputs[version],
            "outputs": outputs[version],
        }
    )


def triage_bundle(directory: Path, **changes: Any) -> Bundle:
    """The model of 2.0.0, which answers 1.0.0 (deprecated, with a sunset) and 3.0.0 too."""
    carried = (
        CarriedVersion(triage_contract("1.0.0"), deprecated=dt.date(2026, 7, 1), sunset=dt.date(2027, 1, 31)),
        CarriedVersion(triage_contract("3.0.0"), newer=True),
    )
    given: dict[str, Any] = {
        "contract": triage_contract("2.0.0"),
        "model": {"model/triage.py": _MODEL},
        "runtime": "python",
        "entry": "triage:Triage",
        "golden": (
            [{"weight": 0, "dose": 0}, {"weight": 5, "dose": 1}, {"weight": 50, "dose": 0}],
            [{"level": "low", "value": 0}, {"level": "high", "value": 7}, {"level": "extreme", "value": 50}],
        ),
        "tolerance": 0.0,
        "carried": carried,
    }
    return Bundle.write(directory, **given | changes)
