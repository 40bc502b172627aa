"""What a data set calls its columns, and what a contract calls them.

Headers are any text; names of a contract are ASCII words. A drafted field whose header is no name gets a name made from
it and keeps the header as an alias, so that every reader finds the column under its own header.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable, Sequence

from fivefold.core.errors import ContractInvalid
from fivefold.core.fields.suggestion import nearest
from fivefold.exports.naming import identifier

UNNAMED = "column"
"""The name of a column whose header holds no letter and no digit."""

_LEGAL = re.compile(r"[A-Za-z_][A-Za-z0-9_.\-]{0,127}\Z")
_LONG = 100
"""Characters of a made name: room for a count below the 128 that a contract allows."""


def legal(header: str) -> bool:
    """Whether a header may be a field's name as it stands."""
    return _LEGAL.match(header) is not None


def names(headers: Sequence[str]) -> dict[str, str]:
    """Each header's name in a contract: its own where that is legal, else one made from its letters and digits.

    Accents are taken off, other letters become their code points (`年` is `u5e74`); where that gives a name that is
    taken, the later header gets a number.
    """
    out = {header: header for header in headers if legal(header)}
    taken = set(out)
    for header in headers:
        if header in out:
            continue
        base = candidate = _made(header)
        count = 1
        while candidate in taken:
            count += 1
            candidate = f"{base}_{count}"
        taken.add(candidate)
        out[header] = candidate
    return out


def _made(header: str) -> str:
    letters = []
    for letter in unicodedata.normalize("NFKD", header):
        if letter.isascii():
            letters.append(letter if letter.isalnum() else "_")
        elif letter.isalnum():
            letters.append(f"_u{ord(letter):x}_")
        elif not unicodedata.combining(letter):
            letters.append("_")
    text = re.sub("_+", "_", "".join(letters)).strip("_")[:_LONG].strip("_")
    return identifier(text or UNNAMED)


def refuse_doubled(headers: Sequence[str]) -> None:
    """Raise `ContractInvalid` where two columns have the same header: nobody could tell them apart."""
    seen: set[str] = set()
    for header in headers:
        if header in seen:
            places = ", ".join(str(at) for at, other in enumerate(headers, 1) if other == header)
            raise ContractInvalid(
                f"two columns are called {header!r} (columns {places})", help="rename one of them, or take it out"
            )
        seen.add(header)


def refuse_unknown(chosen: Iterable[str], headers: Sequence[str], path: str, purpose: str) -> None:
    """Raise `ContractInvalid` for a chosen column that the data does not have, with the nearest that it has."""
    for header in chosen:
        if header not in headers:
            shown = ", ".join(headers[:12]) + (" …" if len(headers) > 12 else "")
            help = nearest(header, headers) or f"the columns are {shown}"
            raise ContractInvalid(f"no column {header!r} {purpose}", path=path, help=help)
