"""Events of one contract version: their records read, and their answers written, under its view of the model."""

from __future__ import annotations

from collections.abc import Callable

import msgspec
import numpy as np

from fivefold.core.bundle.bundle import Bundle
from fivefold.core.columns import Columns
from fivefold.core.contract.contract import Contract
from fivefold.core.errors import FivefoldError
from fivefold.core.readers.binary_rows import BinaryRows
from fivefold.core.readers.lines import Lines, ReadLines, merged
from fivefold.core.view import View
from fivefold.stream import dead_letters, identity
from fivefold.stream.avro_events import AvroEvents
from fivefold.stream.avro_results import AvroResults
from fivefold.stream.event_formats import FoundRecord

Avro = Callable[[Contract], tuple[AvroEvents, AvroResults]]
"""What reads and writes Avro for a contract, where a schema registry is."""


class VersionReader:
    """Reads and writes under one view."""

    def __init__(self, bundle: Bundle, view: View, avro: Avro | None) -> None:
        self.view = view
        self._lines = Lines(view.inputs)
        self._values = BinaryRows(view.inputs)
        self._avro = None if avro is None else avro(view.contract)
        self._encoder = msgspec.json.Encoder()
        model = {
            "model": bundle.name.encode(),
            "version": bundle.version.encode(),
            "bundle": bundle.digest.encode(),
            "contract": view.name.encode(),
        }
        if view.ignored:
            model["contract-ignored"] = ",".join(view.ignored).encode()
        self.of_results = identity.named(identity.PREFIX, model)
        self.of_dead = identity.named(dead_letters.DEAD, model)

    def prepare(self) -> None:
        """Make the schema of results known to the registry; raises what `AvroResults.prepare` does."""
        if self._avro is not None:
            self._avro[1].prepare()

    def read(self, found: dict[int, FoundRecord], errors: dict[int, FivefoldError]) -> ReadLines:
        """The records of events by their places, those in JSON together and those in Avro together; what is wrong with
        one becomes its error."""
        places = [at for at, each in found.items() if not each.avro]
        parts = [_placed(self._lines.read_each([found[at].record for at in places]), places)]
        if self._avro is not None and len(places) < len(found):
            values = {at: self._avro[0].decode(each.record) for at, each in found.items() if each.avro}
            errors |= {at: value for at, value in values.items() if isinstance(value, FivefoldError)}
            places = [at for at in values if at not in errors]
            parts.append(_placed(self._values.read_each([values[at] for at in places]), places))
        filled = [part for part in parts if len(part.rows)]
        errors |= {at: error for part in parts for at, error in part.refused}
        return merged(filled) if len(filled) > 1 else next(iter(filled), parts[0])

    def write(self, answers: Columns, in_avro: list[bool]) -> list[bytes]:
        """A result for each row, in Avro where that is said."""
        if not any(in_avro):
            return list(map(self._encoder.encode, answers.to_records()))
        assert self._avro is not None
        mask = np.array(in_avro)
        avro = iter(self._avro[1].encode(answers.take(mask)))
        json = iter(map(self._encoder.encode, answers.take(~mask).to_records()))
        return [next(avro if each else json) for each in in_avro]


def _placed(read: ReadLines, places: list[int]) -> ReadLines:
    """What was read, under the places of its events."""
    rows = np.array(places, np.int64)[read.rows]
    return ReadLines(read.columns, rows, read.carried, [(places[row], error) for row, error in read.refused])
