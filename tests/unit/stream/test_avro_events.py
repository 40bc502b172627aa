"""Events in Avro to results and dead letters, by the schemas of a registry in this process."""

from __future__ import annotations

import io
import json
import random
from collections.abc import Iterator
from typing import Any

import fastavro
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.support.avro_values import message, spell_record
from tests.support.bundles import SUM_CONTRACT, contract, field
from tests.support.contract_values import every_rule
from tests.support.schema_registry import Registry, serving

from fivefold.core.bundle.bundle import Bundle
from fivefold.core.errors import AccessError, RunFailed, Unavailable
from fivefold.core.readers.records import Records
from fivefold.core.runtime.scorer import Scorer
from fivefold.exports import avro
from fivefold.stream.avro_events import MISSING_SECONDS, MOST_SCHEMAS, AvroEvents
from fivefold.stream.avro_results import AvroResults, record_names
from fivefold.stream.dead_letters import death
from fivefold.stream.events import Event, Headers, Outgoing, header
from fivefold.stream.registry_client import RegisteredSchema, SchemaRegistry
from fivefold.stream.registry_settings import RegistrySettings
from fivefold.stream.scoring import EventScorer

ROW = {
    "type": "record",
    "name": "Row",
    "fields": [{"name": "a", "type": "double"}, {"name": "b", "type": ["null", "int"]}],
}
CLOUD: Headers = (("ce_specversion", b"1.0"), ("ce_id", b"1"), ("ce_source", b"/s"), ("ce_type", b"t"), ("ce_x", b"7"))
ENVELOPE = b'{"specversion":"1.0","id":"1","source":"/s","type":"t","data":{"a":1,"b":2}}'
STRUCTURED: Headers = (("content-type", b"application/cloudevents+json"),)


@pytest.fixture(scope="module")
def opened(bundle: Bundle) -> Iterator[Scorer]:
    """The model of the sum."""
    with Scorer.open(bundle) as scorer:
        yield scorer


@pytest.fixture(scope="module")
def server() -> Iterator[Registry]:
    """A registry."""
    with serving() as registry:
        yield registry


@pytest.fixture
def registry(server: Registry) -> Registry:
    """With nothing in it."""
    server.schemas.clear()
    server.subjects.clear()
    server.troubles.clear()
    server.asked.clear()
    server.refuses = 0
    return server


def scorer_of(opened: Scorer, registry: Registry, form: str = "same", now: Any = lambda: 0.0) -> EventScorer:
    """One that asks the registry."""
    client = SchemaRegistry(RegistrySettings(registry_url=registry.url))
    made = opened.bundle.contract
    both = AvroEvents(client, record_names(made), now=now), AvroResults(client, made, "out")
    return EventScorer(opened, to="out", dead_letter="dead", group="g", avro=lambda _: both, result_format=form)


def row(a: float = 1, b: int | None = 2) -> bytes:
    """A record's bytes."""
    out = io.BytesIO()
    fastavro.schemaless_writer(out, fastavro.parse_schema(ROW), {"a": a, "b": b})
    return out.getvalue()


def event(value: bytes | None, headers: Headers = (), offset: int = 0) -> Event:
    """At a place."""
    return Event("in", 2, offset, 1000, b"k", value, headers)


def said(dead: Outgoing) -> tuple[str, str]:
    """The code and path of a dead letter."""
    found = death(dead.headers)
    return found["code"], found["path"]


def read(registry: Registry, out: Outgoing) -> Any:
    """A result in Avro, as another reader has it."""
    value = out.value or b""
    schema = json.loads(registry.schemas[int.from_bytes(value[1:5], "big")]["schema"])
    return fastavro.schemaless_reader(io.BytesIO(value[5:]), fastavro.parse_schema(schema), None)


