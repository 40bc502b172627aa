"""Events to results and dead letters: one of either for each event, in the events' order.

A bad event never fails a good one: what cannot be read is refused by itself, and where the model fails on a batch, the
rows are tried in halves down to the one that it fails on.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field

from fivefold.core.errors import ContractError, FivefoldError, ProtocolError
from fivefold.core.runtime.rows import score_rows
from fivefold.core.runtime.scorer import Scorer
from fivefold.stream import dead_letters, event_formats, identity
from fivefold.stream.event_formats import FoundRecord
from fivefold.stream.events import Event, Outgoing, header
from fivefold.stream.version_reader import Avro, VersionReader


@dataclass(slots=True)
class Scored:
    """What became of some events: one outgoing event for each, and the codes of those that are dead letters."""

    outgoing: list[Outgoing]
    codes: Counter[str] = field(default_factory=Counter)
    versions: Counter[str] = field(default_factory=Counter)
    """Events by contract version, where the bundle answers several."""


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
        avro: Avro | None = None,
        result_format: str = "same",
    ) -> None:
        """`to` and `dead_letter` are topics. `same_partition` writes a result to the partition that its event had;
        `avro` makes what reads and writes it for a contract, where a schema registry is; `result_format` is one of
        `event_formats.RESULT_FORMATS`."""
        bundle = scorer.bundle
        self._scorer = scorer
        self._views = bundle.views
        self._readers = {view: VersionReader(bundle, view, avro) for view in bundle.views.values()}
        self._default = self._readers[bundle.views.default]
        self._avro, self._form = avro is not None, result_format
        self._to, self._dead_letter, self._group = to, dead_letter, group
        self._same = same_partition
        self._digest = bundle.digest
        self._source = f"/models/{bundle.name}/versions/{bundle.version}"
        self._kind = f"fivefold.{bundle.contract.name}.scored"

    def prepare(self) -> None:
        """Make the results' schemas known to the registry, those of every contract version."""
        for reader in self._readers.values():
            reader.prepare()

    def seconds(self, events: int) -> float:
        """About how long the model takes for so many events."""
        return self._scorer.seconds(events)

    def score(self, events: Sequence[Event]) -> Scored:
        """A result or a dead letter for each event, each under the contract version that it names.

        Raises what is no event's fault; `Unavailable` and `AccessError` are the schema registry's, and the same events
        may be scored again.
        """
        errors: dict[int, FivefoldError] = {}
        readers: list[VersionReader] = []
        by_version: dict[VersionReader, dict[int, FoundRecord]] = {}
        for at, event in enumerate(events):
            reader: VersionReader | FivefoldError = self._reader(event)
            if isinstance(reader, FivefoldError):
                errors[at], reader = reader, self._default
            else:
                each = event_formats.find(event, avro=self._avro)
                if isinstance(each, FivefoldError):
                    errors[at] = each
                else:
                    by_version.setdefault(reader, {})[at] = each
            readers.append(reader)
        results: dict[int, tuple[FoundRecord, bytes]] = {}
        for reader, found in by_version.items():
            results |= self._answer(reader, found, errors)
        scored = Scored([])
        for at, event in enumerate(events):
            error_of = errors.get(at)
            if error_of is None:
                scored.outgoing.append(self._result(event, *results[at], readers[at]))
            else:
                scored.codes[error_of.code] += 1
                scored.outgoing.append(self._dead(event, error_of, readers[at]))
            if len(self._readers) > 1:
                unsupported = error_of is not None and error_of.code == "contract_unsupported"
                scored.versions["unsupported" if unsupported else readers[at].view.version] += 1
        return scored

    def _answer(
        self, reader: VersionReader, found: dict[int, FoundRecord], errors: dict[int, FivefoldError]
    ) -> dict[int, tuple[FoundRecord, bytes]]:
        """The results of events of one version, by their places; what has none gets its error."""
        read = reader.read(found, errors)
        good = read.rows.tolist()
        if not good:
            return {}
        answers, failed = score_rows(self._scorer, read.columns, reader.view)
        for row, failure in failed.items():
            errors[good[row]] = failure
        answered = [at for row, at in enumerate(good) if row not in failed]
        forms = [found[at].answered(self._form) for at in answered]
        written = reader.write(answers, [form.avro for form in forms])
        return {at: (form, record) for at, form, record in zip(answered, forms, written, strict=True)}

    def _reader(self, event: Event) -> VersionReader | FivefoldError:
        """Who reads an event, or why it is not for this model, whatever its value is."""
        if event.headers_lost:
            return ContractError(
                "not_utf8",
                "expected headers whose names are UTF-8; none of them is in this dead letter",
                path="headers",
                help="they are in the event where it came from",
            )
        asked = header(event.headers, identity.VERSION)
        if asked is None:
            other = identity.misspelled_version(event.headers)
            if other is None:
                return self._default
            return ContractError(
                "malformed", f"expected the header {identity.VERSION}, got {other!r}", path=identity.VERSION
            )
        try:
            return self._readers[self._views.find(asked.decode("utf-8", "replace"))]
        except ProtocolError as error:
            return ProtocolError(error.code, error.message, path=identity.VERSION, help=error.help)

    def _result(self, event: Event, found: FoundRecord, record: bytes, reader: VersionReader) -> Outgoing:
        made = identity.event_id(event, self._digest)
        value, headers = event_formats.write(
            found, record, identity.for_result(event.headers), made, self._source, self._kind
        )
        return Outgoing(
            self._to,
            event.key,
            value,
            headers + identity.of_result(event, made, reader.of_results),
            partition=event.partition if self._same else None,
        )

    def _dead(self, event: Event, error: FivefoldError, reader: VersionReader) -> Outgoing:
        made = identity.event_id(event, self._digest)
        headers = dead_letters.of_dead_letter(event, made, reader.of_dead, error, self._group)
        return Outgoing(
            self._dead_letter,
            event.key,
            event.value,
            dead_letters.without_death(event.headers) + headers,
            partition=event.partition if self._same else None,
        )
