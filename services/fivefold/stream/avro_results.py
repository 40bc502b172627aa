"""Results in Avro: the rows of a model's answers under the schema of its contract's outputs, as the export has it.

The schema is registered for `TOPIC-value`, the subject of a topic's values, when the first result needs it.
"""

from __future__ import annotations

import base64
import io
from decimal import Decimal
from typing import Any

import msgspec

from fivefold.core.columns import Columns
from fivefold.core.contract.contract import Contract
from fivefold.core.fields.field import Field
from fivefold.exports import avro
from fivefold.exports.naming import identifier
from fivefold.exports.sample_headers import legal
from fivefold.stream.avro_events import framed
from fivefold.stream.registry_client import SchemaRegistry


class AvroResults:
    """Writes results of one contract for one topic."""

    def __init__(self, registry: SchemaRegistry, contract: Contract, topic: str) -> None:
        from fastavro import parse_schema

        self._registry, self._subject = registry, f"{topic}-value"
        schema = avro.schema(contract, "prediction", contract.outputs)
        self._text = msgspec.json.encode(schema).decode()
        self._schema = parse_schema(schema)
        self._names = tuple(avro.field_names(contract.outputs)[field.name] for field in contract.outputs)
        self._spells = tuple(_spelling(field) for field in contract.outputs)
        self._number: int | None = None

    def prepare(self) -> int:
        """The schema's id; registers it where it is not known. Raises what `SchemaRegistry.register` does."""
        if self._number is None:
            self._number = self._registry.register(self._subject, self._text)
        return self._number

    def encode(self, answers: Columns) -> list[bytes]:
        """A value for each row, in the wire format of registries. Raises as `prepare`."""
        from fastavro import schemaless_writer

        number = self.prepare()
        columns = [
            values if spell is None else [_spelt(value, spell) for value in values]
            for values, spell in zip(map(answers.to_list, answers.fields), self._spells, strict=True)
        ]
        out = []
        for row in zip(*columns, strict=True):
            buffer = io.BytesIO()
            schemaless_writer(buffer, self._schema, dict(zip(self._names, row, strict=True)))
            out.append(framed(number, buffer.getvalue()))
        return out


def record_names(contract: Contract) -> dict[str, str]:
    """What an event in Avro calls the contract's inputs, where that is not what the contract calls them.

    Avro's names have no `.` and no `-`; these are the names and aliases that the exported schema gives.
    """
    known = {name for field in contract.inputs for name in (field.name, *field.aliases)}
    out: dict[str, str] = {}
    names = avro.field_names(contract.inputs)
    for field in contract.inputs:
        out.setdefault(names[field.name], field.name)
    for field in contract.inputs:
        for alias in filter(legal, field.aliases):
            out.setdefault(identifier(alias), alias)
    return {name: meant for name, meant in out.items() if name not in known}


def _spelling(field: Field) -> Any:
    """What makes Avro's value of JSON's; None where both are the same."""
    if field.kind == "bytes":
        return base64.b64decode
    return Decimal if avro.is_decimal(field) else None


def _spelt(value: Any, spell: Any) -> Any:
    if value is None:
        return None
    return [_spelt(each, spell) for each in value] if isinstance(value, list) else spell(value)