def test_what_came_in_avro_is_answered_in_avro(opened: Scorer, registry: Registry) -> None:
    """Beside what came in JSON; key, partition and headers as always, one question for each schema."""
    number = registry.add(ROW)
    events = [
        event(message(number, row()), (("trace", b"7"),)),
        event(b'{"a": 3, "b": 1}'),
        event(message(number, row(5))),
    ]
    scorer = scorer_of(opened, registry)

    first, plain, last = scorer.score(events).outgoing
    scorer.score(events)

    assert read(registry, first) == {"total": 3.0, "label": 1}
    assert read(registry, last) == {"total": 7.0, "label": 1}
    assert json.loads(plain.value or b"") == {"total": 4.0, "label": 1}
    assert (first.topic, first.key, first.partition, first.headers[0]) == ("out", b"k", 2, ("trace", b"7"))
    assert header(first.headers, "content-type") == b"application/avro"
    assert header(plain.headers, "content-type") == b"application/json"
    assert list(registry.subjects) == ["out-value"]
    assert [each.split("?")[0] for each in registry.asked] == [
        "GET /schemas/ids/1",
        "POST /subjects/out-value",
        "POST /subjects/out-value/versions",
    ]


def test_without_a_registry_no_value_is_avro(opened: Scorer) -> None:
    """A byte 0 begins no JSON."""
    scorer = EventScorer(opened, to="out", dead_letter="dead", group="g")
    plain, named = scorer.score([event(message(1, row())), event(row(), (("content-type", b"avro/binary"),))]).outgoing

    assert said(plain) == ("malformed", "")
    assert said(named) == ("unsupported_media_type", "")


@pytest.mark.parametrize(
    ("a", "b", "wanted"),
    [
        (101, 2, ("out_of_range", "inputs.a[0]")),
        (float("nan"), 2, ("not_finite", "inputs.a[0]")),
        (1, None, ("null_not_allowed", "inputs.b[0]")),
    ],
)
def test_a_record_is_judged_as_in_json(
    opened: Scorer, registry: Registry, a: float, b: int | None, wanted: tuple[str, str]
) -> None:
    """The event in the dead letter as it was, and nobody else harmed."""
    number = registry.add(ROW)
    value = message(number, row(a, b))

    good, dead = scorer_of(opened, registry).score([event(message(number, row())), event(value)]).outgoing

    assert (good.topic, dead.topic, dead.value, dead.key, said(dead)) == ("out", "dead", value, b"k", wanted)


def test_every_event_of_a_bad_batch_has_its_own_reason(opened: Scorer, registry: Registry) -> None:
    """In the events' order, whatever they are written in."""
    number = registry.add(ROW)
    values = [
        b"{",
        message(number, row()),
        message(number, b""),
        b'{"a": 1}',
        message(9, b""),
        message(number, row(999)),
    ]

    scored = scorer_of(opened, registry).score([event(value) for value in values])

    assert [said(out)[0] if out.topic == "dead" else "" for out in scored.outgoing] == [
        "malformed",
        "",
        "malformed",
        "missing_field",
        "not_found",
        "out_of_range",
    ]
    assert [out.value for out in scored.outgoing if out.topic == "dead"] == [values[at] for at in (0, 2, 3, 4, 5)]


