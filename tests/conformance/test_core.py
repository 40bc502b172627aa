"""Every case through the core's readers and scorer, in every spelling and along every path of the readers."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from fivefold.core.runtime.scorer import Scorer
from tests.conformance.asking import check
from tests.conformance.cases import Case, load
from tests.conformance.drivers import Core


@pytest.mark.parametrize("case", load(), ids=lambda case: case.id)
def test_the_core_answers_every_case(case: Case, scorers: Callable[[str], Scorer]) -> None:
    """The core accepts and refuses as the case says, value by value, code by code and path by path."""
    check(Core(scorers), case)
