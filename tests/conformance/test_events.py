"""Every case that events can say, through stream: the answers as results, the refusals as dead letters."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable

import pytest

from fivefold.core.runtime.scorer import Scorer
from tests.conformance.asking import check
from tests.conformance.cases import Case, load
from tests.conformance.events import AvroRecords, Events


@pytest.fixture(scope="module")
def driver(scorers: Callable[[str], Scorer]) -> Events:
    """Without a log: what one does is tested on its own."""
    return Events(scorers)


@pytest.mark.parametrize("case", load(), ids=lambda case: case.id)
def test_stream_answers_every_case(case: Case, driver: Events) -> None:
    """The same values, codes and paths as over every other way."""
    check(driver, case)


@pytest.fixture(scope="module")
def avro(scorers: Callable[[str], Scorer]) -> AvroRecords:
    """With schemas of a registry."""
    return AvroRecords(scorers)


@pytest.mark.parametrize("case", load(), ids=lambda case: case.id)
def test_stream_answers_every_case_in_avro(case: Case, avro: AvroRecords) -> None:
    """Neither does the format make a difference."""
    check(avro, case)


@pytest.mark.parametrize("kind", ["driver", "avro"])
def test_most_cases_can_be_asked(kind: str, request: pytest.FixtureRequest) -> None:
    """So that a mistake in what is left out cannot leave out everything."""
    driver = request.getfixturevalue(kind)
    asked = Counter(spelling for case in load() for spelling in driver.asks(case))
    refused = Counter(spelling for case in load() if case.refused for spelling in driver.asks(case))

    assert min(asked.values()) > 150
    assert min(refused.values()) > 50