@pytest.mark.parametrize(
    ("value", "headers", "code"),
    [
        (b"\0", (), "malformed"),
        (b"\0\0\0\0", (), "malformed"),
        (b"\1\0\0\0\1", (), "malformed"),
        (b"\1\0\0\0\1" + row(), (("content-type", b"application/avro"),), "malformed"),
        (b'{"a": 1, "b": 2}', (("content-type", b"application/avro"),), "malformed"),
        (b"", (("content-type", b"avro/binary; charset=x"),), "malformed"),
        (message(1, row()), (("content-type", b"application/json"),), "malformed"),
        (message(1, row()), (("content-type", b"application/protobuf"),), "unsupported_media_type"),
        (message(1, row()[:-1]), (), "malformed"),
        (message(1, row() + b"\0"), (), "malformed"),
        (message(2**31, row()), (), "malformed"),
        (message(2**32 - 1, row()), (), "malformed"),
        (message(0, row()), (), "not_found"),
        (message(77, row()), (), "not_found"),
        (message(2, b"\2"), (), "unsupported_media_type"),
        (message(3, b"\2"), (), "unsupported_media_type"),
        (message(4, b"\2"), (), "unsupported_media_type"),
        (message(5, b"\2"), (), "unsupported_media_type"),
        (message(6, b""), (), "malformed"),
        (message(7, b"\2"), (), "malformed"),
        (message(1, row()), CLOUD[:1], "malformed"),
        ("{“".encode("utf-16-be"), (), "malformed"),
    ],
    ids=range(22),
)
def test_a_hostile_event_is_one_dead_letter(
    opened: Scorer, registry: Registry, value: bytes, headers: Headers, code: str
) -> None:
    """Byte for byte as it was."""
    registry.add(ROW)
    registry.add("{}", schemaType="PROTOBUF")
    registry.add(ROW, references=[{"name": "x", "subject": "s", "version": 1}])
    registry.add("{")
    registry.add({"type": "record", "name": "R", "fields": [{"name": "next", "type": ["null", "R"]}]})
    registry.add('"null"')
    registry.add('"long"')

    (dead,) = scorer_of(opened, registry).score([event(value, headers)]).outgoing

    assert (dead.topic, dead.value, said(dead)[0], dead.headers[: len(headers)]) == ("dead", value, code, headers)


@settings(max_examples=20)
@given(st.integers(0, 2**32))
def test_any_bytes_are_a_result_or_a_dead_letter(opened: Scorer, server: Registry, seed: int) -> None:
    """Cut and changed anywhere, the id left out."""
    # Whatever another test has told the server to do.
    server.troubles.clear()
    server.refuses = 0
    number = server.add(ROW)
    dice = random.Random(seed)
    values = []
    for _ in range(50):
        value = bytearray(row(dice.uniform(-200, 200), dice.choice([None, 5, 500])))
        for _ in range(dice.randint(0, 3)):
            value[dice.randrange(len(value))] = dice.randrange(256)
        values.append(message(number, bytes(value[: dice.randint(0, 2 * len(value))])))

    scored = scorer_of(opened, server).score([event(value) for value in values])

    assert len(scored.outgoing) == 50
    assert {out.topic for out in scored.outgoing} <= {"out", "dead"}
    assert [out.value for out in scored.outgoing if out.topic == "dead"] == [
        value for value, out in zip(values, scored.outgoing, strict=True) if out.topic == "dead"
    ]


TROUBLES = [
    500,
    502,
    503,
    429,
    400,
    409,
    422,
    301,
    "page",
    "wide",
    "subject",
    "text",
    "list",
    "empty",
    "break",
    "elsewhere",
    204,
]


@pytest.mark.parametrize("trouble", TROUBLES, ids=str)
def test_a_registry_that_does_not_answer_is_no_fault_of_an_event(
    opened: Scorer, registry: Registry, trouble: int | str
) -> None:
    """Nothing is decided, and the same question may be asked again."""
    number = registry.add(ROW)
    registry.troubles[:] = [trouble]
    scorer = scorer_of(opened, registry)
    events = [event(message(number, row()))]

    with pytest.raises(Unavailable):
        scorer.score(events)

    assert scorer.score(events).codes == {}


@pytest.mark.parametrize(("status", "code"), [(401, "unauthenticated"), (403, "forbidden")])
def test_neither_is_one_that_does_not_know_us(opened: Scorer, registry: Registry, status: int, code: str) -> None:
    """Said as what it is."""
    number = registry.add(ROW)
    registry.troubles[:] = [status]

    with pytest.raises(AccessError) as caught:
        scorer_of(opened, registry).score([event(message(number, row()))])

    assert caught.value.code == code


