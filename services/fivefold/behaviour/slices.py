"""Rows in slices: by a category, by quarters of a number, by where they come from.

A slicing gives each row one slice; null is a slice of its own. Which rows and columns are sliced is left to `contrast`.
"""

from __future__ import annotations

import json
from collections.abc import Hashable, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np
import numpy.typing as npt

from fivefold.core.columns import Array, Nulls
from fivefold.core.errors import ProtocolError
from fivefold.core.fields.field import Field
from fivefold.core.fields.suggestion import nearest

MOST = 24
"""Slices of one slicing: of more values, the most frequent stand alone and the rest together."""

REST = "all others"


@dataclass(frozen=True, slots=True)
class Slicing:
    """Each row's slice."""

    title: str
    names: tuple[str, ...]
    codes: npt.NDArray[np.int64]
    """The place among the names; shape [rows]."""

    def members(self, slice: int) -> npt.NDArray[np.bool_]:
        """Which rows are in a slice."""
        return np.asarray(self.codes == slice, np.bool_)


def sliceable(name: str, fields: Sequence[Field]) -> Field:
    """The input to slice by; raises `ProtocolError` for one that is not there or has no single value a row."""
    found = next((field for field in fields if name == field.name), None)
    found = found or next((field for field in fields if name in field.aliases), None)
    if found is None:
        help = nearest(name, (field.name for field in fields)) or f"inputs: {', '.join(f.name for f in fields)}"
        raise ProtocolError("not_acceptable", f"--by {name}: the old bundle has no such input", help=help)
    if found.shape or found.kind == "bytes":
        raise ProtocolError("not_acceptable", f"--by {name}: rows are sliced by one number, text or bool each")
    return found


def by_input(field: Field, array: Array, nulls: Nulls) -> Slicing:
    """By the values of a category or of text, by the quarters in which a number's values lie."""
    if field.numeric and field.enum is None:
        return _quarters(field, array, nulls)
    members = tuple(field.enum or ((False, True) if field.kind == "bool" else ()))
    return by_value(field.name, array, nulls, members)


def by_value(title: str, array: Array, nulls: Nulls, known: Sequence[Any] = ()) -> Slicing:
    """A slice for each value that is there, in the order of `known` and then of appearance."""
    values: list[Hashable] = array.tolist()
    missing = nulls.tolist()
    order: dict[Hashable, int] = {}
    codes = np.array(
        [order.setdefault(None if null else value, len(order)) for value, null in zip(values, missing, strict=True)],
        np.int64,
    )
    counts = np.bincount(codes, minlength=len(order))
    found = list(order)
    rank = {value: place for place, value in enumerate(known)}
    by_rank = sorted(range(len(found)), key=lambda at: (found[at] is None, rank.get(found[at], len(rank)), at))
    if len(found) > MOST:
        frequent = set(np.argsort(-counts, kind="stable")[: MOST - 1].tolist())
        kept = [at for at in by_rank if at in frequent]
    else:
        kept = by_rank
    place = np.full(len(found), len(kept), np.int64)
    place[kept] = np.arange(len(kept))
    names = [_shown(found[at]) for at in kept] + ([REST] if len(kept) < len(found) else [])
    return Slicing(title, tuple(names), place[codes] if len(codes) else codes)


def by_source(names: Sequence[str], codes: npt.NDArray[np.int64]) -> Slicing:
    """By where rows come from."""
    return Slicing("rows", tuple(names), codes)


def _quarters(field: Field, array: Array, nulls: Nulls) -> Slicing:
    """Up to the first, second and third quartile and above, as values that are there; equal ones make one slice."""
    none = nulls | (np.isnan(array) if field.kind == "float" else np.zeros(array.shape, np.bool_))
    values = np.sort(array[~none])
    if not len(values):
        return Slicing(field.name, ("null",), np.zeros(len(array), np.int64))
    edges = np.unique(values[[(len(values) * quarter - 1) // 4 for quarter in (1, 2, 3) if len(values) >= 4]])
    edges = edges[edges < values[-1]] if len(edges) else edges
    codes = np.searchsorted(edges, array, side="left").astype(np.int64)
    shown = [_shown(value) for value in edges.tolist()]
    names = [f"up to {shown[0]}"] if shown else ["all"]
    names += [f"above {low} up to {high}" for low, high in pairwise(shown)]
    names += [f"above {shown[-1]}"] if shown else []
    if none.any():
        codes[none] = len(names)
        names.append("null")
    return Slicing(field.name, tuple(names), codes)


def _shown(value: Any) -> str:
    if isinstance(value, bytes):
        return value.hex()[:40]
    if isinstance(value, str) and value.isprintable() and value not in ("", "null", "true", "false", REST):
        return value if len(value) <= 40 else f"{value[:39]}…"
    if isinstance(value, float):
        return f"{value:.6g}"
    return json.dumps(value)[:40]
