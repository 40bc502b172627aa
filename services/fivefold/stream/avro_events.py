"""Events in Avro, in the wire format of schema registries: a byte 0, the schema's id in four bytes, the value.

https://docs.confluent.io/platform/current/schema-registry/fundamentals/serdes-develop/index.html#wire-format. A schema
never changes under its id, so it is asked for once and kept; that an id has none is believed only for a moment, because
a registry's replica may be behind. What a schema may be is `avro_schema`'s, what a value may hold the contract's.
"""

from __future__ import annotations

import time
from collections import OrderedDict
from collections.abc import Callable, Mapping
from typing import Any, Final

from fivefold.core.errors import ContractError, FivefoldError, NotFound
from fivefold.stream.avro_schema import AvroSchema, refused
from fivefold.stream.registry_client import SchemaRegistry

MAGIC: Final = 0
HEAD: Final = 5
"""Bytes before the value."""

MOST_SCHEMAS: Final = 1000
"""That are kept; of more, those that were used last."""

MISSING_SECONDS: Final = 5.0
"""How long an id without a schema is believed to have none."""


def framed(number: int, value: bytes) -> bytes:
    """A value under a schema's id."""
    return bytes((MAGIC,)) + number.to_bytes(4, "big") + value


class AvroEvents:
    """Reads values by the schemas of a registry."""

    def __init__(
        self,
        registry: SchemaRegistry,
        names: Mapping[str, str] | None = None,
        *,
        now: Callable[[], float] = time.monotonic,
    ) -> None:
        """`names` are the contract's names of fields that Avro calls otherwise."""
        self._registry, self._names, self._now = registry, dict(names or {}), now
        self._schemas: OrderedDict[int, AvroSchema | FivefoldError] = OrderedDict()
        self._missing: OrderedDict[int, float] = OrderedDict()

    def decode(self, value: bytes) -> Any:
        """The value's record, as `fivefold.core.readers.binary_rows` has it, or the `FivefoldError` that refuses it.

        Raises `Unavailable` and `AccessError` where the registry does not say what the schema is.
        """
        if value[:1] != bytes((MAGIC,)):
            got = str(value[0]) if value else "nothing"
            return ContractError("malformed", f"expected a byte 0 before a schema's id and Avro, got {got}")
        if len(value) < HEAD:
            return ContractError("malformed", f"expected a schema's id of 4 bytes, got {len(value) - 1}")
        number = int.from_bytes(value[1:HEAD], "big")
        if number >= 2**31:
            return ContractError("malformed", f"expected a schema's id below 2^31, got {number}")
        schema = self._schema(number)
        if isinstance(schema, FivefoldError):
            return schema
        try:
            return schema.decode(value, HEAD)
        except ContractError as error:
            # Without what it was raised in: there may be as many of them as there are events.
            return error.with_traceback(None)

    def _schema(self, number: int) -> AvroSchema | FivefoldError:
        found = self._schemas.get(number)
        if found is not None:
            self._schemas.move_to_end(number)
            return found
        now = self._now()
        if self._missing.get(number, now) > now:
            return _unknown(number)
        registered = self._registry.schema(number)
        if registered is None:
            self._missing.pop(number, None)
            self._missing[number] = self._now() + MISSING_SECONDS
            while len(self._missing) > MOST_SCHEMAS:
                self._missing.popitem(last=False)
            return _unknown(number)
        made: AvroSchema | FivefoldError
        if registered.kind != "AVRO":
            made = refused(f"expected one of Avro, got one of {registered.kind[:32]!r}")
        elif registered.references:
            made = refused("it refers to schemas under other subjects")
        elif registered.too_long:
            made = refused("it is too long")
        else:
            try:
                made = AvroSchema(registered.text, self._names)
            except FivefoldError as error:
                made = error.with_traceback(None)
        self._missing.pop(number, None)
        self._schemas[number] = made
        while len(self._schemas) > MOST_SCHEMAS:
            self._schemas.popitem(last=False)
        return made


def _unknown(number: int) -> FivefoldError:
    return NotFound("not_found", f"the schema registry has no schema {number}", path=f"schema {number}")
