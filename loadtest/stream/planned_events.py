"""The events of a run, each of which can be made again from its number: what goes in, and what has to come out.

An event carries its number in the header `n`, which workers carry on, so every record of the outcome says which event
it belongs to. A key's events are produced in the order of their numbers. One event in a hundred is poison, of another
kind each time. The model is `TOTAL`: what it answers to an event is worked out here without it.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Final

NUMBER: Final = "n"
"""The header that holds an event's number."""

POISON_EVERY: Final = 100
"""One event of so many has no result, one in each block of so many numbers."""

KEYS: Final = 97
"""Different keys; a prime, so that a key meets every kind of poison."""

TOTAL: Final = "total"
"""The model's name, and its only output: 2 a + 3 b + 1, whole numbers that float32 holds exactly."""

_MOST: Final = 100_000

_POISON: Final[tuple[tuple[str, bytes | None], ...]] = (
    ("cut off", b'{"a": 1, "b":'),
    ("a text where a number belongs", b'{"a": "one", "b": 2}'),
    ("a field is missing", b'{"a": 1}'),
    ("out of range", b'{"a": 1, "b": -5}'),
    ("neither object nor array", b"42"),
    ("no bytes at all", b""),
    ("no value", None),
    ("not UTF-8", b'{"a": 1, "b": "\xff\xfe"}'),
    ("a number that no float holds", b'{"a": 1e999, "b": 2}'),
    ("null where a number belongs", b'{"a": null, "b": 2}'),
    ("two values", b'{"a": 1, "b": 2} {"a": 1, "b": 2}'),
    ("a number that JSON does not know", b'{"a": NaN, "b": 2}'),
)


@dataclass(frozen=True)
class PlannedEvent:
    """One event; `total` is the model's answer, None where it has to become a dead letter."""

    number: int
    key: bytes
    value: bytes | None
    total: int | None


def planned(number: int, seed: int) -> PlannedEvent:
    """The event of a number."""
    key = b"key-%d" % (number * 31 % KEYS)
    block, place = divmod(number, POISON_EVERY)
    # A multiplier that has no factor in common with the block's length moves the poison through all places.
    if place == (block * 37 + seed) % POISON_EVERY:
        return PlannedEvent(number, key, _POISON[block % len(_POISON)][1], None)
    a, b = number % 1000, number // 1000 % 1000
    return PlannedEvent(number, key, json.dumps({"a": a, "b": b}).encode(), 2 * a + 3 * b + 1)


def bundle(directory: Path) -> Path:
    """The model packed below a directory."""
    import numpy as np
    from sklearn.linear_model import LinearRegression

    from fivefold.packing import pack

    model = LinearRegression()
    model.coef_, model.intercept_, model.n_features_in_ = np.array([2.0, 3.0]), 1.0, 2
    contract = {
        "format": 1,
        "name": TOTAL,
        "version": "1.0.0",
        "inputs": [{"name": name, "dtype": "float32", "minimum": 0, "maximum": _MOST} for name in ("a", "b")],
        "outputs": [{"name": TOTAL, "dtype": "float32"}],
    }
    golden = [{"a": 1.0, "b": 2.0}, {"a": 999.0, "b": 0.0}]
    pack(model, contract, directory / TOTAL, golden_from=golden, force=True)
    return directory / TOTAL
