"""What a worker looks at before its first event: the contract versions of the last results."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.support.bundles import write_sum
from tests.support.event_logs import Logs

from fivefold.core.errors import AccessError, NotFound, ProtocolError
from fivefold.stream.contract_gate import LAST, refuse_fewer_versions
from fivefold.stream.events import Event, Outgoing


def result(offset: int, contract: str | None) -> Event:
    """A result in a topic."""
    headers = () if contract is None else (("fivefold-contract", contract.encode()),)
    return Event("out", 0, offset, 1, b"k", b"{}", headers)


def asked(tmp_path: Path, events: list[Event]) -> list[str]:
    """What is said of them by the sum's bundle, whose contract is demo@1.0."""
    said: list[str] = []
    refuse_fewer_versions(lambda: events, write_sum(tmp_path / "sum").views, said.append)
    return said


def test_own_and_foreign_results_are_in_nobodys_way(tmp_path: Path) -> None:
    """Those of another contract, and events that are none of ours."""
    assert asked(tmp_path, [result(0, "demo@1.0"), result(1, "other@9"), result(2, None)]) == []


def test_a_version_that_is_not_answered_any_more_is_named(tmp_path: Path) -> None:
    """With what is answered."""
    with pytest.raises(ProtocolError, match=r"results are of demo@0\.9 so far, and this bundle answers 1\.0"):
        asked(tmp_path, [result(0, "demo@1.0"), result(1, "demo@0.9")])


def test_who_may_not_look_is_told(tmp_path: Path) -> None:
    """And works all the same; a topic that is not there yet is nothing to tell."""
    views = write_sum(tmp_path / "sum").views
    said: list[str] = []

    def refused() -> Iterator[Event]:
        raise AccessError("forbidden", "not authorised to read out")
        yield

    def absent() -> Iterator[Event]:
        raise NotFound("not_found", "no topic")
        yield

    refuse_fewer_versions(absent, views, said.append)
    refuse_fewer_versions(refused, views, said.append)

    assert said == ["which contract versions the results are of is not known: not authorised to read out"]


def test_the_last_results_are_read_from_every_log(logs: Logs) -> None:
    """Of each partition, in its order, without those before; what a transaction has taken back is not among them."""
    logs.append("in", [Outgoing("in", b"k", str(at).encode(), (), partition=0) for at in range(LAST + 5)])
    logs.append("in", [Outgoing("in", b"k", b"alone", (), partition=2)])

    values = [event.value for event in logs.latest("in", LAST)]

    assert sorted(values) == sorted([*(str(at).encode() for at in range(5, LAST + 5)), b"alone"])
    assert [value for value in values if value != b"alone"] == [str(at).encode() for at in range(5, LAST + 5)]
