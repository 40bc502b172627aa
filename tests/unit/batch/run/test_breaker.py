"""How many rows may be bad."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fivefold.batch.run.breaker import Breaker
from fivefold.core.errors import RunFailed


@given(st.integers(0, 100), st.integers(1, 10_000))
def test_a_share_is_exceeded_strictly_above(percent: int, rows: int) -> None:
    """Exact in hundredths, whatever a binary fraction makes of them."""
    breaker = Breaker(percent / 100, None, rows)
    most = breaker.most

    assert most == rows * percent // 100
    breaker.at_the_end(most, rows)
    if most < rows:
        with pytest.raises(RunFailed):
            breaker.at_the_end(most + 1, rows)


def test_meanwhile_only_what_no_later_row_could_cure() -> None:
    """Of unknown rows, a share says nothing before the end."""
    Breaker(0.01, None, None).meanwhile(1000)
    Breaker(0.01, None, 100_000).meanwhile(1000)
    with pytest.raises(RunFailed, match="1,001 rows are quarantined, and at most 1,000"):
        Breaker(0.01, None, 100_000).meanwhile(1001)
    with pytest.raises(RunFailed, match="at most 5"):
        Breaker(1, 5, None).meanwhile(6)


def test_no_rows_have_no_share() -> None:
    """Nothing is divided by nothing."""
    Breaker(0.01, None, 0).at_the_end(0, 0)
