"""Packing: from somebody's trained model and a contract to a bundle that is proven to give the same answers.

`pack` takes the model in the form in which its author has it; `demo` makes a model from real data and packs it. Writing
and opening the bundle is left to `fivefold.core.bundle.bundle`, running it to `fivefold.core.runtime.scorer`. Nothing
here is imported by a server, and the converters are imported only when a model needs them.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from fivefold.packing.assembly import pack
    from fivefold.packing.pack_report import PackReport

__all__ = ["PackReport", "pack"]


def __getattr__(name: str) -> Any:
    if name == "pack":
        from fivefold.packing.assembly import pack

        return pack
    if name == "PackReport":
        from fivefold.packing.pack_report import PackReport

        return PackReport
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
