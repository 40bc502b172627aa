"""Every case through the contract as browsers read it, and the adapters' cases: codes, paths and values are the core's."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest

from fivefold.core.runtime.scorer import Scorer
from tests.conformance.asking import check
from tests.conformance.browser import Browser, BrowserDriver
from tests.conformance.cases import Case, load

CASES = [case for case in load() if case.records is not None or case.tensors is not None]


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.id)
def test_the_browser_answers_every_case(
    case: Case, browser: Browser, scorers: Callable[[str], Scorer]
) -> None:
    """It accepts and refuses as the case says, value by value, code by code and path by path."""
    check(BrowserDriver(browser, scorers), case)
