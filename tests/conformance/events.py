"""The driver of streams: each record of a case as an event, scored, and read back from the result or the dead letter.

An event is one record, judged alone, so a case that is refused is asked where it has one. README.md lists what no event
can say.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

import msgspec

from fivefold.core.errors import ContractError
from fivefold.core.readers.exact_json import loads
from fivefold.core.readers.records import Records
from fivefold.core.runtime.scorer import Scorer
from fivefold.stream.dead_letters import death
from fivefold.stream.events import Event, Headers, Outgoing, header
from fivefold.stream.scoring import EventScorer
from tests.conformance.cases import Case, load_contract
from tests.conformance.drivers import Outcome, Refusal, lists

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
            (dead,) = scored.outgoing
            said = death(dead.headers)
            violations = msgspec.json.decode(said["details"]) if "details" in said else [said]
            return Refusal(tuple((each["code"], each["path"]) for each in violations))
        answers = [loads(_answer(each, spelling)) for each in scored.outgoing]
        return Outcome(lists(contract.outputs, Records(contract.outputs).read(answers).accept()))


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