def test_a_schema_that_is_too_long_is_the_events_fault(opened: Scorer, registry: Registry) -> None:
    """Who asks again gets no shorter one."""
    registry.troubles[:] = ["long"]
    scorer = scorer_of(opened, registry)

    (dead,) = scorer.score([event(message(1, row()))]).outgoing

    assert said(dead)[0] == "unsupported_media_type"


def test_that_an_id_has_no_schema_is_believed_for_a_moment(opened: Scorer, registry: Registry) -> None:
    """A registry may be behind; what it has is asked for once."""
    moments = [0.0]
    scorer = scorer_of(opened, registry, now=lambda: moments[0])
    events = [event(message(1, row()))] * 2

    assert scorer.score(events).codes == {"not_found": 2}
    registry.add(ROW)
    moments[0] = MISSING_SECONDS - 1
    assert scorer.score(events).codes == {"not_found": 2}
    moments[0] = MISSING_SECONDS + 1
    assert scorer.score(events).codes == {}
    assert scorer.score(events).codes == {}
    assert registry.asked.count("GET /schemas/ids/1") == 2


class Endless:
    """A registry that has every other schema."""

    asked = 0

    def schema(self, number: int) -> RegisteredSchema | None:
        self.asked += 1
        return RegisteredSchema(json.dumps(ROW)) if number % 2 else None


def test_schemas_are_kept_up_to_a_number() -> None:
    """Those that were used last; so are the ids that have none."""
    endless: Any = Endless()
    events = AvroEvents(endless, now=lambda: 0.0)

    for number in range(2 * MOST_SCHEMAS + 100):
        events.decode(message(number, row()))
        events.decode(message(1, row()))

    assert len(events._schemas) == len(events._missing) == MOST_SCHEMAS
    assert endless.asked == 2 * MOST_SCHEMAS + 100


@pytest.mark.parametrize("form", ["same", "json", "cloudevents", "avro"])
@pytest.mark.parametrize("came", ["json", "avro", "cloud", "cloud avro", "envelope"])
def test_a_result_is_written_as_is_asked_for(opened: Scorer, registry: Registry, form: str, came: str) -> None:
    """Or as its event was."""
    framed = message(registry.add(ROW), row())
    events = {
        "json": event(b'{"a": 1, "b": 2}'),
        "avro": event(framed),
        "cloud": event(b'{"a": 1, "b": 2}', (*CLOUD, ("content-type", b"application/json"))),
        "cloud avro": event(framed, (*CLOUD, ("content-type", b"application/avro"))),
        "envelope": event(ENVELOPE, STRUCTURED),
    }

    (out,) = scorer_of(opened, registry, form).score([events[came]]).outgoing

    cloud = form == "cloudevents" or (form == "same" and "cloud" in came)
    in_avro = form == "avro" or (form == "same" and "avro" in came)
    whole = came == "envelope" and form in ("same", "cloudevents")
    record = read(registry, out) if in_avro else json.loads(out.value or b"")
    assert (record["data"] if whole else record) == {"total": 3.0, "label": 1}
    wanted = b"application/cloudevents+json" if whole else b"application/avro" if in_avro else b"application/json"
    assert header(out.headers, "content-type") == wanted
    assert (header(out.headers, "ce_id") == header(out.headers, "fivefold-id")) == (cloud and not whole)
    assert (header(out.headers, "ce_x") is not None) == (cloud and "cloud" in came)
    assert any(name.startswith("ce_") for name, _ in out.headers) == (cloud and not whole)


def test_the_schema_of_results_is_registered_once(opened: Scorer, registry: Registry) -> None:
    """One that is there is found, though nothing may be added."""
    number = registry.add(ROW)
    scorer_of(opened, registry).score([event(message(number, row()))])
    registry.refuses = 403
    registry.asked.clear()

    scorer_of(opened, registry).score([event(message(number, row()))])

    assert registry.asked == ["GET /schemas/ids/1", "POST /subjects/out-value"]


