"""Events to results and dead letters: one of either for each event, in the events' order.

A bad event never fails a good one: what cannot be read is refused by itself, and where the model fails on a batch, the
rows are tried in halves down to the one that it fails on.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field

import msgspec
import numpy as np

from fivefold.core.columns import Columns
from fivefold.core.errors import ContractError, FivefoldError, ProtocolError
from fivefold.core.readers.binary_rows import BinaryRows
from fivefold.core.readers.lines import Lines, ReadLines, merged
from fivefold.core.runtime.rows import score_rows
from fivefold.core.runtime.scorer import Scorer
from fivefold.core.view import View
from fivefold.stream import dead_letters, event_formats, identity
from fivefold.stream.avro_events import AvroEvents
from fivefold.stream.avro_results import AvroResults
from fivefold.stream.event_formats import FoundRecord
from fivefold.stream.events import Event, Outgoing, header


@dataclass(slots=True)
class Scored:
    """What became of some events: one outgoing event for each, and the codes of those that are dead letters."""

    outgoing: list[Outgoing]
    codes: Counter[str] = field(default_factory=Counter)


class EventScorer:
    """Scores events by one model."""

    def __init__(
        self,
        scorer: Scorer,
        *,
        to: str,
        dead_letter: str,
        group: str,
        same_partition: bool = True,
        avro: tuple[AvroEvents, AvroResults] | None = None,
        result_format: str = "same",
    ) -> None:
        """`to` and `dead_letter` are topics. `same_partition` writes a result to the partition that its event had;
        `avro` reads and writes it, where a schema registry is; `result_format` is one of
        `event_formats.RESULT_FORMATS`."""
        bundle = scorer.bundle
        self._scorer = scorer
        self._view = View.of(bundle.contract)
        self._lines = Lines(self._view.inputs)
        self._values = BinaryRows(self._view.inputs)
        self._avro, self._form = avro, result_format
        self._to, self._dead_letter, self._group = to, dead_letter, group
        self._same = same_partition
        self._digest = bundle.digest
        self._version = bundle.contract.version
        model = {
            "model": bundle.name.encode(),
            "version": bundle.version.encode(),
            "bundle": bundle.digest.encode(),
            "contract": self._view.name.encode(),
        }
        self._of_results = identity.named(identity.PREFIX, model)
        self._of_dead = identity.named(dead_letters.DEAD, model)
        self._source = f"/models/{bundle.name}/versions/{bundle.version}"
        self._kind = f"fivefold.{bundle.contract.name}.scored"
        self._encoder = msgspec.json.Encoder()

    def score(self, events: Sequence[Event]) -> Scored:
        """A result or a dead letter for each event.

        Raises what is no event's fault; `Unavailable` and `AccessError` are the schema registry's, and the same events
        may be scored again.
        """
        errors: dict[int, FivefoldError] = {}
        found: dict[int, FoundRecord] = {}
        for at, event in enumerate(events):
            unfit = self._unfit(event)
            each = event_formats.find(event, avro=self._avro is not None) if unfit is None else unfit
            if isinstance(each, FivefoldError):
                errors[at] = each
            else:
                found[at] = each
        read = self._read(found, errors)
        good = read.rows.tolist()
        results: dict[int, bytes] = {}
        if good:
            answers, failed = score_rows(self._scorer, read.columns)
            for row, failure in failed.items():
                errors[good[row]] = failure
            answered = [at for row, at in enumerate(good) if row not in failed]
            forms = [found[at].answered(self._form) for at in answered]
            found |= zip(answered, forms, strict=True)
            results = dict(zip(answered, self._written(answers, [form.avro for form in forms]), strict=True))
        scored = Scored([])
        for at, event in enumerate(events):
            error_of = errors.get(at)
            if error_of is None:
                scored.outgoing.append(self._result(event, found[at], results[at]))
            else:
                scored.codes[error_of.code] += 1
                scored.outgoing.append(self._dead(event, error_of))
        return scored

    def _read(self, found: dict[int, FoundRecord], errors: dict[int, FivefoldError]) -> ReadLines:
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

    def _written(self, answers: Columns, in_avro: list[bool]) -> list[bytes]:
        """A result for each row."""
        if not any(in_avro):
            return list(map(self._encoder.encode, answers.to_records()))
        assert self._avro is not None
        mask = np.array(in_avro)
        avro = iter(self._avro[1].encode(answers.take(mask)))
        json = iter(map(self._encoder.encode, answers.take(~mask).to_records()))
        return [next(avro if each else json) for each in in_avro]

    def _unfit(self, event: Event) -> FivefoldError | None:
        """Why an event is not for this model, whatever its value is."""
        if event.headers_lost:
            return ContractError(
                "not_utf8",
                "expected headers whose names are UTF-8; none of them is in this dead letter",
                path="headers",
                help="they are in the event where it came from",
            )
        asked = header(event.headers, identity.VERSION)
        if asked is None or asked.decode("utf-8", "replace") in (self._version, self._view.name):
            return None
        shown = asked[:128].decode("utf-8", "replace")
        return ProtocolError(
            "contract_unsupported", f"expected {identity.VERSION} {self._version}, got {shown!r}", path=identity.VERSION
        )

    def _result(self, event: Event, found: FoundRecord, record: bytes) -> Outgoing:
        made = identity.event_id(event, self._digest)
        value, headers = event_formats.write(
            found, record, identity.for_result(event.headers), made, self._source, self._kind
        )
        return Outgoing(
            self._to,
            event.key,
            value,
            headers + identity.of_result(event, made, self._of_results),
            partition=event.partition if self._same else None,
        )

    def _dead(self, event: Event, error: FivefoldError) -> Outgoing:
        made = identity.event_id(event, self._digest)
        headers = dead_letters.of_dead_letter(event, made, self._of_dead, error, self._group)
        return Outgoing(
            self._dead_letter,
            event.key,
            event.value,
            dead_letters.without_death(event.headers) + headers,
            partition=event.partition if self._same else None,
        )


def _placed(read: ReadLines, places: list[int]) -> ReadLines:
    """What was read, under the places of its events."""
    rows = np.array(places, np.int64)[read.rows]
    return ReadLines(read.columns, rows, read.carried, [(places[row], error) for row, error in read.refused])
