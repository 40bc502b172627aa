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


@st.composite
def evolving(draw: st.DrawFn, *, versions: int = 2) -> list[Contract]:
    """A contract and the versions after it, each a few changes on."""
    first = {**draw(contracts()).to_json(), "outputs": _answers(draw(contracts()).to_json()["inputs"])}
    out = [Contract.from_json({**first, "version": "1.0.0"})]
    while len(out) < versions:
        raw = out[-1].to_json()
        for _ in range(draw(st.integers(1, 3))):
            side = draw(st.sampled_from(["inputs", "inputs", "outputs"]))
            changed = {**raw, side: draw(_changed(raw[side]))}
            if side == "outputs":
                changed["outputs"] = _answers(changed["outputs"])
            try:
                raw = Contract.from_json(changed).to_json()
            except ContractInvalid:
                continue
        out.append(Contract.from_json({**raw, "version": f"1.{len(out)}.0"}))
    return out


def _answers(fields: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Inputs as outputs, which have no default and are never NaN."""
    return [{key: value for key, value in raw.items() if key not in ("default", "allow_nan")} for raw in fields]


@st.composite
def _changed(draw: st.DrawFn, fields: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """The fields after one change."""
    out = [dict(field) for field in fields]
    at = draw(st.integers(0, len(out) - 1))
    other = draw(contracts(most=1)).to_json()["inputs"][0]
    taken = {name for field in out for name in (field["name"], *field.get("aliases", ()))}
    what = draw(
        st.sampled_from(["keywords", "keywords", "keywords", "drop", "add", "rename", "move", "unalias", "required"])
    )
    if what == "keywords":
        for keyword in draw(st.sets(st.sampled_from(sorted({*out[at], *other} - {"name", "aliases"})))):
            out[at].pop(keyword, None)
            if keyword in other:
                out[at][keyword] = other[keyword]
        out[at].setdefault("dtype", "float64")
    elif what == "drop" and len(out) > 1:
        del out[at]
    elif what == "add" and other["name"] not in taken and not taken & set(other.get("aliases", ())):
        out.insert(draw(st.integers(0, len(out))), other)
    elif what == "rename":
        old = out[at]["name"]
        out[at] |= {
            "name": f"{old}_",
            "aliases": [*out[at].get("aliases", ()), *([old] if draw(st.booleans()) else [])],
        }
    elif what == "move":
        out.append(out.pop(at))
    elif what == "unalias":
        out[at].pop("aliases", None)
    elif what == "required":
        out[at].pop("default", None)
    return out
