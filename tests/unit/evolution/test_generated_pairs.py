"""Generated pairs of contracts: what the verdict says of them, the readers confirm."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import HealthCheck, event, given, settings
from hypothesis import strategies as st
from tests.support.contract_values import good_rows
from tests.support.evolving_contracts import evolving

from fivefold.core.contract.contract import Contract
from fivefold.core.evolution.inclusion import example
from fivefold.core.evolution.pairing import pairs
from fivefold.core.fields.field import ABSENT, Field
from fivefold.core.readers.records import Records
from fivefold.evolution.changes import changes
from fivefold.evolution.counter_example import spread

Fields = tuple[Field, ...]


def adapted(sent: dict[str, Any], senders: Fields, receivers: Fields) -> dict[str, Any]:
    """What the sender gives, under the receiver's names and without what it does not know."""
    return {receiver.name: sent[sender.name] for sender, receiver in pairs(senders, receivers).matched}


def filled(record: dict[str, Any], receivers: Fields) -> dict[str, Any]:
    """The record with an example of what is required and missing."""
    missing = {field.name: example(field) for field in receivers if field.required and field.name not in record}
    fields = {field.name: field for field in receivers}
    return record | {name: spread(fields[name], value) for name, value in missing.items() if value is not ABSENT}


def read(fields: Fields, record: Any) -> dict[str, Any] | None:
    """The record as the fields have it; None where it is refused."""
    reading = Records(fields).read([record])
    return None if reading.violations else reading.columns.to_records()[0]


def survives(sent: dict[str, Any], senders: Fields, receivers: Fields) -> bool:
    """Whether a canonical record of the senders is read by the receivers, and equal."""
    got = read(receivers, adapted(sent, senders, receivers))
    return got is not None and all(
        sent[sender.name] == got[receiver.name] for sender, receiver in pairs(senders, receivers).matched
    )


def is_shown(record: Any, senders: Fields, receivers: Fields) -> bool:
    """Whether the senders accept the record and the receivers refuse it or change it, as it is or adapted."""
    sent = read(senders, record)
    if sent is None:
        return False
    if isinstance(record, list):
        got = read(receivers, record)
    elif not survives(filled(sent, ()), senders, receivers):
        return True
    else:
        got = read(receivers, record)
    matched = pairs(senders, receivers).matched
    return got is None or any(sent[sender.name] != got[receiver.name] for sender, receiver in matched)


def hold(old: Contract, new: Contract, data: st.DataObject, payloads: int) -> None:
    """Every finding with an example is right, and where there is no error nothing breaks."""
    found = changes(old, new)
    for direction in ("backward", "forward"):
        for side in ("inputs", "outputs"):
            here = [one for one in found if one.direction == direction and one.path.startswith(side)]
            old_sends = (direction == "backward") == (side == "inputs")
            senders, receivers = (getattr(c, side) for c in ((old, new) if old_sends else (new, old)))
            for one in here:
                if one.example is not None:
                    assert is_shown(one.example.record, senders, receivers), one
            doubtful = [one for one in here if one.severity == "warning" and "-removed-" not in one.rule.id]
            doubtful = [one for one in doubtful if one.rule.id != "input-added-optional"]
            if not doubtful and not any(one.severity == "error" for one in here):
                event(f"{side} {direction} compatible")
                for _ in range(payloads):
                    record = data.draw(good_rows(Contract("x", "1", senders, new.outputs)))
                    sent = None if record is None else read(senders, record)
                    assert sent is None or survives(sent, senders, receivers)


SETTINGS = settings(deadline=None, suppress_health_check=list(HealthCheck))


@settings(SETTINGS, max_examples=40)
@given(evolving(), st.data())
def test_a_verdict_is_right(pair, data) -> None:
    """Both directions, both sides."""
    hold(*pair, data, payloads=2)


@settings(SETTINGS, max_examples=8)
@given(evolving(versions=4), st.data())
def test_it_is_right_across_versions(chain, data) -> None:
    """The last of four is held against each before it."""
    for old in chain[:-1]:
        hold(old, chain[-1], data, payloads=1)


@pytest.mark.full
@pytest.mark.rare
@pytest.mark.timeout(900)
@settings(SETTINGS, max_examples=2_500)
@given(evolving(), st.data())
def test_verdicts_are_right_at_length(pair, data) -> None:
    """Ten thousand payloads: one for each side and direction of a pair."""
    hold(*pair, data, payloads=1)


@pytest.mark.full
@pytest.mark.rare
@pytest.mark.timeout(900)
@settings(SETTINGS, max_examples=300)
@given(evolving(versions=4), st.data())
def test_chains_are_right_at_length(chain, data) -> None:
    """Each version of four against every one before it."""
    for at in range(3):
        for old in chain[: at + 1]:
            hold(old, chain[at + 1], data, payloads=1)
