"""The checker of a stream's outcome sees every fault that is injected, and nothing where none is."""

from __future__ import annotations

import pytest
from loadtest.stream import selftest


def test_a_right_outcome_holds() -> None:
    """Nothing is wrong, and every record is counted."""
    verdict = selftest.judged(selftest.right())

    assert verdict.holds
    assert verdict.words == []
    assert verdict.records == {
        "input": selftest.EVENTS,
        "result": selftest.EVENTS * 99 // 100,
        "dead letter": selftest.EVENTS // 100,
    }


@pytest.mark.parametrize(("what", "kind", "inject"), selftest.INJECTED, ids=[each[0] for each in selftest.INJECTED])
def test_an_injected_fault_is_named(what: str, kind: str, inject: selftest.Injection) -> None:
    """By what it is, whatever else comes of it."""
    outcome = selftest.right()
    inject(outcome)

    verdict = selftest.judged(outcome)

    assert not verdict.holds, what
    assert verdict.counts[kind]
    assert any(words.startswith(f"{kind}: ") for words in verdict.words)
