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
    from fivefold.core.bundle import Bundle
    from fivefold.core.contract import Contract, Field
    from fivefold.core.scorer import Scorer
    from fivefold.core.signature import PublicKey
    from fivefold.online.http import router
    from fivefold.packing.assembly import pack
    from fivefold.packing.report import PackReport

__all__ = ["Bundle", "Client", "Contract", "Field", "PackReport", "Scorer", "open", "pack", "router"]

_HOMES = {
    "Bundle": "fivefold.core.bundle",
    "Client": "fivefold.client",
    "Contract": "fivefold.core.contract",
    "Field": "fivefold.core.contract",
    "PackReport": "fivefold.packing.report",
    "Scorer": "fivefold.core.scorer",
    "pack": "fivefold.packing.assembly",
    "router": "fivefold.online.http",
}


def open(path: str | Path, *, public_keys: Sequence[PublicKey] = (), threads: int = 1) -> Scorer:
    """Open a bundle (directory or `.tar`), verify it, prove its golden rows and give the scorer that answers for it.

    With `public_keys` the bundle has to be signed by one of them. Raises `BundleInvalid`.
    """
    from fivefold.core.bundle import Bundle
    from fivefold.core.scorer import Scorer

    return Scorer.open(Bundle.open(path, public_keys=public_keys), threads=threads)


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(_HOMES[name]), name)


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
