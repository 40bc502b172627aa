"""Two contracts for every rule that a contract can break, as small as they can be: the documentation runs them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

from fivefold.core.contract.contract import Contract


class RuleExample(NamedTuple):
    """What differs between the two contracts; what is left out is one field of floats."""

    side: str
    old: Any
    new: Any

    def contracts(self) -> tuple[Contract, Contract]:
        """The old and the new contract, versions 1.0.0 and 2.0.0 unless the example says otherwise."""
        out = []
        for version, part in (("1.0.0", self.old), ("2.0.0", self.new)):
            raw: dict[str, Any] = {"format": 1, "name": "churn", "version": version, **_REST}
            raw |= part if self.side == "contract" else {self.side: part}
            out.append(Contract.from_json(raw))
        return out[0], out[1]


_REST = {"inputs": [{"name": "age", "dtype": "float64"}], "outputs": [{"name": "score", "dtype": "float64"}]}


def _field(name: str, dtype: str = "float64", **keywords: Any) -> dict[str, Any]:
    return {"name": name, "dtype": dtype, **keywords}


def _inputs() -> Iterator[tuple[str, Any, Any]]:
    age = _field("age")
    yield "input-added-required", [age], [age, _field("income")]
    yield "input-added-optional", [age], [age, _field("income", default=0)]
    yield "input-removed-required", [age, _field("income")], [age]
    yield "input-removed-optional", [age, _field("income", default=0)], [age]
    yield "input-renamed", [age], [_field("years", aliases=["age"])]
    yield "input-alias-added", [age], [_field("age", aliases=["years"])]
    yield "input-alias-removed", [_field("age", aliases=["years"])], [age]
    yield "input-made-required", [_field("age", default=40)], [age]
    yield "input-made-optional", [age], [_field("age", default=40)]
    yield "input-default-changed", [_field("age", default=40)], [_field("age", default=45)]
    null: dict[str, Any] = {"dtype": "int32", "minimum": 0, "nullable": True}
    yield "input-null-value-changed", [_field("age", **null, null_value=-1)], [_field("age", **null, null_value=-2)]
    yield "inputs-reordered", [age, _field("income")], [_field("income"), age]


def _outputs() -> Iterator[tuple[str, Any, Any]]:
    score = _field("score")
    yield "output-added", [score], [score, _field("reason", "string")]
    yield "output-removed", [score, _field("reason", "string")], [score]
    yield "output-renamed", [score], [_field("risk", aliases=["score"])]
    yield "output-alias-added", [score], [_field("score", aliases=["risk"])]
    yield "output-alias-removed", [_field("score", aliases=["risk"])], [score]
    null: dict[str, Any] = {"dtype": "int32", "minimum": 0, "nullable": True}
    yield "output-null-value-changed", [_field("rank", **null, null_value=-1)], [_field("rank", **null, null_value=-2)]
    classes = [_field("label", "string", enum=["stays", "other"], unknown="other")]
    yield "output-enum-covered", classes, [{**classes[0], "enum": ["stays", "other", "leaves"]}]
    yield "output-unknown-changed", classes, [{**classes[0], "unknown": "stays"}]
    labels = [_field("odds", shape=[2], labels=["stays", "other"], unknown="other")]
    more = {"shape": [3], "labels": ["stays", "leaves", "other"]}
    yield "output-labels-covered", labels, [{**labels[0], **more}]
    yield "outputs-reordered", [score, _field("risk")], [_field("risk"), score]


def _values(name: str) -> Iterator[tuple[str, Any, Any]]:
    """Group, the narrower field and the wider one."""
    yield "type", _field(name, "int8"), _field(name, "int32")
    yield "range", _field(name, minimum=18, maximum=99), _field(name, minimum=18, maximum=120)
    yield "enum", _field(name, "string", enum=["a", "b"]), _field(name, "string", enum=["a", "b", "c"])
    yield "length", _field(name, "string", maxLength=8), _field(name, "string", maxLength=16)
    yield "pattern", _field(name, "string", pattern="^[A-Z]{2}$"), _field(name, "string", pattern="^[A-Z]{2,3}$")
    yield "nullable", _field(name), _field(name, nullable=True)
    if name == "age":
        yield "nan", _field(name), _field(name, allow_nan=True)


def _meanings(name: str) -> Iterator[tuple[str, Any, Any]]:
    yield "type-changed", _field(name), _field(name, "string")
    yield "shape-changed", _field(name, shape=[2]), _field(name, shape=[3])
    yield "unit-changed", _field(name, unit="years"), _field(name, unit="months")
    yield "unit-stated", _field(name), _field(name, unit="years")
    two = _field(name, shape=[2], labels=["a", "b"])
    yield "labels-changed", two, {**two, "labels": ["b", "a"]}
    yield "labels-stated", _field(name, shape=[2]), two
    yield "rules-restated", _field(name, "int8"), _field(name, "int8", minimum=-128)


def _contracts() -> Iterator[tuple[str, Any, Any]]:
    yield "contract-renamed", {}, {"name": "attrition"}
    yield "version-unchanged", {}, {"version": "1.0.0", "inputs": [_field("age", maximum=120)]}
    yield "description-changed", {"description": "who leaves"}, {"description": "who leaves within a year"}


def _examples() -> Iterator[tuple[str, RuleExample]]:
    for rule, old, new in _inputs():
        yield rule, RuleExample("inputs", old, new)
    for rule, old, new in _outputs():
        yield rule, RuleExample("outputs", old, new)
    for side, name in (("inputs", "age"), ("outputs", "score")):
        for group, narrow, wide in _values(name):
            yield f"{side[:-1]}-{group}-narrowed", RuleExample(side, [wide], [narrow])
            yield f"{side[:-1]}-{group}-widened", RuleExample(side, [narrow], [wide])
        for group, old, new in _meanings(name):
            yield f"{side[:-1]}-{group}", RuleExample(side, [old], [new])
    for rule, old, new in _contracts():
        yield rule, RuleExample("contract", old, new)


RULE_EXAMPLES: Mapping[str, RuleExample] = dict(_examples())
"""The examples by the rule that they show; those about bundles and allowances are none of a contract's."""
