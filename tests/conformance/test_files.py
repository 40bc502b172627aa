"""Every case that a file can say, through batch: the answers in its output, the refusals in its quarantine."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable

import pytest

from fivefold.core.runtime.scorer import Scorer
from tests.conformance.asking import check
from tests.conformance.cases import Case, load
from tests.conformance.files import Files


@pytest.fixture(scope="module")
def driver(scorers: Callable[[str], Scorer], tmp_path_factory: pytest.TempPathFactory) -> Files:
    """In a directory of its own."""
    return Files(scorers, tmp_path_factory.mktemp("files"))


@pytest.mark.parametrize("case", load(), ids=lambda case: case.id)
def test_batch_answers_every_case(case: Case, driver: Files) -> None:
    """The same values, codes and paths as over every other way."""
    check(driver, case)


def test_most_cases_can_be_asked(driver: Files) -> None:
    """So that a mistake in what is left out cannot leave out everything."""
    asked = Counter(spelling for case in load() for spelling in driver.asks(case))
    refused = Counter(spelling for case in load() if case.refused for spelling in driver.asks(case))

    assert asked["jsonl"] > 150
    assert asked["csv"] > 60
    assert asked["parquet"] > 60
    assert min(refused.values()) > 15
