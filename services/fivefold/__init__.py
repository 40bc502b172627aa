"""Fivefold: one model bundle and one typed contract, served five ways with the same answers and the same errors.

The names below are the public API. Each is imported when it is first used, so that `import fivefold` costs nothing and
a device that only checks contracts never loads a server or a converter.
"""

from __future__ import annotations

from collections.abc import Sequence
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from fivefold.client import AsyncClient, Client
    from fivefold.core.bundle.bundle import Bundle
    from fivefold.core.bundle.signature import PublicKey
    from fivefold.core.columns import Columns
    from fivefold.core.contract.contract import Contract
    from fivefold.core.errors import (
        AccessError,
        BundleInvalid,
        ContractError,
        ContractInvalid,
        FivefoldError,
        InternalError,
        Interrupted,
        ModelFailed,
        NotFound,
        ProtocolError,
        RunFailed,
        Unavailable,
    )
    from fivefold.core.fields.field import Field
    from fivefold.core.runtime.scorer import Scorer
    from fivefold.packing.assembly import pack
    from fivefold.packing.report import PackReport
    from fivefold.serving.http import router

__all__ = [
    "AccessError",
    "AsyncClient",
    "Bundle",
    "BundleInvalid",
    "Client",
    "Columns",
    "Contract",
    "ContractError",
    "ContractInvalid",
    "Field",
    "FivefoldError",
    "InternalError",
    "Interrupted",
    "ModelFailed",
    "NotFound",
    "PackReport",
    "ProtocolError",
    "RunFailed",
    "Scorer",
    "Unavailable",
    "open",
    "pack",
    "router",
]

_HOMES = {
    "AccessError": "fivefold.core.errors",
    "AsyncClient": "fivefold.client",
    "Bundle": "fivefold.core.bundle.bundle",
    "BundleInvalid": "fivefold.core.errors",
    "Client": "fivefold.client",
    "Columns": "fivefold.core.columns",
    "Contract": "fivefold.core.contract.contract",
    "ContractError": "fivefold.core.errors",
    "ContractInvalid": "fivefold.core.errors",
    "Field": "fivefold.core.fields.field",
    "FivefoldError": "fivefold.core.errors",
    "InternalError": "fivefold.core.errors",
    "Interrupted": "fivefold.core.errors",
    "ModelFailed": "fivefold.core.errors",
    "NotFound": "fivefold.core.errors",
    "PackReport": "fivefold.packing.report",
    "ProtocolError": "fivefold.core.errors",
    "RunFailed": "fivefold.core.errors",
    "Scorer": "fivefold.core.runtime.scorer",
    "Unavailable": "fivefold.core.errors",
    "pack": "fivefold.packing.assembly",
    "router": "fivefold.serving.http",
}


def open(path: str | Path, *, public_keys: Sequence[PublicKey] = (), threads: int = 1) -> Scorer:
    """Open a bundle (directory or `.tar`), verify it, prove its golden rows and give the scorer that answers for it.

    With `public_keys` the bundle has to be signed by one of them. Raises `BundleInvalid`.
    """
    from fivefold.core.bundle.bundle import Bundle
    from fivefold.core.runtime.scorer import Scorer

    return Scorer.open(Bundle.open(path, public_keys=public_keys), threads=threads)


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(_HOMES[name]), name)


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
