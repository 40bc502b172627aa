"""A model whose contract has one field of every kind that a form must handle, and two versions that differ."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from fivefold.core.bundle.bundle import Bundle
from fivefold.core.contract.contract import Contract

_MODEL = b'''"""Guesses how late a parcel is, exactly, from its weight and its service."""

import numpy as np

NAMES = np.array(["on time", "late", "lost"], object)
RUSH = {"standard": 0.0, "express": 1.0, "overnight": 3.0}


class Parcels:
    def predict(self, columns):
        weight = columns["weight"].astype(np.float64)
        rush = np.array([RUSH[each] for each in columns["service"]])
        shares = np.stack([1 + rush, 1 + weight / 10, np.full(len(weight), 0.5)], axis=1)
        shares /= shares.sum(axis=1, keepdims=True)
        return {
            "outcome": NAMES[shares.argmax(axis=1)],
            "chances": shares.astype(np.float32),
            "hours": 24 + weight - 4 * rush,
            "tracking": columns["tracking"],
            "corners": columns["corners"],
            "stamp": columns["stamp"],
        }
'''

_CORNERS = {"name": "corners", "dtype": "float32", "shape": [2, 3], "unit": "cm"}

INPUTS: list[dict[str, Any]] = [
    {"name": "weight", "dtype": "float32", "minimum": 0, "maximum": 70, "unit": "kg", "description": "with wrapping"},
    {"name": "tracking", "dtype": "int64", "minimum": 0, "description": "number on the label", "aliases": ["number"]},
    {"name": "service", "dtype": "string", "enum": ["standard", "express", "overnight"]},
    {"name": "postcode", "dtype": "string", "pattern": "[0-9]{5}", "description": "where it goes"},
    {"name": "zone", "dtype": "int8", "enum": [1, 2, 3], "default": 1},
    {"name": "fragile", "dtype": "bool"},
    {
        "name": "temperature",
        "dtype": "float64",
        "minimum": -60,
        "maximum": 60,
        "unit": "degree Celsius",
        "nullable": True,
        "description": "lowest on the way, where it was measured",
    },
    {"name": "note", "dtype": "string", "maxLength": 80, "default": "", "description": "what the sender wrote"},
    _CORNERS | {"description": "two opposite corners of the box"},
    {"name": "stamp", "dtype": "bytes", "maxLength": 64, "description": "the postmark, as it was scanned"},
]

OUTPUTS: list[dict[str, Any]] = [
    {"name": "outcome", "dtype": "string", "enum": ["on time", "late", "lost"], "description": "the likeliest"},
    {
        "name": "chances",
        "dtype": "float32",
        "shape": [3],
        "labels": ["on time", "late", "lost"],
        "minimum": 0,
        "maximum": 1,
    },
    {"name": "hours", "dtype": "float64", "minimum": 0, "maximum": 240, "unit": "h", "description": "until delivery"},
    {"name": "tracking", "dtype": "int64"},
    _CORNERS,
    {"name": "stamp", "dtype": "bytes"},
]

GOLDEN: list[tuple[dict[str, Any], dict[str, Any]]] = [
    (
        {
            "weight": 10,
            "tracking": 9007199254740993,
            "service": "express",
            "postcode": "01234",
            "zone": 2,
            "fragile": True,
            "temperature": None,
            "note": 'it\'s "here" \\ naïve $HOME `no` 🎁\nsecond line',
            "corners": [[0, 0, 0], [30.5, 20, 10]],
            "stamp": "AP8Q",
        },
        {
            "outcome": "on time",
            "chances": [0.4444444477558136, 0.4444444477558136, 0.1111111119389534],
            "hours": 30,
            "tracking": 9007199254740993,
            "corners": [[0, 0, 0], [30.5, 20, 10]],
            "stamp": "AP8Q",
        },
    ),
    (
        {
            "weight": 65,
            "tracking": 7,
            "service": "standard",
            "postcode": "99999",
            "fragile": False,
            "temperature": -3.5,
            "corners": [[1, 2, 3], [4, 5, 6]],
            "stamp": "",
        },
        {
            "outcome": "late",
            "chances": [0.1111111119389534, 0.8333333134651184, 0.0555555559694767],
            "hours": 89,
            "tracking": 7,
            "corners": [[1, 2, 3], [4, 5, 6]],
            "stamp": "",
        },
    ),
]


def contract(version: str) -> Contract:
    """The contract of a version of the bundle: the second asks for one field more."""
    tracked = {"name": "insured", "dtype": "bool", "default": False, "description": "for its <b>whole</b> value"}
    return Contract.from_json(
        {
            "format": 1,
            "name": "parcels",
            "version": f"{version}.0.0",
            "description": "How late is a parcel? A made-up model with a field of every kind.",
            "inputs": INPUTS if version == "1" else [*INPUTS, tracked],
            "outputs": OUTPUTS,
        }
    )


def bundle(directory: Path, version: str = "1") -> Bundle:
    """Write one version below `directory`."""
    given, answers = zip(*GOLDEN, strict=True)
    return Bundle.write(
        directory / f"parcels-{version}",
        contract=contract(version),
        model={"model/parcels.py": _MODEL},
        runtime="python",
        entry="parcels:Parcels",
        golden=(list(given), list(answers)),
        tolerance=1e-6,
        version=version,
    )
