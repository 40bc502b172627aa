"""The names of a JSON object's own members: msgspec takes the last of two with one name, here none stands twice."""

from __future__ import annotations

import json


def duplicate(text: bytes) -> str | None:
    """A name that stands twice among the members of the outermost object; what a value holds is its reader's matter.

    Raises `ValueError` for what is no UTF-8 or no JSON, and `RecursionError`.
    """
    seen: list[str] = []

    def pairs(found: list[tuple[str, object]]) -> None:
        # The outermost object is closed last.
        seen[:] = [name for name, _ in found]

    # Numbers stay text: they may be longer than Python takes.
    json.loads(text.decode("utf-8"), object_pairs_hook=pairs, parse_int=str, parse_float=str)
    known: set[str] = set()
    for name in seen:
        if name in known:
            return name
        known.add(name)
    return None
