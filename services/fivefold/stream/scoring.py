"""Events to results and dead letters: one of either for each event, in the events' order.

A bad event never fails a good one: what cannot be read is refused by itself, and where the model fails on a batch, the
rows are tried in halves down to the one that it fails on.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field

import msgspec

from fivefold.core.errors import FivefoldError, ProtocolError
from fivefold.core.readers.lines import Lines
from fivefold.core.runtime.rows import score_rows
from fivefold.core.runtime.scorer import Scorer
from fivefold.core.view import View
from fivefold.stream import dead_letters, event_formats, identity
from fivefold.stream.events import Event, Outgoing, header


@dataclass(slots=True)
class Scored:
    """What became of some events: one outgoing event for each, and the codes of those that are dead letters."""

    outgoing: list[Outgoing]
    codes: Counter[str] = field(default_factory=Counter)


class EventScorer:
    """Scores events by one model."""

    def __init__(self, scorer: Scorer, *, to: str, dead_letter: str, group: str, same_partition: bool = True) -> None:
        """`to` and `dead_letter` are topics. `same_partition` writes a result to the partition that its event had."""
        bundle = scorer.bundle
        self._scorer = scorer
        self._view = View.of(bundle.contract)
        self._lines = Lines(self._view.inputs)
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
        """A result or a dead letter for each event. Raises what is no event's fault."""
        errors: dict[int, FivefoldError] = {}
        found: dict[int, event_formats.FoundRecord] = {}
        for at, event in enumerate(events):
            unknown = self._unknown_version(event)
            each = event_formats.find(event) if unknown is None else unknown
            if isinstance(each, FivefoldError):
                errors[at] = each
            else:
                found[at] = each
        places = list(found)
        read = self._lines.read_each([found[at].record for at in places])
        for row, error in read.refused:
            errors[places[row]] = error
        good = [places[row] for row in read.rows.tolist()]
        results: dict[int, bytes] = {}
        if good:
            answers, failed = score_rows(self._scorer, read.columns)
            for row, failure in failed.items():
                errors[good[row]] = failure
            answered = [at for row, at in enumerate(good) if row not in failed]
            results = dict(zip(answered, map(self._encoder.encode, answers.to_records()), strict=True))
        scored = Scored([])
        for at, event in enumerate(events):
            error_of = errors.get(at)
            if error_of is None:
                scored.outgoing.append(self._result(event, found[at], results[at]))
            else:
                scored.codes[error_of.code] += 1
                scored.outgoing.append(self._dead(event, error_of))
        return scored

    def _unknown_version(self, event: Event) -> FivefoldError | None:
        asked = header(event.headers, identity.VERSION)
        if asked is None or asked.decode("utf-8", "replace") in (self._version, self._view.name):
            return None
        shown = asked[:128].decode("utf-8", "replace")
        return ProtocolError(
            "contract_unsupported", f"expected {identity.VERSION} {self._version}, got {shown!r}", path=identity.VERSION
        )

    def _result(self, event: Event, found: event_formats.FoundRecord, record: bytes) -> Outgoing:
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
