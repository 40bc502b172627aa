"""The drivers of streams: each record of a case as an event, scored, and read back from the result or the dead letter.

An event is one record, judged alone, so a case that is refused is asked where it has one. README.md lists what no event
can say.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import msgspec

from fivefold.core.errors import ContractError
from fivefold.core.readers.binary_rows import BinaryRows
from fivefold.core.readers.exact_json import loads
from fivefold.core.readers.records import Records
from fivefold.core.runtime.scorer import Scorer
from fivefold.exports import avro
from fivefold.stream.avro_events import HEAD, AvroEvents
from fivefold.stream.avro_results import AvroResults, record_names
from fivefold.stream.avro_schema import AvroSchema
from fivefold.stream.dead_letters import death
from fivefold.stream.events import Event, Headers, Outgoing, header
from fivefold.stream.registry_client import RegisteredSchema
from fivefold.stream.scoring import EventScorer
from tests.conformance.cases import Case, load_contract
from tests.conformance.drivers import Outcome, Refusal, lists
from tests.support.avro_values import Spelt, Unsayable, as_held, message, spell, spell_record

STRUCTURED: Headers = (("content-type", b"application/cloudevents+json"),)
BINARY: Headers = (("ce_specversion", b"1.0"), ("ce_id", b"1"), ("ce_source", b"/s"), ("ce_type", b"t"))


class _Body(msgspec.Struct, forbid_unknown_fields=True):
    instances: list[msgspec.Raw]


class Events:
    """The records of a case as plain events, and as CloudEvents of either kind."""

    transport = "events"

    def __init__(self, scorers: Callable[[str], Scorer]) -> None:
        self.scorers = scorers

    def asks(self, case: Case) -> Iterator[str]:
        """The kinds of events that can say the case."""
        if case.limits.max_rows is not None or case.limits.max_depth is not None:
            return
        rows = _records(case)
        if rows and (case.refused is None or len(rows) == 1):
            yield from ("plain", "binary", "structured")

    def ask(self, case: Case, spelling: str) -> Outcome | Refusal:
        """Score the events, and read what came of them."""
        contract = load_contract(case.contract)
        scorer = EventScorer(self.scorers(case.contract), to="out", dead_letter="dead", group="g")
        rows = _records(case)
        assert rows is not None
        scored = scorer.score([_event(at, row, spelling) for at, row in enumerate(rows)])
        if case.refused is not None and scored.outgoing[0].topic == "dead":
            return _refusal(scored.outgoing[0])
        answers = [loads(_answer(each, spelling)) for each in scored.outgoing]
        return Outcome(lists(contract.outputs, Records(contract.outputs).read(answers).accept()))


def _refusal(dead: Outgoing) -> Refusal:
    said = death(dead.headers)
    violations = msgspec.json.decode(said["details"]) if "details" in said else [said]
    return Refusal(tuple((each["code"], each["path"]) for each in violations))


class Schemas:
    """A registry of its own for each question."""

    def __init__(self) -> None:
        self.texts: list[str] = []

    def schema(self, number: int) -> RegisteredSchema:
        return RegisteredSchema(self.texts[number])

    def register(self, subject: str, schema: str) -> int:
        assert subject == "out-value"
        self.texts.append(schema)
        return len(self.texts) - 1


class AvroRecords:
    """The records of a case in Avro, as records and as maps, answered in Avro."""

    transport = "events"

    def __init__(self, scorers: Callable[[str], Scorer]) -> None:
        self.scorers, self.plain = scorers, Events(scorers)

    def asks(self, case: Case) -> Iterator[str]:
        """The types that can say the case: all but what is JSON's alone, such as 1e400, base64 that is none, or a name
        that is none of Avro's."""
        if "plain" in self.plain.asks(case):
            for spelling in ("record", "map"):
                try:
                    _spelt(case, spelling)
                except Unsayable:
                    continue
                yield spelling

    def ask(self, case: Case, spelling: str) -> Outcome | Refusal:
        """Score the events, and read what came of them by the schema that it names."""
        contract = load_contract(case.contract)
        schemas: Any = Schemas()
        values = []
        for schema, data in _spelt(case, spelling):
            schemas.texts.append(json.dumps(schema))
            values.append(message(len(schemas.texts) - 1, data))
        scorer = EventScorer(
            self.scorers(case.contract),
            to="out",
            dead_letter="dead",
            group="g",
            avro=lambda of: (AvroEvents(schemas, record_names(of)), AvroResults(schemas, of, "out")),
        )
        scored = scorer.score([Event("in", 0, at, 0, None, value) for at, value in enumerate(values)])
        if case.refused is not None and scored.outgoing[0].topic == "dead":
            return _refusal(scored.outgoing[0])
        names = {spelt: name for name, spelt in avro.field_names(contract.outputs).items()}
        answers = []
        for out in scored.outgoing:
            assert out.topic == "out", header(out.headers, "fivefold-dead-error")
            assert out.value is not None
            number = int.from_bytes(out.value[1:HEAD], "big")
            answers.append(AvroSchema(schemas.texts[number], names).decode(out.value, HEAD))
        read = BinaryRows(contract.outputs).read_each(answers)
        assert not read.refused
        return Outcome(lists(contract.outputs, read.columns))


def _spelt(case: Case, spelling: str) -> list[Spelt]:
    """Each record in Avro. Raises `Unsayable`."""
    fields = load_contract(case.contract).inputs
    rows = [as_held(fields, loads(row)) for row in _records(case) or ()]
    names: Mapping[str, str] = avro.field_names(fields)
    if spelling == "map":
        if not all(isinstance(row, dict) for row in rows):
            raise Unsayable
        return [spell(row) for row in rows]
    return [spell_record(row, names) if isinstance(row, dict) else spell(row) for row in rows]


def _event(offset: int, record: bytes, spelling: str) -> Event:
    value, headers = record, BINARY if spelling == "binary" else ()
    if spelling == "structured":
        value = b'{"specversion":"1.0","id":"1","source":"/s","type":"t","data":' + record + b"}"
        headers = STRUCTURED
    return Event("in", 0, offset, 0, None, value, headers)


def _answer(out: Outgoing, spelling: str) -> bytes:
    assert out.topic == "out", header(out.headers, "fivefold-dead-error")
    assert out.value is not None
    return (
        bytes(msgspec.json.decode(out.value, type=dict[str, msgspec.Raw])["data"])
        if spelling == "structured"
        else out.value
    )


def _records(case: Case) -> list[bytes] | None:
    """The text of each record, None where the body is no list of some."""
    if case.records is None:
        return None
    try:
        loads(case.records)
        return [bytes(row) for row in msgspec.json.decode(case.records, type=_Body).instances]
    except (ContractError, msgspec.MsgspecError, UnicodeError):
        return None
