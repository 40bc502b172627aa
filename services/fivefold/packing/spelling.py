"""How data spells the names of a contract's fields: exactly, or as people and libraries write them.

`mean radius` is `mean_radius` where only one column and one field can be meant. What the cells hold is left to core's
readers.
"""

from __future__ import annotations

from collections.abc import Sequence

from fivefold.core.fields.field import Field
from fivefold.exports.sample_headers import UNNAMED
from fivefold.packing.bind import normal


def spelled(fields: Sequence[Field], headers: Sequence[str]) -> dict[str, str]:
    """The name under which core's readers find each header's column; headers that no field answers to are left out.

    A header that is a field's name or alias is found as it stands. Among the others a header is a field's where the two
    are alike (case, and anything but letters and digits, aside), no other header is as like, and the field has not been
    found otherwise. So each field has at most one column, unless the data has two of its very names.
    """
    exact = {name: field for field in fields for name in (field.name, *field.aliases)}
    out = {header: header for header in headers if header in exact}
    found = {exact[header].name for header in out}
    loose: dict[str, set[str]] = {}
    for field in fields:
        if field.name not in found:
            for like_name in filter(None, map(normal, (field.name, *field.aliases))):
                loose.setdefault(like_name, set()).add(field.name)
            if field.name == UNNAMED and not field.aliases:
                loose.setdefault("", set()).add(field.name)
    # What holds neither a Latin letter nor a digit is like nothing; the empty header is drafted under its own name.
    like: dict[str, list[str]] = {}
    for header in dict.fromkeys(headers):
        names = loose.get(normal(header), set()) if normal(header) or not header else set()
        if header not in exact and len(names) == 1:
            like.setdefault(next(iter(names)), []).append(header)
    out.update({candidates[0]: name for name, candidates in like.items() if len(candidates) == 1})
    return {header: out[header] for header in headers if header in out}
