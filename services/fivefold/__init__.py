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
    from fivefold.client import Client
    from fivefold.core.bundle.bundle import Bundle
    from fivefold.core.bundle.signature import PublicKey
    from fivefold.core.contract.contract import Contract
    from fivefold.core.fields.field import Field
    from fivefold.core.runtime.scorer import Scorer
    from fivefold.packing.assembly import pack
    from fivefold.packing.pack_report import PackReport
    from fivefold.serving.http import router

__all__ = ["Bundle", "Client", "Contract", "Field", "PackReport", "Scorer", "open", "pack", "router"]

_HOMES = {
    "Bundle": "fivefold.core.bundle.bundle",
    "Client": "fivefold.client",
    "Contract": "fivefold.core.contract.contract",
    "Field": "fivefold.core.contract.contract",
    "PackReport": "fivefold.packing.pack_report",
    "Scorer": "fivefold.core.runtime.scorer",
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
