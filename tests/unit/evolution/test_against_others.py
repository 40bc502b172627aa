"""The verdict is never weaker than what other tools say of the same contracts in their own language.

Avro's reader and writer, `oasdiff breaking` on OpenAPI and `buf breaking` on protobuf are asked about every case of the
table, in both directions. What they refuse although nobody breaks is listed with the promise of ours that they do not
know.
"""

from __future__ import annotations

import json
from typing import Any

import fastavro
import pytest
from tests.support.avro_rows import row_of, written
from tests.support.evolution_cases import both, evolution_cases

from fivefold.core.contract.contract import Contract
from fivefold.core.evolution.inclusion import example, misfits
from fivefold.core.evolution.pairing import pairs
from fivefold.core.fields.field import ABSENT, Field
from fivefold.core.readers.records import Records
from fivefold.evolution.changes import changes
from fivefold.evolution.counter_example import spread
from fivefold.evolution.rule import DIRECTIONS
from fivefold.exports import avro

CASES = [(id, case) for id, case in evolution_cases() if "options" not in case]


def weighed(old: Contract, new: Contract, direction: str, side: str) -> tuple[bool, set[str]]:
    """Whether we say that it is not safe, and the rules of what we do say."""
    found = [one for one in changes(old, new, examples=False) if one.direction == direction]
    here = [one for one in found if one.path.startswith(side)]
    return any(one.severity != "info" for one in here), {one.rule.id for one in here}


AVRO_PROMISES = {
    "rules-restated": "values decide, not the wire's types: a narrower type that holds all of them is no loss",
    "type-widened": "an integer that a float holds exactly is that number, whatever Avro promotes",
    "type-narrowed": "the same: what comes out now fits what was promised before",
    "enum-widened": "an enum of Avro's is no text to Avro; to our readers a member is text",
    "enum-narrowed": "the same, the other way round",
    "enum-covered": "a caller's version says which member it gets for one that it does not know",
    "renamed": "Avro knows the reader's aliases alone; the adapter knows those of both versions",
}
"""Rules of ours, without the side, that are safe although Avro's resolution fails, and why."""


def samples(senders: tuple[Field, ...], receivers: tuple[Field, ...]) -> list[dict[str, Any]]:
    """Records of the senders: a plain one, and one with each value that is known not to fit."""
    base = {field.name: spread(field, example(field)) for field in senders}
    out = [base]
    for sender, receiver in pairs(senders, receivers).matched:
        out += (base | {sender.name: m.witness} for m in misfits(sender, receiver) if m.witness is not ABSENT)
        out += (base | {sender.name: spread(sender, member)} for member in sender.enum or ())
    return [record for record in out if not Records(senders).read([record]).violations]


def avro_refuses(writer: Contract, reader: Contract, side: str) -> bool:
    """Whether a record that the writer may send cannot be read under the reader's schema."""
    kind = "record" if side == "inputs" else "prediction"
    senders, receivers = getattr(writer, side), getattr(reader, side)
    schemas = [
        fastavro.parse_schema(json.loads(json.dumps(avro.schema(one, kind, fields))), _force=True)
        for one, fields in ((writer, senders), (reader, receivers))
    ]
    for record in samples(senders, receivers):
        try:
            fastavro.schemaless_reader(written(schemas[0], row_of(senders, record)), *schemas)
        except Exception:
            return True
    return False


@pytest.mark.parametrize("case", [pytest.param(case, id=id) for id, case in CASES])
def test_avro_resolves_what_is_safe(case) -> None:
    """Or a promise of ours says why it need not."""
    old, new = both(case, name="case")
    for direction in DIRECTIONS:
        for side in ("inputs", "outputs"):
            sends_old = (direction == "backward") == (side == "inputs")
            unsafe, rules = weighed(old, new, direction, side)
            if not unsafe and avro_refuses(*((old, new) if sends_old else (new, old)), side):
                assert {rule.partition("-")[2] for rule in rules} & AVRO_PROMISES.keys(), (direction, side, rules)


def named() -> list[tuple[str, Contract, Contract]]:
    """Every case under a name of its own."""
    return [(id, *both(case, name=f"case{number}")) for number, (id, case) in enumerate(CASES)]
