"""Bundles and contracts by the paths that a command was given."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from fivefold.core import redact
from fivefold.core.bundle.bundle import Bundle
from fivefold.core.contract.contract import Contract
from fivefold.core.errors import NotFound, ProtocolError


def contract_of(path: str, version: str | None = None) -> Contract:
    """The contract in a contract.json, or in a bundle: the model's own, or the version that it answers too.

    Raises `ProtocolError` `contract_unsupported` for a version that is not there.
    """
    place = Path(path)
    if place.is_dir() or place.suffix == ".tar":
        bundle = bundle_of(path)
        return bundle.contract if version is None else bundle.views.find(version).contract
    contract = Contract.load(place)
    if version not in (None, contract.version):
        message = f"{path} is version {contract.version} of the contract, not {version}"
        raise ProtocolError("contract_unsupported", message, help="a bundle may hold several")
    return contract


def bundle_of(path: str, public_keys: Sequence[str] = ()) -> Bundle:
    """The verified bundle at a path; `NotFound` where there is nothing."""
    if not Path(path).exists():
        where, help = redact.address(path), "make one: fivefold demo DIR, or fivefold pack"
        raise NotFound("not_found", f"there is no bundle at {where}", help=help)
    return Bundle.open(path, public_keys=[Path(key) for key in public_keys])
