"""The first difference of two contracts, for a person who has to act on it.

Whether a difference is one that callers survive is not decided here: any is one.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

from fivefold.core.contract.contract import Contract


def first_difference(served: Contract, released: Contract) -> str | None:
    """A sentence that names the first member that differs, `inputs.age.maximum` say; None for equal contracts.

    10 and 10.0 are equal: they bound the same values. Fields come first, because their differences are what callers
    meet; a contract's own version and description last.
    """
    one, two = served.to_json(), released.to_json()
    for side in ("inputs", "outputs"):
        found = _fields(side, one.pop(side), two.pop(side))
        if found:
            return found
    return _member("", one, two)


def _fields(side: str, served: Sequence[Mapping[str, Any]], released: Sequence[Mapping[str, Any]]) -> str | None:
    before, after = ({field["name"]: field for field in fields} for fields in (served, released))
    for name in before:
        if name not in after:
            return f"{side}.{name} is served, the release has no such field"
        found = _member(f"{side}.{name}.", before[name], after[name])
        if found:
            return found
    for name in after:
        if name not in before:
            return f"{side}.{name} is new in the release"
    if list(before) != list(after):
        return f"{side}: the order of the fields, by which rows without names are read"
    return None


def _member(path: str, served: Mapping[str, Any], released: Mapping[str, Any]) -> str | None:
    for keyword in dict.fromkeys((*served, *released)):
        if keyword not in served or keyword not in released or served[keyword] != released[keyword]:
            before, after = (_shown(values, keyword) for values in (served, released))
            return f"{path}{keyword}: {before} is served, the release has {after}"
    return None


def _shown(values: Mapping[str, Any], keyword: str) -> str:
    if keyword not in values:
        return "nothing"
    text = json.dumps(values[keyword], ensure_ascii=False)
    return text if len(text) <= 200 else f"{text[:199]}…"
