"""Two versions of a field or a contract to hold against each other: hypothesis strategies near the edges."""

from __future__ import annotations

from typing import Any

from hypothesis import strategies as st

from fivefold.core.contract.contract import Contract
from fivefold.core.errors import ContractInvalid
from fivefold.core.fields.field import Field
from tests.support.contract_values import contracts

SHELL = {"format": 1, "name": "one", "version": "1", "outputs": [{"name": "o", "dtype": "bool"}]}


def field_of(**keywords: Any) -> Field:
    """A legal input; raises `ContractInvalid`."""
    raw = {"name": "x", "dtype": "float64", **keywords}
    return Contract.from_json({**SHELL, "inputs": [raw]}).inputs[0]


@st.composite
def single_fields(draw: st.DrawFn) -> Field:
    """A legal input without aliases and default."""
    raw = draw(contracts(most=1)).inputs[0].to_json()
    return field_of(**{key: value for key, value in raw.items() if key not in ("name", "aliases", "default")})


@st.composite
def field_pairs(draw: st.DrawFn) -> tuple[Field, Field]:
    """A sender and a receiver: equal, related in some keywords, or strangers."""
    sender, other = draw(single_fields()), draw(single_fields())
    mine, theirs = sender.to_json(), other.to_json()
    keywords = sorted(mine.keys() | theirs.keys())
    from_other = draw(st.sets(st.sampled_from(keywords)))
    raw = {key: (theirs if key in from_other else mine).get(key) for key in keywords}
    try:
        receiver = field_of(**{key: value for key, value in raw.items() if value is not None})
    except ContractInvalid:
        receiver = other
    return (sender, receiver) if draw(st.booleans()) else (receiver, sender)
