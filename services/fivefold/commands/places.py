"""Bundles and contracts by the paths that a command was given."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from fivefold.core import redact
from fivefold.core.bundle.bundle import Bundle
from fivefold.core.contract.contract import Contract
from fivefold.core.errors import NotFound


def contract_of(path: str) -> Contract:
    """The contract in a contract.json, or in a bundle."""
    place = Path(path)
    return bundle_of(path).contract if place.is_dir() or place.suffix == ".tar" else Contract.load(place)


def bundle_of(path: str, public_keys: Sequence[str] = ()) -> Bundle:
    """The verified bundle at a path; `NotFound` where there is nothing."""
    if not Path(path).exists():
        where, help = redact.address(path), "make one: fivefold demo DIR, or fivefold pack"
        raise NotFound("not_found", f"there is no bundle at {where}", help=help)
    return Bundle.open(path, public_keys=[Path(key) for key in public_keys])
