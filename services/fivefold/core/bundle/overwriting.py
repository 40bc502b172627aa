"""Whether a bundle that stands in a directory may be replaced: never without somebody's word."""

from __future__ import annotations

from pathlib import Path

from fivefold.core.bundle.bundle import Bundle, check_replaceable
from fivefold.core.errors import BundleInvalid

FORCE = "--force (in Python: force=True) replaces it"


def refuse_overwriting(directory: str | Path, *, force: bool) -> None:
    """Raise `BundleInvalid` where a bundle stands in the directory, which it names, unless `force` is given.

    A directory that holds anything else is refused either way.
    """
    place = Path(directory)
    if check_replaceable(place) and not force:
        message = f"{place} holds a bundle already{_named(place)}"
        raise BundleInvalid(message, help=f"{FORCE}, or name another output")


def _named(place: Path) -> str:
    """Which bundle it is, as far as that can be told."""
    try:
        found = Bundle.open(place)
    except BundleInvalid:
        return ", a damaged one"
    return f": {found.name}@{found.version}, {found.digest[:12]}…"
