"""Every case that events can say, through stream: the answers as results, the refusals as dead letters."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable

import pytest

from fivefold.core.runtime.scorer import Scorer
from tests.conformance.asking import check
from tests.conformance.cases import Case, load
from tests.conformance.events import Events


@pytest.fixture(scope="module")
def driver(scorers: Callable[[str], Scorer]) -> Events:
    """Without a log: what one does is tested on its own."""
    return Events(scorers)


@pytest.mark.parametrize("case", load(), ids=lambda case: case.id)
def test_stream_answers_every_case(case: Case, driver: Events) -> None:
    """The same values, codes and paths as over every other way."""
    check(driver, case)


def test_most_cases_can_be_asked(driver: Events) -> None:
    """So that a mistake in what is left out cannot leave out everything."""
    asked = Counter(spelling for case in load() for spelling in driver.asks(case))
    refused = Counter(spelling for case in load() if case.refused for spelling in driver.asks(case))

    assert min(asked.values()) > 150
    assert min(refused.values()) > 50
