"""The known name that a misspelt one probably means."""

from __future__ import annotations

import difflib
from collections.abc import Iterable
from functools import lru_cache

import numpy as np
import numpy.typing as npt


def nearest(name: str, known: Iterable[str]) -> str | None:
    """A help line that names the known name closest to a misspelt one, or None.

    What it costs is bounded, whoever chose the name: letters are counted for all known names at once, and only the few
    that have most in common are compared, as far as `_COMPARED` characters between what begins and ends alike.
    """
    name, names = name[:_LONGEST], tuple(known)
    if not names or not name:
        return None
    counts, lengths = _letters(names)
    mine, own = _letters((name,))
    shared = np.minimum(counts, mine).sum(axis=1, dtype=np.int64)
    alike = 2 * shared / (lengths + own)
    close = np.argsort(-alike, kind="stable")[:_CLOSEST]
    ratio, best = max(
        ((_ratio(name, names[at][:_LONGEST]), names[at]) for at in close if alike[at] >= _ALIKE), default=(0.0, "")
    )
    return f"did you mean {best[:_LONGEST]!r}?" if ratio >= _ALIKE else None


_LONGEST = 128
"""Characters of a name that are looked at: as many as a contract allows its own."""

_ALIKE = 0.6
"""The share of two names that must be the same, as `difflib.get_close_matches` counts it."""

_CLOSEST = 8
_COMPARED = 24


@lru_cache(maxsize=64)
def _letters(names: tuple[str, ...]) -> tuple[npt.NDArray[np.uint8], npt.NDArray[np.int64]]:
    """How often each letter is in each name, letters being one of 64 by their code, and the names' lengths."""
    texts = [name[:_LONGEST].encode("utf-32-le", "surrogatepass") for name in names]
    lengths = np.array([len(text) // 4 for text in texts], np.int64)
    letters = np.frombuffer(b"".join(texts), "<u4") % 64
    at = np.repeat(np.arange(len(names)) * 64, lengths) + letters
    return np.bincount(at, minlength=64 * len(names)).reshape(-1, 64).astype(np.uint8), lengths


def _ratio(left: str, right: str) -> float:
    """How much two names have in common, 0 to 1: what begins and ends alike, and some of what is between."""
    both = len(left) + len(right)
    start = _begins_alike(left, right)
    left, right = left[start:], right[start:]
    end = _begins_alike(left[::-1], right[::-1])
    left, right = left[: len(left) - end], right[: len(right) - end]
    between = difflib.SequenceMatcher(None, left[:_COMPARED], right[:_COMPARED], autojunk=False)
    same = start + end + sum(block.size for block in between.get_matching_blocks())
    return 2 * same / both if both else 1.0


def _begins_alike(left: str, right: str) -> int:
    pairs = enumerate(zip(left, right, strict=False))
    return next((at for at, (mine, other) in pairs if mine != other), min(len(left), len(right)))
