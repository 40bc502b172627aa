"""Events to results and dead letters."""

from __future__ import annotations

import json
from collections.abc import Iterator

import pytest
from tests.support.bundles import SUM_CONTRACT

from fivefold.core.bundle.bundle import Bundle
from fivefold.core.errors import ContractError
from fivefold.core.readers.exact_json import loads
from fivefold.core.readers.records import Records
from fivefold.core.runtime.scorer import Scorer
from fivefold.stream.events import Event, Headers, Outgoing, header
from fivefold.stream.scoring import EventScorer

GOOD = b'{"a": 1, "b": 2}'
HOSTILE = [
    b"",
    b" ",
    b"null",
    b"7",
    b"[]",
    b"{",
    b"\xff\xfe",
    b'{"a": 1, "b": "\xff"}',
    b'{"a": 1}',
    b'{"a": "1", "b": 2}',
    b'{"a": true, "b": 2}',
    b'{"a": null, "b": 2}',
    b'{"a": 1e999, "b": 2}',
    b'{"a": NaN, "b": 2}',
    b'{"a": 101, "b": 2}',
    b'{"a": 1, "b": 2, "c": 3}',
    b'{"a": ' + b"9" * 100_000 + b', "b": 2}',
    b'{"a": 1, "b": ' + b"[" * 100_000 + b"]" * 100_000 + b"}",
    GOOD + GOOD,
    GOOD + b"\n" + GOOD,
    '{"a": 1, "b": 2}'.encode("utf-16"),
    b"\xef\xbb\xbf" + GOOD,
    b'{"a": 1, "b": "' + b"x" * 3_000_000 + b'"}',
]


@pytest.fixture(scope="module")
def scorer(bundle: Bundle) -> Iterator[EventScorer]:
    """Of the sum."""
    with Scorer.open(bundle) as opened:
        yield EventScorer(opened, to="out", dead_letter="dead", group="g")


def event(value: bytes | None, headers: Headers = (), offset: int = 0) -> Event:
    """At a place."""
    return Event("in", 2, offset, 1000, b"k", value, headers)


def said(dead: Outgoing) -> tuple[str, str]:
    """The code and path of a dead letter."""
    return tuple((header(dead.headers, f"fivefold-dead-{name}") or b"").decode() for name in ("code", "path"))  # type: ignore[return-value]


def verdict(value: bytes) -> tuple[str, str]:
    """What the core's reader says of a record alone."""
    try:
        Records(SUM_CONTRACT.inputs).read([loads(value)]).accept()
    except ContractError as error:
        return error.code, error.path
    return "", ""


@pytest.mark.parametrize("value", HOSTILE, ids=range(len(HOSTILE)))
def test_a_hostile_event_is_one_dead_letter(scorer: EventScorer, value: bytes) -> None:
    """With the code and path that the reader of records gives, the event in it as it was, and nobody else harmed."""
    good = event(b'{"a": 1,\n "b": 2}', offset=1)

    scored = scorer.score([good, event(value, (("trace", b"7"),)), good])

    first, dead, last = scored.outgoing
    assert first.topic == last.topic == "out"
    assert json.loads(first.value or b"") == {"total": 3.0, "label": 1}
    assert (dead.topic, dead.key, dead.value, dead.partition) == ("dead", b"k", value, 2)
    assert dead.headers[0] == ("trace", b"7")
    assert said(dead) == verdict(value)
    assert scored.codes == {said(dead)[0]: 1}


def test_the_last_of_two_members_counts(scorer: EventScorer) -> None:
    """As everywhere."""
    value = b'{"a": 50, "a": 1, "b": 2}'

    (out,) = scorer.score([event(value)]).outgoing

    assert verdict(value) == ("", "")
    assert json.loads(out.value or b"") == {"total": 3.0, "label": 1}


def test_an_event_without_a_value_is_a_dead_letter(scorer: EventScorer) -> None:
    """There is nothing to score."""
    (dead,) = scorer.score([event(None)]).outgoing

    assert (dead.topic, dead.value, said(dead)) == ("dead", None, ("malformed", ""))


@pytest.mark.parametrize(
    ("version", "code"),
    [(b"1.0", ""), (b"demo@1.0", ""), (b"2.0", "contract_unsupported"), (b"\xff", "contract_unsupported")],
)
def test_the_version_of_the_contract(scorer: EventScorer, version: bytes, code: str) -> None:
    """An event of another version is not scored by this one."""
    (out,) = scorer.score([event(GOOD, (("contract-version", version),))]).outgoing

    assert (said(out)[0], out.topic) == (code, "dead" if code else "out")


def test_a_result_names_its_event_and_its_model(scorer: EventScorer, bundle: Bundle) -> None:
    """By headers beside those of the event; the same id whenever it is scored, another for another event."""
    own: Headers = (
        ("trace", b"7"),
        ("trace", None),
        ("fivefold-id", b"of the worker before"),
        ("contract-version", b"1.0"),
    )

    (first,), (again,), (other,) = (scorer.score([event(GOOD, own, offset)]).outgoing for offset in (5, 5, 6))

    assert first.headers[:2] == own[:2]
    assert header(first.headers, "fivefold-source") == b"in/2/5"
    assert header(first.headers, "fivefold-bundle") == bundle.digest.encode()
    assert header(first.headers, "contract-version") is None
    assert [name for name, _ in first.headers].count("fivefold-id") == 1
    assert first == again
    assert header(first.headers, "fivefold-id") != header(other.headers, "fivefold-id")