@pytest.mark.parametrize("status", [409, 422])
def test_a_schema_of_results_that_is_refused_ends_the_work(opened: Scorer, registry: Registry, status: int) -> None:
    """Nobody's event is at fault."""
    number = registry.add(ROW)
    registry.refuses = status

    with pytest.raises(RunFailed, match="not compatible"):
        scorer_of(opened, registry).score([event(message(number, row()))])


def test_a_contract_version_is_looked_at_first(opened: Scorer, registry: Registry) -> None:
    """Nobody is asked for the schema of an event that is not ours."""
    (dead,) = scorer_of(opened, registry).score([event(message(1, row()), (("contract-version", b"2"),))]).outgoing

    assert said(dead)[0] == "contract_unsupported"
    assert registry.asked == []


def test_names_that_avro_has_not_are_those_of_the_exported_schema() -> None:
    """A record that follows it is a record of the contract."""
    made = every_rule()
    names = record_names(made)
    exported = avro.schema(made, "record", made.inputs)

    assert names["mean_radius_2"] == "mean-radius" or names["mean_radius"] == "mean-radius"
    for known, each in zip(made.inputs, exported["fields"], strict=True):
        assert names.get(each["name"], each["name"]) == known.name
        for alias in each.get("aliases", ()):
            assert names.get(alias, alias) in known.aliases


OUTPUTS = [
    field("flag", "bool"),
    field("many", "uint64"),
    field("few", "uint32"),
    field("half", "float16"),
    field("word", "string", enum=["a", "b-c"]),
    field("kind", "string", enum=["a", "b"], nullable=True, null_value=""),
    field("raw-bytes", "bytes", shape=[2]),
    field("grid", "float32", shape=[2, 2], nullable=True),
    field("open", "float64", nullable=True),
]


def test_outputs_of_every_type_are_written(registry: Registry) -> None:
    """By the exported schema, exactly."""
    made = contract([field("a")], OUTPUTS)
    results = AvroResults(SchemaRegistry(RegistrySettings(registry_url=registry.url)), made, "out")
    answers = {
        "flag": True,
        "many": 2**64 - 1,
        "few": 2**32 - 1,
        "half": 0.5,
        "word": "b-c",
        "kind": None,
        "raw-bytes": ["YWI=", ""],
        "grid": [[1.5, None], [3.0, 4.0]],
        "open": 1e300,
    }
    columns = Records(made.outputs).read([answers]).accept()

    (value,) = results.encode(columns)

    answers["raw_bytes"] = [b"ab", b""]
    del answers["raw-bytes"]
    assert read(registry, Outgoing("out", None, value)) == answers


def test_the_export_and_the_sum_agree(opened: Scorer, registry: Registry) -> None:
    """A producer that follows the exported schema is understood."""
    exported = avro.schema(SUM_CONTRACT, "record", SUM_CONTRACT.inputs)
    out = io.BytesIO()
    fastavro.schemaless_writer(out, fastavro.parse_schema(exported), {"a": 1.5, "b": 2})

    (result,) = scorer_of(opened, registry).score([event(message(registry.add(exported), out.getvalue()))]).outgoing

    assert read(registry, result) == {"total": 3.5, "label": 1}


def test_an_unknown_name_is_refused_by_it(opened: Scorer, registry: Registry) -> None:
    """And text where a number is expected, as in JSON."""
    schema, data = spell_record({"a": 1, "b": "2", "c": 3})
    (dead,) = scorer_of(opened, registry).score([event(message(registry.add(schema), data))]).outgoing

    assert [(each["code"], each["path"]) for each in json.loads(death(dead.headers)["details"])] == [
        ("unknown_field", "inputs.c"),
        ("wrong_type", "inputs.b[0]"),
    ]