def test_no_events_are_no_results(scorer: EventScorer) -> None:
    """The model is not asked."""
    assert scorer.score([]).outgoing == []


BINARY: Headers = (("ce_specversion", b"1.0"), ("ce_id", b"1"), ("ce_source", b"/s"), ("ce_type", b"t"))
STRUCTURED: Headers = (("content-type", b"application/cloudevents+json; charset=utf-8"),)
ENVELOPE = {"specversion": "1.0", "id": "1", "source": "/s", "type": "t"}


def envelope(**changes: object) -> bytes:
    """A CloudEvent in JSON; what is None is left out."""
    whole = ENVELOPE | {"data": {"a": 1, "b": 2}} | changes
    return json.dumps({name: value for name, value in whole.items() if value is not None}).encode()


def test_a_cloudevent_in_headers_is_answered_by_one(scorer: EventScorer) -> None:
    """Its extensions stay, what speaks of the event itself is the result's own."""
    (out,) = scorer.score([event(GOOD, (*BINARY, ("ce_time", b"x"), ("ce_tenant", b"7")))]).outgoing

    assert json.loads(out.value or b"") == {"total": 3.0, "label": 1}
    assert header(out.headers, "ce_tenant") == b"7"
    assert header(out.headers, "ce_time") is None
    assert header(out.headers, "ce_specversion") == b"1.0"
    assert header(out.headers, "ce_id") == header(out.headers, "fivefold-id")
    assert header(out.headers, "ce_type") == b"fivefold.demo.scored"


def test_a_cloudevent_in_json_is_answered_by_one(scorer: EventScorer) -> None:
    """The result is its data."""
    (out,) = scorer.score([event(envelope(tenant=7, time="x"), STRUCTURED)]).outgoing

    whole = json.loads(out.value or b"")
    assert whole["data"] == {"total": 3.0, "label": 1}
    assert (whole["tenant"], whole["type"], "time" in whole) == (7, "fivefold.demo.scored", False)
    assert whole["id"].encode() == header(out.headers, "fivefold-id")
    assert header(out.headers, "content-type") == b"application/cloudevents+json"


def test_data_in_base64_is_a_record_too(scorer: EventScorer) -> None:
    """As the JSON format allows."""
    (out,) = scorer.score([event(envelope(data=None, data_base64="eyJhIjogMSwgImIiOiAyfQ=="), STRUCTURED)]).outgoing

    assert out.topic == "out"


@pytest.mark.parametrize(
    ("value", "headers", "wanted"),
    [
        (GOOD, BINARY[:1], "malformed"),
        (GOOD, (("ce_specversion", b"0.3"), *BINARY[1:]), "malformed"),
        (GOOD, (*BINARY[:1], ("ce_id", None), *BINARY[2:]), "malformed"),
        (GOOD, (("content-type", b"text/csv"),), "unsupported_media_type"),
        (GOOD, (("content-type", b"application/cloudevents-batch+json"),), "unsupported_media_type"),
        (GOOD, (("content-type", b"application/cloudevents+avro"),), "unsupported_media_type"),
        (GOOD, STRUCTURED, "malformed"),
        (b"[]", STRUCTURED, "malformed"),
        (b"", STRUCTURED, "malformed"),
        (b"\xff", STRUCTURED, "malformed"),
        (b"[" * 100_000, STRUCTURED, "malformed"),
        (b"\xef\xbb\xbf" + envelope(), STRUCTURED, "malformed"),
        (envelope() + envelope(), STRUCTURED, "malformed"),
        (envelope(specversion="0.3"), STRUCTURED, "malformed"),
        (envelope(specversion=1.0), STRUCTURED, "malformed"),
        (envelope(id=""), STRUCTURED, "malformed"),
        (envelope(id=None), STRUCTURED, "malformed"),
        (envelope(data=None), STRUCTURED, "malformed"),
        (envelope(data_base64="eyJ9"), STRUCTURED, "malformed"),
        (envelope(data=None, data_base64="?"), STRUCTURED, "malformed"),
        (envelope(data=None, data_base64=7), STRUCTURED, "malformed"),
        (envelope(datacontenttype="text/csv"), STRUCTURED, "unsupported_media_type"),
        (envelope(datacontenttype=7), STRUCTURED, "unsupported_media_type"),
        (envelope().replace(b'"id": "1"', b'"id": "1", "id": "2"'), STRUCTURED, "malformed"),
        (envelope().replace(b'"id": "1"', b'"id": "1", "\\ud800": "2"'), STRUCTURED, "malformed"),
        (envelope(data={"a": 1}), STRUCTURED, "missing_field"),
        (
            envelope().replace(b'"a": 1', b'"a": ' + b"9" * 5000),
            STRUCTURED,
            verdict(b'{"a": ' + b"9" * 5000 + b',"b":2}')[0],
        ),
    ],
    ids=range(27),
)
def test_a_hostile_cloudevent_is_one_dead_letter(
    scorer: EventScorer, value: bytes, headers: Headers, wanted: str
) -> None:
    """Byte for byte as it was."""
    (dead,) = scorer.score([event(value, headers)]).outgoing

    assert (dead.topic, dead.value, said(dead)[0]) == ("dead", value, wanted)
    assert dead.headers[: len(headers)] == headers
